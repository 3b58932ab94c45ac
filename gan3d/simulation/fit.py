"""Fits the simulation's constants to showers of a full simulation, all at normal incidence.

Three independent steps: along the depth (mean profiles and the spreads of depth, width and response, in bins of the incident energy),
across (energy in square rings around the central cell, layer by layer), and the spots (spectrum of cell energies).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares, minimize

from gan3d.physics.calorimeter import Calorimeter
from gan3d.simulation.constants import ShowerConstants
from gan3d.simulation.longitudinal import relative_depth, sampling_fraction, shapes, shower_depths, visible_energy
from gan3d.simulation.radial import radii
from gan3d.simulation.spots import shower_cells

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
    "sampling_resolution",
)
RADIAL = ("core_offset", "core_growth", "core_slope", "tail_scale", "early_tail", "core_fraction_scale", "core_fraction_slope")
SPOTS = ("spot_energy_gev", "spot_shape")

#: Trusted no better than this, whatever the statistical error: the parametrisation's own error, so that no bin rules the fit.
_MODEL_ERROR = 0.01
_NUM_DRAWS = 250
_FEWEST_SHOWERS = 10
_SPOT_SHOWERS = 300


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


def _with(constants: ShowerConstants, names: Sequence[str], values: np.ndarray) -> ShowerConstants:
    return replace(constants, **dict(zip(names, map(float, values), strict=True)))


def with_responses(calorimeter: Calorimeter, factors: np.ndarray) -> Calorimeter:
    """The calorimeter with the e/mip of each kind of layer, in order of appearance, times a factor."""
    kinds = list(dict.fromkeys(calorimeter.layers))
    return replace(
        calorimeter,
        layers=tuple(
            replace(layer, electron_response=layer.electron_response * float(factors[kinds.index(layer)])) for layer in calorimeter.layers
        ),
    )


def fit_longitudinal(
    bins: Sequence[Sample], calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = LONGITUDINAL
) -> tuple[ShowerConstants, Calorimeter]:
    """The constants of ``names`` and each kind of layer's e/mip, by least squares."""
    draws = _uncorrelated_draws(2 + len(calorimeter.layers))
    targets = [(sample.energy, _summary(sample.layers, sample.energy, calorimeter), _errors(sample, calorimeter)) for sample in bins]
    num_kinds = len(set(calorimeter.layers))

    def residuals(values: np.ndarray) -> np.ndarray:
        constants = _with(start, names, values[: len(names)])
        guess = with_responses(calorimeter, values[len(names) :])
        return np.concatenate([(_expected(e, draws, guess, constants) - measured) / error for e, measured, error in targets])

    first = [getattr(start, name) for name in names] + [1.0] * num_kinds
    found = least_squares(residuals, first, x_scale=0.1).x
    return _with(start, names, found[: len(names)]), with_responses(calorimeter, found[len(names) :])


def _uncorrelated_draws(num_columns: int) -> np.ndarray:
    """(D, columns) standard normals whose sample mean, spreads and correlations are exactly 0, 1 and 0, so that few are enough."""
    half = np.random.default_rng(1).standard_normal((_NUM_DRAWS, num_columns))
    draws = np.concatenate([half, -half])
    return np.asarray(draws @ np.linalg.inv(np.linalg.cholesky(np.cov(draws.T, bias=True))).T)


def _summary(layers: np.ndarray, energy: np.ndarray, calorimeter: Calorimeter) -> np.ndarray:
    """(L + 3,) mean energy of each layer; spreads of mean depth, ln width and response at fixed incident energy."""
    weighted = layers / calorimeter.minimum_ionising_fraction
    total = weighted.sum(1)
    depth = weighted @ calorimeter.sensitive_depth_x0 / total
    squared = (weighted * (calorimeter.sensitive_depth_x0 - depth[:, None]) ** 2).sum(1) / total
    spreads = [_spread_at_fixed_energy(what, energy) for what in (depth, np.log(squared) / 2, np.log(total))]
    return np.concatenate([layers.mean(0), spreads])


def _spread_at_fixed_energy(values: np.ndarray, energy: np.ndarray) -> float:
    trend = np.polyfit(np.log(energy), values, 1)
    return float(np.std(values - np.polyval(trend, np.log(energy)), ddof=2))


def _errors(sample: Sample, calorimeter: Calorimeter) -> np.ndarray:
    layers = sample.layers
    statistical = layers.std(0) / np.sqrt(len(layers))
    mean = layers.mean(0)
    spreads = _summary(layers, sample.energy, calorimeter)[-3:]
    spread_errors = spreads * np.hypot(1 / np.sqrt(2 * len(layers)), 3 * _MODEL_ERROR)
    return np.concatenate([np.hypot(statistical, _MODEL_ERROR * mean + 0.01 * _MODEL_ERROR * mean.sum()), spread_errors])


def _expected(energy: np.ndarray, draws: np.ndarray, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """What ``_summary`` should give: every draw at five energies of the bin; sampling fluctuations as Gaussians."""
    at = np.repeat(np.quantile(energy, [0.1, 0.3, 0.5, 0.7, 0.9]), len(draws))
    normals = np.tile(draws, (5, 1))
    drawn = shapes(at, normals[:, :2], calorimeter.medium, constants)
    visible = visible_energy(at, np.ones_like(at), drawn, calorimeter, constants)
    noise = constants.sampling_resolution * np.sqrt(visible * sampling_fraction(calorimeter, constants)) * normals[:, 2:]
    return _summary((visible + noise) / at[:, None], at, calorimeter)


def fit_radial(bins: Sequence[Sample], calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = RADIAL) -> ShowerConstants:
    """The constants of ``names``, by least squares on rings of cells in every layer, weighted by the layer's energy."""
    if not names:
        return start
    targets = []
    for sample in bins:
        squares = _energy_in_squares(sample.cells)
        weight = np.sqrt(squares[:, -1] / squares[:, -1].sum())[:, None]
        targets.append((float(np.exp(np.log(sample.energy).mean())), np.diff(squares / squares[:, -1:], prepend=0), weight))

    def residuals(values: np.ndarray) -> np.ndarray:
        constants = _with(start, names, values)
        parts = [
            (weight * (_expected_rings(energy, calorimeter, constants) - rings) / (rings * 0.03 + 5e-4)).ravel()
            for energy, rings, weight in targets
        ]
        return np.concatenate(parts)

    found = least_squares(residuals, [getattr(start, name) for name in names], x_scale=0.05).x
    return _with(start, names, found)


def _energy_in_squares(cells: np.ndarray) -> np.ndarray:
    """(L, M) energy within M centred squares of 1, 3, 5, ... cells, summed over showers."""
    middle = cells.shape[1] // 2
    sides = [slice(middle - m, middle + m + 1) for m in range(middle + 1)]
    return np.stack([cells[:, side, side].sum((0, 1, 2), dtype=np.float64) for side in sides], axis=-1)


def _expected_rings(energy: float, calorimeter: Calorimeter, constants: ShowerConstants) -> np.ndarray:
    """(L, M) shares of a layer's energy in square rings, for the typical shower."""
    one = np.array([energy])
    typical = shapes(one, np.zeros((1, 2)), calorimeter.medium, constants)
    tau = relative_depth(shower_depths(calorimeter, np.ones(1), constants), typical)
    found = radii(tau, one, calorimeter, constants)
    core = _share_in_squares(found.core_mm[0], calorimeter)
    tail = _share_in_squares(found.tail_mm[0], calorimeter)
    fraction = found.core_fraction[0][:, None]
    squares = fraction * core + (1 - fraction) * tail
    return np.asarray(np.diff(squares / squares[:, -1:], prepend=0))


def _share_in_squares(radius_mm: np.ndarray, calorimeter: Calorimeter) -> np.ndarray:
    """(L, M) share of the density R^2 / pi (r^2 + R^2)^2 in centred squares, its axis uniform over the central cell."""
    nodes, weights = np.polynomial.legendre.leggauss(6)
    shift = nodes * calorimeter.cell_mm / 2
    half = (np.arange(calorimeter.cells_across // 2 + 1) + 0.5)[:, None, None] * calorimeter.cell_mm
    radius = radius_mm[:, None, None, None]
    shares = sum(
        _share_in_rectangle(half + sign_x * shift[:, None], half + sign_y * shift[None, :], radius)
        for sign_x in (-1, 1)
        for sign_y in (-1, 1)
    )
    return np.asarray((shares * np.outer(weights, weights) / 4).sum((-1, -2)))


def _share_in_rectangle(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Integral of R^2 / pi (r^2 + R^2)^2 over the rectangle from the axis to (x, y)."""
    to_x, to_y = np.hypot(x, radius), np.hypot(y, radius)
    return np.asarray((x / to_x * np.arctan(y / to_x) + y / to_y * np.arctan(x / to_y)) / (2 * np.pi))


#: Edges of log10 (cell energy / GeV) whose counts the spots are fitted to.
SPECTRUM_EDGES = np.arange(-5.0, 0.01, 0.25)


def cell_spectrum(cells: np.ndarray) -> np.ndarray:
    """Cells per shower in each bin of ``SPECTRUM_EDGES``."""
    counts = np.histogram(np.log10(cells[cells > 0]), SPECTRUM_EDGES)[0]
    return np.asarray(counts / len(cells))


def fit_spots(sample: Sample, calorimeter: Calorimeter, start: ShowerConstants, names: Sequence[str] = SPOTS) -> ShowerConstants:
    """The constants of ``names`` from the spectrum of cell energies, by simulating with the same seed again and again."""
    if not names:
        return start
    measured = cell_spectrum(sample.cells)
    angles = np.full(len(sample.energy), np.pi / 2)

    def distance(logarithms: np.ndarray) -> float:
        constants = _with(start, names, np.exp(logarithms))
        simulated = cell_spectrum(shower_cells(sample.energy, angles, np.random.default_rng(1), calorimeter, constants))
        return float(np.abs(simulated - measured).sum() / measured.sum())

    first = np.log([getattr(start, name) for name in names])
    simplex = first + 0.4 * np.eye(len(names) + 1, len(names), -1)
    found = minimize(distance, first, method="Nelder-Mead", options={"maxiter": 40, "initial_simplex": simplex})
    return _with(start, names, np.exp(found.x))


def fit(
    cells: np.ndarray,
    energy: np.ndarray,
    calorimeter: Calorimeter,
    start: ShowerConstants,
    names: Sequence[str],
) -> tuple[ShowerConstants, Calorimeter]:
    """The constants of ``names``, and each kind of layer's e/mip, from showers ``cells`` (N, X, Y, L) [GeV] of ``energy`` (N,) [GeV]."""
    bins = energy_bins(cells, energy)
    constants, fitted = fit_longitudinal(bins, calorimeter, start, [name for name in LONGITUDINAL if name in names])
    constants = fit_radial(bins, fitted, constants, [name for name in RADIAL if name in names])
    step = max(1, len(cells) // _SPOT_SHOWERS)
    constants = fit_spots(Sample(cells[::step], energy[::step]), fitted, constants, [name for name in SPOTS if name in names])
    return constants, fitted
