"""Across the shower: radii of its core and its tail, and the core's share, at each depth.

Formulas: Grindhammer and Peters, hep-ex/0001020, with the corrections for sampling media; numbers as in Geant4's
GVFlashHomoShowerTuning.hh and GFlashSamplingShowerTuning.hh. B showers, L layers; tau is the depth over the shower's mean depth.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from gan3d.physics.calorimeter import SCATTERING_ENERGY_MEV, Calorimeter
from gan3d.simulation.constants import ShowerConstants

# Guards, in Moliere radii: the published polynomials leave their range in the first layer.
_SMALLEST_CORE = 0.01
_SMALLEST_TAIL = 0.1


class Radii(NamedTuple):
    """Core and tail radius [mm] and the core's share of the energy, each (B, L)."""

    core_mm: np.ndarray
    tail_mm: np.ndarray
    core_fraction: np.ndarray


def radii(tau: np.ndarray, energy_gev: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> Radii:
    """Radii at relative depths ``tau`` (B, L) of showers of ``energy_gev`` (B,)."""
    log_energy = np.log(energy_gev)[:, None]
    number = calorimeter.medium.atomic_number
    unseen = 1 - calorimeter.electron_response
    sampling = _layer_x0_so_far(calorimeter)
    core = 0.0251 + 0.00319 * log_energy + (0.1162 - 0.000381 * number) * tau
    core = core - 0.0203 * unseen + 0.0397 * sampling * np.exp(-tau)
    core = core + constants.core_offset + constants.core_growth * log_energy + constants.core_slope * tau
    tail = constants.tail_scale * _tail(tau, log_energy, number, unseen, sampling) - constants.early_tail * np.exp(-tau)
    share = constants.core_fraction_scale + constants.core_fraction_slope * (tau - 1)
    # Air widens a shower without ageing it: the core forgets within a layer, the tail remembers all that came before.
    before = calorimeter.sensitive_depth_mm / calorimeter.sensitive_depth_x0
    return Radii(
        core_mm=np.maximum(core, _SMALLEST_CORE) * _moliere_radius_mm(calorimeter.layer_mm / calorimeter.layer_x0, calorimeter),
        tail_mm=np.maximum(tail, _SMALLEST_TAIL) * _moliere_radius_mm(before, calorimeter),
        core_fraction=np.clip(share * _core_fraction(tau, log_energy, number, unseen, sampling), 0, 1),
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


def _moliere_radius_mm(mm_per_x0: np.ndarray, calorimeter: Calorimeter) -> np.ndarray:
    return np.asarray(mm_per_x0 * SCATTERING_ENERGY_MEV / calorimeter.medium.critical_energy_mev)


class Offsets(NamedTuple):
    """Spots about the axis [mm]; whether each belongs to the core, and the share of its component's energy that lies closer in."""

    x_mm: np.ndarray
    y_mm: np.ndarray
    in_core: np.ndarray
    share: np.ndarray


def draw_offsets(found: Radii, at: np.ndarray, generator: np.random.Generator) -> Offsets:
    """Offsets of spots at right angles to the shower, one per entry of ``at``: indices into the flattened (B, L) of ``found``."""
    in_core = generator.random(at.size, dtype=np.float32) < _each(found.core_fraction, at)
    scale = np.where(in_core, _each(found.core_mm, at), _each(found.tail_mm, at))
    share = generator.random(at.size, dtype=np.float32)
    radius = scale * np.sqrt(share / (1 - share))
    azimuth = np.float32(2 * np.pi) * generator.random(at.size, dtype=np.float32)
    return Offsets(radius * np.cos(azimuth), radius * np.sin(azimuth), in_core, share)


class Growth(NamedTuple):
    """Logarithmic derivatives with depth [1/X0], each (B, L): energy in the core and the tail, and their radii."""

    core: np.ndarray
    tail: np.ndarray
    core_radius: np.ndarray
    tail_radius: np.ndarray


def growth(profile_growth: np.ndarray, here: Radii, deeper: Radii, step_x0: float) -> Growth:
    """From the profile's own growth (B, L) and the radii here and ``step_x0`` deeper."""
    tiny = 1e-6
    core = np.log((deeper.core_fraction + tiny) / (here.core_fraction + tiny)) / step_x0
    tail = np.log((1 - deeper.core_fraction + tiny) / (1 - here.core_fraction + tiny)) / step_x0
    return Growth(
        core=profile_growth + core,
        tail=profile_growth + tail,
        core_radius=np.log(deeper.core_mm / here.core_mm) / step_x0,
        tail_radius=np.log(deeper.tail_mm / here.tail_mm) / step_x0,
    )


def lean(spots: Offsets, at: np.ndarray, grown: Growth, x0_per_mm: np.ndarray, generator: np.random.Generator) -> np.ndarray:
    """``x_mm`` of an inclined shower's spots: in one layer, those further along x are ``x0_per_mm`` (B, L) older, so differ in number.

    Each spot keeps its distance and takes the side in proportion to its component's density there, to first order in the distance.
    """
    density = np.where(spots.in_core, _each(grown.core, at), _each(grown.tail, at))
    radius = np.where(spots.in_core, _each(grown.core_radius, at), _each(grown.tail_radius, at))
    density = density + 2 * radius * (2 * spots.share - 1)  # d ln [R^2 / (r^2 + R^2)^2], with share = r^2 / (r^2 + R^2)
    distance = np.abs(spots.x_mm)
    log_odds = np.clip(2 * distance * _each(x0_per_mm, at) * density, -30, 30)
    older = generator.random(at.size, dtype=np.float32) < 1 / (1 + np.exp(-log_odds))
    return np.asarray(np.where(older, distance, -distance))


def _each(values: np.ndarray, at: np.ndarray) -> np.ndarray:
    return np.asarray(values.astype(np.float32).ravel()[at])
