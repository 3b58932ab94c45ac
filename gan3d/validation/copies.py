"""Has the generator learnt training showers by heart? Then its showers lie nearer to them than fresh Monte Carlo ones do."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

Array = NDArray[np.floating]

#: Decades, in all cells together, within which two showers are the same one.
SAME = 1e-3
#: Share of fresh reference showers that lie as near to a training shower as what is called a copy.
NEAREST = 0.05


def copied(showers: Array, fresh: Array, training: Array) -> tuple[float, float]:
    """Share of ``showers`` that are copies, and its statistical error; ``NEAREST`` for a perfect generator.

    NaN where the showers called fresh are in ``training``: then nothing is nearer to it than they are.

    Args:
        showers: features (N, K), such as ``coverage.log_cells``.
        fresh: (M, K) of reference showers that were not trained on; their distances say what is near.
        training: (T, K).
    """
    limit = float(np.quantile(nearest(fresh, training), NEAREST))
    if limit < SAME:
        return math.nan, math.nan
    share = float((nearest(showers, training) < limit).mean())
    # The limit is uncertain too: as many fresh showers lie below it as binomial statistics have it.
    variances = share * (1 - share) / len(showers) + NEAREST * (1 - NEAREST) / len(fresh)
    return share, float(np.sqrt(variances))


def nearest(showers: Array, training: Array) -> Array:
    """Distance of each of the showers (N, K) to the nearest of (T, K), shape (N,)."""
    return np.asarray(pairwise_distances(showers, training).min(axis=1))
