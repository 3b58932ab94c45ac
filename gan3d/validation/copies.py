"""Has the generator learnt training showers by heart? Then its showers lie nearer to them than fresh Monte Carlo ones do."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

Array = NDArray[np.floating]

#: Decades, in all cells together, within which two showers are the same one.
SAME = 1e-3
#: Share of fresh reference showers that lie as near to a training shower as what is called a copy.
NEAREST = 0.05


def copied(distance: Array, fresh: Array) -> tuple[float, float]:
    """Share of showers that are copies, and its statistical error; ``NEAREST`` for a perfect generator.

    NaN where showers called fresh are training showers: then nothing is nearer to these than they are.

    Args:
        distance: of each of the showers to the nearest training shower (``nearest``), shape (N,).
        fresh: the same of reference showers that were not trained on, (M,): they say what is near.
    """
    limit = float(np.quantile(fresh, NEAREST))
    if limit < SAME:
        return math.nan, math.nan
    share = float((distance < limit).mean())
    # The limit is uncertain too: as many fresh showers lie below it as binomial statistics have it.
    variances = share * (1 - share) / len(distance) + NEAREST * (1 - NEAREST) / len(fresh)
    return share, float(np.sqrt(variances))


def nearest(showers: Array, training: Iterable[Array]) -> Array:
    """Distance of each of the showers (N, K), features such as ``coverage.log_cells``, to the nearest of all blocks (T, K), shape (N,).

    Blocks are looked at one after the other: a training set need not fit into memory. Infinite where there is none.
    """
    found = np.full(len(showers), np.inf)
    for block in training:
        found = np.minimum(found, pairwise_distances(showers, block).min(axis=1))
    return found
