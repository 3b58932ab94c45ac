"""How busy a study kept its machine: the CPUs that its trials' own workers held, over wall time.

A trial holds its CPUs in its epochs, each of which lasts from the end of the one before, or from when its workers took the trial up,
until it is logged. How long that was its cost tells (``cost.core_seconds`` over the trial's CPUs, see ``gan3d.cost.epochs``); records of
older versions have ``timing.epoch_seconds``, which leaves loading out. So the time between an interruption and its resume is no use.
After its last epoch a trial may have begun another, and diverged: until it ended it is counted if that was no longer than its longest
epoch, else it ended in a later session. A trial without an epoch is counted from start to end.

Not counted: forming teams, epochs that an interruption cut off, and workers of a team that sleep while a smaller trial is trained.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pandas as pd

from gan3d.scaling.progress import CORE_SECONDS

EPOCH_SECONDS = "timing.epoch_seconds"
#: A driver logs an epoch a little after its workers ended it: a shorter gap between two epochs is none.
LOGGING_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Machine:
    """CPUs that a study could have used, and how that is known."""

    cpus: float
    source: str


@dataclass(frozen=True, slots=True)
class Utilisation:
    """Of a study, from its first trial's start to the end of its last epoch or trial."""

    mean: float
    """Share of the machine's CPUs in use, mean over wall time."""
    mean_while_busy: float
    """The same over the time in which any trial was trained."""
    wall_seconds: float
    idle_seconds: float
    """Without any trial: between sessions, between trials, while teams formed."""
    core_seconds: float
    most_cpus: float
    """In use at once."""


def spans(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """When each trial held its CPUs, in one row per time without a gap, by trial and time.

    Args:
        trials: As ``frames.trials`` returns; trials without ``reserved_cpus`` (an invalid sample) held none.
        epochs: As ``frames.epochs`` returns, with ``timing.epoch_seconds`` and, where it is known, ``cost.core_seconds``.

    Returns:
        ``trial``, ``state``, ``cpus``, ``start``, ``end`` (UTC).
    """
    held = pd.concat([_of_epochs(epochs), _after_epochs(trials, epochs), _without_epochs(trials, epochs)], ignore_index=True)
    held = held[held["end"] > held["start"]].sort_values(["trial", "start"], ignore_index=True)
    gap = (held["start"] - held.groupby("trial")["end"].shift()).dt.total_seconds()
    held["span"] = (~(gap <= LOGGING_SECONDS)).cumsum()
    joined = held.groupby("span", as_index=False).agg({"trial": "first", "start": "min", "end": "max"}).drop(columns="span")
    known = trials.set_index("trial")
    joined.insert(1, "state", joined["trial"].map(known["state"]))
    joined.insert(2, "cpus", joined["trial"].map(known["reserved_cpus"].astype(float)))
    return joined[joined["cpus"].notna()].reset_index(drop=True)


def cpus_in_use(held: pd.DataFrame, start: pd.Timestamp, end: pd.Timestamp) -> pd.DataFrame:
    """CPUs in use from each moment on at which that changes; from ``start``, and 0 at ``end``.

    Returns:
        ``seconds`` since ``start``, ``cpus`` from then on.
    """
    changes = pd.concat(
        [
            pd.Series(0.0, index=[start, end]),
            pd.Series(held["cpus"].to_numpy(), index=pd.DatetimeIndex(held["start"])),
            pd.Series(-held["cpus"].to_numpy(), index=pd.DatetimeIndex(held["end"])),
        ]
    )
    steps = changes.groupby(level=0).sum().sort_index().cumsum()
    seconds = (steps.index - start).total_seconds()
    return pd.DataFrame({"seconds": seconds, "cpus": steps.to_numpy()})


def utilisation(steps: pd.DataFrame, machine: Machine) -> Utilisation:
    """What a step curve of :func:`cpus_in_use` amounts to on a machine."""
    lasting = steps["seconds"].diff().shift(-1).fillna(0.0)
    wall, busy = float(lasting.sum()), float(lasting[steps["cpus"] > 0].sum())
    core_seconds = float((steps["cpus"] * lasting).sum())
    return Utilisation(
        mean=core_seconds / (machine.cpus * wall) if wall > 0 else 0.0,
        mean_while_busy=core_seconds / (machine.cpus * busy) if busy > 0 else 0.0,
        wall_seconds=wall,
        idle_seconds=wall - busy,
        core_seconds=core_seconds,
        most_cpus=float(steps["cpus"].max()),
    )


def machine_of(provenance: Mapping[str, str], planned_cpus: int, most_cpus: float) -> Machine:
    """The CPUs there were: those of the driver's machine, if trials found room on it; else those of all trials at once as planned.

    Args:
        provenance: As ``StudyInfo`` has it.
        planned_cpus: Of as many trials of the largest size as the study lets run at once.
        most_cpus: In use at once.
    """
    own = float(provenance.get("usable_cores") or provenance.get("logical_cores") or 0)
    if own >= max(planned_cpus, most_cpus):
        return Machine(own, "of the driver's machine")
    if planned_cpus >= most_cpus:
        return Machine(float(planned_cpus), "of all trials that may run at once")
    return Machine(most_cpus, "most in use at once")


def _of_epochs(epochs: pd.DataFrame) -> pd.DataFrame:
    """Each epoch's own time, but not before its trial's start or the epoch before."""
    rows = epochs.sort_values(["trial", "epoch"])
    earliest = rows.groupby("trial")["logged_at"].shift().fillna(rows["started"])
    start = rows["logged_at"] - pd.to_timedelta(_held_seconds(rows), unit="s")
    return pd.DataFrame({"trial": rows["trial"], "start": start.where(start > earliest, earliest), "end": rows["logged_at"]})


def _after_epochs(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """From a trial's last epoch to its end, where that may have been an epoch."""
    by_trial = epochs.assign(held=_held_seconds(epochs)).groupby("trial").agg(start=("logged_at", "max"), longest=("held", "max"))
    rows = by_trial.join(trials.set_index("trial")["ended"].rename("end"), how="inner").reset_index()
    is_one = (rows["end"] - rows["start"]).dt.total_seconds() <= rows["longest"]
    return rows.loc[is_one, ["trial", "start", "end"]]


def _without_epochs(trials: pd.DataFrame, epochs: pd.DataFrame) -> pd.DataFrame:
    """Trials that ended before their first epoch did."""
    rows = trials[~trials["trial"].isin(epochs["trial"]) & trials["ended"].notna()]
    return rows[["trial", "started", "ended"]].set_axis(["trial", "start", "end"], axis="columns")


def _held_seconds(epochs: pd.DataFrame) -> pd.Series:
    """How long each epoch held its CPUs."""
    if CORE_SECONDS not in epochs:
        return epochs[EPOCH_SECONDS].astype(float)
    return (epochs[CORE_SECONDS] / epochs["reserved_cpus"].astype(float)).fillna(epochs[EPOCH_SECONDS]).astype(float)
