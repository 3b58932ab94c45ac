"""CPUs that trials held over time: by what epochs cost, without the time between an interruption and its resume."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gan3d.scaling.utilisation import Machine, cpus_in_use, machine_of, spans, utilisation

START = pd.Timestamp("2026-01-01", tz="UTC")


def at(second):
    return pd.NaT if pd.isna(second) else START + pd.Timedelta(seconds=second)


def trials_frame(*rows):
    """Rows of trial, state, CPUs, started, ended [s]."""
    columns = ["trial", "state", "reserved_cpus", "started", "ended"]
    frame = pd.DataFrame(rows, columns=columns)
    return frame.assign(started=frame["started"].map(at), ended=pd.to_datetime(frame["ended"].map(at), utc=True))


def epochs_frame(trials, *rows, cost=True):
    """Rows of trial, epoch, logged at [s], seconds it held its CPUs; without a cost, as older versions logged it."""
    frame = pd.DataFrame(rows, columns=["trial", "epoch", "logged_at", "held"]).astype({"trial": int, "epoch": int, "held": float})
    frame = frame.merge(trials[["trial", "state", "reserved_cpus", "started"]], on="trial")
    frame["logged_at"] = pd.to_datetime(frame["logged_at"].map(at), utc=True)
    frame["timing.epoch_seconds"] = frame["held"] if not cost else 1.0
    frame["cost.core_seconds"] = frame["held"] * frame["reserved_cpus"].astype(float) if cost else np.nan
    return frame.drop(columns="held")


def seconds(held):
    """Rows of trial, start, end [s]."""
    times = [(held[name] - START).dt.total_seconds() for name in ("start", "end")]
    return list(zip(held["trial"], *times, strict=True))


@pytest.mark.parametrize("cost", [True, False])
def test_the_gap_between_two_sessions_is_no_use(cost):
    trials = trials_frame((0, "complete", 2, 0, 1021))
    epochs = epochs_frame(trials, (0, 1, 12, 10), (0, 2, 22, 10), (0, 3, 1010, 8), (0, 4, 1020, 10), cost=cost)
    assert seconds(spans(trials, epochs)) == [(0, 2.0, 22.0), (0, 1002.0, 1021.0)]


def test_an_epoch_logged_late_is_no_gap_and_none_begins_before_the_one_before_ended():
    trials = trials_frame((0, "running", 1, 0, None))
    epochs = epochs_frame(trials, (0, 1, 10, 99), (0, 2, 20.5, 9.9), (0, 3, 30, 12))
    assert seconds(spans(trials, epochs)) == [(0, 0.0, 30.0)]


def test_what_a_trial_began_after_its_last_epoch_counts_if_it_may_have_been_an_epoch():
    trials = trials_frame((0, "failed", 1, 0, 19), (1, "failed", 1, 0, 500))
    epochs = epochs_frame(trials, (0, 1, 10, 10), (1, 1, 10, 10))
    assert seconds(spans(trials, epochs)) == [(0, 0.0, 19.0), (1, 0.0, 10.0)]


def test_a_trial_without_an_epoch_counts_while_it_ran_and_one_without_workers_not_at_all():
    trials = trials_frame((0, "failed", 4, 5, 9), (1, "failed", None, 0, 7), (2, "running", 4, 3, None))
    held = spans(trials, epochs_frame(trials))
    assert seconds(held) == [(0, 5.0, 9.0)]
    assert held["cpus"].tolist() == [4.0]
    assert held["state"].tolist() == ["failed"]


def test_cpus_in_use_add_up_and_the_mean_is_over_all_wall_time():
    trials = trials_frame((0, "complete", 2, 0, 10), (1, "complete", 1, 0, 20))
    held = spans(trials, epochs_frame(trials, (0, 1, 10, 10), (1, 1, 20, 15)))
    steps = cpus_in_use(held, at(0), at(40))
    assert steps.to_dict("list") == {"seconds": [0.0, 5.0, 10.0, 20.0, 40.0], "cpus": [2.0, 3.0, 1.0, 0.0, 0.0]}
    total = utilisation(steps, Machine(4, ""))
    assert (total.core_seconds, total.wall_seconds, total.idle_seconds, total.most_cpus) == (35.0, 40.0, 20.0, 3.0)
    assert (total.mean, total.mean_while_busy) == (pytest.approx(35 / 160), pytest.approx(35 / 80))


def test_a_study_that_used_nothing_was_idle():
    trials = trials_frame((0, "failed", None, 0, 0))
    total = utilisation(cpus_in_use(spans(trials, epochs_frame(trials)), at(0), at(0)), Machine(2, ""))
    assert (total.mean, total.mean_while_busy, total.wall_seconds) == (0.0, 0.0, 0.0)


@pytest.mark.parametrize(
    ("usable", "planned", "most", "cpus"),
    [("8", 4, 4.0, 8.0), ("8", 32, 16.0, 32.0), (None, 4, 2.0, 4.0), ("2", 0, 3.0, 3.0)],
)
def test_the_machine_is_the_driver_s_unless_trials_need_more(usable, planned, most, cpus):
    provenance = {} if usable is None else {"usable_cores": usable, "logical_cores": "99"}
    assert machine_of(provenance, planned, most).cpus == cpus
