"""What a trial tells Tune, epoch by epoch; its keys are those of `gan3d.tracking.outcome`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from gan3d.config.objective import Objective
from gan3d.tracking.outcome import AGE, BEST, EPOCH, FAILED, IS_OLD, MERIT, OBJECTIVE, REASON, RESTARTS, STOPPED, worst
from gan3d.training.merit import Judge

#: What an epoch adds to a trial's age, by the unit of `scheduler.rungs_in`; an epoch is one.
AGE_METRICS = {"showers": "timing.num_showers", "core_seconds": "cost.core_seconds"}


class TrialResults:
    """Of one trial; it is told every epoch once, in order."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        """``config``: the trial's, as `gan3d.search.searcher` makes it."""
        assignment = config["assignment"]
        objective = Objective.model_validate(assignment["objective"])
        self._metrics = objective.metrics
        self._judge, self._direction, self._epochs = Judge(objective), objective.direction, config["epochs"]
        self._known_restarts = config["known_restarts"]
        self._unit, self._most, self._age = assignment["age"]["unit"], assignment["age"]["most"], 0.0

    def of_epoch(self, epoch: int, metrics: Mapping[str, float], restarts: int = 0) -> dict[str, Any]:
        """Of a finished epoch; of a failure, where it did not measure what is optimised."""
        if missing := [name for name in self._metrics if name not in metrics]:
            return self.of_failure(f"epoch {epoch} did not measure {', '.join(missing)}", epoch, restarts)
        merit = self._judge.judge(metrics)
        self._age += 1.0 if self._unit == "epochs" else metrics[AGE_METRICS[self._unit]]
        is_old = self._most is not None and self._age >= self._most
        return {
            **metrics,
            EPOCH: epoch,
            FAILED: False,
            REASON: "",
            RESTARTS: self._known_restarts + restarts,
            OBJECTIVE: merit.first,
            MERIT: merit,
            BEST: self._judge.best,
            AGE: self._age,
            IS_OLD: is_old,
            "done": is_old or epoch >= self._epochs,
        }

    def of_failure(self, reason: str, epoch: int, restarts: int = 0) -> dict[str, Any]:
        """Of a trial that cannot go on in ``epoch``."""
        return {
            EPOCH: max(1, epoch - 1),  # Tune wants an epoch, even of a trial that never ended one
            FAILED: True,
            REASON: reason,
            RESTARTS: self._known_restarts + restarts,
            OBJECTIVE: worst(self._direction),
            BEST: self._judge.best,
            "done": True,
        }

    def of_stop(self, reason: str, epoch: int, restarts: int = 0) -> dict[str, Any]:
        """Of a trial that cannot go on in ``epoch`` now, and could later: `gan3d.search.spending` then stops the study."""
        return self.of_failure(reason, epoch, restarts) | {STOPPED: reason}
