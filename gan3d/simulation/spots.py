"""From layers to cells: each layer's energy falls in discrete spots around the shower's axis, and the spots into cells.

Axes: z along the calorimeter's normal, x in the plane of the polar angle. Showers cross the centre of the stack's depth inside the
central cell, so that inclined ones stay in the window. B showers, L layers.
"""

from __future__ import annotations

import numpy as np

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.constants import ShowerConstants, fitted_constants
from gan3d.simulation.longitudinal import (
    fluctuate_sampling,
    profile_growth,
    relative_depth,
    shape_fluctuations,
    shapes,
    shower_depths,
    stray_energy,
    visible_energy,
)
from gan3d.simulation.radial import Offsets, draw_offsets, growth, lean, radii

#: Showers whose spots are held in memory at a time (up to about 2e5 spots of a TeV shower each).
_SHOWERS_AT_ONCE = 4
#: Shape of the gamma distribution that stands for Landau's: a relative spread of 0.4 in half a millimetre of silicon.
_CROSSING_SHAPE = 6.0
#: Step of the numerical derivatives with depth.
_STEP_X0 = 0.1


def shower_cells(
    energy_gev: np.ndarray,
    polar_angle_rad: np.ndarray,
    generator: np.random.Generator,
    calorimeter: Calorimeter,
    constants: ShowerConstants | None = None,
) -> np.ndarray:
    """(B, X, Y, L) float32 deposited energy [GeV] of electrons of ``energy_gev`` (B,) at ``polar_angle_rad`` (B,); pi/2 is normal.

    ``constants`` are the ones fitted for the calorimeter unless given.
    """
    constants = constants or fitted_constants(calorimeter)
    parts = [
        _few_shower_cells(energy_gev[start:stop], polar_angle_rad[start:stop], generator, calorimeter, constants)
        for start, stop in _spans(len(energy_gev))
    ]
    return np.concatenate(parts) if parts else np.zeros((0, *calorimeter.grid), np.float32)


def _spans(length: int) -> list[tuple[int, int]]:
    return [(start, min(start + _SHOWERS_AT_ONCE, length)) for start in range(0, length, _SHOWERS_AT_ONCE)]


def _few_shower_cells(
    energy: np.ndarray, polar_angle: np.ndarray, generator: np.random.Generator, calorimeter: Calorimeter, constants: ShowerConstants
) -> np.ndarray:
    sine = np.sin(polar_angle)
    drawn = shapes(energy, generator.standard_normal((len(energy), 2)), calorimeter.medium, constants)
    normals = generator.standard_normal((len(energy), len(calorimeter.layers)))
    fluctuations = shape_fluctuations(normals, energy, calorimeter, constants)
    showered = visible_energy(energy, sine, drawn, calorimeter, constants, fluctuations)
    stray = stray_energy(energy, sine, calorimeter, constants)
    visible = fluctuate_sampling(showered + stray, generator, calorimeter, constants)
    at, spot_energy = _draw_spots(visible, generator, constants)
    depth = shower_depths(calorimeter, sine, constants)
    stray_share = stray / (showered + stray)
    found = radii(relative_depth(depth, drawn), energy, stray_share, calorimeter, constants)
    spots = draw_offsets(found, at, generator)
    if np.any(polar_angle != np.pi / 2):
        deeper = radii(relative_depth(depth + _STEP_X0, drawn), energy, stray_share, calorimeter, constants)
        grown = growth(profile_growth(depth, drawn), found, deeper, _STEP_X0)
        x0_per_mm = calorimeter.layer_x0 / calorimeter.layer_mm / np.tan(polar_angle)[:, None]
        spots = spots._replace(x_mm=lean(spots, at, grown, x0_per_mm, generator))
    tilt = constants.axis_tilt * np.sqrt(50 / energy)[:, None] * generator.standard_normal((2, len(energy), 1))
    behind = np.maximum(depth - drawn.peak_x0[:, None], 0) * calorimeter.depth_mm / calorimeter.sensitive_depth_x0[-1]
    x, y = _positions(spots, at, polar_angle, tilt * behind, generator, calorimeter)
    return _fill(at, x, y, spot_energy, len(energy), calorimeter)


def _draw_spots(visible: np.ndarray, generator: np.random.Generator, constants: ShowerConstants) -> tuple[np.ndarray, np.ndarray]:
    """Each spot's index into the flattened (B, L) and its energy [GeV]; the spots of a layer add up to its ``visible`` energy."""
    counts = np.maximum(generator.poisson(visible / constants.spot_energy_gev).ravel(), 1)
    at = np.repeat(np.arange(counts.size), counts)
    weight = _spot_weights(at.size, generator, constants)
    scale = visible.ravel() / np.maximum(np.bincount(at, weight, counts.size), np.finfo(np.float32).tiny)
    return at, weight * scale[at]


def _spot_weights(number: int, generator: np.random.Generator, constants: ShowerConstants) -> np.ndarray:
    """Energies of spots in any unit: gamma distributed, and some of them single crossings of the silicon."""
    weight = generator.standard_gamma(constants.spot_shape, number, dtype=np.float32) / np.float32(constants.spot_shape)
    is_crossing = generator.random(number, dtype=np.float32) < constants.crossing_share
    crossings = generator.standard_gamma(_CROSSING_SHAPE, int(np.count_nonzero(is_crossing)), dtype=np.float32)
    weight[is_crossing] = np.float32(constants.crossing_energy / _CROSSING_SHAPE) * crossings
    return np.asarray(weight)


def _positions(
    spots: Offsets, at: np.ndarray, polar_angle: np.ndarray, wander: np.ndarray, generator: np.random.Generator, calorimeter: Calorimeter
) -> tuple[np.ndarray, np.ndarray]:
    """Where spots lie in the planes of their layers, from the window's centre [mm]; axes are off by ``wander`` (2, B, L) [mm]."""
    spread = calorimeter.cells.impact_spread_mm
    impact = generator.uniform(-spread, spread, (2, len(polar_angle), 1))
    depth = calorimeter.sensitive_depth_mm - calorimeter.depth_mm / 2
    axis_x = impact[0] + depth / np.tan(polar_angle)[:, None] + wander[0] / np.sin(polar_angle)[:, None]
    axis_y = impact[1] + wander[1]
    stretch = np.broadcast_to(1 / np.sin(polar_angle)[:, None], axis_x.shape)
    return axis_x.ravel()[at] + spots.x_mm * stretch.ravel()[at], axis_y.ravel()[at] + spots.y_mm


def _fill(at: np.ndarray, x: np.ndarray, y: np.ndarray, energy: np.ndarray, num_showers: int, calorimeter: Calorimeter) -> np.ndarray:
    """(B, X, Y, L) sums over spots; those outside the window are lost."""
    num_x, num_y, num_layers = calorimeter.grid
    place = calorimeter.cells.place(x, y)
    inside = place.is_inside
    column, row = place.column[inside], place.row[inside]
    shower, layer = np.divmod(at[inside], num_layers)
    flat = ((shower * num_x + column) * num_y + row) * num_layers + layer
    cells = np.bincount(flat, energy[inside], num_showers * num_x * num_y * num_layers) / calorimeter.sampling_fraction
    return cells.reshape(num_showers, num_x, num_y, num_layers).astype(np.float32)
