"""What searches cost until they have found something good, over many seeds, with intervals."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import moocore
import numpy as np
from numpy.typing import NDArray

from benchmarks.search.replay import Step, search
from benchmarks.search.surface import Surface

#: Best share of distances that is asked for, and of the surface's hypervolume.
BEST_SHARE, VOLUME_SHARE = 0.02, 0.95
BOOTSTRAPS = 4000


@dataclass(frozen=True, slots=True)
class Interval:
    """An estimate with its 95 % interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Found:
    """Core-seconds of one method's searches; infinite where it was not found."""

    method: str
    core_seconds: tuple[float, ...]

    @property
    def num_never(self) -> int:
        """Searches that did not find it."""
        return sum(math.isinf(one) for one in self.core_seconds)


class Distance:
    """The question of one objective: when is one of the best distances reached?"""

    several = False

    def __init__(self, surface: Surface) -> None:
        self.target = surface.best_share(BEST_SHARE)

    def seconds(self, steps: Iterable[Step]) -> float:
        """Core-seconds until it is; infinite if it never is."""
        return next((step.core_seconds for step in steps if step.distance <= self.target), math.inf)


class Volume:
    """The question of several: when does the front cover nearly what the whole surface's does?

    Axes: distance from the surface's best to its median, cost of an epoch from the cheapest to the dearest, each scaled to [0, 1].
    """

    several = True

    def __init__(self, surface: Surface) -> None:
        good = [one for one in surface.trainings.values() if not one.has_diverged]
        distances, costs = [one.best for one in good], [one.core_seconds for one in good]
        self._low = np.array([min(distances), min(costs)])
        self._span = np.array([float(np.median(distances)), max(costs) * 1.1]) - self._low
        self.whole = self.of(list(zip(distances, costs, strict=True)))

    def of(self, points: Sequence[tuple[float, float]]) -> float:
        """Hypervolume of (distance, cost)."""
        return float(moocore.hypervolume((np.array(points) - self._low) / self._span, ref=np.ones(2))) if points else 0.0

    def seconds(self, steps: Iterable[Step]) -> float:
        """Core-seconds until the share is covered; infinite if it never is."""
        best: dict[float, float] = {}
        for step in steps:
            if step.distance < best.get(step.cost, math.inf):
                best[step.cost] = step.distance
                if self.of([(distance, cost) for cost, distance in best.items()]) >= VOLUME_SHARE * self.whole:
                    return step.core_seconds
        return math.inf


def budget(surface: Surface) -> float:
    """Core-seconds of training every sample to its end: what a search counts with that has not found it."""
    mean = float(np.mean([training.core_seconds for training in surface.trainings.values()]))
    return surface.num_samples * surface.epochs * mean


def seconds_of(search_of: tuple[str, int], question: Distance | Volume, surface: Surface) -> float:
    """Core-seconds of one search, given as (method, seed), until it has found what is asked; infinite where it gave up."""
    return question.seconds(search(*search_of, surface, budget(surface), several=question.several))


def mean(one: Found, most: float) -> Interval:
    """Mean core-seconds with a bootstrap interval; a search without success counts with the `budget`."""
    draws = _resampled(_spent(one, most), np.random.default_rng(1)).mean(axis=1)
    return Interval(float(np.mean(_spent(one, most))), *map(float, np.quantile(draws, [0.025, 0.975])))


def ratio(one: Found, other: Found, most: float) -> Interval:
    """Mean core-seconds of one over the other's, with a bootstrap interval over seeds."""
    random = np.random.default_rng(1)
    draws = _resampled(_spent(one, most), random).mean(axis=1) / _resampled(_spent(other, most), random).mean(axis=1)
    return Interval(float(np.mean(_spent(one, most)) / np.mean(_spent(other, most))), *map(float, np.quantile(draws, [0.025, 0.975])))


def _spent(one: Found, most: float) -> NDArray[np.float64]:
    spent: NDArray[np.float64] = np.minimum(np.array(one.core_seconds), most)
    return spent


def _resampled(values: NDArray[np.float64], random: np.random.Generator) -> NDArray[np.float64]:
    drawn: NDArray[np.float64] = random.choice(values, size=(BOOTSTRAPS, len(values)))
    return drawn
