"""What is signed, and what two histograms tell apart, at low, middle and high incident energies: beside the distances, not in them.

Low and high are the bins of the lowest and of the highest incident energies, as in ``shower_distance_low_energy``; middle are those
between, or all where there are none. Values are means over the bins where these are several. g generated, m Monte Carlo:

    response_shift          <SF>_g / <SF>_m - 1, SF the sampling fraction: what ``response`` is the size of
    response_shift_..._error
                            its standard error, of the spreads of both sets over the roots of their numbers of showers
    spectrum_separation, maximum_separation
                            1/2 sum (g - m)^2 / (g + m) over the bins of two histograms with sum 1, from 0 (equal) to 1 (nothing in common):
                            the separation power of CaloChallenge (arXiv:2410.21611), of the histograms of the distances
                            cell_energy_spectrum and, mean of x, y, depth, maximum_position

Separation powers have floors as distances have: as squares of differences, these fall as one over the number of showers.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gan3d.physics.sums import ShowerSums

#: Incident energies that values are given for.
ENERGIES = ("low", "middle", "high")
#: Of which separation powers are given.
SEPARATIONS = ("spectrum_separation", "maximum_separation")
#: Histograms of the hottest cell's place.
MAXIMA = ("maximum_x", "maximum_y", "maximum_depth")


def response_shifts(generated: ShowerSums, monte_carlo: ShowerSums, bins: Tensor) -> dict[str, float]:
    """Shifts and their errors by the names of ``PhysicsDistance``; ``bins`` are those with showers of both (``bins_of_both``)."""
    (mean_g, spread_g), (mean_m, spread_m) = generated.response_and_resolution(), monte_carlo.response_and_resolution()
    ratio = mean_g / mean_m.clamp(min=torch.finfo(mean_m.dtype).tiny)
    variance = _of_mean(spread_g, generated) + _of_mean(spread_m, monte_carlo)
    found = {}
    for name, chosen in energy_ranges(bins, monte_carlo.binning.num_angle_bins).items():
        error = (ratio[chosen].square() * variance[chosen]).sum().sqrt() / len(chosen)
        found[f"response_shift_{name}_energy"] = float((ratio[chosen] - 1).mean())
        found[f"response_shift_{name}_energy_error"] = float(error)
    return found


def separations(generated: ShowerSums, monte_carlo: ShowerSums, bins: Tensor) -> dict[str, float]:
    """Separation powers by the names of ``PhysicsDistance``; ``bins`` are those with showers of both (``bins_of_both``)."""
    maxima = [separation_power(generated.per_shower(table), monte_carlo.per_shower(table)) for table in MAXIMA]
    per_bin = (separation_power(generated.per_cell(), monte_carlo.per_cell()), torch.stack(maxima).mean(dim=0))
    ranges = energy_ranges(bins, monte_carlo.binning.num_angle_bins)
    values = dict(zip(SEPARATIONS, per_bin, strict=True))
    return {f"{kind}_{name}_energy": float(values[kind][chosen].mean()) for kind in SEPARATIONS for name, chosen in ranges.items()}


def separation_power(share_g: Tensor, share_m: Tensor) -> Tensor:
    """Of two histograms (E, N) with sums up to 1, what is missing to 1 being one more bin: shape (E,)."""
    shares = [torch.cat([share, (1 - share.sum(dim=1, keepdim=True)).clamp(min=0)], dim=1) for share in (share_g, share_m)]
    both = shares[0] + shares[1]
    return 0.5 * torch.where(both > 0, (shares[0] - shares[1]).square() / torch.where(both > 0, both, 1.0), 0.0).sum(dim=1)


def energy_ranges(bins: Tensor, num_angle_bins: int) -> dict[str, Tensor]:
    """Of these bins, rising, those of low, middle and high incident energies."""
    energy = bins // num_angle_bins
    is_low, is_high = energy == energy[0], energy == energy[-1]
    between = ~(is_low | is_high)
    is_middle = between if bool(between.any()) else torch.ones_like(between)
    return dict(zip(ENERGIES, (bins[chosen] for chosen in (is_low, is_middle, is_high)), strict=True))


def _of_mean(relative_spread: Tensor, sums: ShowerSums) -> Tensor:
    """Square of the relative standard error of a mean in each bin."""
    return relative_spread.square() / sums["num_showers"].clamp(min=1.0)
