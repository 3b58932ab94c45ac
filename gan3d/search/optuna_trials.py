"""A trial as Optuna's storage has it: its curve epoch by epoch, how it ended, and the record made from both.

Where a trial's worth is one number, Optuna's intermediate values are the curve. It keeps none for several objectives and knows no limits
that change from epoch to epoch, so there each epoch is a user attribute, ``epoch/0003``: {"excess": ..., "values": [...]}.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

import optuna
from optuna.trial import TrialState

from gan3d.config.objective import Objective
from gan3d.errors import DivergedError
from gan3d.records import TrialRecord
from gan3d.training.merit import Merit, best_epoch, merit_of_record, order

#: User attributes of an Optuna trial: of its effective settings; and, where another study trained it, which and as what.
DIGEST_ATTRIBUTE, FROM_ATTRIBUTE = "digest", "warm_start"
STOPPED_ATTRIBUTE, SECONDS_ATTRIBUTE, REASON_ATTRIBUTE, RESTARTS_ATTRIBUTE = "stopped", "seconds", "reason", "restarts"
#: The reason of a trial whose driver was killed.
INTERRUPTED = "its session was interrupted"
#: Name of the constraint that Optuna's samplers see.
CONSTRAINT = "excess"
_EPOCH = "epoch/"

Ended = Literal["complete", "pruned", "failed"]
#: Optuna's words for how a trial ended.
STATES: dict[Ended, TrialState] = {"complete": TrialState.COMPLETE, "pruned": TrialState.PRUNED, "failed": TrialState.FAIL}


def keep_epoch(trial: optuna.Trial, epoch: int, merit: Merit, objective: Objective) -> None:
    """Add an epoch to a trial's curve."""
    if not objective.trade_offs:
        trial.report(merit.first, step=epoch)
    if not objective.is_plain:
        trial.set_user_attr(epoch_attribute(epoch), as_attribute(merit))


def epoch_attribute(epoch: int) -> str:
    """Name of the user attribute that has an epoch."""
    return f"{_EPOCH}{epoch:04d}"


def as_attribute(merit: Merit) -> dict[str, Any]:
    """A merit as plain values."""
    return {"excess": merit.excess, "values": list(merit.values)}


def from_attribute(plain: Mapping[str, Any]) -> Merit:
    """The merit that `as_attribute` made plain."""
    return Merit(float(plain["excess"]), tuple(map(float, plain["values"])))


def curve_of(trial: optuna.trial.FrozenTrial) -> dict[int, Merit]:
    """Epoch → merit."""
    kept = {int(name.removeprefix(_EPOCH)): from_attribute(plain) for name, plain in trial.user_attrs.items() if name.startswith(_EPOCH)}
    return kept or {epoch: Merit(0.0, (value,)) for epoch, value in trial.intermediate_values.items()}


def tell_end(opened: optuna.Study, trial: optuna.Trial, record: TrialRecord, objective: Objective) -> None:
    """Store how a trial ended; of one that the budget stopped only that, for Optuna cannot take up an ended one."""
    if record.state == "stopped":
        trial.set_user_attr(STOPPED_ATTRIBUTE, record.reason)
        trial.set_user_attr(SECONDS_ATTRIBUTE, record.seconds)
        return
    assert record.state != "running", record
    if record.reason:
        trial.set_user_attr(REASON_ATTRIBUTE, record.reason)
    is_judged = objective.constraints and record.objective is not None and record.state != "failed"
    if is_judged and CONSTRAINT not in trial.constraints:  # it is there where a driver was killed between this line and the end
        trial.set_constraint(CONSTRAINT, record.excess)
    values = [record.objective, *record.trade_offs] if record.objective is not None and record.state == "complete" else None
    opened.tell(trial, values, state=STATES[record.state])


def mark_interrupted(opened: optuna.Study, trials: Iterable[optuna.trial.FrozenTrial]) -> None:
    """Store of trials whose driver was killed that they wait, as those do that it stopped: it may be long until they go on."""
    for trial in trials:
        if curve_of(trial) and not trial.user_attrs.get(STOPPED_ATTRIBUTE):
            optuna.Trial(opened, trial._trial_id).set_user_attr(STOPPED_ATTRIBUTE, INTERRUPTED)


def record_of(trial: optuna.trial.FrozenTrial, objective: Objective, held_seconds: Mapping[int, float] | None = None) -> TrialRecord:
    """The record of a trial.

    Args:
        trial: as Optuna's storage has it.
        objective: of its study.
        held_seconds: how long each trial held its team, by number, from the ledger. Of a trial that is not in it, Optuna tells from its
            beginning to its end, nights between two sessions included.
    """
    stopped = trial.user_attrs.get(STOPPED_ATTRIBUTE, "") if trial.state == TrialState.RUNNING else ""
    state: Any = "stopped" if stopped else next((name for name, word in STATES.items() if word == trial.state), "running")
    curve = curve_of(trial)
    _, best = best_epoch(sorted(curve.items()), objective) or (0, None)
    lasted = trial.duration.total_seconds() if trial.duration is not None else trial.user_attrs.get(SECONDS_ATTRIBUTE, 0.0)
    return TrialRecord(
        number=trial.number,
        sample=dict(trial.params),
        state=state,
        reason=stopped or trial.user_attrs.get(REASON_ATTRIBUTE, ""),
        epochs=max(curve, default=0),
        objective=None if best is None else best.first,
        seconds=(held_seconds or {}).get(trial.number, lasted),
        restarts=trial.user_attrs.get(RESTARTS_ATTRIBUTE, 0),
        trade_offs=() if best is None else best.traded,
        excess=0.0 if best is None else best.excess,
    )


def has_diverged(trial: optuna.trial.FrozenTrial) -> bool:
    """Whether it failed by its own doing, not by that of the machine."""
    return trial.state == TrialState.FAIL and trial.user_attrs.get(REASON_ATTRIBUTE, "").startswith(DivergedError.__name__)


def best_of(records: Mapping[int, TrialRecord], objective: Objective) -> TrialRecord | None:
    """The complete trial of the best merit; a pruned or stopped one only where none is complete."""
    found = [(record, merit) for record in records.values() if (merit := merit_of_record(record)) is not None]
    complete = [(record, merit) for record, merit in found if record.state == "complete"]
    best = min(complete or found, key=lambda pair: order(pair[1], objective), default=None)
    return None if best is None else best[0]
