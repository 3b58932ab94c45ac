"""Across the shower: radii of its core, its tail and its halo, and the share of each, at each depth.

Formulas: Grindhammer and Peters, hep-ex/0001020, with the corrections for sampling media; numbers as in Geant4's
GVFlashHomoShowerTuning.hh and GFlashSamplingShowerTuning.hh. B showers, L layers; tau is the depth over the shower's mean depth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.constants import ShowerConstants

# Guards, in Moliere radii: the published polynomials leave their range in the first layer.
_SMALLEST_CORE = 0.01
_SMALLEST_TAIL = 0.1


class Radii(NamedTuple):
    """Radii [mm] of the components, core, tail and halo, and the share of the energy that each holds, both (3, B, L)."""

    radius_mm: np.ndarray
    share: np.ndarray


def radii(tau: np.ndarray, energy_gev: np.ndarray, stray_share: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> Radii:
    """Radii at relative depths ``tau`` (B, L) of showers of ``energy_gev`` (B,), of whose layers ``stray_share`` (B, L) is stray."""
    log_energy = np.log(energy_gev)[:, None]
    number = calorimeter.medium.atomic_number
    unseen = 1 - calorimeter.electron_response
    sampling = _layer_x0_so_far(calorimeter)
    core = 0.0251 + 0.00319 * log_energy + (0.1162 - 0.000381 * number) * tau
    core = core - 0.0203 * unseen + (0.0397 * sampling - constants.early_core) * np.exp(-tau)
    core = core + constants.core_offset + constants.core_growth * log_energy + constants.core_slope * tau
    tail = constants.tail_scale * _tail(tau, log_energy, number, unseen, sampling) - constants.early_tail * np.exp(-tau)
    scale = constants.core_fraction_scale + constants.core_fraction_slope * (tau - 1)
    core_fraction = np.clip(scale * _core_fraction(tau, log_energy, number, unseen, sampling), 0, 1)
    halo = constants.halo_share + (1 - constants.halo_share) * stray_share
    # Air widens a shower without ageing it: the core forgets within a layer, the tail and the halo remember all that came before.
    here = calorimeter.medium.moliere_radius_mm(calorimeter.layer_mm / calorimeter.layer_x0)
    before = calorimeter.medium.moliere_radius_mm(calorimeter.sensitive_depth_mm / calorimeter.sensitive_depth_x0)
    return Radii(
        radius_mm=np.stack(
            [
                np.maximum(core, _SMALLEST_CORE) * here,
                np.maximum(tail, _SMALLEST_TAIL) * before,
                np.full_like(tau, constants.halo_radius) * before,
            ]
        ),
        share=np.stack([(1 - halo) * core_fraction, (1 - halo) * (1 - core_fraction), halo]),
    )


def _layer_x0_so_far(calorimeter: Calorimeter) -> np.ndarray:
    """(L,) mean thickness [X0] of the layers up to each: the inverse of the published sampling frequency."""
    return np.asarray(np.cumsum(calorimeter.layer_x0) / np.arange(1, len(calorimeter.layers) + 1))


def _tail(tau: np.ndarray, log_energy: np.ndarray, number: float, unseen: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    late = tau - 0.645
    tail = (0.659 - 0.00309 * number) * (np.exp(-2.59 * late) + np.exp((0.3585 + 0.0412 * log_energy) * late))
    return np.asarray(tail - 0.14 * unseen - 0.495 * sampling * np.exp(-tau))


def _core_fraction(tau: np.ndarray, log_energy: np.ndarray, number: float, unseen: np.ndarray, sampling: np.ndarray) -> np.ndarray:
    early = (0.401 + 0.00187 * number - tau) / (1.313 - 0.0686 * log_energy)
    fraction = (2.632 - 0.00094 * number) * np.exp(early - np.exp(early))
    return np.asarray(fraction + unseen * (0.348 - 0.642 * sampling * np.exp(-((tau - 1) ** 2))))


class Offsets(NamedTuple):
    """Spots about the axis [mm]; the component of each, 0 to 2 as in `Radii`, and the share of its energy that lies closer in."""

    x_mm: np.ndarray
    y_mm: np.ndarray
    component: np.ndarray
    share: np.ndarray


def draw_offsets(found: Radii, at: np.ndarray, generator: np.random.Generator) -> Offsets:
    """Offsets of spots at right angles to the shower, one per entry of ``at``: indices into the flattened (B, L) of ``found``."""
    in_core, in_core_or_tail = np.cumsum(found.share[:2], axis=0)
    which = generator.random(at.size, dtype=np.float32)
    component = (which >= _each(in_core, at)).astype(np.int8) + (which >= _each(in_core_or_tail, at))
    share = generator.random(at.size, dtype=np.float32)
    radius = _of_component(found.radius_mm, component, at) * np.sqrt(share / (1 - share))
    azimuth = np.float32(2 * np.pi) * generator.random(at.size, dtype=np.float32)
    return Offsets(radius * np.cos(azimuth), radius * np.sin(azimuth), component, share)


class Growth(NamedTuple):
    """Logarithmic derivatives with depth [1/X0] of each component, both (3, B, L)."""

    energy: np.ndarray
    radius: np.ndarray


def growth(profile_growth: np.ndarray, here: Radii, deeper: Radii, step_x0: float) -> Growth:
    """From the profile's own growth (B, L) and the radii here and ``step_x0`` deeper; the halo comes from afar, and has none."""
    tiny = 1e-6
    energy = profile_growth + np.log((deeper.share + tiny) / (here.share + tiny)) / step_x0
    energy[2] = 0
    return Growth(energy, radius=np.log(deeper.radius_mm / here.radius_mm) / step_x0)


def lean(spots: Offsets, at: np.ndarray, grown: Growth, x0_per_mm: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """``x_mm`` of an inclined shower's spots: in one layer, those further along x are ``x0_per_mm`` (B, L) older, so differ in number.

    Each spot keeps its distance and takes the side in proportion to its component's density there, to first order in the distance.
    """
    density = _of_component(grown.energy, spots.component, at)
    # d ln [R^2 / (r^2 + R^2)^2], with share = r^2 / (r^2 + R^2)
    density = density + 2 * _of_component(grown.radius, spots.component, at) * (2 * spots.share - 1)
    distance = np.abs(spots.x_mm)
    log_odds = np.clip(2 * distance * _each(x0_per_mm, at) * density, -30, 30)
    older = generator.random(at.size, dtype=np.float32) < 1 / (1 + np.exp(-log_odds))
    return np.asarray(np.where(older, distance, -distance))


def _each(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray(values.astype(np.float32).ravel()[at])


def _of_component(values: np.ndarray, component: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Entries of ``values`` (3, B, L), each of its spot's component."""
    return np.asarray(values.astype(np.float32).reshape(len(values), -1)[component, at])
