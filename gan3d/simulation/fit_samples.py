"""Showers to fit to, in bins of incident energy; constants and calorimeters with values that a fit tries."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.constants import ShowerConstants

_FEWEST_SHOWERS = 10


@dataclass(frozen=True)
class Sample:
    """Showers of one bin of incident energy: ``cells`` (B, X, Y, L) [GeV] and ``energy`` (B,) [GeV]."""

    cells: np.ndarray
    energy: np.ndarray

    @property
    def layers(self) -> np.ndarray:
        """(B, L) energy of each layer over the incident energy."""
        return np.asarray(self.cells.sum((1, 2), dtype=np.float64) / self.energy[:, None])


def energy_bins(cells: np.ndarray, energy: np.ndarray, num_bins: int = 10) -> list[Sample]:
    """Split into bins of equal width in ln E; a bin with too few showers to have a spread is joined to the next."""
    order = np.argsort(energy)
    edges = np.searchsorted(energy[order], np.geomspace(energy.min(), energy.max(), num_bins + 1)[1:-1])
    cuts = [0]
    for edge in edges:
        if edge - cuts[-1] >= _FEWEST_SHOWERS and len(energy) - edge >= _FEWEST_SHOWERS:
            cuts.append(int(edge))
    return [Sample(cells[part], energy[part]) for part in np.split(order, cuts[1:])]


def with_constants(constants: ShowerConstants, names: Sequence[str], values: np.ndarray) -> ShowerConstants:
    """The constants with those of ``names`` as in ``values``."""
    return replace(constants, **dict(zip(names, map(float, values), strict=True)))


def typical_energy(energies: np.ndarray) -> float:
    """The geometric mean [GeV]."""
    return float(np.exp(np.log(energies).mean()))


def with_responses(calorimeter: Calorimeter, factors: np.ndarray) -> Calorimeter:
    """The calorimeter with the e/mip of each kind of layer, in order of appearance, times a factor."""
    kinds = list(dict.fromkeys(calorimeter.layers))
    return replace(
        calorimeter,
        layers=tuple(
            replace(layer, electron_response=layer.electron_response * float(factors[kinds.index(layer)])) for layer in calorimeter.layers
        ),
    )
