"""Curves of observables for Monte Carlo and generated showers, with statistical errors; what ``shower_profiles.py`` draws.

Not covered: the observables themselves, which are those of ``gan3d.physics.observables``.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from gan3d.physics import observables
from gan3d.physics.binning import SPECTRUM_BINS_PER_DECADE, Binning

#: Most points of the curves against the incident energy, and most bins of a histogram (otherwise the root of the number of showers).
MAX_ENERGY_BINS = 8
MAX_HISTOGRAM_BINS = 30


class Sample(NamedTuple):
    """Showers of one kind: ``cells`` (B, X, Y, L) and ``incident_energy`` (B,) [GeV]."""

    cells: Tensor
    incident_energy: Tensor


class Points(NamedTuple):
    """Values and their standard errors, each (number of places,)."""

    value: np.ndarray
    error: np.ndarray


@dataclass(frozen=True, slots=True)
class Curve:
    """One panel: both kinds of shower at the same places."""

    title: str
    x_label: str
    y_label: str
    x: np.ndarray
    monte_carlo: Points
    generated: Points
    log: bool = False


def all_curves(monte_carlo: Sample, generated: Sample, threshold_gev: float) -> list[Curve]:
    """Every panel, in the order they are drawn; a cell is read out above the threshold."""
    binning = Binning.from_incident_energy(
        monte_carlo.cells.shape[1:], monte_carlo.incident_energy, threshold_gev=threshold_gev, max_energy_bins=MAX_ENERGY_BINS
    )
    barycentres = [observables.first_moments(sample.cells)[:, 2] for sample in (monte_carlo, generated)]
    occupancies = [observables.occupancy(sample.cells, threshold_gev) for sample in (monte_carlo, generated)]
    return [
        *profile_curves(monte_carlo, generated),
        spectrum_curve(binning, monte_carlo, generated),
        *energy_curves(binning, monte_carlo, generated),
        histogram_curve("Occupancy", f"share of cells above {threshold_gev:g} GeV", *occupancies),
        histogram_curve("Longitudinal barycentre", "layer", *barycentres),
    ]


def profile_curves(monte_carlo: Sample, generated: Sample) -> list[Curve]:
    """Mean energy along the depth, x and y."""
    both = [observables.profiles(sample.cells) for sample in (monte_carlo, generated)]
    curves = []
    for place, title, unit in (
        (2, "Longitudinal profile", "layer"),
        (0, "Transverse profile, x", "cell"),
        (1, "Transverse profile, y", "cell"),
    ):
        means = [mean_and_error(profiles[place]) for profiles in both]
        x = np.arange(len(means[0].value))
        curves.append(Curve(title, unit, f"GeV per {unit} and shower", x, means[0], means[1], log=unit == "cell"))
    return curves


def spectrum_curve(binning: Binning, monte_carlo: Sample, generated: Sample) -> Curve:
    """Cells per shower and bin of log10 cell energy, above the read-out threshold."""
    counts = [mean_and_error(cells_per_bin(binning, sample.cells)) for sample in (monte_carlo, generated)]
    filled = np.flatnonzero(counts[0].value + counts[1].value)
    end = filled[-1] + 1 if len(filled) else 1
    x = np.log10(binning.threshold_gev) + (np.arange(end) + 0.5) / SPECTRUM_BINS_PER_DECADE
    known, made = (Points(count.value[:end], count.error[:end]) for count in counts)
    return Curve("Cell energy spectrum", "log10(cell energy / GeV)", "cells per shower and bin", x, known, made, log=True)


def cells_per_bin(binning: Binning, cells: Tensor) -> Tensor:
    """How many cells of each shower fall into each bin of the spectrum, (B, number of bins)."""
    counts = torch.zeros(len(cells), binning.num_spectrum_bins, dtype=torch.float64)
    for shower, row in enumerate(cells):
        above = row[row > binning.threshold_gev]
        counts[shower] = torch.bincount(binning.spectrum_bin(above), minlength=binning.num_spectrum_bins).double()
    return counts


def energy_curves(binning: Binning, monte_carlo: Sample, generated: Sample) -> list[Curve]:
    """Mean (response) and relative spread (resolution) of the sampling fraction in bins of incident energy."""
    bins = range(binning.num_energy_bins)
    places = binning.energy_bin(monte_carlo.incident_energy)
    x = np.array([float(monte_carlo.incident_energy[places == number].mean()) for number in bins])
    response, resolution = [], []
    for cells, energy in (monte_carlo, generated):
        fractions = observables.sampling_fraction(cells, energy).double()
        groups = [fractions[binning.energy_bin(energy) == number] for number in bins]
        means = [mean_and_error(group[:, None]) for group in groups]
        response.append(Points(*(np.concatenate(parts) for parts in zip(*means, strict=True))))
        resolution.append(relative_spreads(groups))
    unit = "incident energy [GeV]"
    return [
        Curve("Response", unit, "sampling fraction, mean", x, response[0], response[1]),
        Curve("Resolution", unit, "sampling fraction, spread / mean", x, resolution[0], resolution[1]),
    ]


def histogram_curve(title: str, label: str, monte_carlo: Tensor, generated: Tensor) -> Curve:
    """Share of showers per bin of an observable; what lies outside the Monte Carlo's range is in the outer bins."""
    low, high = (float(end) for end in np.quantile(monte_carlo.double().numpy(), (0.001, 0.999)))
    if low == high:
        low, high = low - 0.5, high + 0.5
    edges = np.linspace(low, high, min(MAX_HISTOGRAM_BINS, int(len(monte_carlo) ** 0.5)) + 1)
    known, made = (shares(sample, edges) for sample in (monte_carlo, generated))
    return Curve(title, label, "share of showers per bin", (edges[:-1] + edges[1:]) / 2, known, made)


def shares(values: Tensor, edges: np.ndarray) -> Points:
    """Share of values (B,) per bin, with binomial errors."""
    counts, _ = np.histogram(np.clip(values.double().numpy(), edges[0], edges[-1]), edges)
    share = counts / len(values)
    return Points(share, np.sqrt(share * (1 - share) / len(values)))


def mean_and_error(values: Tensor) -> Points:
    """Mean over showers and its standard error, of values (B, N)."""
    values = values.double()
    return Points(values.mean(0).numpy(), (values.std(0) / len(values) ** 0.5).numpy())


def relative_spreads(groups: Sequence[Tensor]) -> Points:
    """Standard deviation over mean of each group, and its standard error for a normal distribution."""
    spreads = np.array([float(group.std() / group.mean()) for group in groups])
    return Points(spreads, spreads / np.sqrt([2 * max(1, len(group) - 1) for group in groups]))


def ratio_of(curve: Curve) -> tuple[np.ndarray, np.ndarray]:
    """Generated over Monte Carlo with its error; NaN where the Monte Carlo is 0."""
    known = np.where(curve.monte_carlo.value > 0, curve.monte_carlo.value, np.nan)
    ratio = curve.generated.value / known
    return ratio, np.hypot(curve.generated.error / known, ratio * curve.monte_carlo.error / known)


def table(curves: Sequence[Curve]) -> pd.DataFrame:
    """Every point of every panel."""
    parts = []
    for curve in curves:
        columns = {"curve": curve.title, "x": curve.x}
        for name, points in (("monte_carlo", curve.monte_carlo), ("generated", curve.generated)):
            columns |= {name: points.value, f"{name}_error": points.error}
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)
