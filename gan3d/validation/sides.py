"""Which showers are held against which: halves of the reference for what has a floor of equal size, all there are for what needs many."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics.observables import EMPTY_SHOWER_GEV
from gan3d.validation.collection import Halves, in_a_row

#: Of each kind for what needs many, at most: the cells of so many are a third of a gigabyte.
MOST_COMPARED = 5000


class Sides(NamedTuple):
    """Whole showers of equal number."""

    ours: Showers
    theirs: Showers
    """Half of the reference."""
    others: Showers
    """The reference's other half."""


class Most(NamedTuple):
    """Whole showers of equal number, as many as there are."""

    ours: Showers
    theirs: Showers
    are_pairs: bool
    """Row by row of the same incident energy."""


def whole_ones(*sides: Showers) -> Sides:
    """Without empty and not finite ones, which the gate has counted; as many of each side as the side with fewest has."""
    kept = [np.flatnonzero(is_whole(one)) for one in sides]
    number = min(map(len, kept))
    return Sides(*(one.take(rows[:number]) for one, rows in zip(sides, kept, strict=True)))


def is_whole(showers: Showers) -> NDArray[np.bool_]:
    """Which (N,) are neither empty nor broken."""
    total = showers.cells.sum(axis=(1, 2, 3), dtype=np.float64)
    return np.asarray(np.isfinite(total) & (total > EMPTY_SHOWER_GEV))


def with_more(showers: Showers, more: Showers, reference: Showers, places: Halves) -> Most:
    """A generator's of both halves beside the Monte Carlo of both."""
    ours = in_a_row([showers, more]).take(slice(0, MOST_COMPARED))
    theirs = reference.take(np.concatenate([places.others, places.theirs])[: len(ours)])
    kept = np.flatnonzero(is_whole(ours) & is_whole(theirs))
    return Most(ours.take(kept), theirs.take(kept), are_pairs=True)


def most_of_files(showers: Showers, reference: Showers, num_judged: int, seed: int) -> Most | None:
    """Of a file; None where there are no more than are judged."""
    number = min(len(showers), len(reference), MOST_COMPARED)
    if number <= num_judged:
        return None
    random = np.random.default_rng([seed, 2])
    ours, theirs = (one.take(random.permutation(len(one))[:number]) for one in (showers, reference))
    kept = whole_ones(ours, theirs, theirs)
    return Most(kept.ours, kept.theirs, are_pairs=False)
