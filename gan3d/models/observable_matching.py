"""A loss on what physicists look at: distributions of generated showers' observables against the training showers'.

Legend: B showers of a batch, N training showers, K observables, P directions.

Adversarial losses judge single showers; a generator whose every shower is the mean shower passes for long. The 3DGAN line therefore
adds losses on sums over cells (svalleco/3Dgan: the deposited energy; branch Anglegan: also counts of cells per energy bin). Here the
spread counts as well: of each observable the Wasserstein-1 distance between batch and training set, in standard deviations.

The set ``moments`` has 11 observables of the whole shower. The set ``layers`` adds its axis, its cells' spectrum, and of each layer centre,
widths and occupancy. Showers whose every observable is right may still combine them wrongly; so there the same distance is taken along
fixed random directions as well (sliced Wasserstein distance: Bonneel et al., J. Math. Imaging Vis. 51 (2015) 22), drawn in the space where
the training showers' observables are uncorrelated, for that two neighbouring layers' centres agree is as telling as where they are.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import pairwise
from typing import Literal, Self

import torch
from torch.nn import functional

from gan3d.physics.observables import (
    READOUT_THRESHOLD_GEV,
    Positions,
    axis_slopes,
    first_moments_of,
    layer_centres,
    layer_fractions_of,
    layer_widths,
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
#: Columns of the set ``moments``.
NUM_MOMENTS = 11
#: Edges [log10 GeV] between which cells are counted in the set ``layers``; the last is open.
SPECTRUM_EDGES = (-4.0, -3.5, -3.0, -2.5, -2.0, -1.5)
#: Directions of the set ``layers``, and the least variance, over the mean one, that is divided by where they are drawn.
NUM_DIRECTIONS, SMALLEST_VARIANCE = 128, 1e-2
#: Distances below so many standard deviations count by their squares: the gradient goes to 0 with them.
SMOOTH_BELOW = 0.5


ObservableSet = Literal["moments", "layers"]


def moments(cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor) -> torch.Tensor:
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


def layers(cells_BXYL: torch.Tensor, positions: Positions | None) -> torch.Tensor:
    """Slopes of the axis (square cells only), roots of cells by energy; of layers centres, widths and occupancy. Shape (B, 8 + 5 L)."""
    slopes = [axis_slopes(cells_BXYL)] if positions is None else []
    centres, widths = layer_centres(cells_BXYL, positions), layer_widths(cells_BXYL, positions)
    occupancy = smooth_step(cells_BXYL, READOUT_THRESHOLD_GEV).mean(dim=(1, 2))
    return torch.cat([*slopes, smooth_spectrum(cells_BXYL), *centres.unbind(2), *widths.unbind(2), occupancy], dim=1)


def smooth_step(cells_BXYL: torch.Tensor, threshold_gev: float) -> torch.Tensor:
    """0 below, 1 above, and something between near the threshold, for a gradient."""
    above = (cells_BXYL.clamp_min(SMALLEST_CELL_GEV) / threshold_gev).log()
    return torch.sigmoid(above / THRESHOLD_WIDTH)


def smooth_spectrum(cells_BXYL: torch.Tensor) -> torch.Tensor:
    """Roots of the numbers of cells between two energies, whose spread is about the same for all numbers, (B, 6)."""
    above = [smooth_step(cells_BXYL, 10**edge).sum(dim=(1, 2, 3)) for edge in SPECTRUM_EDGES]
    between = [low - high for low, high in pairwise(above)]
    # One cell more keeps the root's slope finite.
    return (torch.stack([*between, above[-1]], dim=1).clamp_min(0) + 1).sqrt()


def log_smooth_occupancy(cells_BXYL: torch.Tensor) -> torch.Tensor:
    """Logarithm of the share of cells above the read-out threshold, which is made a smooth step, shape (B,)."""
    return smooth_step(cells_BXYL, READOUT_THRESHOLD_GEV).mean(dim=(1, 2, 3)).clamp_min(SMALLEST_OCCUPANCY).log()


@dataclass(frozen=True, slots=True)
class ObservableDistributions:
    """Distributions of the training showers' observables around their mean at the incident energy."""

    coefficients: torch.Tensor
    """(3, K): the mean is a parabola in the logarithm of the incident energy."""
    spread: torch.Tensor
    """(K,): standard deviation around the mean."""
    directions: torch.Tensor
    """(K, P): along which observables are taken together; P is 0 in the set ``moments``."""
    residuals: torch.Tensor
    """(N, K + P): distances from the mean in standard deviations, then along the directions; each column rising."""
    kind: ObservableSet = "moments"
    positions: Positions | None = None
    """x and y of each cell's centre, where they are not its indices."""

    @classmethod
    def fit(
        cls, showers: Iterable[tuple[torch.Tensor, torch.Tensor]], kind: ObservableSet = "moments", positions: Positions | None = None
    ) -> Self:
        """Of chunks of cells (B, X, Y, L) [GeV] and incident energies (B,) [GeV], on the CPU."""
        found = [(observables(cells, energy, kind, positions), powers(energy)) for cells, energy in showers]
        values, terms = (torch.cat(parts).double() for parts in zip(*found, strict=True))
        # gelsd takes showers of few energies too: of the solutions it returns the smallest.
        coefficients = torch.linalg.lstsq(terms, values, driver="gelsd").solution
        residuals = values - terms @ coefficients
        spread = residuals.square().mean(dim=0).sqrt().clamp_min(SMALLEST_SPREAD)
        standard = residuals / spread
        directions = uncorrelated_directions(standard, NUM_DIRECTIONS if kind == "layers" else 0)
        columns = torch.cat([standard, standard @ directions], dim=1).sort(dim=0).values
        return cls(coefficients.float(), spread.float(), directions.float(), columns.float(), kind, positions)

    def to(self, device: torch.device) -> ObservableDistributions:
        """The same on a device."""
        positions = None if self.positions is None else (self.positions[0].to(device), self.positions[1].to(device))
        coefficients, spread = self.coefficients.to(device), self.spread.to(device)
        return ObservableDistributions(coefficients, spread, self.directions.to(device), self.residuals.to(device), self.kind, positions)

    def distance(self, cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor) -> torch.Tensor:
        """How far a batch [GeV] is from the training showers: scalar, in standard deviations.

        The sum of the means over moments, over what the set ``layers`` adds to them, and over the directions.

        The i-th smallest of B numbers is compared with the training showers' quantile (i + 1/2) / B. The batch is one rank's.
        """
        mean = powers(incident_energy_B) @ self.coefficients
        standard = (observables(cells_BXYL, incident_energy_B, self.kind, self.positions) - mean) / self.spread
        residuals = torch.cat([standard, standard @ self.directions], dim=1).sort(dim=0).values
        places = (torch.arange(len(residuals), device=residuals.device) + 0.5) / len(residuals) * len(self.residuals)
        apart = functional.smooth_l1_loss(residuals, self.residuals[places.long()], beta=SMOOTH_BELOW, reduction="none").mean(dim=0)
        # Each group by itself: 11 moments would be lost among some 300 others.
        groups = torch.split(apart, [NUM_MOMENTS, self.spread.numel() - NUM_MOMENTS, self.directions.shape[1]])
        return torch.stack([group.mean() for group in groups if group.numel()]).sum()


def powers(incident_energy_B: torch.Tensor) -> torch.Tensor:
    """1, t, t squared of the logarithm t of the incident energy, shape (B, 3)."""
    logarithm = (incident_energy_B / MIDDLE_ENERGY_GEV).log()
    return torch.stack([torch.ones_like(logarithm), logarithm, logarithm.square()], dim=1)


def observables(
    cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor, kind: ObservableSet, positions: Positions | None = None
) -> torch.Tensor:
    """Those of a set, (B, K)."""
    found = moments(cells_BXYL, incident_energy_B)
    return found if kind == "moments" else torch.cat([found, layers(cells_BXYL, positions)], dim=1)


def uncorrelated_directions(standard_NK: torch.Tensor, number: int) -> torch.Tensor:
    """(K, number): along each these rows have variance 1. Always the same ones: a step's loss must not depend on the steps before."""
    variances, axes = torch.linalg.eigh(standard_NK.T @ standard_NK / len(standard_NK))
    whitening = axes / variances.clamp_min(SMALLEST_VARIANCE * float(variances.mean())).sqrt()
    drawn = torch.randn(len(axes), number, dtype=standard_NK.dtype, generator=torch.Generator().manual_seed(0))
    directions = whitening @ drawn
    spread = (standard_NK @ directions).square().mean(dim=0).sqrt()
    found: torch.Tensor = directions / spread
    return found
