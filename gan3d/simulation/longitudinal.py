"""Along the depth: the gamma profile, its correlated fluctuations, and the energy each layer sees.

Formulas: Grindhammer and Peters, hep-ex/0001020; numbers as in Geant4's GVFlashHomoShowerTuning.hh (mean) and GFlashSamplingShowerTuning.hh
(spread): the means tuned on sampling stacks sit 0.5 to 1 X0 too early for tungsten and silicon. B showers, L layers.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy.special import gammaln

from gan3d.physics.calorimeter import Calorimeter, Material
from gan3d.simulation.constants import ShowerConstants

# Guards of the formulas at low energy, as in Geant4; not physics.
_LARGEST_SPREAD = 0.5
_SMALLEST_PEAK = 1.0
_SMALLEST_ALPHA = 1.1


class Shapes(NamedTuple):
    """Longitudinal shapes of B showers: alpha, depth of the maximum [X0], and alpha's typical value at that energy, each (B,)."""

    alpha: np.ndarray
    peak_x0: np.ndarray
    typical_alpha: np.ndarray


def shapes(energy_gev: np.ndarray, normals: np.ndarray, medium: Material, constants: ShowerConstants) -> Shapes:
    """Shapes of showers of ``energy_gev`` (B,) from standard normals (B, 2): ln T and ln alpha are correlated Gaussians."""
    log_y = np.log(1e3 * energy_gev / medium.critical_energy_mev)
    peak = (1 + constants.peak_growth) * log_y - 0.812 + constants.peak_offset_x0
    alpha = 0.81 + constants.alpha_offset + (1 + constants.alpha_growth) * (0.458 + 2.26 / medium.atomic_number) * log_y
    peak, alpha = np.maximum(peak, _SMALLEST_PEAK), np.maximum(alpha, _SMALLEST_ALPHA)
    peak_factor = constants.peak_spread + constants.peak_spread_growth * np.log(energy_gev / 50)
    peak_spread = np.maximum(peak_factor, 0) * _spread(-2.5 + 1.25 * log_y)
    alpha_spread = constants.alpha_spread * _spread(-0.82 + 0.79 * log_y)
    correlation = 0.784 - 0.023 * log_y
    common = np.sqrt((1 + correlation) / 2) * normals[:, 0]
    opposite = np.sqrt((1 - correlation) / 2) * normals[:, 1]
    return Shapes(
        alpha=np.maximum(alpha * np.exp(alpha_spread * (common - opposite)), _SMALLEST_ALPHA),
        peak_x0=np.maximum(peak * np.exp(peak_spread * (common + opposite)), _SMALLEST_PEAK),
        typical_alpha=alpha,
    )


def _spread(inverse: np.ndarray) -> np.ndarray:
    return np.asarray(np.where(inverse > 1 / _LARGEST_SPREAD, 1 / np.maximum(inverse, 1 / _LARGEST_SPREAD), _LARGEST_SPREAD))


def shower_depths(calorimeter: Calorimeter, sine: np.ndarray, constants: ShowerConstants) -> np.ndarray:
    """(B, L) depth of each sensitive slab along showers at polar angles of that ``sine`` (B,), from the profile's start [X0]."""
    return np.asarray(calorimeter.sensitive_depth_x0 / sine[:, None] + constants.start_depth_x0)


def profile(depth_x0: np.ndarray, drawn: Shapes) -> np.ndarray:
    """(B, L) share of the incident energy deposited per X0 at ``depth_x0`` (B, L): the gamma distribution."""
    alpha = drawn.alpha[:, None]
    beta = (alpha - 1) / drawn.peak_x0[:, None]
    return np.asarray(np.exp(alpha * np.log(beta) + (alpha - 1) * np.log(depth_x0) - beta * depth_x0 - gammaln(alpha)))


def profile_growth(depth_x0: np.ndarray, drawn: Shapes) -> np.ndarray:
    """(B, L) derivative of the profile's logarithm with depth [1/X0]."""
    slope = (drawn.alpha - 1)[:, None]
    return np.asarray(slope / depth_x0 - slope / drawn.peak_x0[:, None])


def relative_depth(depth_x0: np.ndarray, drawn: Shapes) -> np.ndarray:
    """(B, L) depth over the shower's mean depth, with the published correction for its fluctuation; the radial formulas' tau."""
    fluctuation = (drawn.alpha - 1) / drawn.alpha * drawn.typical_alpha / (drawn.typical_alpha - 1)
    return np.asarray(depth_x0 / drawn.peak_x0[:, None] * fluctuation[:, None])


def sampling_fraction(calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L,) visible over deposited energy of each layer: the minimum ionising share times e/mip."""
    fraction = calorimeter.minimum_ionising_fraction * calorimeter.electron_response
    fraction[-1] *= constants.last_layer_response
    return np.asarray(fraction)


def shape_fluctuations(normals: np.ndarray, energy_gev: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(B, L) factors on the profile at each sensitive slab, from standard normals (B, L): log-normal, alike at depths near one another."""
    distance = np.abs(np.subtract.outer(calorimeter.sensitive_depth_x0, calorimeter.sensitive_depth_x0)) / constants.shape_length_x0
    alike = normals @ np.linalg.cholesky(np.exp(-distance)).T
    spread = constants.shape_spread + constants.shape_spread_growth * np.log(energy_gev / 50)
    return np.asarray(np.exp(np.clip(spread, 0, _LARGEST_SPREAD)[:, None] * alike))


def visible_energy(
    energy_gev: np.ndarray,
    sine: np.ndarray,
    drawn: Shapes,
    calorimeter: Calorimeter,
    constants: ShowerConstants,
    fluctuations: np.ndarray | float = 1.0,
) -> np.ndarray:
    """(B, L) mean energy in silicon [GeV] of showers of ``energy_gev`` (B,) and shapes ``drawn``, before sampling fluctuations.

    What crosses the silicon follows the profile there, times its ``fluctuations`` (B, L), which leave the deposited sum as it is; it stands
    for its whole layer, thick or thin.
    """
    deposited = profile(shower_depths(calorimeter, sine, constants), drawn) * (calorimeter.layer_x0 / sine[:, None])
    fluctuated = deposited * fluctuations
    fluctuated *= (deposited.sum(1) / fluctuated.sum(1))[:, None]
    return np.asarray(energy_gev[:, None] * fluctuated * sampling_fraction(calorimeter, constants))


def stray_energy(energy_gev: np.ndarray, sine: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(B, L) energy in silicon [GeV] of photons far from where they were made, which the profile knows nothing of."""
    return np.asarray(1e-6 * constants.stray * energy_gev[:, None] / sine[:, None] * np.ones(len(calorimeter.layers)))


def fluctuate_sampling(
    visible_gev: np.ndarray, generator: np.random.Generator, calorimeter: Calorimeter, constants: ShowerConstants
) -> np.ndarray:
    """(B, L) visible energy with sampling fluctuations: gamma distributed, relative spread c / sqrt(deposited energy in GeV)."""
    variance = constants.sampling_resolution**2
    fraction = sampling_fraction(calorimeter, constants)
    return np.asarray(generator.gamma(visible_gev / fraction / variance) * variance * fraction)
