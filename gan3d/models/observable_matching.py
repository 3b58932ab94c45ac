"""A loss on what physicists look at: distributions of generated showers' observables against the training showers'.

Legend: B showers of a batch, N training showers, K observables.

Adversarial losses judge single showers; a generator whose every shower is the mean shower passes for long. The 3DGAN line therefore
adds losses on sums over cells (svalleco/3Dgan: the deposited energy; branch Anglegan: also counts of cells per energy bin). Here the
spread counts as well: of each observable the Wasserstein-1 distance between batch and training set, in standard deviations.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Self

import torch
from torch.nn import functional

from gan3d.physics.observables import (
    READOUT_THRESHOLD_GEV,
    first_moments_of,
    layer_fractions_of,
    normalised,
    profiles,
    sampling_fraction,
    second_moments_of,
)

#: Width, in natural logarithms of the cell's energy, of the smooth step that stands for the read-out threshold.
THRESHOLD_WIDTH = 0.3
#: Least energy [GeV] of a cell in a logarithm, and least occupancy.
SMALLEST_CELL_GEV, SMALLEST_OCCUPANCY = 1e-7, 1e-6
#: Middle of the energies [GeV], in a logarithm: about that of an electron shower, its value changes no result.
MIDDLE_ENERGY_GEV = 50.0
#: Least spread that anything is divided by.
SMALLEST_SPREAD = 1e-6
#: Distances below so many standard deviations count by their squares: the gradient goes to 0 with them.
SMOOTH_BELOW = 0.5


def observables(cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor) -> torch.Tensor:
    """Sampling fraction, first and second moments, layer fractions, log occupancy of cells [GeV], shape (B, 11)."""
    shares = [normalised(profile) for profile in profiles(cells_BXYL)]
    return torch.cat(
        [
            sampling_fraction(cells_BXYL, incident_energy_B).unsqueeze(1),
            first_moments_of(shares),
            second_moments_of(shares),
            layer_fractions_of(shares[2]),
            log_smooth_occupancy(cells_BXYL).unsqueeze(1),
        ],
        dim=1,
    )


def log_smooth_occupancy(cells_BXYL: torch.Tensor) -> torch.Tensor:
    """Logarithm of the share of cells above the read-out threshold, which is made a smooth step, shape (B,)."""
    above = (cells_BXYL.clamp_min(SMALLEST_CELL_GEV) / READOUT_THRESHOLD_GEV).log()
    return torch.sigmoid(above / THRESHOLD_WIDTH).mean(dim=(1, 2, 3)).clamp_min(SMALLEST_OCCUPANCY).log()


@dataclass(frozen=True, slots=True)
class ObservableDistributions:
    """Distributions of the training showers' observables around their mean at the incident energy."""

    coefficients: torch.Tensor
    """(3, K): the mean is a parabola in the logarithm of the incident energy."""
    spread: torch.Tensor
    """(K,): standard deviation around the mean."""
    residuals: torch.Tensor
    """(N, K): distances from the mean in standard deviations, each column rising."""

    @classmethod
    def fit(cls, showers: Iterable[tuple[torch.Tensor, torch.Tensor]]) -> Self:
        """Of chunks of cells (B, X, Y, L) [GeV] and incident energies (B,) [GeV], on the CPU."""
        found = [(observables(cells, energy), powers(energy)) for cells, energy in showers]
        values, terms = (torch.cat(parts).double() for parts in zip(*found, strict=True))
        # gelsd takes showers of few energies too: of the solutions it returns the smallest.
        coefficients = torch.linalg.lstsq(terms, values, driver="gelsd").solution
        residuals = values - terms @ coefficients
        spread = residuals.square().mean(dim=0).sqrt().clamp_min(SMALLEST_SPREAD)
        return cls(coefficients.float(), spread.float(), (residuals / spread).sort(dim=0).values.float())

    def to(self, device: torch.device) -> ObservableDistributions:
        """The same on a device."""
        return ObservableDistributions(self.coefficients.to(device), self.spread.to(device), self.residuals.to(device))

    def distance(self, cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor) -> torch.Tensor:
        """How far a batch [GeV] is from the training showers: scalar, mean over observables, in standard deviations.

        The i-th smallest of B numbers is compared with the training showers' quantile (i + 1/2) / B. The batch is one rank's.
        """
        mean = powers(incident_energy_B) @ self.coefficients
        residuals = ((observables(cells_BXYL, incident_energy_B) - mean) / self.spread).sort(dim=0).values
        places = (torch.arange(len(residuals), device=residuals.device) + 0.5) / len(residuals) * len(self.residuals)
        return functional.smooth_l1_loss(residuals, self.residuals[places.long()], beta=SMOOTH_BELOW)


def powers(incident_energy_B: torch.Tensor) -> torch.Tensor:
    """1, t, t squared of the logarithm t of the incident energy, shape (B, 3)."""
    logarithm = (incident_energy_B / MIDDLE_ENERGY_GEV).log()
    return torch.stack([torch.ones_like(logarithm), logarithm, logarithm.square()], dim=1)
