"""How a trial ended, in the words of Tune, Optuna, MLflow and ours. The one place where the four meet.

    what happened                        TrialRecord   Optuna     Tune         MLflow
    all epochs trained, or all it may use complete      COMPLETE   TERMINATED   FINISHED, state=complete
    stopped early by the scheduler       pruned        PRUNED     TERMINATED   FINISHED, state=pruned
    the budget was spent, the disk full  stopped       RUNNING    TERMINATED   FINISHED, state=stopped, reason
    its turn is over, others wait        stopped       RUNNING    TERMINATED   FINISHED, state=stopped, reason
    diverged, or its workers kept dying  failed        FAIL       TERMINATED   FAILED, state=failed, reason
    its trial actor died                 failed        FAIL       ERROR        FAILED, state=failed, reason=ACTOR_LOST, error
    would train as an earlier trial did  as that one   as that    (not told)   as that one, reason=UNTRAINED: ...
    study interrupted                    running       RUNNING    (not told)   RUNNING until the next session begins, then
                                         stopped                               as stopped until it goes on

Tune tells the searcher (Optuna) of a lost actor first, and without the error: so the reason is the same words for all, and
MLflow's tag ``error`` has the error's last line besides.
A trial that the budget stopped stays RUNNING for Optuna, which cannot take up an ended one: the next session goes on with it from its
last epoch, and so does this one with a trial whose turn was over. Optuna's user attribute ``stopped`` has the reason meanwhile.
A diverged trial is TERMINATED for Tune because its team of workers lives on; an ERROR would tear the team down.
The objective of a trial, its trade-offs and what it breaks of constraints are those of its best epoch (`gan3d.training.merit`), whose
state is kept in ``best.pt``: a minimum over epochs is optimistic, so a winner is judged again on showers it has not seen.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from gan3d.records import TrialRecord, TrialState
from gan3d.training.merit import merit_of

#: Keys of a Tune result beside the metrics.
EPOCH, FAILED, REASON, RESTARTS = "epoch", "failed", "reason", "restarts"
#: What Tune is told to look at: the objective's value; the whole merit of the epoch, and of the best one so far.
OBJECTIVE, MERIT, BEST = "objective", "merit", "best"
#: What the trial has used, in the unit of `scheduler.rungs_in`; and whether that is all that a trial gets.
AGE, IS_OLD = "age", "is_old"
#: Present where neither the trial nor the scheduler ended it: the limit that is spent, who asked for it, or the disk that is full.
STOPPED = "stopped"
#: The same of a trial that made way for others: `gan3d.search.turns`.
TURN_OVER = "its turn is over, others wait"
#: How the reason of a trial begins whose end was known without training.
UNTRAINED = "not trained"
#: The reason of a trial that Tune marks ERROR.
ACTOR_LOST = "the trial's actor was lost"


def worst(direction: str) -> float:
    """What Tune's scheduler is told of a failed trial: it cannot rank NaN."""
    return math.inf if direction == "minimize" else -math.inf


def outcome_of(
    number: int, sample: Mapping[str, Any], epochs: int, result: Mapping[str, Any] | None, error: str = "", *, seconds: float
) -> TrialRecord:
    """The record of an ended trial.

    Args:
        number: Optuna's trial number.
        sample: dotted key → value.
        epochs: of a full trial.
        result: Tune's last result; None or without an epoch where there was none.
        error: why Tune gave the trial up; empty if it did not.
        seconds: that it held its team, over all sessions: Tune knows of the last one only.
    """
    last = result or {}
    reached = int(last.get(EPOCH, 0)) if last.get(BEST) is not None else 0
    state, reason = _state(last, reached, epochs, error)
    best = merit_of(last[BEST]) if last.get(BEST) is not None else None
    restarts = int(last.get(RESTARTS, 0))
    if best is None or not best.is_finite:
        return TrialRecord(number, dict(sample), state, reason, reached, None, seconds, restarts)
    objective, *trade_offs = best.values
    return TrialRecord(number, dict(sample), state, reason, reached, objective, seconds, restarts, tuple(trade_offs), best.excess)


def _state(last: Mapping[str, Any], reached: int, epochs: int, error: str) -> tuple[TrialState, str]:
    if error:
        return "failed", error
    if last.get(FAILED):
        stopped = last.get(STOPPED)
        return ("stopped", f"in epoch {reached + 1} of {epochs}: {stopped}") if stopped else ("failed", str(last.get(REASON, "")))
    if not reached:
        return "failed", "ended before its first epoch"
    spent, where = last.get(STOPPED), f"after epoch {reached} of {epochs}"
    is_whole = reached >= epochs or bool(last.get(IS_OLD))
    # One that is to go on may become finite.
    if not merit_of(last[BEST]).is_finite and (is_whole or not spent):
        return "failed", "the objective is not finite"
    if is_whole:
        return "complete", ""
    return ("stopped", f"{where}: {spent}") if spent else ("pruned", f"stopped by the scheduler {where}")
