"""The gate: is a set of showers further from the Monte Carlo than the Monte Carlo is from itself?

Every number of `statistics` is held against its floor: what it is between two draws of the reference, as many showers each as are judged.
Further than five standard deviations of the floor in any of them, and the showers do not pass.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from functools import lru_cache

import numpy as np

from gan3d.validation.statistics import Yardstick, least_spread, statistics_of
from gan3d.validation.table import ObservableTable

#: Standard deviations of the floor beyond which a number is flagged.
LIMIT = 5.0
#: Draws the floor is made of.
NUM_DRAWS = 200
#: Numbers of which only too large a value is a fault: a set cannot be correlated too much like the reference.
ONE_SIDED = ("correlation/layers", "broken/showers")


@dataclass(frozen=True, slots=True)
class Finding:
    """One number beside its floor."""

    name: str
    value: float
    floor_mean: float
    floor_spread: float

    @property
    def deviations(self) -> float:
        """How many standard deviations of the floor it is off; infinite where the floor has no spread and it is off at all."""
        off = self.value - self.floor_mean
        if self.name in ONE_SIDED:
            off = max(off, 0.0)
        if abs(off) <= 1e-12:
            return 0.0
        return abs(off) / self.floor_spread if self.floor_spread > 0 else math.inf

    @property
    def is_flagged(self) -> bool:
        """Whether that is too many."""
        return self.deviations > LIMIT


@dataclass(frozen=True, slots=True)
class Floor:
    """What numbers are between two draws of the reference: name → values, one per draw."""

    draws: dict[str, tuple[float, ...]]
    num_showers: int
    """Of each draw."""
    yardstick: Yardstick
    """By which both they and what is judged are measured."""

    def finding(self, name: str, value: float) -> Finding:
        """A number beside its floor."""
        drawn = np.array(self.draws[name])
        return Finding(name, value, float(drawn.mean()), max(float(drawn.std(ddof=1)), least_spread(name, self.num_showers)))


def floor_of(reference: ObservableTable, num_showers: int, seed: int, num_draws: int = NUM_DRAWS) -> Floor:
    """The floor from pairs of disjoint draws.

    Raises:
        ValueError: the reference does not hold two draws.
    """
    if reference.num_showers < 2 * num_showers:
        msg = f"a floor for {num_showers} showers needs a reference of {2 * num_showers}, there are {reference.num_showers}"
        raise ValueError(msg)
    return _floor(_Contents(reference.digest, reference), num_showers, seed, num_draws)


@dataclass(frozen=True, slots=True)
class _Contents:
    """A table that equals all with the same numbers in them."""

    digest: str
    table: ObservableTable = field(compare=False)


# Whoever judges several generators by one reference asks for the same floor each time.
@lru_cache(maxsize=4)
def _floor(contents: _Contents, num_showers: int, seed: int, num_draws: int) -> Floor:
    reference = contents.table
    random, found, yardstick = np.random.default_rng(seed), dict[str, list[float]](), Yardstick.of(reference)
    for _ in range(num_draws):
        rows = random.permutation(reference.num_showers)[: 2 * num_showers]
        pair = reference.draw(rows[:num_showers]), reference.draw(rows[num_showers:])
        for name, value in statistics_of(*pair, yardstick).items():
            found.setdefault(name, []).append(value)
    return Floor({name: tuple(values) for name, values in found.items()}, num_showers, yardstick)


def judge(one: ObservableTable, reference: ObservableTable, floor: Floor, seed: int) -> list[Finding]:
    """Every number of as many showers of ``one`` as the floor is for, against as many of the reference; worst first."""
    random = np.random.default_rng(seed)
    ours, theirs = (table.draw(random.permutation(table.num_showers)[: floor.num_showers]) for table in (one, reference))
    found = [floor.finding(name, value) for name, value in statistics_of(ours, theirs, floor.yardstick).items()]
    return sorted(found, key=lambda one: -one.deviations)
