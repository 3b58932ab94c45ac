"""The vector of high-level features of the CaloChallenge, for any grid: what classifiers, Frechet and kernel distances look at.

Per shower: log10 of the incident energy, the polar angle where angles vary, log10 of the deposited energy and of each layer's; in each
layer the centre of energy and the width along x, along y and in the distance r from the axis, and the share of cells that are read out.
After CaloChallenge/homepage, code/HighLevelFeatures.py and evaluate.py, with widths of cells (of rings, where cells are polar) for a
unit of length. Lengths are from the axis, the middle of the grid, so that a layer without energy has its centre where others have theirs,
at 0.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics import observables
from gan3d.validation.detector import Detector

Array = NDArray[np.float64]

#: Added to energies [GeV] before their logarithm.
SMALLEST_GEV = 1e-8


@dataclass(frozen=True, slots=True)
class Features:
    """Of N showers."""

    high: Array
    """(N, 2 + 8 L), or with the polar angle (N, 3 + 8 L)."""
    low: NDArray[np.float32]
    """(N, 1 + X Y L): log10 of the incident energy, and the cells over it; (N, 2 + X Y L) with the polar angle behind the energy."""

    def __len__(self) -> int:
        return len(self.high)

    def take(self, rows: NDArray[np.int64]) -> Features:
        """Some of the showers."""
        return Features(self.high[rows], self.low[rows])


def feature_names(num_layers: int, *, has_polar_angle: bool = False) -> tuple[str, ...]:
    """Of the columns of ``Features.high``."""
    per_layer = ("energy", "centre_x", "centre_y", "width_x", "width_y", "occupancy", "centre_r", "width_r")
    conditions = ("incident_energy", "polar_angle") if has_polar_angle else ("incident_energy",)
    return (*conditions, "deposited_energy", *(f"{name}_{layer}" for name in per_layer for layer in range(num_layers)))


def features_of(showers: Showers, detector: Detector, *, has_polar_angle: bool = False) -> Features:
    """Of showers without broken ones; cells below the threshold are taken as 0, in both files alike.

    ``has_polar_angle`` where angles vary (`table.angles_vary`, of the reference, so that both sides have the same columns): the angle [rad]
    stands behind the incident energy then, pi/2 for showers that have none.
    """
    cells = torch.from_numpy(showers.cells).double()
    cells = torch.where(cells > detector.threshold_gev, cells, 0.0)
    energy = torch.from_numpy(showers.incident_energy).double()
    layers = observables.profiles(cells)[2]
    positions = detector.centres(*cells.shape[1:3])
    centre, width = observables.layer_centres(cells, positions), observables.layer_widths(cells, positions)
    radii = observables.layer_radii(cells, torch.hypot(*positions))
    occupancy = (cells > 0).double().mean(dim=(1, 2))
    logs = [torch.log10(values + SMALLEST_GEV) for values in (energy[:, None], layers.sum(dim=1, keepdim=True), layers)]
    conditions = [logs[0]]
    if has_polar_angle:
        conditions.append(torch.from_numpy(showers.polar_angle_or_normal)[:, None])
    high = torch.cat([*conditions, *logs[1:], *centre.unbind(2), *width.unbind(2), occupancy, *radii], dim=1)
    low = torch.cat([*conditions, cells.flatten(1) / energy[:, None]], dim=1)
    return Features(high.numpy(), low.float().numpy())


def joined(parts: list[Features]) -> Features:
    """One below the other."""
    return Features(np.concatenate([part.high for part in parts]), np.concatenate([part.low for part in parts]))
