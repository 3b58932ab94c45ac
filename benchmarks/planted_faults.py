"""What is wrong with a bad generator's showers, done to good ones: name → fault."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from types import MappingProxyType

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.readout import SquareCells
from gan3d.simulation.constants import ShowerConstants, fitted_constants
from gan3d.simulation.spots import shower_cells

CLIC = calorimeter("clic")


def with_cells(showers: Showers, cells: NDArray[np.floating]) -> Showers:
    """The same showers with other cells."""
    return replace(showers, cells=cells.astype(np.float32))


def scaled(showers: Showers) -> Showers:
    """All energies 3 % too high."""
    return with_cells(showers, showers.cells * 1.03)


def simulated(showers: Showers, detector: Calorimeter, constants: ShowerConstants) -> Showers:
    """Other showers of the same energies, of the embedded Monte Carlo."""
    angle = np.full(len(showers), np.pi / 2)
    cells = shower_cells(showers.incident_energy.astype(np.float64), angle, np.random.default_rng(4), detector, constants)
    return with_cells(showers, cells)


def deeper(showers: Showers) -> Showers:
    """Every profile half a layer later, nothing else."""
    constants = fitted_constants(CLIC)
    later = replace(constants, start_depth_x0=constants.start_depth_x0 - 0.5 * float(CLIC.layer_x0[0]))
    return simulated(showers, CLIC, later)


def wider(showers: Showers) -> Showers:
    """A tenth wider along x and y, nothing else: the same showers in smaller cells."""
    return simulated(showers, replace(CLIC, cells=SquareCells(5.1 / 1.1, 25)), fitted_constants(CLIC))


def dead_layer(showers: Showers) -> Showers:
    """The twelfth layer reads nothing; the others keep what they have."""
    cells = showers.cells.copy()
    cells[..., 11] = 0
    return with_cells(showers, cells)


def too_few_cells(showers: Showers) -> Showers:
    """Cells below a tenth of a minimum ionising particle's are missing, what they had is in the others."""
    cells = np.where(showers.cells < 1e-3, 0, showers.cells)
    return with_cells(showers, cells * (showers.cells.sum((1, 2, 3)) / cells.sum((1, 2, 3)))[:, None, None, None])


def shuffled(showers: Showers) -> Showers:
    """Each shower has another one's incident energy."""
    return replace(showers, incident_energy=np.random.default_rng(1).permutation(showers.incident_energy))


def angles_shuffled(showers: Showers) -> Showers:
    """Each shower has another one's polar angle."""
    assert showers.polar_angle is not None
    return replace(showers, polar_angle=np.random.default_rng(1).permutation(showers.polar_angle))


def collapsed(showers: Showers) -> Showers:
    """Twenty distinct showers, scaled to the energies that are asked for."""
    which = np.arange(len(showers)) % 20
    factor = showers.incident_energy / showers.incident_energy[which]
    return with_cells(showers, showers.cells[which] * factor[:, None, None, None])


def uncorrelated(showers: Showers) -> Showers:
    """Each layer's energy is another shower's of about the same incident energy: right on average, layer by layer."""
    random, order = np.random.default_rng(2), np.argsort(showers.incident_energy)
    layers = showers.cells.sum((1, 2))
    wanted = layers.copy()
    for layer in range(layers.shape[1]):
        for block in np.array_split(order, len(order) // 20):
            wanted[block, layer] = layers[random.permutation(block), layer]
    share = np.divide(wanted, layers, out=np.zeros_like(wanted), where=layers > 1e-9)
    cells = showers.cells * share[:, None, None, :]
    return with_cells(showers, cells * (showers.cells.sum((1, 2, 3)) / cells.sum((1, 2, 3)))[:, None, None, None])


def no_small_cells(showers: Showers) -> Showers:
    """Cells below 1 MeV hold nothing: the tail of the cell spectrum is missing."""
    return with_cells(showers, np.where(showers.cells < 1e-3, 0, showers.cells))


def no_low_energies(showers: Showers) -> Showers:
    """Below 20 GeV showers are missing; others are there twice in their place."""
    is_low = showers.incident_energy < 20
    others = np.random.default_rng(3).choice(np.flatnonzero(~is_low), len(showers))
    return showers.take(np.where(is_low, others, np.arange(len(showers))))


def broken(showers: Showers) -> Showers:
    """One in a hundred has a cell that is no number."""
    cells = showers.cells.copy()
    cells[::100, 12, 12, 12] = np.nan
    return with_cells(showers, cells)


def empty(showers: Showers) -> Showers:
    """One in a hundred has no energy."""
    cells = showers.cells.copy()
    cells[::100] = 0
    return with_cells(showers, cells)


FAULTS: Mapping[str, Callable[[Showers], Showers]] = MappingProxyType(
    {
        "energy scale +3 %": scaled,
        "shower maximum half a layer late": deeper,
        "10 % too wide": wider,
        "one layer dead": dead_layer,
        "occupancy wrong at fixed sum": too_few_cells,
        "energies shuffled against conditions": shuffled,
        "collapsed to 20 distinct showers": collapsed,
        "per-layer correlations destroyed": uncorrelated,
        "missing low-energy tail of cells": no_small_cells,
        "missing low incident energies": no_low_energies,
        "1 % not finite": broken,
        "1 % empty": empty,
    }
)
