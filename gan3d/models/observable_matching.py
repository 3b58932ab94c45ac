"""A loss on what physicists look at: distributions of generated showers' observables against the training showers'.

Legend: B showers of a batch, N training showers, K observables, P directions.

Adversarial losses judge single showers; a generator whose every shower is the mean shower passes for long. The 3DGAN line therefore
adds losses on sums over cells (svalleco/3Dgan: the deposited energy; branch Anglegan: also counts of cells per energy bin). Here the
spread counts as well: of each observable the energy distance between batch and training set, in standard deviations.

The set ``moments`` has 11 observables of the whole shower; on polar cells more, as they have more axes, which together weigh as x and y.
The set ``layers`` adds its axis, its cells' spectrum, its profile across, and of each layer centre, widths, radii and occupancy: widths may
be right where the halo is too bright near the core and ends too early. Showers whose every observable is right may still combine them
wrongly; so there the same distance is taken along fixed directions as well (sliced, as Bonneel et al., J. Math. Imaging Vis. 51 (2015) 22,
do with Wasserstein's): random ones in the space where the training showers' observables are uncorrelated, for that two neighbouring layers'
centres agree is as telling as where they are; and for each observable what the others do not tell of it, which is what a classifier finds.

Observables count by their distance from the training showers' mean at the incident energy, in standard deviations there. That alone would
not see showers with too many cells at low energies and too few at high ones: so the distance is also taken of each observable's sum with
the incident energy, and of their difference. In the set ``layers`` the same is done with how far from the middle the shower's axis lies:
showers that enter a cell near its edge share their core out among more cells.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Literal, Self

import torch

from gan3d.models.directions import NUM_RANDOM, directions_of, judging
from gan3d.models.energy_distance import FixedSample
from gan3d.physics.observables import (
    CELL_ENERGY_EDGES,
    READOUT_THRESHOLD_GEV,
    Positions,
    axes_around,
    axis_slopes,
    layer_centres,
    layer_fractions_of,
    layer_radii,
    layer_widths,
    normalised,
    profiles,
    sampling_fraction,
    whole_moments,
)

#: A logarithm whose exponential is infinite, in double precision too.
LOG_OF_INFINITY = 1e3
#: Width, in natural logarithms of the cell's energy, of the smooth step that stands for the read-out threshold.
THRESHOLD_WIDTH = 0.1
#: Least energy [GeV] of a cell in a logarithm, and least occupancy.
SMALLEST_CELL_GEV, SMALLEST_OCCUPANCY = 1e-7, 1e-6
#: Middle of the energies [GeV], in a logarithm: about that of an electron shower, its value changes no result.
MIDDLE_ENERGY_GEV = 50.0
#: Least spread that anything is divided by, and least size of a residual in a logarithm.
SMALLEST_SPREAD = 1e-6
#: Share of an observable's size that is rounding: training showers that spread by no more have one value of it. No distance can be counted
#: in that spread, and the observable is left out.
NO_SPREAD = 1e-6
SQRT_2 = math.sqrt(2.0)
#: Columns of the set ``moments`` on square cells, and among them those of the centre along x and y.
NUM_MOMENTS, CENTRE = 11, slice(1, 3)
#: Standard deviations up to which tails are pulled out.
FURTHEST = 3.0


ObservableSet = Literal["moments", "layers"]


def moments(
    cells_BXYL: torch.Tensor,
    incident_energy_B: torch.Tensor,
    across: Sequence[torch.Tensor] | None = None,
    threshold_gev: float = READOUT_THRESHOLD_GEV,
) -> torch.Tensor:
    """Sampling fraction, first and second moments, layer fractions, log occupancy of cells [GeV], shape (B, 11).

    ``across`` are positions along axes around which cells are polar, A of them (`axes_around`): then the shape is (B, 7 + 2 A).
    """
    shares = [normalised(profile) for profile in profiles(cells_BXYL)]
    return torch.cat(
        [
            sampling_fraction(cells_BXYL, incident_energy_B).unsqueeze(1),
            *whole_moments(cells_BXYL, shares, across),
            layer_fractions_of(shares[2]),
            log_smooth_occupancy(cells_BXYL, threshold_gev).unsqueeze(1),
        ],
        dim=1,
    )


def layers(cells_BXYL: torch.Tensor, positions: Positions | None, threshold_gev: float = READOUT_THRESHOLD_GEV) -> torch.Tensor:
    """Roots of cells by energy; of layers centres, widths, radii and occupancy; slopes of the axis and shares of columns.

    Shape (B, 8 + 7 L + X + Y); of polar cells, without slopes and with the shares of rings only, (B, 6 + 7 L + Y).
    """
    centres, widths = layer_centres(cells_BXYL, positions), layer_widths(cells_BXYL, positions)
    radii = layer_radii(cells_BXYL, radius_of(cells_BXYL, positions))
    occupancy = smooth_step(cells_BXYL, threshold_gev).mean(dim=(1, 2))
    along_x, along_y = (normalised(profile) for profile in profiles(cells_BXYL)[:2])
    of_axes = [along_y] if positions is not None else [axis_slopes(cells_BXYL), along_x, along_y]
    return torch.cat([smooth_spectrum(cells_BXYL), *centres.unbind(2), *widths.unbind(2), *radii, occupancy, *of_axes], dim=1)


def radius_of(cells_BXYL: torch.Tensor, positions: Positions | None) -> torch.Tensor:
    """Distance (X, Y) of cells from the axis, which for square ones is the middle of the grid [cells, or the positions' unit]."""
    if positions is not None:
        return torch.hypot(*positions)
    x, y = (torch.arange(size, device=cells_BXYL.device) - (size - 1) / 2 for size in cells_BXYL.shape[1:3])
    return torch.hypot(x[:, None], y[None, :])


def smooth_step(cells_BXYL: torch.Tensor, threshold_gev: float) -> torch.Tensor:
    """0 below, 1 above, and something between near the threshold, for a gradient."""
    above = (cells_BXYL.clamp_min(SMALLEST_CELL_GEV) / threshold_gev).log()
    return torch.sigmoid(above / THRESHOLD_WIDTH)


def smooth_spectrum(cells_BXYL: torch.Tensor) -> torch.Tensor:
    """Roots of smooth `cell_spectrum`, whose spread is about the same for all numbers, (B, 6)."""
    above = [smooth_step(cells_BXYL, 10**edge).sum(dim=(1, 2, 3)) for edge in CELL_ENERGY_EDGES]
    between = [low - high for low, high in pairwise(above)]
    # One cell more keeps the root's slope finite.
    return (torch.stack([*between, above[-1]], dim=1).clamp_min(0) + 1).sqrt()


def log_smooth_occupancy(cells_BXYL: torch.Tensor, threshold_gev: float = READOUT_THRESHOLD_GEV) -> torch.Tensor:
    """Logarithm of the share of cells above the read-out threshold [GeV], which is made a smooth step, shape (B,)."""
    return smooth_step(cells_BXYL, threshold_gev).mean(dim=(1, 2, 3)).clamp_min(SMALLEST_OCCUPANCY).log()


@dataclass(frozen=True, slots=True)
class ObservableDistributions:
    """Distributions of the training showers' observables around their mean at the incident energy."""

    coefficients: torch.Tensor
    """(3, K): the mean is a parabola in the logarithm of the incident energy."""
    spread: torch.Tensor
    """(2, K): logarithm of the standard deviation around the mean, a line in the logarithm of the incident energy."""
    energies: torch.Tensor
    """(2,): mean and standard deviation of the logarithm of the incident energy."""
    directions: torch.Tensor
    """(K, P): along which observables are taken together, see `directions_of`; P is 0 in the set ``moments``."""
    offset: torch.Tensor
    """(2,): mean and standard deviation of `offset_of`; none in the set ``moments``, nor with polar cells."""
    residuals: FixedSample
    """K (1 + 2 J) numbers of N showers, J other numbers of each: see `columns`."""
    along: FixedSample
    """P numbers of half of them."""
    kind: ObservableSet = "moments"
    positions: Positions | None = None
    """x and y of each cell's centre, where they are not its indices."""
    threshold_gev: float = READOUT_THRESHOLD_GEV
    """A cell with more counts as read out, in occupancies."""

    @property
    def num_axes(self) -> int:
        """Across the shower, that moments are taken along."""
        return 2 if self.positions is None else len(axes_around(self.positions))

    @classmethod
    def fit(
        cls,
        showers: Iterable[tuple[torch.Tensor, torch.Tensor]],
        kind: ObservableSet = "moments",
        positions: Positions | None = None,
        threshold_gev: float = READOUT_THRESHOLD_GEV,
    ) -> Self:
        """Of chunks of cells (B, X, Y, L) [GeV] and incident energies (B,) [GeV], on the CPU."""
        found = [(observables(cells, energy, kind, positions, threshold_gev), powers(energy)) for cells, energy in showers]
        values, terms = (torch.cat(parts).double() for parts in zip(*found, strict=True))
        # gelsd takes showers of few energies too: of the solutions it returns the smallest.
        coefficients = torch.linalg.lstsq(terms, values, driver="gelsd").solution
        residuals = values - terms @ coefficients
        spread = fitted_spread(residuals, terms[:, :2], values)
        standard = residuals / (terms[:, :2] @ spread).exp()
        energies = torch.stack([terms[:, 1].mean(), terms[:, 1].std().clamp_min(SMALLEST_SPREAD)])
        directions = directions_of(standard) if kind == "layers" else standard.new_empty(standard.shape[1], 0)
        offset = offset_of(standard) if kind == "layers" and positions is None else standard.new_empty(0)
        offset = torch.stack([offset.mean(), offset.std().clamp_min(SMALLEST_SPREAD)]) if len(offset) else offset
        fixed = FixedSample.of(stretched(columns(standard, others(standard, terms, energies, offset))))
        along = FixedSample.of(stretched(judging(standard) @ directions))
        tables = {"coefficients": coefficients, "spread": spread, "energies": energies, "directions": directions, "offset": offset}
        floats = {name: table.float() for name, table in tables.items()}
        return cls(**floats, residuals=fixed, along=along, kind=kind, positions=positions, threshold_gev=threshold_gev)

    def to(self, device: torch.device) -> ObservableDistributions:
        """The same on a device."""
        positions = None if self.positions is None else (self.positions[0].to(device), self.positions[1].to(device))
        names = ("coefficients", "spread", "energies", "directions", "offset", "residuals", "along")
        return replace(self, positions=positions, **{name: getattr(self, name).to(device) for name in names})

    def distance(self, cells_BXYL: torch.Tensor, incident_energy_B: torch.Tensor) -> torch.Tensor:
        """How far a batch [GeV] is from the training showers, which it has the incident energies of: scalar, in standard deviations.

        0 on average for showers like them. The sum of the means over moments, over the spectrum, over what else the set ``layers`` adds,
        over all of these with the axis' offset, over the random directions and over those of each observable. The batch is one rank's.
        """
        terms = powers(incident_energy_B)
        found = observables(cells_BXYL, incident_energy_B, self.kind, self.positions, self.threshold_gev)
        standard = (found - terms @ self.coefficients) / (terms[:, :2] @ self.spread).exp()
        beside = others(standard, terms, self.energies, self.offset)
        each = self.residuals.distance(stretched(columns(standard, beside))).view(-1, standard.shape[1])
        along = self.along.distance(stretched(standard @ self.directions))
        num_moments = NUM_MOMENTS + 2 * (self.num_axes - 2)
        # Each group by itself: 11 moments would be lost among some 300 others. The first rows are without, and with the incident energy.
        num_whole = num_moments + len(CELL_ENERGY_EDGES)
        groups = (each[:3, num_moments:num_whole], each[:3, num_whole:], each[3:], along[:NUM_RANDOM], along[NUM_RANDOM:])
        means = [mean_of_moments(each[:3, :num_moments], self.num_axes), *(group.mean() for group in groups if group.numel())]
        return torch.stack(means).sum()


def mean_of_moments(values_JM: torch.Tensor, num_axes: int) -> torch.Tensor:
    """Scalar mean over the columns of `moments`, in which those of all axes across the shower weigh as those of two."""
    if num_axes == 2:
        return values_JM.mean()
    axes = [2 / num_axes] * num_axes
    weights = values_JM.new_tensor([1, *axes, 1, *axes, *[1] * (NUM_MOMENTS - 6)])
    return (values_JM * weights).sum() / (NUM_MOMENTS * len(values_JM))


def columns(standard_BK: torch.Tensor, others_JB: list[torch.Tensor]) -> torch.Tensor:
    """Of each shower its observables, and their sums with and differences from each other number, (B, K (1 + 2 J))."""
    pairs = [(standard_BK + sign * other.unsqueeze(1)) / SQRT_2 for other in others_JB for sign in (1, -1)]
    return torch.cat([standard_BK, *pairs], dim=1)


def others(standard_BK: torch.Tensor, terms_B3: torch.Tensor, energies_2: torch.Tensor, offset_2: torch.Tensor) -> list[torch.Tensor]:
    """What observables are looked at together with, each (B,) with mean 0 and variance 1: the incident energy, and the axis' offset."""
    energy = (terms_B3[:, 1] - energies_2[0]) / energies_2[1]
    return [energy, (offset_of(standard_BK) - offset_2[0]) / offset_2[1]] if len(offset_2) else [energy]


def offset_of(standard_BK: torch.Tensor) -> torch.Tensor:
    """Squared distance (B,) of the shower's axis from where it lies on average, in variances."""
    return standard_BK[:, CENTRE].square().sum(dim=1)


def fitted_spread(residuals_NK: torch.Tensor, terms_N2: torch.Tensor, values_NK: torch.Tensor) -> torch.Tensor:
    """(2, K): the line in the logarithm of the energy that the logarithm of a residual's size follows, raised to where its square is 1.

    Infinite (once out of the logarithm) where residuals of the values have `NO_SPREAD`: what is divided by it is 0, and so is its gradient.
    """
    sizes = residuals_NK.abs().clamp_min(SMALLEST_SPREAD).log()
    line: torch.Tensor = torch.linalg.lstsq(terms_N2, sizes, driver="gelsd").solution
    relative = residuals_NK / (terms_N2 @ line).exp()
    line[0] += relative.square().mean(dim=0).sqrt().clamp_min(SMALLEST_SPREAD).log()
    has_spread = residuals_NK.square().mean(dim=0) > NO_SPREAD**2 * values_NK.square().mean(dim=0)
    return torch.where(has_spread, line, line.new_tensor([[LOG_OF_INFINITY], [0.0]]))


def stretched(standard: torch.Tensor) -> torch.Tensor:
    """Standard deviations with tails pulled out, so that a wrong spread counts as a wrong mean of the same size does.

    An energy distance is the integral of the squared difference of two distribution functions. Weighted with the inverse density it is
    Wasserstein's squared, for small differences; the first two terms of that weight, 1 + x^2 / 2 for a Gaussian, are this one's slope.
    Beyond `FURTHEST` the slope stays: one odd shower must not be a batch's whole gradient.
    """
    near = standard.clamp(-FURTHEST, FURTHEST)
    return near + near**3 / 6 + (standard - near) * (1 + FURTHEST**2 / 2)


def powers(incident_energy_B: torch.Tensor) -> torch.Tensor:
    """1, t, t squared of the logarithm t of the incident energy, shape (B, 3)."""
    logarithm = (incident_energy_B / MIDDLE_ENERGY_GEV).log()
    return torch.stack([torch.ones_like(logarithm), logarithm, logarithm.square()], dim=1)


def observables(
    cells_BXYL: torch.Tensor,
    incident_energy_B: torch.Tensor,
    kind: ObservableSet,
    positions: Positions | None = None,
    threshold_gev: float = READOUT_THRESHOLD_GEV,
) -> torch.Tensor:
    """Those of a set, (B, K)."""
    found = moments(cells_BXYL, incident_energy_B, None if positions is None else axes_around(positions), threshold_gev)
    return found if kind == "moments" else torch.cat([found, layers(cells_BXYL, positions, threshold_gev)], dim=1)
