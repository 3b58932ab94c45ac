"""Numbers that tell two tables of showers apart, each near Gaussian where both come from one source.

Observables depend on the incident energy, and two files need not have the same energies. So each column is taken as what is left of it
above its trend (a parabola in ln E, fitted to both tables together, each shower with equal weight), in units of the reference's spread.
Where showers come at polar angles of their own, the trend is one with the angle too (`trend_terms`), and the angle a column.

Some columns have one value in most showers: the hottest cell is in the middle of 988 of 1,000 Geant4 showers. Mean and spread of such a
column are those of the few others, and no Gaussian's: a draw may have none. What is counted instead is how many showers lie below
and above that value.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.spatial import cKDTree

from gan3d.physics.observables import correlation_matrix
from gan3d.validation.table import Array, ObservableTable, angles_vary

#: Layers with a smaller mean share are judged by their mean only: the spread of what is nearly always zero is nobody's.
SMALLEST_SHARE = 0.01
#: Columns of few different values, which have no tails to speak of.
DISCRETE = ("hottest_cell_x", "hottest_cell_y", "hottest_cell_depth")
#: Share of the reference's showers from which on their one value is what a column is, and the others are counted.
NEARLY_ALL = 0.5
#: Begin the names of numbers that are counts, see `share_difference`.
COUNTED = ("below/", "above/")
#: Share of the reference in each tail.
TAIL = 0.1
#: Below the sine of any polar angle at which showers are in a window: keeps the cotangent of those along the face finite.
SMALLEST_SINE = 0.01
#: Below any two different showers' distance.
_SMALLEST_DISTANCE = 1e-9


@dataclass(frozen=True, slots=True)
class Yardstick:
    """What the whole reference says of how columns are measured, so that every draw of it is measured alike."""

    commonest: dict[str, float]
    """Column → its value in most showers, of columns that have one."""
    has_spread: tuple[bool, ...]
    """Of each layer, whether the spread of its share means something."""
    has_angles: bool
    """Whether polar angles vary."""

    @classmethod
    def of(cls, reference: ObservableTable) -> Self:
        """From all showers of a reference."""
        has_spread = tuple(bool(share > SMALLEST_SHARE) for share in reference.layer_shares.mean(axis=0))
        found = {name: commonest_value(values) for name, values in _columns(reference)}
        return cls({name: value for name, value in found.items() if value is not None}, has_spread, angles_vary(reference.polar_angle))


def commonest_value(values: Array) -> float | None:
    """What nearly all of (N,) are, if they are."""
    if not len(values):
        return None
    different, counts = np.unique(values, return_counts=True)
    return float(different[counts.argmax()]) if counts.max() > NEARLY_ALL * len(values) else None


def statistics_of(one: ObservableTable, reference: ObservableTable, yardstick: Yardstick) -> dict[str, float]:
    """Every number by name.

    ``mean/X``, ``spread/X`` (log of the ratio of standard deviations), ``low_tail/X`` and ``high_tail/X`` (`share_difference` of what is
    below the reference's first and above its last tenth), of columns with a commonest value instead ``below/X`` and ``above/X`` (of what is
    below and above it), ``correlation/layers``, ``diversity/shape``, ``broken/showers``.
    """
    found = {"broken/showers": float(one.is_broken.mean() - reference.is_broken.mean())}
    if len(one) < one.num_showers // 2:
        return found
    energies = np.log(one.incident_energy), np.log(reference.incident_energy)
    found |= dict(_of_column("incident_energy", *energies, has_spread=True))
    if yardstick.has_angles:
        found |= dict(_of_column("polar_angle", one.polar_angle, reference.polar_angle, has_spread=True))
    angles = (one.polar_angle, reference.polar_angle) if yardstick.has_angles else None
    layers: list[tuple[Array, Array]] = []
    for (name, ours), (_, theirs) in zip(_columns(one), _columns(reference), strict=True):
        if name in yardstick.commonest:
            found |= dict(_beside(name, ours, theirs, yardstick.commonest[name]))
            continue
        left = above_trend(ours, theirs, energies, angles)
        place = layer_of(name)
        has_spread = place is None or yardstick.has_spread[place]
        found |= dict(_of_column(name, *left, has_spread=has_spread))
        if place is not None and has_spread:
            layers.append(left)
    if len(layers) > 1:
        found["correlation/layers"] = correlation_distance(*(np.stack(side, axis=1) for side in zip(*layers, strict=True)))
    found["diversity/shape"] = float(np.log(nearest_neighbour(one.shape) / nearest_neighbour(reference.shape)))
    return found


def _columns(table: ObservableTable) -> Iterator[tuple[str, Array]]:
    """Name and values: the observables, and behind them the layers."""
    yield from table.columns.items()
    # The root of a share is closer to a Gaussian than the share, above all of a small one.
    yield from ((f"layer_{layer}", np.sqrt(shares)) for layer, shares in enumerate(table.layer_shares.T))


def layer_of(name: str) -> int | None:
    """Place of the layer whose column this is."""
    return int(name.removeprefix("layer_")) if name.startswith("layer_") else None


def _beside(name: str, ours: Array, theirs: Array, commonest: float) -> Iterator[tuple[str, float]]:
    yield f"below/{name}", share_difference(ours < commonest, theirs < commonest)
    yield f"above/{name}", share_difference(ours > commonest, theirs > commonest)


def share_difference(ours: NDArray[np.bool_], theirs: NDArray[np.bool_]) -> float:
    """Of the arcsines of the roots of two shares, whose spread hardly depends on the share.

    With Anscombe's 3/8 (Biometrika 35 (1948) 246), by which that holds down to counts of about one.
    """
    one, other = (float(np.arcsin(np.sqrt((side.sum() + 3 / 8) / (len(side) + 3 / 4)))) for side in (ours, theirs))
    return one - other


def least_spread(name: str, num_showers: int) -> float:
    """What the standard deviation of a number cannot be below between two draws of so many showers; 0 where nothing is known of it."""
    # A reference without one shower off the commonest value would else forbid a single one: 20 against none are five standard deviations.
    return 1 / math.sqrt(2 * num_showers) if name.startswith(COUNTED) else 0.0


def _of_column(name: str, ours: Array, theirs: Array, *, has_spread: bool) -> Iterator[tuple[str, float]]:
    spread = float(theirs.std()) or 1.0
    yield f"mean/{name}", float(ours.mean() - theirs.mean()) / spread
    if not has_spread:
        return
    yield f"spread/{name}", float(np.log(max(float(ours.std()), 1e-6 * spread) / spread))
    if name not in DISCRETE:
        low, high = np.quantile(theirs, [TAIL, 1 - TAIL])
        yield f"low_tail/{name}", share_difference(ours < low, theirs < low)
        yield f"high_tail/{name}", share_difference(ours > high, theirs > high)


def above_trend(
    ours: Array, theirs: Array, log_energies: tuple[Array, Array], angles: tuple[Array, Array] | None = None
) -> tuple[Array, Array]:
    """Both tables' values (N,) and (M,) minus their trend with the conditions of each, log energies and polar angles [rad].

    In ln E alone it is fitted to the two together. With angles it is fitted to the second: the axis' slope is all but a function of the
    angle, and angles that are not the showers' own would bend the trend by which they are to be told.
    """
    values, terms = np.concatenate([ours, theirs]), trend_terms(log_energies, angles)
    fitted = slice(None) if angles is None else slice(len(ours), None)
    left = values - terms @ np.linalg.lstsq(terms[fitted], values[fitted], rcond=None)[0]
    return left[: len(ours)], left[len(ours) :]


def trend_terms(log_energies: tuple[Array, Array], angles: tuple[Array, Array] | None) -> Array:
    """Of all showers of two tables, (N + M, 3): 1, ln E from its mean, and its square; with angles (N + M, 5): cot and its square, too."""
    energy = np.concatenate(log_energies)
    centred = energy - energy.mean()
    terms = [np.ones_like(centred), centred, centred**2]
    if angles is not None:
        angle = np.concatenate(angles)
        cot = np.cos(angle) / np.maximum(np.sin(angle), SMALLEST_SINE)
        terms += [cot, cot**2]
    return np.stack(terms, axis=1)


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
