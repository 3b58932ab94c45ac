"""How far generated showers are from Monte Carlo showers of the same incident energies: ten distances and one scalar.

Every distance is computed within bins of incident energy from sums merged over all ranks (``ShowerSums``), then averaged over the bins
that hold showers of both sets; 0 means indistinguishable, lower is better. Of trials with ``training.polar_angle`` each of these bins is
cut into three of the polar angle, so that each of the ten sees whether showers change with it as they should. g generated, m Monte Carlo:

    response              |<SF>_g / <SF>_m - 1|, SF the sampling fraction
    resolution            |s_g / s_m - 1|, s the standard deviation of SF over its mean
    longitudinal_profile  total variation between mean profiles along the depth, each shower's profile normalised to 1
    transverse_profile    the same along x and y, mean of the two
    first_moments         Wasserstein-1 between distributions over the Monte Carlo standard deviation, mean of x, y, depth
    second_moments        the same for the variances around the barycentre
    layer_fractions       the same for the shares of energy in the first, middle and last third of the layers
    occupancy             the same for the share of cells above the read-out threshold
    cell_energy_spectrum  total variation between histograms of log10 energy of the cells above the threshold, normalised to 1
    maximum_position      total variation between histograms of the hottest cell's place, mean of x, y, depth

On polar cells (CaloChallenge) x of the grid is an angle, and "x, y" of both moments means: places in the plane along as many axes as the
cells have (8 of 16 angles, ``observables.axes_around``), which together weigh two thirds. So no distance depends on where the angle 0 lies.
Profiles and the hottest cell's place are histograms over angles and rings, which do not mind where they begin.

    shower_distance       mean over the ten of d / (1 + d): linear for small d, and below 1 each, so that one broken observable does
                          not hide the nine others; where a total variation is at its end, 1, it contributes 1/2

Total variation is half the sum of absolute differences, with showers that are nowhere (empty, or no cell above threshold) as one more
bin; the four total variations are symmetric in g and m, the others are not, as they are in units of the Monte Carlo's value.

    shower_distance_low_energy, _high_energy
                          the scalar in the bin of the lowest, of the highest incident energies alone

All are biased upwards by finite samples: two Monte Carlo sets do not have distance 0 but that of their floor, which falls about as one
over the root of the number of showers. A distance means something only beside the floor for the same number of showers.

Distances are of version 1 on square cells, of version 2 on polar ones, of which early studies took the moments of the angle's index, cut
at 0, and of version 2 where the polar angle is a condition, which early studies had no bins of. Distances of two versions are not compared:
warm starts refuse them, the verdict does not rank them (``physics.definitions``).
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from gan3d.physics.by_energy import response_shifts, separations
from gan3d.physics.observables import mean_over_axes
from gan3d.physics.sums import ShowerSums
from gan3d.records import PhysicsDistance

#: The ten distances that ``shower_distance`` averages, in the order of ``PhysicsDistance``.
DISTANCES = (
    "response",
    "resolution",
    "longitudinal_profile",
    "transverse_profile",
    "first_moments",
    "second_moments",
    "layer_fractions",
    "occupancy",
    "cell_energy_spectrum",
    "maximum_position",
)

#: Smallest Monte Carlo spread anything is divided by, relative to the range or mean; met only by sets of one or of equal showers.
_SMALLEST_RELATIVE_SPREAD = 1e-6


def distances(generated: ShowerSums, monte_carlo: ShowerSums) -> dict[str, float]:
    """The ten distances by name, each a mean over the bins with showers of both sets.

    Raises:
        ValueError: different binnings, or no bin with showers of both sets.
    """
    return {name: float(values.mean()) for name, values in distances_per_bin(generated, monte_carlo).items()}


def distances_per_bin(generated: ShowerSums, monte_carlo: ShowerSums) -> dict[str, Tensor]:
    """The ten distances by name in each of the bins that `bins_of_both` names.

    Raises:
        ValueError: different binnings, or no bin with showers of both sets.
    """
    both = bins_of_both(generated, monte_carlo)
    per_bin = _of_sampling_fraction(generated, monte_carlo) | _of_shapes(generated, monte_carlo) | _of_scalars(generated, monte_carlo)
    return {name: per_bin[name][both] for name in DISTANCES}


def bins_of_both(generated: ShowerSums, monte_carlo: ShowerSums) -> Tensor:
    """Numbers of the bins with showers of both sets, lowest energy first, int64.

    Raises:
        ValueError: different binnings, or no bin with showers of both sets.
    """
    if generated.binning != monte_carlo.binning:
        msg = "generated and Monte Carlo sums have different binnings"
        raise ValueError(msg)
    both = (generated["num_showers"] > 0) & (monte_carlo["num_showers"] > 0)
    if not bool(both.any()):
        msg = "no incident-energy bin holds both generated and Monte Carlo showers"
        raise ValueError(msg)
    return both.nonzero()[:, 0]


def shower_distance(parts: Mapping[str, float]) -> float:
    """The scalar of ten distances: mean of d / (1 + d)."""
    return sum(parts[name] / (1.0 + parts[name]) for name in DISTANCES) / len(DISTANCES)


def physics_distance(generated: ShowerSums, monte_carlo: ShowerSums, floor: Mapping[str, float]) -> PhysicsDistance:
    """The record of an epoch: distances, scalars and separation powers, the floor (``monte_carlo_floor``) of each, response shifts."""
    bins = bins_of_both(generated, monte_carlo)
    parts = with_scalars(generated, monte_carlo) | separations(generated, monte_carlo, bins)
    shifts = response_shifts(generated, monte_carlo, bins)
    return PhysicsDistance(**parts, **shifts, **{f"{name}_floor": floor[name] for name in parts})


def monte_carlo_floor(draws: Sequence[ShowerSums], monte_carlo: ShowerSums) -> dict[str, float]:
    """Distances of other Monte Carlo showers from ``monte_carlo``, mean over draws; also the scalars and separation powers.

    Each draw holds as many showers as will be generated, from a set disjoint from ``monte_carlo`` and of the same incident energies and,
    where bins are of them, polar angles (``matched_draws``): what a perfect generator would get. Where a draw is smaller than
    ``monte_carlo``, as many are taken to be generated as that has: chance puts means of n and N showers apart by the root of 1/n + 1/N,
    so distances shrink by the root of 2 n / (n + N), and separation powers by its square.

    Raises:
        ValueError: no draws.
    """
    if not draws:
        msg = "a floor needs at least one draw"
        raise ValueError(msg)
    found = [_one_floor(draw, monte_carlo, _as_of_equal_numbers(draw, monte_carlo)) for draw in draws]
    return {name: sum(parts[name] for parts in found) / len(found) for name in found[0]}


def _one_floor(draw: ShowerSums, monte_carlo: ShowerSums, factor: float) -> dict[str, float]:
    powers = separations(draw, monte_carlo, bins_of_both(draw, monte_carlo))
    return with_scalars(draw, monte_carlo, factor) | {name: factor**2 * value for name, value in powers.items()}


def _as_of_equal_numbers(draw: ShowerSums, monte_carlo: ShowerSums) -> float:
    number, wanted = (float(sums["num_showers"].sum()) for sums in (draw, monte_carlo))
    return math.sqrt(2 * number / (number + wanted)) if number < wanted else 1.0


def with_scalars(generated: ShowerSums, monte_carlo: ShowerSums, factor: float = 1.0) -> dict[str, float]:
    """The ten distances, times a factor, and the scalars made from them, by the names of ``PhysicsDistance``."""
    per_bin = {name: factor * values for name, values in distances_per_bin(generated, monte_carlo).items()}
    energy_bin = bins_of_both(generated, monte_carlo) // monte_carlo.binning.num_angle_bins
    parts = {name: float(values.mean()) for name, values in per_bin.items()}
    scalars = {"shower_distance": shower_distance(parts)}
    for name, place in (("low", 0), ("high", -1)):
        is_there = energy_bin == energy_bin[place]
        of_energy = {part: float(values[is_there].mean()) for part, values in per_bin.items()}
        scalars[f"shower_distance_{name}_energy"] = shower_distance(of_energy)
    return scalars | parts


def _of_sampling_fraction(generated: ShowerSums, monte_carlo: ShowerSums) -> dict[str, Tensor]:
    mean_g, spread_g = generated.response_and_resolution()
    mean_m, spread_m = monte_carlo.response_and_resolution()
    return {
        "response": (mean_g - mean_m).abs() / mean_m.clamp(min=torch.finfo(mean_m.dtype).tiny),
        "resolution": (spread_g - spread_m).abs() / spread_m.clamp(min=_SMALLEST_RELATIVE_SPREAD),
    }


def _of_shapes(generated: ShowerSums, monte_carlo: ShowerSums) -> dict[str, Tensor]:
    def variation(table: str) -> Tensor:
        return _total_variation(generated.per_shower(table), monte_carlo.per_shower(table))

    return {
        "longitudinal_profile": variation("profile_depth"),
        "transverse_profile": torch.stack([variation("profile_x"), variation("profile_y")]).mean(dim=0),
        "cell_energy_spectrum": _total_variation(generated.per_cell(), monte_carlo.per_cell()),
        "maximum_position": torch.stack([variation(f"maximum_{axis}") for axis in ("x", "y", "depth")]).mean(dim=0),
    }


def _total_variation(share_g: Tensor, share_m: Tensor) -> Tensor:
    """Half the sum of absolute differences of two histograms (E, N) with sums up to 1; what is missing to 1 is one more bin."""
    difference = share_g - share_m
    nowhere = difference.sum(dim=1)
    return 0.5 * (difference.abs().sum(dim=1) + nowhere.abs())


def _of_scalars(generated: ShowerSums, monte_carlo: ShowerSums) -> dict[str, Tensor]:
    nodes = monte_carlo.binning.nodes()
    share_g, share_m = generated.per_shower("scalars"), monte_carlo.per_shower("scalars")
    mean = (share_m * nodes).sum(dim=2, keepdim=True)
    deviation = (share_m * (nodes - mean).square()).sum(dim=2).sqrt()
    gap = (share_g - share_m).cumsum(dim=2).abs()[:, :, :-1]
    wasserstein = (gap * nodes.diff(dim=1)).sum(dim=2)
    in_spreads = wasserstein / deviation.clamp(min=_SMALLEST_RELATIVE_SPREAD * nodes[:, -1])
    columns = monte_carlo.binning.scalar_columns
    groups = dict(zip(columns, torch.split(in_spreads, list(columns.values()), dim=1), strict=True))
    return {name: mean_over_axes(group) if name.endswith("_moments") else group.mean(dim=1) for name, group in groups.items()}
