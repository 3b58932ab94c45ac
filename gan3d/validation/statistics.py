"""Numbers that tell two tables of showers apart, each near Gaussian where both come from one source.

Observables depend on the incident energy, and two files need not have the same energies. So each column is taken as what is left of it
above its trend (a parabola in ln E, fitted to both tables together, each shower with equal weight), in units of the reference's spread.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gan3d.physics.observables import correlation_matrix
from gan3d.validation.table import Array, ObservableTable

#: Layers with a smaller mean share are judged by their mean only: the spread of what is nearly always zero is nobody's.
SMALLEST_SHARE = 0.01
#: Columns of few different values, which have no tails to speak of.
DISCRETE = ("hottest_cell_x", "hottest_cell_y", "hottest_cell_depth")
#: Share of the reference in each tail.
TAIL = 0.1
#: Below any two different showers' distance.
_SMALLEST_DISTANCE = 1e-9


def statistics_of(one: ObservableTable, reference: ObservableTable) -> dict[str, float]:
    """Every number by name.

    ``mean/X``, ``spread/X`` (log of the ratio of standard deviations), ``low_tail/X`` and ``high_tail/X`` (share below the reference's
    first and above its last tenth, minus a tenth), ``correlation/layers``, ``diversity/shape``, ``broken/showers``.
    """
    found = {"broken/showers": float(one.is_broken.mean() - reference.is_broken.mean())}
    if len(one) < one.num_showers // 2:
        return found
    energies = np.log(one.incident_energy), np.log(reference.incident_energy)
    found |= dict(_of_column("incident_energy", *energies, has_spread=True))
    residuals: dict[str, tuple[Array, Array]] = {}
    for name, ours, theirs, has_spread in _columns(one, reference):
        residuals[name] = above_trend(ours, theirs, *energies)
        found |= dict(_of_column(name, *residuals[name], has_spread=has_spread))
    layers = [pair for name, pair in residuals.items() if name.startswith("layer_") and f"spread/{name}" in found]
    found["correlation/layers"] = correlation_distance(*(np.stack(side, axis=1) for side in zip(*layers, strict=True)))
    found["diversity/shape"] = float(np.log(nearest_neighbour(one.shape) / nearest_neighbour(reference.shape)))
    return found


def _columns(one: ObservableTable, reference: ObservableTable) -> Iterator[tuple[str, Array, Array, bool]]:
    """Name, both tables' values, and whether a spread means something."""
    for name, values in one.columns.items():
        yield name, values, reference.columns[name], True
    for layer, share in enumerate(reference.layer_shares.mean(axis=0)):
        # The root of a share is closer to a Gaussian than the share, above all of a small one.
        yield (
            f"layer_{layer}",
            np.sqrt(one.layer_shares[:, layer]),
            np.sqrt(reference.layer_shares[:, layer]),
            bool(share > SMALLEST_SHARE),
        )


def _of_column(name: str, ours: Array, theirs: Array, *, has_spread: bool) -> Iterator[tuple[str, float]]:
    spread = float(theirs.std()) or 1.0
    yield f"mean/{name}", float(ours.mean() - theirs.mean()) / spread
    if not has_spread:
        return
    yield f"spread/{name}", float(np.log(max(float(ours.std()), 1e-6 * spread) / spread))
    if name not in DISCRETE:
        low, high = np.quantile(theirs, [TAIL, 1 - TAIL])
        yield f"low_tail/{name}", float((ours < low).mean()) - TAIL
        yield f"high_tail/{name}", float((ours > high).mean()) - TAIL


def above_trend(ours: Array, theirs: Array, our_log_energy: Array, their_log_energy: Array) -> tuple[Array, Array]:
    """Both tables' values (N,) and (M,) minus a parabola in ln E, fitted to the two together."""
    energy, values = np.concatenate([our_log_energy, their_log_energy]), np.concatenate([ours, theirs])
    centred = energy - energy.mean()
    powers = np.stack([np.ones_like(centred), centred, centred**2], axis=1)
    fitted = powers @ np.linalg.lstsq(powers, values, rcond=None)[0]
    left = values - fitted
    return left[: len(ours)], left[len(ours) :]


def correlation_distance(ours: Array, theirs: Array) -> float:
    """Log of the root mean square difference of correlations, of columns (N, K) and (M, K)."""
    difference = _correlations(ours) - _correlations(theirs)
    return float(np.log(np.sqrt((difference**2).mean()) + 1e-12))


def _correlations(values: Array) -> Array:
    return np.asarray(correlation_matrix(torch.from_numpy(values)))[np.triu_indices(values.shape[1], k=1)]


def nearest_neighbour(points: Array) -> float:
    """Mean distance of each point (N, K) to the nearest other one."""
    distances: NDArray[np.float64] = cKDTree(points).query(points, k=2)[0][:, 1]
    return max(float(distances.mean()), _SMALLEST_DISTANCE)
