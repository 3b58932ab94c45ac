"""What is optimised: one metric, others traded against it, and limits that a trial must keep."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from gan3d.config.keys import nearest
from gan3d.config.problem import ABSENT, Contradictions, Problem, split
from gan3d.config.settings import Positive, Settings
from gan3d.records import METRICS

Direction = Literal["minimize", "maximize"]
DIRECTIONS: dict[str, Direction] = {"lower": "minimize", "higher": "maximize"}
METRIC = "physics.shower_distance"
_WAY_OUT = "Groups: losses.*, physics.*, timing.*, cost.*; `gan3d schema --metrics` lists all."


class Goal(Settings):
    """A metric and its better side."""

    metric: str
    """A metric's name (`gan3d schema --metrics` lists them)."""
    direction: Direction = "minimize"
    """Which way is better; by default what the metric says."""


class Constraint(Settings):
    """A limit on a metric; a trial that does not keep it is worse than any that does."""

    metric: str
    """A metric's name."""
    at_most: Positive | None = None
    """Upper limit."""
    at_least: Positive | None = None
    """Lower limit."""

    @property
    def text(self) -> str:
        """In words."""
        limits = (("at most", self.at_most), ("at least", self.at_least))
        return f"{self.metric} {' and '.join(f'{word} {limit:g}' for word, limit in limits if limit is not None)}"


class Objective(Settings):
    """What the sampler optimises."""

    metric: str = METRIC
    """A metric's name (`gan3d schema --metrics` lists them)."""
    direction: Direction = "minimize"
    """Which way is better; by default what the metric says."""
    target: Positive | None = None
    """Value of the metric that counts as reached: the study tells which trials got there, and how soon. No trial stops at it."""
    average_epochs: Annotated[int, Field(ge=1)] = 1
    """An epoch counts with the mean of every metric over so many epochs, itself the last: less luck, later news."""
    trade_offs: tuple[Goal, ...] = ()
    """Further metrics to optimise, none at the cost of another: the answer is the Pareto front of the trials' best epochs."""
    constraints: tuple[Constraint, ...] = ()
    """Limits to keep before anything else counts: a gate, such as `{metric: physics.response, at_most: 0.02}`."""

    @property
    def goals(self) -> tuple[Goal, ...]:
        """Every metric that is optimised, the objective's first."""
        return (Goal(metric=self.metric, direction=self.direction), *self.trade_offs)

    @property
    def metrics(self) -> tuple[str, ...]:
        """Every metric that counts: the goals', then the constraints', each once."""
        return tuple(dict.fromkeys([*(goal.metric for goal in self.goals), *(limit.metric for limit in self.constraints)]))

    @property
    def is_plain(self) -> bool:
        """Whether a trial's worth is one number: no trade-offs, no constraints."""
        return not self.trade_offs and not self.constraints

    def is_reached(self, value: float) -> bool:
        """Whether a value is as good as the target; never without one, and never by NaN."""
        if self.target is None:
            return False
        return value <= self.target if self.direction == "minimize" else value >= self.target

    @model_validator(mode="before")
    @classmethod
    def _directions_of_the_metrics(cls, data: Any) -> Any:
        """Fill in the directions that the metrics' records state, and refuse the other ones."""
        if not isinstance(data, dict):
            return data
        filled, problems = dict(data), list(_problems(data))
        if problems:
            raise Contradictions(problems)
        metric = data.get("metric", METRIC)
        if isinstance(metric, str):
            filled = {"direction": DIRECTIONS[METRICS[metric].better], **data}
        if isinstance(traded := data.get("trade_offs"), list | tuple):
            filled["trade_offs"] = tuple(_with_direction(one) for one in traded)
        return filled

    @model_validator(mode="after")
    def _check(self) -> Self:
        names = [goal.metric for goal in self.goals]
        for place, name in enumerate(names[1:]):
            if name in names[: place + 1]:
                key = f"objective.trade_offs.{place}.metric"
                raise Contradictions([Problem(key, "is optimised already", "Remove it.", name)])
        return self


def _with_direction(goal: Any) -> Any:
    if not isinstance(goal, dict) or not isinstance(goal.get("metric"), str):
        return goal
    return {"direction": DIRECTIONS[METRICS[goal["metric"]].better], **goal}


def _problems(data: Mapping[str, Any]) -> Iterator[Problem]:
    """Of an objective's plain values, as far as they have the right form."""
    yield from _goal_problems(data.get("metric", METRIC), data.get("direction"), "objective")
    for name, check in (("trade_offs", _trade_off_problems), ("constraints", _constraint_problems)):
        if isinstance(written := data.get(name), list | tuple):
            for place, one in enumerate(written):
                if isinstance(one, dict):
                    yield from check(one, f"objective.{name}.{place}")


def _trade_off_problems(goal: Mapping[str, Any], key: str) -> Iterator[Problem]:
    yield from _goal_problems(goal.get("metric"), goal.get("direction"), key)


def _goal_problems(metric: Any, direction: Any, key: str) -> Iterator[Problem]:
    """Whether a metric exists, has a better side, and is optimised towards it."""
    if not isinstance(metric, str):
        return
    if metric not in METRICS:
        yield _no_metric(metric, key)
        return
    better = METRICS[metric].better
    if better == "neither":
        way_out = "Choose one that is, such as physics.shower_distance or timing.showers_per_second."
        yield Problem(f"{key}.metric", "is neither better when lower nor when higher", way_out, metric)
    elif direction in DIRECTIONS.values() and direction != DIRECTIONS[better]:
        way_out = f"Set it to {DIRECTIONS[better]}, or leave it out."
        rule = f"contradicts that {better} is better for"
        yield Problem(f"{key}.direction", rule, way_out, direction, ((f"{key}.metric", metric),))


def _constraint_problems(limit: Mapping[str, Any], key: str) -> Iterator[Problem]:
    metric, example = limit.get("metric"), "Write {metric: physics.response, at_most: 0.02}."
    if isinstance(metric, str) and metric not in METRICS:
        yield _no_metric(metric, key)
    elif isinstance(metric, str) and metric.startswith("noise_scale."):
        yield Problem(f"{key}.metric", "is absent from trials of one rank", "Choose a metric that every epoch has.", metric)
    limits = {name: limit.get(name) for name in ("at_most", "at_least")}
    if all(value is None for value in limits.values()):
        yield Problem(key, "has no limit", example, ABSENT, at=split(key))
    low, high = limits["at_least"], limits["at_most"]
    if isinstance(low, int | float) and isinstance(high, int | float) and low > high:
        yield Problem(f"{key}.at_least", "is above", "Swap them.", low, ((f"{key}.at_most", high),))


def _no_metric(metric: str, key: str) -> Problem:
    near = nearest(metric, METRICS)
    return Problem(f"{key}.metric", f"is not a metric{f'; did you mean {near}?' if near else ''}", _WAY_OUT, metric)
