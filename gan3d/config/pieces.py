"""A range as a few of its values, one of each kind that a space's rules tell apart: enough to say whether anything is left of it."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence

from gan3d.config.forbidden import Entry, Interval, entry_holds
from gan3d.config.ranges import Between, Range
from gan3d.config.scalars import Scalar


def representatives(one: Range, rules: Sequence[Entry]) -> tuple[Scalar, ...]:
    """The first value of each kind; two values are of one kind if the same of the rules hold for them."""
    found: dict[tuple[bool, ...], Scalar] = {}
    for value in _candidates(one, rules):
        found.setdefault(tuple(entry_holds(rule, value) for rule in rules), value)
    return tuple(found.values())


def _candidates(one: Range, rules: Sequence[Entry]) -> Iterator[Scalar]:
    """Values among which there is one of each kind: of numbers, those about the places where rules begin and end."""
    if not isinstance(one, Between):
        yield from one.values
        return
    ends = {one.min, one.max}
    ends |= {end for rule in rules for end in (rule.ends if isinstance(rule, Interval) else rule) if isinstance(end, int | float)}
    within = sorted(end for end in ends if one.min <= end <= one.max)
    if one.num_values is None:
        # What lies between two ends: a single number at an end is hardly ever proposed.
        yield from ((low + high) / 2 for low, high in itertools.pairwise(within))
        return
    places = {math.floor((end - one.min) / (one.step or 1)) + beside for end in within for beside in (-1, 0, 1, 2)}
    yield from (one.value_at(place) for place in sorted(places) if 0 <= place < one.num_values)
