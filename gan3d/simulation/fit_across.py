"""Fits the shape across: energy in the cells near the axis and in square rings, and how far the impact point shows, layer by layer."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.readout import SquareCells
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.fit_samples import Sample, typical_energy, with_constants
from gan3d.simulation.longitudinal import relative_depth, shapes, shower_depths, stray_energy, visible_energy
from gan3d.simulation.radial import Radii, radii

RADIAL = (
    "core_offset",
    "core_growth",
    "core_slope",
    "early_core",
    "tail_scale",
    "early_tail",
    "core_fraction_scale",
    "core_fraction_slope",
    "halo_share",
    "halo_radius",
)
#: Up to this distance from the central cell, cells at a side, at a corner and between are fitted apart.
_FINE = 3


def fit_radial(bins: Sequence[Sample], calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = RADIAL) -> ShowerConstants:
    """The constants of ``names``, by least squares on rings of cells in every layer, weighted by the layer's energy."""
    if not names:
        return start
    targets = []
    for sample in bins:
        inside = _energy_in_rectangles(sample.cells)
        weight = np.sqrt(inside[:, -1] / inside[:, -1].sum())[:, None]
        targets.append((typical_energy(sample.energy), np.column_stack([_places(inside), _asymmetry(sample.cells)]), weight))

    def residuals(values: np.ndarray) -> np.ndarray:
        constants = with_constants(start, names, values)
        parts = [
            (weight * (_expected_places(energy, calorimeter, constants) - places) / (places * 0.03 + 5e-4)).ravel()
            for energy, places, weight in targets
        ]
        return np.concatenate(parts)

    found = least_squares(residuals, [getattr(start, name) for name in names], x_scale=0.05).x
    return with_constants(start, names, found)


def _rectangles(across: int) -> list[tuple[int, int]]:
    """Half widths of centred rectangles, in cells beside the central one: 1, 1 x 3, 3 x 3, 1 x 5, 3 x 5, 5 x 5, and larger squares."""
    return [
        *((short, long) for long in range(_FINE) for short in range(long + 1)),
        *((half, half) for half in range(_FINE, across // 2 + 1)),
    ]


def _energy_in_rectangles(cells: np.ndarray) -> np.ndarray:
    """(L, M) energy within each of `_rectangles`, the mean of lying and standing, summed over showers."""
    middle = cells.shape[1] // 2
    image = cells.sum(0, dtype=np.float64)
    image = (image + image.swapaxes(0, 1)) / 2

    def inside(short: int, long: int) -> np.ndarray:
        return np.asarray(image[middle - short : middle + short + 1, middle - long : middle + long + 1].sum((0, 1)))

    return np.stack([inside(*which) for which in _rectangles(cells.shape[1])], axis=-1)


def _places(inside: np.ndarray) -> np.ndarray:
    """(L, M) shares of cells at like places, from what lies within rectangles: neighbours at a side, at a corner, ..., square rings."""
    one, three, square3, five, oblong, square5 = np.moveaxis(inside[:, :6], -1, 0)
    fine = [
        one,
        2 * (three - one),
        square3 - 2 * three + one,
        2 * (five - three),
        2 * (oblong - square3 - five + three),
        square5 - 2 * oblong + square3,
    ]
    return np.asarray(np.column_stack([*fine, np.diff(inside[:, 5:])]) / inside[:, -1:])


def _expected_places(energy: float, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L, M) shares of a layer's energy at the places of `_places`, for the typical shower."""
    inside = _expected_in_rectangles(energy, calorimeter, constants)
    return np.column_stack([_places(inside), _expected_asymmetry(energy, calorimeter, constants)])


def _asymmetry(cells: np.ndarray) -> np.ndarray:
    """(L,) root mean square, over showers by their energy, of the column right of the central one less the one left of it, over all."""
    middle = cells.shape[1] // 2
    layers = cells.sum((1, 2), dtype=np.float64)
    columns = [cells.sum(other, dtype=np.float64) for other in (2, 1)]
    squared = sum((column[:, middle + 1] - column[:, middle - 1]) ** 2 for column in columns) / 2
    return np.asarray(np.sqrt((squared / np.maximum(layers, np.finfo(np.float64).tiny)).sum(0) / layers.sum(0)))


def _expected_asymmetry(energy: float, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L,) of `_asymmetry`, for the typical shower: how narrow the core is shows where the impact is near an edge."""
    visible, found = _typical_shower(energy, calorimeter, constants)
    edge = calorimeter.cells.edge_mm  # type: ignore[union-attr]
    nodes, weights = np.polynomial.legendre.leggauss(8)
    ends = np.multiply.outer([0.5, 1.5], np.ones_like(nodes)) * edge - nodes * edge / 2

    def column(near: np.ndarray, far: np.ndarray) -> np.ndarray:
        """(L, nodes) share between two distances from the axis."""
        radius = found.radius_mm[:, 0, :, None]
        shares = (far / np.hypot(far, radius) - near / np.hypot(near, radius)) / 2
        return np.asarray((found.share[:, 0, :, None] * shares).sum(0))

    right, left = column(*ends), column(*ends[:, ::-1])
    spots = constants.spot_energy_gev * (1 + 1 / constants.spot_shape) / visible
    return np.asarray(np.sqrt((((right - left) ** 2 + (right + left) * spots[:, None]) * weights).sum(1) / 2))


def contained(energies: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L,) share of a layer's energy that falls in the window, for the typical shower of these energies (B,)."""
    return np.asarray(_expected_in_rectangles(typical_energy(energies), calorimeter, constants)[:, -1])


def _expected_in_rectangles(energy: float, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L, M) shares of a layer's energy within `_rectangles`, for the typical shower."""
    _, found = _typical_shower(energy, calorimeter, constants)
    inside = sum(
        share[0][:, None] * _share_in_rectangles(radius[0], calorimeter) for share, radius in zip(found.share, found.radius_mm, strict=True)
    )
    return np.asarray(inside)


def _typical_shower(energy: float, calorimeter: Calorimeter, constants: ShowerConstants) -> tuple[np.ndarray, Radii]:
    """Energy in each layer [GeV] (L,), and radii."""
    one = np.array([energy])
    typical = shapes(one, np.zeros((1, 2)), calorimeter.medium, constants)
    tau = relative_depth(shower_depths(calorimeter, np.ones(1), constants), typical)
    stray = stray_energy(one, np.ones(1), calorimeter, constants)
    visible = stray + visible_energy(one, np.ones(1), typical, calorimeter, constants)
    return visible[0], radii(tau, one, stray / visible, calorimeter, constants)


def _share_in_rectangles(radius_mm: np.ndarray, calorimeter: Calorimeter) -> np.ndarray:
    """(L, M) share of the density R^2 / pi (r^2 + R^2)^2 in each of `_rectangles`, its axis uniform over the central cell."""
    cells = calorimeter.cells
    assert isinstance(cells, SquareCells), "fitted are squares of cells"
    nodes, weights = np.polynomial.legendre.leggauss(6)
    shift = nodes * cells.edge_mm / 2
    short, long = (np.array(_rectangles(cells.across)).T[:, :, None, None] + 0.5) * cells.edge_mm
    radius = radius_mm[:, None, None, None]
    shares = sum(
        _share_in_rectangle(short + sign_x * shift[:, None], long + sign_y * shift[None, :], radius)
        for sign_x in (-1, 1)
        for sign_y in (-1, 1)
    )
    return np.asarray((shares * np.outer(weights, weights) / 4).sum((-1, -2)))


def _share_in_rectangle(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Integral of R^2 / pi (r^2 + R^2)^2 over the rectangle from the axis to (x, y)."""
    to_x, to_y = np.hypot(x, radius), np.hypot(y, radius)
    return np.asarray((x / to_x * np.arctan(y / to_x) + y / to_y * np.arctan(x / to_y)) / (2 * np.pi))
