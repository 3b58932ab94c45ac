"""Frechet and kernel physics distances (Kansal et al., arXiv:2211.10295), by the definitions of the JetNet package.

Not by the package: it asks for forty others (coffea, numba, uproot, ...). `tests/test_frechet.py` says that the numbers are the same where
a formula gives them.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import linalg

Array = NDArray[np.float64]

#: Sizes of draws, draws of each size; as in JetNet.
NUM_SIZES, NUM_DRAWS = 10, 20
#: Smallest size of a draw, as a share of all. JetNet takes 20,000 of 50,000.
SMALLEST_DRAW = 0.4
#: Batches of a kernel distance.
NUM_BATCHES = 10
#: Between these quantiles lies what one standard deviation to either side of a Gaussian's mean holds, about.
ONE_DEVIATION = (0.16275, 0.83725)


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number with its error."""

    value: float
    error: float


def frechet_physics_distance(reference: Array, generated: Array, seed: int) -> Estimate:
    """Frechet distance of features (N, K) and (M, K), extrapolated to infinitely many showers.

    The distance of finite draws is too large by a term that falls as one over their size: it is measured at several sizes, equally
    spaced in that, and a straight line goes to zero.

    Raises:
        ValueError: not finite, or too few showers.
    """
    reference, generated = _scaled(reference, generated)
    most = min(len(reference), len(generated))
    sizes = np.unique((1 / np.linspace(1 / (SMALLEST_DRAW * most), 1 / most, NUM_SIZES)).astype(int))
    random = np.random.default_rng(seed)
    means = [
        float(np.mean([frechet_distance(_drawn(reference, size, random), _drawn(generated, size, random)) for _ in range(NUM_DRAWS)]))
        for size in sizes
    ]
    (_, intercept), covariance = np.polyfit(1 / sizes, means, 1, cov=True)
    return Estimate(float(intercept), float(np.sqrt(covariance[1, 1])))


def frechet_distance(one: Array, other: Array) -> float:
    """|m1 - m2|^2 + tr(C1 + C2 - 2 (C1 C2)^1/2) of two Gaussians with the means and covariances of (N, K) and (M, K)."""
    first, second = np.cov(one, rowvar=False), np.cov(other, rowvar=False)
    difference = one.mean(axis=0) - other.mean(axis=0)
    # The eigenvalues of a product of two covariances are real and not negative but for rounding.
    roots = np.sqrt(np.clip(linalg.eigvals(first @ second).real, 0, None))
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
