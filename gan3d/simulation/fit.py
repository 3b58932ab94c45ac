"""Fits the simulation's constants to a full simulation's showers at normal incidence: along the depth, across, in single cells."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.fit_across import RADIAL, fit_radial
from gan3d.simulation.fit_cells import AXIS, SPOTS, fit_axis, fit_spots
from gan3d.simulation.fit_depth import LONGITUDINAL, fit_longitudinal
from gan3d.simulation.fit_samples import Sample, energy_bins

CONSTANTS = (*LONGITUDINAL, *RADIAL, *SPOTS, *AXIS)
_SPOT_SHOWERS = 600
#: Along the depth and across, in turns: how much leaves the window is known behind the first.
_ROUNDS = 2


def fit(
    cells: np.ndarray,
    energy: np.ndarray,
    calorimeter: Calorimeter,
    start: ShowerConstants,
    names: Sequence[str],
) -> tuple[ShowerConstants, Calorimeter]:
    """The constants of ``names``, and each kind of layer's e/mip, from showers ``cells`` (N, X, Y, L) [GeV] of ``energy`` (N,) [GeV]."""
    bins = energy_bins(cells, energy)
    constants, fitted = start, calorimeter
    for _ in range(_ROUNDS):
        constants, fitted = fit_longitudinal(bins, fitted, constants, [name for name in LONGITUDINAL if name in names])
        constants = fit_radial(bins, fitted, constants, [name for name in RADIAL if name in names])
    step = max(1, len(cells) // _SPOT_SHOWERS)
    few = Sample(cells[::step], energy[::step])
    constants = fit_spots(few, fitted, constants, [name for name in SPOTS if name in names])
    constants = fit_axis(few, fitted, constants, [name for name in AXIS if name in names])
    return constants, fitted
