"""Uncertain quantities: Student's t-interval of repeats, and arrays of first the best value, then draws of what else it may be.

Arithmetic on such arrays propagates the uncertainty; `interval` reads it.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from scipy import stats

Array = npt.NDArray[np.float64]

CONFIDENCE = 0.95
#: Draws of an uncertain quantity; the ends of a 95 % interval then scatter by 3 % of its half width, with five repeats 5 %, with three 8 %.
DRAWS = 2000


class Estimate(NamedTuple):
    """A value with its interval; NaN ends where the data cannot tell."""

    value: float
    low: float
    high: float


def t_interval(values: Array, confidence: float = CONFIDENCE) -> Estimate:
    """Mean of repeats and Student's t-interval.

    Args:
        values: Shape (repeats,); NaN is none.
        confidence: Of the interval.

    Returns:
        NaN without a repeat, its ends also with a single one, which has no scatter.
    """
    known = values[~np.isnan(values)]
    mean = float(known.mean()) if len(known) else float("nan")
    if len(known) < 2:
        return Estimate(mean, float("nan"), float("nan"))
    half = float(stats.t.ppf(0.5 + confidence / 2, len(known) - 1) * known.std(ddof=1) / np.sqrt(len(known)))
    return Estimate(mean, mean - half, mean + half)


def geometric_mean(logs: Array, confidence: float = CONFIDENCE) -> Estimate:
    """Geometric mean and t-interval of positive values given by their logarithms, as :func:`t_interval`."""
    return Estimate(*np.exp(t_interval(logs, confidence)).tolist())


def interval(quantity: Array, confidence: float = CONFIDENCE) -> Estimate:
    """Best value and quantiles of the draws; NaN ends where there are none."""
    if len(quantity) == 1 or not np.isfinite(quantity[1:]).all():
        return Estimate(float(quantity[0]), float("nan"), float("nan"))
    low, high = np.quantile(quantity[1:], [0.5 - confidence / 2, 0.5 + confidence / 2])
    return Estimate(float(quantity[0]), float(low), float(high))


def drawn_means(rows: Array, seed: int, draws: int = DRAWS) -> Array:
    """Means of repeats, drawn from the multivariate t-distribution that their scatter implies.

    Args:
        rows: One row per repeat, one column per quantity measured in it; quantities of a repeat may be correlated.
        seed: Of the draws.
        draws: How many.

    Returns:
        Shape (1 + draws, quantities): the means, then draws; NaN draws for a single repeat, which has no scatter.
    """
    count, columns = rows.shape
    mean = rows.mean(0)
    if count < 2:
        return np.vstack([mean, np.full((draws, columns), np.nan)])
    generator = np.random.default_rng(seed)
    # Scatter of the repeats themselves as directions: no covariance matrix has to be inverted, so few repeats are enough.
    directions = (rows - mean) / np.sqrt(count * (count - 1))
    normal = generator.standard_normal((draws, count)) @ directions
    chi = np.sqrt(generator.chisquare(count - 1, (draws, 1)) / (count - 1))
    return np.vstack([mean, mean + normal / chi])


def drawn_logs(estimate: Estimate, seed: int, draws: int = DRAWS) -> Array:
    """A positive quantity with draws, log-normal with the interval as its 95 %; no scatter where there is no interval."""
    if not (estimate.low < estimate.high):
        return np.full(1 + draws, estimate.value)
    normal = np.random.default_rng(seed).standard_normal(draws) / 1.959964  # of half an interval
    ends = np.log([estimate.low, estimate.high]) - np.log(estimate.value)
    logs = np.where(normal < 0, -normal * ends[0], normal * ends[1])
    return np.concatenate([[estimate.value], estimate.value * np.exp(logs)])
