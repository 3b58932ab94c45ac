"""Two sets of showers side by side: profiles, response and cell spectrum, each with its statistical error.

Written for the simulation against Geant4, where the error of the small Geant4 sample is the floor below which no difference can be seen.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gan3d.physics.observables import cell_spectrum

#: Edges of log10 (cell energy / GeV).
SPECTRUM_EDGES = np.arange(-6.0, 0.26, 0.25)
#: Cells above this count as hit [GeV].
HIT_THRESHOLD_GEV = 1e-4


@dataclass(frozen=True, slots=True)
class Summary:
    """What is compared, shower by shower, over the incident energy: N rows of small arrays instead of cells."""

    energy: np.ndarray
    """(N,) incident energy [GeV]."""
    polar_angle: np.ndarray
    """(N,) [rad]."""
    profiles: dict[str, np.ndarray]
    """`layer` (N, L), `column x` (N, X), `column y` (N, Y), and `folded` (N, (X + 1) // 2), columns by their distance from the central one:
    energy over the incident energy."""
    scalars: dict[str, np.ndarray]
    """(N,) each: `response`, `mean layer`, `hit cells`."""
    spectrum: np.ndarray
    """(N, bins of SPECTRUM_EDGES) cells."""

    def take(self, chosen: np.ndarray) -> Summary:
        """Some of the showers, by mask or index."""
        return Summary(
            self.energy[chosen],
            self.polar_angle[chosen],
            {name: values[chosen] for name, values in self.profiles.items()},
            {name: values[chosen] for name, values in self.scalars.items()},
            self.spectrum[chosen],
        )


def summarise(cells: np.ndarray, energy: np.ndarray, polar_angle: np.ndarray) -> Summary:
    """The summary of showers ``cells`` (N, X, Y, L) [GeV]."""
    fractions = cells / energy[:, None, None, None]
    layers = fractions.sum((1, 2), dtype=np.float64)
    profiles = {"layer": layers, "column x": fractions.sum((2, 3), dtype=np.float64), "column y": fractions.sum((1, 3), dtype=np.float64)}
    profiles["folded"] = _folded(profiles, polar_angle)
    response = layers.sum(1)
    scalars = {
        "response": response,
        "mean layer": layers @ np.arange(layers.shape[1]) / response,
        "hit cells": (cells > HIT_THRESHOLD_GEV).sum((1, 2, 3)).astype(np.float64),
    }
    spectrum = cell_spectrum(torch.from_numpy(cells), SPECTRUM_EDGES.tolist()).numpy()[:, :-1]
    return Summary(energy, polar_angle, profiles, scalars, spectrum)


def _folded(profiles: dict[str, np.ndarray], polar_angle: np.ndarray) -> np.ndarray:
    """Mean of the sides that mirror each other, so that the impact point within the cell matters least: x only at normal incidence."""
    across = profiles["column y"]
    inclined = ~np.isclose(polar_angle, np.pi / 2, atol=1e-3)
    along = np.where(inclined[:, None], across, profiles["column x"])
    both = (across + across[:, ::-1] + along + along[:, ::-1]) / 4
    return np.asarray(both[:, across.shape[1] // 2 :])


def joined(parts: list[Summary]) -> Summary:
    """One summary of all showers of ``parts``."""
    return Summary(
        np.concatenate([part.energy for part in parts]),
        np.concatenate([part.polar_angle for part in parts]),
        {name: np.concatenate([part.profiles[name] for part in parts]) for name in parts[0].profiles},
        {name: np.concatenate([part.scalars[name] for part in parts]) for name in parts[0].scalars},
        np.concatenate([part.spectrum for part in parts]),
    )


@dataclass(frozen=True, slots=True)
class Row:
    """One compared number, in both samples, with statistical errors."""

    quantity: str
    index: int
    reference: float
    reference_error: float
    simulated: float
    simulated_error: float
    share: float
    """Of the reference's deposited energy, for profiles; 1 otherwise."""

    @property
    def difference(self) -> float:
        """Simulated over reference, minus 1."""
        return self.simulated / self.reference - 1 if self.reference else float("nan")

    @property
    def error(self) -> float:
        """Statistical error of ``difference``."""
        if not self.reference or not self.simulated:
            return float("nan")
        ratio = self.simulated / self.reference
        return float(abs(ratio) * np.hypot(self.reference_error / self.reference, self.simulated_error / self.simulated))

    @property
    def floor(self) -> float:
        """Statistical error of the reference alone, relative."""
        return self.reference_error / abs(self.reference) if self.reference else float("nan")


def compare(reference: Summary, simulated: Summary) -> Iterator[Row]:
    """Rows of every layer and column, then of each scalar's mean and its spread at fixed incident energy."""
    for name, values in reference.profiles.items():
        ours = simulated.profiles[name]
        mean, error, our_mean, our_error = values.mean(0), _error(values), ours.mean(0), _error(ours)
        for index in range(len(mean)):
            share = float(mean[index] / reference.scalars["response"].mean())
            yield Row(name, index, float(mean[index]), float(error[index]), float(our_mean[index]), float(our_error[index]), share)
    for name, values in reference.scalars.items():
        ours = simulated.scalars[name]
        yield Row(name, 0, float(values.mean()), float(_error(values)), float(ours.mean()), float(_error(ours)), 1.0)
        spread, our_spread = (float(spread_at_fixed_energy(one.scalars[name], one.energy)) for one in (reference, simulated))
        errors = [found / np.sqrt(2 * len(which)) for found, which in ((spread, values), (our_spread, ours))]
        yield Row(f"{name}, spread", 0, spread, errors[0], our_spread, errors[1], 1.0)


def _error(values: np.ndarray) -> np.ndarray:
    return np.asarray(values.std(0, ddof=1) / np.sqrt(len(values)))


def spread_at_fixed_energy(values: np.ndarray, energy: np.ndarray) -> np.ndarray:
    """Standard deviation of ``values`` (N,) or of each column (N, K) about its straight line in ln E, shape () or (K,)."""
    trend = np.vander(np.log(energy), 2)
    rest = values - trend @ np.linalg.lstsq(trend, values, rcond=None)[0]
    return np.asarray(np.sqrt((rest**2).sum(0) / (len(rest) - 2)))
