"""Results as a trial actor gives them to Tune (`gan3d.search.team`), made by hand."""

from __future__ import annotations

from typing import Any

from gan3d.tracking.outcome import AGE, BEST, EPOCH, FAILED, MERIT, OBJECTIVE, REASON, RESTARTS
from gan3d.training.merit import Merit


def epoch_result(epoch: int, *values: float, best: float | None = None, excess: float = 0.0, age: float | None = None) -> dict[str, Any]:
    """One epoch's; ``best``: the objective of the best one so far, if that is another."""
    merit = Merit(excess, values)
    return {
        EPOCH: epoch,
        FAILED: False,
        REASON: "",
        RESTARTS: 0,
        OBJECTIVE: merit.first,
        MERIT: merit,
        BEST: merit if best is None else Merit(excess, (best, *merit.traded)),
        AGE: float(epoch) if age is None else age,
    }


def failed_result(reason: str, epoch: int = 1, best: float | None = None) -> dict[str, Any]:
    """Of a trial that cannot go on."""
    found = None if best is None else Merit(0.0, (best,))
    return {EPOCH: epoch, FAILED: True, REASON: reason, RESTARTS: 0, OBJECTIVE: float("inf"), BEST: found}
