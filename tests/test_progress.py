"""Best so far, against trials and seconds."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan3d.scaling.progress import best_by_core_seconds, best_by_time, best_by_trial, reached

START = pd.Timestamp("2026-01-01", tz="UTC")


def trials_frame(objectives, seconds=10.0, world_size=2):
    numbers = range(len(objectives))
    row = {"trial": numbers, "state": "complete", "best_objective": objectives, "seconds": seconds, "world_size": world_size}
    return pd.DataFrame(row)


def epochs_frame(values, seconds):
    return pd.DataFrame(
        {
            "trial": range(len(values)),
            "epoch": 1,
            "started": START,
            "logged_at": [START + pd.Timedelta(seconds=second) for second in seconds],
            "objective.metric": values,
        }
    )


@given(st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=30))
def test_best_so_far_never_worsens_and_ends_at_the_best(values):
    lower = best_by_trial(trials_frame(values), "minimize")["best"]
    higher = best_by_trial(trials_frame(values), "maximize")["best"]
    assert lower.is_monotonic_decreasing
    assert higher.is_monotonic_increasing
    assert lower.iloc[-1] == min(values)
    assert higher.iloc[-1] == max(values)


def test_a_trial_without_objective_repeats_the_best_before_it():
    best = best_by_trial(trials_frame([np.nan, 3.0, np.nan, 4.0, 1.0]), "minimize")["best"]
    assert best[1:].tolist() == [3.0, 3.0, 3.0, 1.0]
    assert np.isnan(best[0])


def test_order_of_rows_does_not_matter():
    frame = trials_frame([3.0, 2.0, 5.0])
    pd.testing.assert_frame_equal(best_by_trial(frame, "minimize"), best_by_trial(frame[::-1], "minimize"))


def test_worker_seconds_count_every_worker():
    assert best_by_trial(trials_frame([1.0, 1.0], seconds=10.0, world_size=4), "minimize")["worker_seconds"].tolist() == [40.0, 80.0]


def test_time_counts_from_the_first_start_in_the_order_epochs_were_logged():
    progress = best_by_time(epochs_frame([5.0, 1.0, 3.0], seconds=[2.0, 30.0, 10.0]), "objective.metric", "minimize")
    assert progress["seconds"].tolist() == [2.0, 10.0, 30.0]
    assert progress["best"].tolist() == [5.0, 3.0, 1.0]


def test_core_seconds_add_up_over_trials_in_the_order_epochs_were_logged():
    epochs = epochs_frame([5.0, 1.0, 3.0], seconds=[2.0, 30.0, 10.0]).assign(**{"cost.core_seconds": [4.0, 20.0, 6.0]})
    progress = best_by_core_seconds(epochs, "objective.metric", "minimize")
    assert progress["core_seconds"].tolist() == [4.0, 10.0, 30.0]
    assert progress["trial"].tolist() == [0, 2, 1]
    assert progress["best"].tolist() == [5.0, 3.0, 1.0]


@pytest.mark.parametrize("costs", [None, [4.0, np.nan, 6.0]])
def test_epochs_without_a_cost_have_no_core_seconds(costs):
    epochs = epochs_frame([5.0, 1.0, 3.0], seconds=[2.0, 30.0, 10.0])
    epochs = epochs if costs is None else epochs.assign(**{"cost.core_seconds": costs})
    assert best_by_core_seconds(epochs, "objective.metric", "minimize") is None


@pytest.mark.parametrize(("direction", "target", "seconds"), [("minimize", 3.0, 10.0), ("maximize", 5.0, 2.0)])
def test_the_first_row_that_reaches_a_target_is_found(direction, target, seconds):
    progress = best_by_time(epochs_frame([5.0, 1.0, 3.0], seconds=[2.0, 30.0, 10.0]), "objective.metric", direction)
    row = reached(progress, target, direction)
    assert row is not None
    assert row["seconds"] == seconds


def test_a_target_out_of_reach_is_not_reached():
    progress = best_by_trial(trials_frame([3.0, 2.0]), "minimize")
    assert reached(progress, 1.0, "minimize") is None
