"""Fits what single cells tell: the energy of spots, and how far the axis turns; both by simulating with the same seed again and again."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from scipy.optimize import minimize

from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.observables import axis_slopes, cell_spectrum
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.fit_samples import Sample, with_constants
from gan3d.simulation.spots import shower_cells

AXIS = ("axis_tilt",)
SPOTS = ("spot_energy_gev", "spot_shape", "crossing_share", "crossing_energy")

#: To which a bin's number of cells is to agree, relative, and in cells per shower.
_SPECTRUM_ERROR = 0.05
#: Edges of log10 (cell energy / GeV) whose counts the spots are fitted to.
SPECTRUM_EDGES = np.arange(-5.0, 0.01, 0.25)


def mean_spectrum(cells: np.ndarray) -> np.ndarray:
    """Cells per shower in each bin of ``SPECTRUM_EDGES``."""
    return np.asarray(cell_spectrum(torch.from_numpy(cells), SPECTRUM_EDGES.tolist()).double().mean(dim=0).numpy()[:-1])


def fit_axis(sample: Sample, calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = AXIS) -> ShowerConstants:
    """The constants of ``names`` from the spread of the axes' slopes, whose square grows linearly with that of the tilt."""
    if not names:
        return start

    def squared_slope(cells: np.ndarray) -> float:
        slopes = axis_slopes(torch.from_numpy(cells)).numpy() * np.sqrt(sample.energy / 50)[:, None]
        return float(slopes.var())

    angles = np.full(len(sample.energy), np.pi / 2)
    tilts = (0.0, 0.01)
    without, tilted = (
        squared_slope(
            shower_cells(sample.energy, angles, np.random.default_rng(1), calorimeter, with_constants(start, AXIS, np.array([tilt])))
        )
        for tilt in tilts
    )
    missing = (squared_slope(sample.cells) - without) / (tilted - without)
    return with_constants(start, AXIS, np.array([tilts[1] * np.sqrt(max(missing, 0.0))]))


def fit_spots(sample: Sample, calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = SPOTS) -> ShowerConstants:
    """The constants of ``names`` from the spectrum of cell energies."""
    if not names:
        return start
    measured = mean_spectrum(sample.cells)
    angles = np.full(len(sample.energy), np.pi / 2)

    def distance(logarithms: np.ndarray) -> float:
        constants = with_constants(start, names, np.exp(logarithms))
        simulated = mean_spectrum(shower_cells(sample.energy, angles, np.random.default_rng(1), calorimeter, constants))
        return float(np.mean(((simulated - measured) / (_SPECTRUM_ERROR * measured + _SPECTRUM_ERROR)) ** 2))

    first = np.log([getattr(start, name) for name in names])
    simplex = first + 0.4 * np.eye(len(names) + 1, len(names), -1)
    found = minimize(distance, first, method="Nelder-Mead", options={"maxiter": 40, "initial_simplex": simplex})
    return with_constants(start, names, np.exp(found.x))
