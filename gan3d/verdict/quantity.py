"""A number and how sure it is, and what becomes of both when it is carried over to another team."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy import stats

from gan3d.scaling.ablation import mean_interval
from gan3d.scaling.draws import CONFIDENCE

#: Its exponential is a number still.
LARGEST_POWER = 700.0


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and how sure it is."""

    value: float
    low: float
    high: float
    """Of the interval with 95 %; of a single trial, and of a median of fewer than six, not a number."""
    num_trials: int
    spread: float = math.nan
    """Standard deviation over trials."""

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantity:
        """The mean of those that are known."""
        told = np.array([value for value in values if math.isfinite(value)])
        if not len(told):
            return cls(math.nan, math.nan, math.nan, 0)
        if len(told) == 1:
            return cls(float(told[0]), math.nan, math.nan, 1)
        found = mean_interval(told)
        ends = (found["difference_low"], found["difference_high"])
        return cls(found["difference"], *ends, len(told), float(np.std(told, ddof=1)))

    @classmethod
    def until(cls, reached: Sequence[float], num_trials: int) -> Quantity:
        """The median over trials of what it takes until something, infinite where half of them or more never came to it.

        Its interval lies between two of the trials, those that missed it among them, whatever their distribution (Conover, Practical
        Nonparametric Statistics, 3.2: the binomial of one half).

        Args:
            reached: of the trials that came to it.
            num_trials: of all; the rest count as infinite.
        """
        if not num_trials:
            return cls(math.nan, math.nan, math.nan, 0)
        values = sorted([*reached, *[math.inf] * (num_trials - len(reached))])
        place = int(stats.binom.ppf((1 - CONFIDENCE) / 2, num_trials, 0.5))  # the most below the low end, and above the high one
        ends = (values[place - 1], values[-place]) if place else (math.nan, math.nan)
        return cls(float(np.median(values)), *ends, num_trials)

    def times(self, factor: Quantity) -> Quantity:
        """With another that is independent of it: relative half widths add in quadrature. Not known where one of them is not.

        A factor that is exact has its own value for both ends.
        """
        squares = ((_distance(*self._side(end)) ** 2, _distance(*factor._side(end)) ** 2) for end in ("low", "high"))
        below, above = (math.sqrt(sum(pair)) for pair in squares)
        value = self.value * factor.value
        return Quantity(value, value * _exponential(-below), value * _exponential(above), self.num_trials)

    def inverse(self) -> Quantity:
        """One over it."""
        return Quantity(1 / self.value, 1 / self.high, 1 / self.low, self.num_trials)

    def _side(self, end: str) -> tuple[float, float]:
        return (self.low, self.value) if end == "low" else (self.value, self.high)


def _exponential(power: float) -> float:
    return math.inf if power > LARGEST_POWER else math.exp(power)


def exactly(value: float) -> Quantity:
    """What is known for sure."""
    return Quantity(value, value, value, 0)


def _distance(low: float, high: float) -> float:
    """On the scale of logarithms: infinite to nothing, or less, and to what has no end."""
    if low == high:
        return 0.0
    if math.isnan(low) or math.isnan(high):
        return math.nan
    return math.inf if low <= 0 or math.isinf(high) else math.log(high / low)
