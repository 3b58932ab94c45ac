"""How a trial ended: every row of the table in the module's docstring, and the order of objectives in both directions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gan3d.tracking.outcome import ACTOR_LOST, BEST, EPOCH, FAILED, REASON, RESTARTS, STOPPED, better_of, outcome_of, worst

EPOCHS = 3
SAMPLE = {"training.seed": 7}
DIVERGED = "DivergedError: losses are not finite"
SPENT = "budget.kwh = 1 is spent (1.01 kWh)"


def result(epoch: int, best: float | None, reason: str = "") -> dict[str, Any]:
    """What a trial tells Tune; with a ``reason`` it failed."""
    return {EPOCH: epoch, FAILED: bool(reason), REASON: reason, BEST: best, RESTARTS: epoch, "time_total_s": 9.5}


#: Tune's last result, Tune's error → state, reason, epochs, objective.
TABLE: dict[str, tuple[dict[str, Any] | None, str, tuple[str, str, int, float | None]]] = {
    "all epochs trained": (result(3, 0.25), "", ("complete", "", 3, 0.25)),
    "stopped by the scheduler": (result(1, 0.5), "", ("pruned", "stopped by the scheduler after epoch 1 of 3", 1, 0.5)),
    "stopped as the budget was spent": (result(2, 0.5) | {STOPPED: SPENT}, "", ("stopped", f"after epoch 2 of 3: {SPENT}", 2, 0.5)),
    "complete as the budget was spent": (result(3, 0.5) | {STOPPED: SPENT}, "", ("complete", "", 3, 0.5)),
    "actor lost as the budget was spent": (result(2, 0.5) | {STOPPED: SPENT}, ACTOR_LOST, ("failed", ACTOR_LOST, 2, 0.5)),
    # A trial that never ended an epoch tells Tune epoch 1 all the same: the scheduler wants one.
    "diverged in its first epoch": (result(1, None, DIVERGED), "", ("failed", DIVERGED, 0, None)),
    "diverged in a later epoch": (result(2, 0.5, DIVERGED), "", ("failed", DIVERGED, 2, 0.5)),
    "not a number": (result(3, math.nan), "", ("failed", "the objective is not finite", 3, None)),
    "infinite": (result(3, math.inf), "", ("failed", "the objective is not finite", 3, None)),
    "actor lost at once": (None, ACTOR_LOST, ("failed", ACTOR_LOST, 0, None)),
    "actor lost in a later epoch": (result(2, 0.5), ACTOR_LOST, ("failed", ACTOR_LOST, 2, 0.5)),
    "actor lost after its last epoch": (result(3, 0.5), ACTOR_LOST, ("failed", ACTOR_LOST, 3, 0.5)),
    "no result at all": (None, "", ("failed", "ended before its first epoch", 0, None)),
    "a result without an epoch": ({"time_total_s": 1.0}, "", ("failed", "ended before its first epoch", 0, None)),
}


@pytest.mark.parametrize("row", TABLE)
def test_every_end_has_one_state_and_one_reason(row: str) -> None:
    last, error, expected = TABLE[row]
    record = outcome_of(4, SAMPLE, EPOCHS, last, error)
    assert (record.state, record.reason, record.epochs, record.objective) == expected
    assert (record.number, record.sample) == (4, SAMPLE)
    assert (record.seconds, record.restarts) == ((last or {}).get("time_total_s", 0.0), (last or {}).get(RESTARTS, 0))


@pytest.mark.parametrize("row", TABLE)
def test_whoever_did_not_complete_says_why(row: str) -> None:
    last, error, _ = TABLE[row]
    record = outcome_of(0, SAMPLE, EPOCHS, last, error)
    assert (record.reason == "") == (record.state == "complete")


@pytest.mark.parametrize(("direction", "best"), [("minimize", 0.1), ("maximize", 0.9)])
def test_the_better_objective_does_not_depend_on_the_order(direction: str, best: float) -> None:
    for values in ((0.5, 0.1, 0.9), (0.9, 0.5, 0.1), (0.1, 0.9, 0.5)):
        found = None
        for value in values:
            found = better_of(found, value, direction)
        assert found == best


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_failed_trial_is_worse_than_any(direction: str) -> None:
    for value in (-1e300, 0.0, 1e300):
        assert better_of(value, worst(direction), direction) == value == better_of(worst(direction), value, direction)
