"""What an epoch of a trial is worth by the study's objective: the one place where epochs are compared.

The state kept as `best.pt`, a trial's objective, its rungs, what Optuna is told and what figures show as best all follow from here.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from gan3d.config.objective import Constraint, Objective
from gan3d.records import TrialRecord

#: Excess over a limit where the metric is not finite.
BEYOND = 1e9


class Merit(NamedTuple):
    """An epoch's worth. Of two the better one keeps all constraints, or comes nearer to keeping them; then its first value decides."""

    excess: float
    """Largest relative excess over a constraint's limit; 0 or less: all are kept, and 0 without any."""
    values: tuple[float, ...]
    """As measured, averaged over `objective.average_epochs`: the objective's metric, then the trade-offs'."""

    @property
    def first(self) -> float:
        """The objective's value."""
        return self.values[0]

    @property
    def traded(self) -> tuple[float, ...]:
        """The trade-offs' values."""
        return self.values[1:]

    @property
    def is_kept(self) -> bool:
        """Whether all constraints are."""
        return self.excess <= 0.0

    @property
    def is_finite(self) -> bool:
        """Whether every value is."""
        return all(map(math.isfinite, self.values))


class Judge:
    """Of one trial's epochs, in their order."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._goals, self._limits = objective.goals, objective.constraints
        self._metrics = objective.metrics
        self._last: deque[tuple[float, ...]] = deque(maxlen=objective.average_epochs)
        self.best: Merit | None = None
        """Of the epochs so far; not finite as long as none is."""

    def judge(self, metrics: Mapping[str, float]) -> Merit:
        """The merit of the next epoch; ``best`` is up to date afterwards.

        Args:
            metrics: of the epoch, by name; absent ones count as not measured (NaN).
        """
        self._last.append(tuple(float(metrics.get(name, math.nan)) for name in self._metrics))
        means = {name: math.fsum(column) / len(column) for name, column in zip(self._metrics, zip(*self._last, strict=True), strict=True)}
        excess = max((excess_over(limit, means[limit.metric]) for limit in self._limits), default=0.0)
        merit = Merit(excess, tuple(means[goal.metric] for goal in self._goals))
        if self.best is None or is_better(merit, self.best, self._objective):
            self.best = merit
        return merit


def judged(rows: Iterable[tuple[int, Mapping[str, float]]], objective: Objective) -> Iterator[tuple[int, Merit]]:
    """The number and merit of each of a trial's epochs, in their order given as number and metrics."""
    judge = Judge(objective)
    for epoch, metrics in rows:
        yield epoch, judge.judge(metrics)


def best_epoch(curve: Iterable[tuple[int, Merit]], objective: Objective) -> tuple[int, Merit] | None:
    """The best of a trial's epochs, in their order given as number and merit; of equals the earliest. None where no merit is finite."""
    finite = [(epoch, merit) for epoch, merit in curve if merit.is_finite]
    return min(finite, key=lambda one: order(one[1], objective), default=None)


def excess_over(limit: Constraint, value: float) -> float:
    """By how much a value breaks a limit, relative to it; negative where it keeps it."""
    if not math.isfinite(value):
        return BEYOND
    above = -math.inf if limit.at_most is None else value / limit.at_most - 1.0
    below = -math.inf if limit.at_least is None else 1.0 - value / limit.at_least
    return max(above, below)


def is_better(merit: Merit, other: Merit, objective: Objective) -> bool:
    """Whether the first is better than the second; equals are not, and what is not finite never is better than what is."""
    return (not merit.is_finite, *order(merit, objective)) < (not other.is_finite, *order(other, objective))


def order(merit: Merit, objective: Objective) -> tuple[float, float]:
    """Sorts merits, the best first; what is not a number comes last of those that are as far from the constraints."""
    value = merit.first if objective.direction == "minimize" else -merit.first
    return (max(merit.excess, 0.0), math.inf if math.isnan(value) else value)


def losses(merits: Sequence[Merit], objective: Objective) -> list[tuple[float, ...]]:
    """The values of each with signs turned so that lower is better for all; what is not finite is infinite."""
    signs = [1.0 if goal.direction == "minimize" else -1.0 for goal in objective.goals]
    return [tuple(_or_infinite(sign * value) for sign, value in zip(signs, one.values, strict=True)) for one in merits]


def merit_of(plain: Any) -> Merit:
    """A merit that went through JSON or Tune."""
    excess, values = plain
    return Merit(float(excess), tuple(map(float, values)))


def merit_of_record(record: TrialRecord) -> Merit | None:
    """What an ended or running trial is worth; None before its first epoch, and of a failed one."""
    if record.objective is None or record.state == "failed":
        return None
    return Merit(record.excess, (record.objective, *record.trade_offs))


def _or_infinite(value: float) -> float:
    return math.inf if math.isnan(value) else value
