"""How long a team waits for its slowest rank: the expected maximum of its ranks' computing times.

Ranks that compute for the same mean time, each log-normally about it with spread s (standard deviation of the logarithm), are ready
after m(N, s) times the mean, the expected maximum of N. The wait m - 1 measured with a few ranks tells s, and s tells the wait of many.
That holds for jitter from step to step and for cores that differ in speed for good, as long as ranks are independent; a tail heavier
than a log-normal's makes large teams slower than this says.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from scipy import stats

from gan3d.scaling.draws import Array

#: Standard normal abscissae of the integral: of one rank's probability, 1e-9 is below them and 1e-23 above.
_Z = np.linspace(-6.0, 10.0, 801)
#: Spreads between which `spread_of` interpolates.
_SPREADS = np.concatenate([np.linspace(0.0, 0.1, 51), np.linspace(0.105, 1.5, 280)])


def expected_maximum(world_sizes: Sequence[int], spread: Array | float) -> Array:
    """m(N, s): of N independent log-normal variables of mean 1; 1 for one rank or no spread.

    The density of the largest of N standard normals is N phi(z) Phi(z)^(N-1).

    Returns:
        Shape (spreads, world sizes).
    """
    spreads = np.atleast_1d(np.asarray(spread, float))[:, None]
    sizes = tuple(map(float, world_sizes))
    values = np.exp(spreads * _Z - spreads**2 / 2) @ _weights(sizes)
    return np.where((spreads == 0) | (np.array(sizes) == 1), 1.0, values)


# Fits and their bootstrap samples ask again and again about the same few sizes.
@lru_cache(maxsize=256)
def _weights(world_sizes: tuple[float, ...]) -> Array:
    """Probabilities of the largest being at `_Z`, shape (Z, world sizes)."""
    sizes = np.array(world_sizes)
    weights = sizes * stats.norm.pdf(_Z)[:, None] * stats.norm.cdf(_Z)[:, None] ** (sizes - 1)
    return np.asarray(weights / weights.sum(0))


@lru_cache(maxsize=256)
def _waits(world_size: int) -> Array:
    """Of each of `_SPREADS`."""
    return expected_maximum([world_size], _SPREADS)[:, 0] - 1.0


def spread_of(wait: float, world_size: int) -> float:
    """The spread s with which a team waits ``wait`` times its ranks' mean computing time: m(N, s) - 1 = wait.

    Between 0, also for less than no wait, and 1.5, also for a longer wait than that makes. A lone rank waits for nobody and tells nothing.
    """
    assert world_size > 1
    return float(np.interp(wait, _waits(world_size), _SPREADS))
