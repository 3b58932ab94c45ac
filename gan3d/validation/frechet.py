"""Frechet and kernel physics distances (Kansal et al., arXiv:2211.10295): JetNet's formulas, with draws for fewer showers.

JetNet takes 20,000 to 50,000 of 50,000 with replacement; here draws are from what there is, without replacement, and errors say how the
number would vary with other showers. Not by the package: it asks for forty others (coffea, numba, uproot, ...).
`tests/test_frechet.py` says that the numbers are right where a formula gives them.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]
Rows = NDArray[np.int64]

#: Sizes of draws, and draws of each size.
NUM_SIZES, NUM_DRAWS = 5, 6
#: Smallest size of a draw, as a share of all. JetNet's 0.4 leaves 1.5 times as much bias and spread (Geant4 against itself, 2,000 a side).
SMALLEST_DRAW = 0.6
#: Showers of each kind per feature from which on the extrapolation's bias is below its error. Geant4 against Geant4, 202 features, where 0
#: is right: 0.06 with 500 a side, 0.013 +- 0.016 with 1,000, 0.003 +- 0.005 with 2,000.
SHOWERS_PER_FEATURE = 5
#: Groups of showers that are left out one after the other, for the error.
NUM_GROUPS = 8
#: Batches of a kernel distance.
NUM_BATCHES = 10
#: Between these quantiles lies what one standard deviation to either side of a Gaussian's mean holds, about.
ONE_DEVIATION = (0.16275, 0.83725)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its error; both NaN where it cannot be measured."""

    value: float
    error: float


def showers_needed(num_features: int) -> int:
    """Of each kind, for a Frechet distance of so many features."""
    return SHOWERS_PER_FEATURE * num_features


def frechet_physics_distance(reference: Array, generated: Array, seed: int) -> Estimate:
    """Frechet distance of features (N, K) and (M, K), extrapolated to infinitely many showers; NaN with fewer than `showers_needed`.

    The distance of finite draws is too large by a term that falls as one over their size, and, while showers are few for the features, by
    more: it is measured at several sizes, equally spaced in one over the size, and a straight line goes to zero. The error is the
    jackknife's: the same with each of ``NUM_GROUPS`` groups of showers left out. It covers what bias is left, and is up to twice too
    large where both are of one source.

    Raises:
        ValueError: not finite.
    """
    number = min(len(reference), len(generated))
    if number < showers_needed(reference.shape[1]):
        return Estimate(math.nan, math.nan)
    random = np.random.default_rng(seed)
    sides = [side[random.permutation(len(side))[:number]] for side in _scaled(reference, generated)]
    orders = [[random.permutation(number) for _ in range(NUM_DRAWS)] for _ in sides]
    value = _extrapolated(sides, orders)
    group = np.arange(number) % NUM_GROUPS
    # The same orders without a group: only the showers differ, and not how they were drawn.
    without = [
        _extrapolated(sides, [[order[group[order] != left_out] for order in drawn] for drawn in orders]) for left_out in range(NUM_GROUPS)
    ]
    return Estimate(value, math.sqrt(NUM_GROUPS - 1) * float(np.std(without)))


def _extrapolated(sides: Sequence[Array], orders: Sequence[Sequence[Rows]]) -> float:
    """Where the line of distances of draws, the first rows of each order, meets infinitely many."""
    most = len(orders[0][0])
    sizes = np.unique((1 / np.linspace(1 / (SMALLEST_DRAW * most), 1 / most, NUM_SIZES)).astype(int))
    means = []
    for size in sizes:
        # All showers can be drawn in one way only.
        pairs = list(zip(*orders, strict=True))[: 1 if size == most else None]
        means.append(np.mean([frechet_distance(*(side[order[:size]] for side, order in zip(sides, pair, strict=True))) for pair in pairs]))
    return float(np.polyfit(1 / sizes, means, 1)[1])


def frechet_distance(one: Array, other: Array) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of two Gaussians with the means and covariances of (N, K) and (M, K)."""
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    difference = one.mean(axis=0) - other.mean(axis=0)
    # C1 C2 has the eigenvalues of R^T C2 R with C1 = R R^T, which is symmetric: these are found ten times as fast.
    values, vectors = linalg.eigh(first)
    root = vectors * np.sqrt(np.clip(values, 0, None))
    roots = np.sqrt(np.clip(linalg.eigvalsh(root.T @ second @ root), 0, None))
    return float(difference @ difference + np.trace(first) + np.trace(second) - 2 * roots.sum())


def kernel_physics_distance(reference: Array, generated: Array, seed: int) -> Estimate:
    """Squared maximum mean discrepancy with the kernel (x.y / K + 1)^4, unbiased; median over batches of half of the showers."""
    reference, generated = _scaled(reference, generated)
    size = min(len(reference), len(generated)) // 2
    random = np.random.default_rng(seed)
    found = [mean_discrepancy(_drawn(reference, size, random), _drawn(generated, size, random)) for _ in range(NUM_BATCHES)]
    low, high = np.quantile(found, ONE_DEVIATION)
    return Estimate(float(np.median(found)), float(high - low) / 2)


def mean_discrepancy(one: Array, other: Array) -> float:
    """Squared maximum mean discrepancy of (N, K) and (M, K), unbiased: may be below 0."""
    return _mean_of_others(_kernel(one, one)) + _mean_of_others(_kernel(other, other)) - 2 * float(_kernel(one, other).mean())


def _kernel(one: Array, other: Array) -> Array:
    return np.asarray((one @ other.T / one.shape[1] + 1) ** 4)


def _mean_of_others(kernel: Array) -> float:
    size = len(kernel)
    return float((kernel.sum() - np.trace(kernel)) / (size * (size - 1)))


def _scaled(reference: Array, generated: Array) -> tuple[Array, Array]:
    """Each feature over its largest absolute value in the reference, as JetNet normalises."""
    largest = np.abs(reference).max(axis=0)
    largest[largest == 0] = 1.0
    return reference / largest, generated / largest


def _drawn(values: Array, size: int, random: np.random.Generator) -> Array:
    return values[random.choice(len(values), size=size, replace=len(values) < size)]
