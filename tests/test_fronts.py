"""Fronts and their hypervolume, of frames made by hand: areas that can be counted, and both directions alike."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gan3d.config.objective import Objective
from gan3d.search.fronts import CORE_SECONDS, front_of_pair, hypervolume_progress, reference_point, values_of

DISTANCE, SECONDS, RATE = "physics.shower_distance", "timing.epoch_seconds", "timing.showers_per_second"
TWO = Objective.model_validate({"trade_offs": [{"metric": SECONDS}]})
UP = Objective.model_validate({"trade_offs": [{"metric": RATE}]})
THREE = Objective.model_validate({"trade_offs": [{"metric": SECONDS}, {"metric": RATE}]})
START = pd.Timestamp("2026-01-01", tz="UTC")


def trials_of(objective, *points, states=None, excess=None):
    """A row per point, numbered."""
    metrics = ["best_objective", *(f"best.{goal.metric}" for goal in objective.trade_offs)]
    frame = pd.DataFrame(points, columns=metrics)
    return frame.assign(trial=range(len(points)), state=states or "complete", excess=0.0 if excess is None else excess)


def epochs_of(trials, cost=2.0):
    """Two epochs of each trial, one trial after the other."""
    rows = [(trial, START + pd.Timedelta(seconds=2 * trial + epoch), cost) for trial in trials["trial"] for epoch in (1, 2)]
    return pd.DataFrame(rows, columns=["trial", "logged_at", CORE_SECONDS])


def progress_of(trials, objective, reference):
    return hypervolume_progress(values_of(trials, objective), epochs_of(trials), objective, reference)


def test_the_front_is_of_complete_trials_that_keep_the_constraints():
    points = [(1.0, 3.0), (2.0, 2.0), (3.0, 1.0), (3.0, 3.0), (0.5, 0.5), (0.4, 0.4), (np.nan, 1.0), (0.1, 0.1)]
    states = ["complete"] * 4 + ["pruned", "complete", "failed", "failed"]
    values = values_of(trials_of(TWO, *points, states=states, excess=[0, -0.1, 0, 0, 0, 0.2, 0, 0]), TWO).set_index("trial")
    assert values.index.tolist() == [0, 1, 2, 3, 4, 5]
    assert values["is_front"].tolist() == [True, True, True, False, False, False]
    assert values["is_kept"].tolist() == [True] * 5 + [False]
    assert values.loc[2, SECONDS] == 1.0


def test_a_front_of_two_metrics_leaves_the_others_out():
    values = values_of(trials_of(THREE, (1.0, 3.0, 5.0), (2.0, 2.0, 1.0), (3.0, 3.0, 9.0)), THREE)
    assert values["is_front"].all()
    assert front_of_pair(values, THREE, SECONDS)["trial"].tolist() == [0, 1]
    assert front_of_pair(values, THREE, RATE)["trial"].tolist() == [0, 2]


def test_hypervolume_is_the_area_won_so_far_by_what_all_epochs_cost_together():
    trials = trials_of(TWO, (3.0, 3.0), (9.0, 9.0), (1.0, 2.0), (2.0, 1.0), (0.0, 0.0), states=["complete"] * 4 + ["pruned"])
    progress = progress_of(trials, TWO, (4.0, 4.0))
    assert progress["hypervolume"].tolist() == [1.0, 1.0, 6.0, 8.0, 8.0]
    assert progress["core_seconds"].tolist() == [4.0, 8.0, 12.0, 16.0, 20.0]
    assert progress["share"].tolist() == pytest.approx([value / 9 for value in (1, 1, 6, 8, 8)])


def test_more_is_better_where_the_metric_says_so():
    progress = progress_of(trials_of(UP, (3.0, 1.0), (1.0, 2.0)), UP, (4.0, 0.0))
    assert progress["hypervolume"].tolist() == [1.0, 6.0]
    assert progress["share"].tolist() == [1 / 6, 1.0]


def test_the_reference_point_lies_a_tenth_behind_the_worst_that_counts():
    trials = trials_of(UP, (1.0, 10.0), (3.0, 30.0), (9.0, 1.0), (8.0, 1.0), states=["complete"] * 3 + ["pruned"], excess=[0, 0, 1, 0])
    assert reference_point(values_of(trials, UP), UP) == pytest.approx((3.2, 8.0))
    assert reference_point(values_of(trials[:1], UP), UP) == pytest.approx((1.1, 9.0))
    assert reference_point(values_of(trials[2:], UP), UP) == ()


def test_a_cost_that_is_not_known_is_not_guessed():
    trials = trials_of(TWO, (1.0, 1.0), (2.0, 2.0))
    epochs = epochs_of(trials)
    epochs.loc[0, CORE_SECONDS] = np.nan
    progress = hypervolume_progress(values_of(trials, TWO), epochs, TWO, (4.0, 4.0))
    assert progress["core_seconds"].isna().all()
    assert progress["ended"].tolist() == [1, 2]
    assert progress["hypervolume"].tolist() == [9.0, 9.0]


def test_a_trial_that_still_runs_has_won_nothing_yet():
    trials = trials_of(TWO, (1.0, 1.0), (0.5, 0.5), states=["complete", "running"])
    assert progress_of(trials, TWO, (4.0, 4.0))["trial"].tolist() == [0]


@given(st.lists(st.tuples(st.floats(0.01, 10.0), st.floats(0.01, 10.0)), min_size=1, max_size=12))
def test_a_front_never_loses_what_it_has_won_and_turned_signs_win_as_much(points):
    trials = trials_of(TWO, *points)
    reference = reference_point(values_of(trials, TWO), TWO)
    progress = progress_of(trials, TWO, reference)
    assert (progress["hypervolume"].diff().dropna() >= -1e-9).all()
    assert progress["share"].between(0.0, 1.0 + 1e-9).all()
    assert progress["share"].iloc[-1] > 0.0
    turned = progress_of(trials_of(UP, *((x, -y) for x, y in points)), UP, (reference[0], -reference[1]))
    assert turned["hypervolume"].tolist() == pytest.approx(progress["hypervolume"].tolist())
