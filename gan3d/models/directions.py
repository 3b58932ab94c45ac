"""Directions along which observables of showers are taken together: distributions along them say what those of each one do not.

They are found from one half of the showers, and showers vary along them as the other half says: a direction along which the showers that
it was found from vary least is one along which others vary more.

Legend: N showers, K observables, each with mean 0 and variance 1; P directions.
"""

from __future__ import annotations

import torch

#: Random directions.
NUM_RANDOM = 128
#: Least variance, over the mean one, that is divided by.
SMALLEST_VARIANCE = 1e-2
#: Least spread that is divided by.
SMALLEST_SPREAD = 1e-6


def directions_of(standard_NK: torch.Tensor) -> torch.Tensor:
    """(K, NUM_RANDOM + K): random ones, then each observable's own; along each the `judging` showers have variance 1.

    Always the same ones for the same showers: a step's loss must not depend on the steps before.
    """
    finding = standard_NK[::2]
    covariance = finding.T @ finding / len(finding)
    directions = torch.cat([uncorrelated_directions(covariance, NUM_RANDOM), own_directions(covariance)], dim=1)
    spread = (judging(standard_NK) @ directions).square().mean(dim=0).sqrt()
    found: torch.Tensor = directions / spread.clamp_min(SMALLEST_SPREAD * directions.abs().sum(dim=0))
    return found


def judging(standard_NK: torch.Tensor) -> torch.Tensor:
    """The showers by which distances along directions are taken; of one shower, that one."""
    return standard_NK[min(1, len(standard_NK) - 1) :: 2]


def uncorrelated_directions(covariance_KK: torch.Tensor, number: int) -> torch.Tensor:
    """(K, number): random ones in the space where observables are uncorrelated."""
    variances, axes = torch.linalg.eigh(covariance_KK)
    whitening = axes / variances.clamp_min(SMALLEST_VARIANCE * float(variances.mean())).sqrt()
    drawn = torch.randn(len(axes), number, dtype=covariance_KK.dtype, generator=torch.Generator().manual_seed(0))
    found: torch.Tensor = whitening @ drawn
    return found


def own_directions(covariance_KK: torch.Tensor) -> torch.Tensor:
    """(K, K): along each an observable less its linear regression on all others, times a number.

    The rows of an inverse covariance are such regressions: Lauritzen, Graphical Models (1996), section 5.1.
    """
    ridge = SMALLEST_VARIANCE * covariance_KK.diagonal().mean()
    found: torch.Tensor = torch.linalg.inv(covariance_KK + ridge * torch.eye(len(covariance_KK), dtype=covariance_KK.dtype))
    return found
