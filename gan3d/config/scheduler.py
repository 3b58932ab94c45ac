"""Who stops trials early, and by what a trial's age is counted."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated, Literal

from pydantic import Field

from gan3d.config.problem import Problem
from gan3d.config.settings import Positive, Settings


class Scheduler(Settings):
    """Stops trials early, by the objective, its trade-offs and its constraints; never by a loss, unless that is the objective."""

    name: Literal["none", "asha", "hyperband", "median"] = "none"
    """`asha`: asynchronous successive halving; `hyperband`: brackets of it, drawn for each trial, that spare it the first rungs; `median`:
    ends a trial whose best is worse than the median of the others at its epoch."""
    rungs_in: Literal["epochs", "showers", "core_seconds"] = "epochs"
    """By what a trial's age is counted: in `core_seconds`, what its workers have cost so far, cheap trials get more epochs. With `none` and
    `most`, all trials end at the same age."""
    grace: Positive = 1
    """Age of the first rung; no trial is stopped earlier."""
    most: Positive | None = None
    """Age at which a trial is complete, with `rungs_in` other than epochs: it ends there, or after `training.epochs`."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One trial in so many goes on at each rung; each rung is so many times as high as the one before."""

    @property
    def has_rungs(self) -> bool:
        """Whether trials are compared at certain ages only."""
        return self.name in ("asha", "hyperband")

    def rungs(self, epochs: int) -> tuple[float, ...]:
        """Ages at which trials are compared, rising; none where a trial ends anyway.

        Args:
            epochs: of a full trial.
        """
        end = epochs if self.rungs_in == "epochs" or self.most is None else self.most
        found = []
        age = self.grace
        while age < end:
            found.append(age)
            age *= self.reduction_factor
        return tuple(found)


def scheduler_problems(scheduler: Scheduler, epochs: int) -> Iterator[Problem]:
    """What contradicts itself, or the epochs of a trial."""
    others = (("scheduler.rungs_in", scheduler.rungs_in),)
    if scheduler.name == "none" and scheduler.rungs_in != "epochs":
        if scheduler.most is None:
            rule = "counts for rungs, of which there are none with"
            none = (("scheduler.name", "none"),)
            way_out = "Set scheduler.name to asha, or scheduler.most to the age at which every trial shall end."
            yield Problem("scheduler.rungs_in", rule, way_out, scheduler.rungs_in, none)
        return
    if scheduler.rungs_in == "epochs":
        if scheduler.most is not None:
            yield Problem("scheduler.most", "contradicts", "Set training.epochs instead.", scheduler.most, others)
        if scheduler.grace > epochs and scheduler.name != "none":
            way_out = "Lower scheduler.grace or raise training.epochs."
            yield Problem("scheduler.grace", "exceeds", way_out, scheduler.grace, (("training.epochs", epochs),))
        return
    if scheduler.name == "median":
        yield Problem(
            "scheduler.rungs_in",
            "is not what the median is taken by: it looks at every epoch",
            "Use asha, or count epochs.",
            scheduler.rungs_in,
        )
    elif scheduler.most is None:
        yield Problem("scheduler.most", "is missing with", "Say after how much a trial is complete.", others=others)
    elif scheduler.grace > scheduler.most:
        yield Problem("scheduler.grace", "exceeds", "Lower it.", scheduler.grace, (("scheduler.most", scheduler.most),))
