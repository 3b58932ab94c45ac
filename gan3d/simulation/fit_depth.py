"""Fits the profile along the depth: mean energy of each layer, the response, and how all of it fluctuates, in bins of incident energy."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from scipy.optimize import least_squares

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.comparison import spread_at_fixed_energy
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.fit_across import contained
from gan3d.simulation.fit_samples import Sample, with_constants, with_responses
from gan3d.simulation.longitudinal import sampling_fraction, shape_fluctuations, shapes, stray_energy, visible_energy

LONGITUDINAL = (
    "peak_offset_x0",
    "peak_growth",
    "alpha_offset",
    "alpha_growth",
    "start_depth_x0",
    "peak_spread",
    "peak_spread_growth",
    "alpha_spread",
    "last_layer_response",
    "stray",
    "shape_spread",
    "shape_spread_growth",
    "shape_length_x0",
    "sampling_resolution",
)
_NOT_NEGATIVE = ("stray", "shape_spread", "shape_length_x0", "alpha_spread", "peak_spread")

#: Trusted no better than this, whatever the statistical error: the parametrisation's own error, so that no bin rules the fit.
_MODEL_ERROR = 0.01
#: Of the response, which has to come out better than the layers do.
_RESPONSE_ERROR = 0.001
#: How much less a layer's spread is trusted than the three of the whole shower.
_SPREAD_OF_LAYERS = 3.0
#: Layers whose sum's spread is fitted beside that of each: with it, how alike neighbours fluctuate.
_NEIGHBOURS = 3
_NUM_DRAWS = 400


def fit_longitudinal(
    bins: Sequence[Sample], calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = LONGITUDINAL
) -> tuple[ShowerConstants, Calorimeter]:
    """The constants of ``names`` and each kind of layer's e/mip, by least squares; what leaves the window is as ``start`` has it."""
    inside = [contained(sample.energy, calorimeter, start) for sample in bins]
    draws = _uncorrelated_draws(2 + 2 * len(calorimeter.layers))
    targets = [(sample.energy, _summary(sample.layers, sample.energy, calorimeter), _errors(sample, calorimeter)) for sample in bins]
    num_kinds = len(set(calorimeter.layers))

    def residuals(values: np.ndarray) -> np.ndarray:
        constants = with_constants(start, names, values[: len(names)])
        guess = with_responses(calorimeter, values[len(names) :])
        expected = [_expected(energy, share, draws, guess, constants) for (energy, _, _), share in zip(targets, inside, strict=True)]
        return np.concatenate([(mine - measured) / error for mine, (_, measured, error) in zip(expected, targets, strict=True)])

    first = [getattr(start, name) for name in names] + [1.0] * num_kinds
    least = [0.0 if name in _NOT_NEGATIVE else -np.inf for name in names] + [0.0] * num_kinds
    found = least_squares(residuals, first, x_scale=0.1, bounds=(least, np.inf)).x
    return with_constants(start, names, found[: len(names)]), with_responses(calorimeter, found[len(names) :])


def _uncorrelated_draws(num_columns: int) -> np.ndarray:
    """(D, columns) standard normals whose sample mean, spreads and correlations are exactly 0, 1 and 0, so that few are enough."""
    half = np.random.default_rng(1).standard_normal((_NUM_DRAWS, num_columns))
    draws = np.concatenate([half, -half])
    return np.asarray(draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T, bias=True))).T)


def _summary(layers: np.ndarray, energy: np.ndarray, calorimeter: Calorimeter) -> np.ndarray:
    """Mean energy of each layer (L,) and of all; spreads at fixed incident energy.

    Spreads of mean depth, ln width and ln response, of each layer, and of neighbours together.
    """
    weighted = layers / calorimeter.minimum_ionising_fraction
    total = weighted.sum(1)
    depth = weighted @ calorimeter.sensitive_depth_x0 / total
    squared = (weighted * (calorimeter.sensitive_depth_x0 - depth[:, None]) ** 2).sum(1) / total
    whole = layers.shape[1] // _NEIGHBOURS * _NEIGHBOURS
    neighbours = layers[:, :whole].reshape(len(layers), -1, _NEIGHBOURS).sum(2)
    several = np.column_stack([depth, np.log(squared) / 2, np.log(total), layers, neighbours])
    return np.concatenate([layers.mean(0), [layers.sum(1).mean()], spread_at_fixed_energy(several, energy)])


def _errors(sample: Sample, calorimeter: Calorimeter) -> np.ndarray:
    layers = sample.layers
    statistical = layers.std(0) / np.sqrt(len(layers))
    mean = layers.mean(0)
    spreads = _summary(layers, sample.energy, calorimeter)[layers.shape[1] + 1 :]
    spread_errors = spreads * np.hypot(1 / np.sqrt(2 * len(layers)), _MODEL_ERROR)
    spread_errors[3:] *= _SPREAD_OF_LAYERS
    response = layers.sum(1)
    response_error = np.hypot(response.std() / np.sqrt(len(layers)), _RESPONSE_ERROR * response.mean())
    return np.concatenate([np.hypot(statistical, _MODEL_ERROR * mean + 0.002 * _MODEL_ERROR * mean.sum()), [response_error], spread_errors])


def _expected(
    energy: np.ndarray, inside: np.ndarray, draws: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants
) -> np.ndarray:
    """What ``_summary`` should give: every draw at five energies of the bin; sampling fluctuations as Gaussians.

    Of each layer's energy, ``inside`` (L,) falls in the window.
    """
    at = np.repeat(np.quantile(energy, [0.1, 0.3, 0.5, 0.7, 0.9]), len(draws))
    normals = np.tile(draws, (5, 1))
    drawn = shapes(at, normals[:, :2], calorimeter.medium, constants)
    sine, num_layers = np.ones_like(at), len(calorimeter.layers)
    fluctuations = shape_fluctuations(normals[:, 2 : 2 + num_layers], at, calorimeter, constants)
    visible = visible_energy(at, sine, drawn, calorimeter, constants, fluctuations) + stray_energy(at, sine, calorimeter, constants)
    visible *= inside
    noise = constants.sampling_resolution * np.sqrt(visible * sampling_fraction(calorimeter, constants)) * normals[:, 2 + num_layers :]
    return _summary((visible + noise) / at[:, None], at, calorimeter)
