"""How a trial ended: every row of the table in the module's docstring, and the order of objectives in both directions."""

from __future__ import annotations

import math
from typing import Any

import pytest

from gan3d.tracking.outcome import ACTOR_LOST, BEST, EPOCH, FAILED, IS_OLD, REASON, RESTARTS, STOPPED, TURN_OVER, outcome_of, worst
from gan3d.training.merit import Merit

EPOCHS = 3
SAMPLE = {"training.seed": 7}
DIVERGED = "DivergedError: losses are not finite"
SPENT = "budget.kwh = 1 is spent (1.01 kWh)"


def result(epoch: int, best: float | None, reason: str = "") -> dict[str, Any]:
    """What a trial tells Tune; with a ``reason`` it failed."""
    merit = None if best is None else Merit(0.0, (best,))
    return {EPOCH: epoch, FAILED: bool(reason), REASON: reason, BEST: merit, RESTARTS: epoch}


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
    "not a number yet as its turn is over": (
        result(1, math.nan) | {STOPPED: TURN_OVER},
        "",
        ("stopped", f"after epoch 1 of 3: {TURN_OVER}", 1, None),
    ),
    "not a number as the budget was spent in the end": (
        result(3, math.nan) | {STOPPED: SPENT},
        "",
        ("failed", "the objective is not finite", 3, None),
    ),
    "infinite": (result(3, math.inf), "", ("failed", "the objective is not finite", 3, None)),
    "actor lost at once": (None, ACTOR_LOST, ("failed", ACTOR_LOST, 0, None)),
    "actor lost in a later epoch": (result(2, 0.5), ACTOR_LOST, ("failed", ACTOR_LOST, 2, 0.5)),
    "actor lost after its last epoch": (result(3, 0.5), ACTOR_LOST, ("failed", ACTOR_LOST, 3, 0.5)),
    "no result at all": (None, "", ("failed", "ended before its first epoch", 0, None)),
    "a result without an epoch": ({"done": True}, "", ("failed", "ended before its first epoch", 0, None)),
}


@pytest.mark.parametrize("row", TABLE)
def test_every_end_has_one_state_and_one_reason(row: str) -> None:
    last, error, expected = TABLE[row]
    record = outcome_of(4, SAMPLE, EPOCHS, last, error, seconds=9.5)
    assert (record.state, record.reason, record.epochs, record.objective) == expected
    assert (record.number, record.sample) == (4, SAMPLE)
    assert (record.seconds, record.restarts) == (9.5, (last or {}).get(RESTARTS, 0))


@pytest.mark.parametrize("row", TABLE)
def test_whoever_did_not_complete_says_why(row: str) -> None:
    last, error, _ = TABLE[row]
    record = outcome_of(0, SAMPLE, EPOCHS, last, error, seconds=9.5)
    assert (record.reason == "") == (record.state == "complete")


@pytest.mark.parametrize("direction", ["minimize", "maximize"])
def test_a_failed_trial_is_worse_than_any(direction: str) -> None:
    assert worst(direction) == (math.inf if direction == "minimize" else -math.inf)


def test_a_trial_that_has_used_all_it_may_is_complete() -> None:
    assert outcome_of(0, SAMPLE, EPOCHS, result(2, 0.5) | {IS_OLD: True}, seconds=9.5).state == "complete"
    assert outcome_of(0, SAMPLE, EPOCHS, result(2, 0.5) | {IS_OLD: False}, seconds=9.5).state == "pruned"


def test_trade_offs_and_excess_are_those_of_the_best_epoch() -> None:
    record = outcome_of(0, SAMPLE, EPOCHS, result(3, 0.5) | {BEST: Merit(0.25, (0.5, 7.0, 3.0))}, seconds=9.5)
    assert (record.objective, record.trade_offs, record.excess) == (0.5, (7.0, 3.0), 0.25)


def test_a_trade_off_that_is_not_finite_is_a_failure() -> None:
    record = outcome_of(0, SAMPLE, EPOCHS, result(3, 0.5) | {BEST: Merit(0.0, (0.5, math.nan))}, seconds=9.5)
    assert (record.state, record.reason, record.objective) == ("failed", "the objective is not finite", None)
