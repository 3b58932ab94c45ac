"""Mean profiles of two sets of showers: the layer or column that is furthest off."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import accumulate, pairwise

import numpy as np
from numpy.typing import NDArray

from gan3d.validation.table import ObservableTable

Array = NDArray[np.float64]

#: Share of the energy that a layer or column must hold, on the mean of the reference's showers, to be looked at.
SMALLEST_SHARE = 0.01
#: Draws of the reference against itself.
NUM_DRAWS = 20


@dataclass(frozen=True, slots=True)
class ProfileDeviation:
    """Of one axis, the place of its mean profile that is furthest from the reference's."""

    axis: str
    """`x`, `y` or `depth`."""
    place: int
    """Column or layer, counted from 0."""
    share: float
    """Of the deposited energy that it holds, on the mean of the reference's showers."""
    deviation: float
    """Mean share over the reference's, minus 1: of all places with more than a hundredth the largest, with its sign."""
    error: float
    """Statistical error of that, of both sets; the choice of the largest is not in it."""
    floor: float
    """Mean size of the largest deviation of Monte Carlo from itself: two disjoint draws, each of as many showers as are judged."""


def profile_deviations(
    one: ObservableTable, reference: ObservableTable, grid: Sequence[int], num_judged: int, seed: int
) -> list[ProfileDeviation]:
    """Along x, y and the depth.

    Args:
        one: showers of any origin.
        reference: Monte Carlo.
        grid: cells along x, y and the depth, (X, Y, L), as both tables' ``shape`` has them side by side.
        num_judged: showers of a draw for the floor, at most half of the reference.
        seed: of the draws.
    """
    if not len(one) or not len(reference):
        return []
    random = np.random.default_rng(seed)
    orders = [random.permutation(len(reference))[: 2 * num_judged] for _ in range(NUM_DRAWS)]
    found = []
    for axis, (start, stop) in zip(("x", "y", "depth"), pairwise(accumulate(grid, initial=0)), strict=True):
        ours, theirs = one.shape[:, start:stop], reference.shape[:, start:stop]
        share = theirs.mean(axis=0)
        # Of very many columns none may hold so much.
        is_looked_at = share >= min(SMALLEST_SHARE, share.max())
        deviation, error = _relative(ours, theirs)
        place = int(np.where(is_looked_at, np.abs(deviation), -1.0).argmax())
        halves = [_relative(*np.array_split(theirs[order], 2))[0][is_looked_at] for order in orders]
        floor = float(np.mean([np.abs(one).max() for one in halves]))
        found.append(ProfileDeviation(axis, place, float(share[place]), float(deviation[place]), float(error[place]), floor))
    return found


def _relative(ours: Array, theirs: Array) -> tuple[Array, Array]:
    """Mean shares over the others', minus 1, and the statistical error of that; of places without energy 0."""
    means, errors = zip(*((part.mean(axis=0), part.std(axis=0) / np.sqrt(len(part))) for part in (ours, theirs)), strict=True)
    ratio, spread = (np.divide(value, means[1], out=np.zeros_like(means[1]), where=means[1] > 0) for value in (means[0], errors[0]))
    other = np.divide(errors[1] * means[0], means[1] ** 2, out=np.zeros_like(means[1]), where=means[1] > 0)
    return np.where(means[1] > 0, ratio - 1, 0.0), np.hypot(spread, other)
