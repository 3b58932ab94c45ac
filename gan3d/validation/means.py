"""The statistical error of a difference of two means, and how large a difference of nothing is."""

from __future__ import annotations

import math

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
