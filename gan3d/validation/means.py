"""Means in bins: the statistical error of a difference of two, and how large a difference of nothing is."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

#: Fewest values of which there is an error.
FEWEST = 2


def error_of_difference(ours: NDArray[np.float64], theirs: NDArray[np.float64]) -> float:
    """Standard error of the difference of the means of (N,) and (M,), in their unit; each `FEWEST` at least."""
    return math.hypot(*(float(side.std(ddof=1)) / math.sqrt(len(side)) for side in (ours, theirs)))


def size_of_nothing(error: float) -> float:
    """Mean of |difference| where the means are equal and this is its error: sqrt(2 / pi) of it."""
    return math.sqrt(2 / math.pi) * error


def bins_of(
    values: NDArray[np.float64], others: NDArray[np.float64], number: int
) -> Iterator[tuple[float, float, list[NDArray[np.bool_]]]]:
    """At most so many bins with about equally many of the second's values (M,): its ends, and which of (N,) and of (M,) are in it.

    Ends belong to the bin above them, but for the largest; what lies beyond both ends is in none. Values that repeat make fewer bins.
    """
    edges = np.unique(np.quantile(others, np.linspace(0, 1, number + 1)))
    for low, high in pairwise(edges if len(edges) > 1 else [edges[0], edges[0]]):
        is_last = high == edges[-1]
        yield float(low), float(high), [(one >= low) & ((one <= high) if is_last else (one < high)) for one in (values, others)]
