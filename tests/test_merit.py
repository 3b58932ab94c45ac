"""What an epoch is worth: averaged, limited, and which of two is better."""

from __future__ import annotations

import math

import pytest

from gan3d.config.objective import Constraint, Objective
from gan3d.records import TrialRecord
from gan3d.training.merit import BEYOND, Judge, Merit, best_epoch, excess_over, is_better, judged, losses, merit_of, merit_of_record

DISTANCE, RESPONSE, SPEED = "physics.shower_distance", "physics.response", "timing.showers_per_second"
GATED = Objective.model_validate({"constraints": [{"metric": RESPONSE, "at_most": 0.02}]})


def best_of(rows: list[tuple[int, dict[str, float]]], objective: Objective) -> tuple[int, Merit] | None:
    return best_epoch(judged(rows, objective), objective)


def test_without_more_an_epoch_is_worth_its_metric() -> None:
    judge = Judge(Objective())
    assert [judge.judge({DISTANCE: value}) for value in (0.5, 0.25, 0.75)] == [Merit(0.0, (value,)) for value in (0.5, 0.25, 0.75)]
    assert judge.best == Merit(0.0, (0.25,))


def test_more_may_be_better() -> None:
    judge = Judge(Objective(metric=SPEED, direction="maximize"))
    for value in (2.0, 3.0, 1.0):
        judge.judge({SPEED: value})
    assert judge.best == Merit(0.0, (3.0,))


def test_an_epoch_is_averaged_with_those_before_it() -> None:
    judge = Judge(Objective(average_epochs=3))
    found = [judge.judge({DISTANCE: value}).first for value in (3.0, 1.0, 2.0, 6.0)]
    assert found == [3.0, 2.0, 2.0, 3.0]


def test_limits_are_averaged_too() -> None:
    judge = Judge(GATED.model_copy(update={"average_epochs": 2}))
    judge.judge({DISTANCE: 1.0, RESPONSE: 0.01})
    assert judge.judge({DISTANCE: 1.0, RESPONSE: 0.05}).excess == pytest.approx(0.03 / 0.02 - 1)


def test_a_limit_goes_before_the_objective() -> None:
    """The first epoch keeps it, the others have a better distance but break it; of those the nearest to the limit is best."""
    rows = [(1, {DISTANCE: 0.9, RESPONSE: 0.019}), (2, {DISTANCE: 0.1, RESPONSE: 0.021}), (3, {DISTANCE: 0.1, RESPONSE: 0.03})]
    assert best_of(rows, GATED) == (1, Merit(pytest.approx(-0.05), (0.9,)))
    assert best_of(rows[1:], GATED) == (2, Merit(pytest.approx(0.05), (0.1,)))
    assert best_of([], GATED) is None


@pytest.mark.parametrize(
    ("limits", "value", "excess"),
    [
        ({"at_most": 0.02}, 0.03, 0.5),
        ({"at_most": 0.02}, 0.02, 0.0),
        ({"at_most": 0.02}, 0.01, -0.5),
        ({"at_least": 4.0}, 3.0, 0.25),
        ({"at_least": 4.0}, 5.0, -0.25),
        ({"at_least": 4.0, "at_most": 8.0}, 6.0, -0.25),
        ({"at_least": 4.0, "at_most": 8.0}, 10.0, 0.25),
        ({"at_most": 0.02}, math.nan, BEYOND),
        ({"at_least": 0.02}, math.inf, BEYOND),
    ],
)
def test_excess_is_relative_to_the_limit(limits: dict[str, float], value: float, excess: float) -> None:
    assert excess_over(Constraint(metric=RESPONSE, **limits), value) == pytest.approx(excess)


def test_the_worst_limit_counts() -> None:
    limits = [{"metric": RESPONSE, "at_most": 0.02}, {"metric": "physics.resolution", "at_most": 0.1}]
    judge = Judge(Objective.model_validate({"constraints": limits}))
    assert judge.judge({DISTANCE: 1.0, RESPONSE: 0.022, "physics.resolution": 0.15}).excess == pytest.approx(0.5)


def test_what_is_not_finite_is_never_better() -> None:
    good, bad = Merit(0.0, (0.5,)), Merit(0.0, (math.nan,))
    assert is_better(good, bad, Objective())
    assert not is_better(bad, good, Objective())
    assert not is_better(good, good, Objective())


def test_an_epoch_that_is_not_finite_is_not_the_best_whatever_limits_it_keeps() -> None:
    """Neither of the state that is kept, nor of what is told of the trial."""
    rows = [(1, {DISTANCE: math.nan, RESPONSE: 0.01}), (2, {DISTANCE: 0.3, RESPONSE: 0.03}), (3, {DISTANCE: -math.inf, RESPONSE: 0.01})]
    judge = Judge(GATED)
    for _, metrics in rows:
        judge.judge(metrics)
    assert judge.best == Merit(pytest.approx(0.5), (0.3,))
    assert best_of(rows, GATED) == (2, judge.best)
    assert best_of(rows[:1], GATED) is None


def test_the_earliest_of_equals_is_the_best() -> None:
    assert best_of([(1, {DISTANCE: 0.5}), (2, {DISTANCE: 0.5})], Objective()) == (1, Merit(0.0, (0.5,)))


def test_trade_offs_are_told_but_do_not_choose_the_epoch() -> None:
    objective = Objective.model_validate({"trade_offs": [{"metric": SPEED}]})
    rows = [(1, {DISTANCE: 0.5, SPEED: 90.0}), (2, {DISTANCE: 0.4, SPEED: 10.0})]
    assert best_of(rows, objective) == (2, Merit(0.0, (0.4, 10.0)))
    assert losses([Merit(0.0, (0.4, 10.0)), Merit(0.0, (math.nan, 1.0))], objective) == [(0.4, -10.0), (math.inf, -1.0)]


def test_a_merit_survives_plain_values() -> None:
    merit = Merit(0.5, (1.0, 2.0))
    assert merit_of([0.5, [1.0, 2.0]]) == merit == merit_of(merit)


def test_of_records_failed_ones_and_those_without_an_epoch_have_none() -> None:
    record = TrialRecord(0, {}, "complete", "", 3, 0.5, 1.0, trade_offs=(2.0,), excess=0.1)
    assert merit_of_record(record) == Merit(0.1, (0.5, 2.0))
    assert merit_of_record(TrialRecord(0, {}, "failed", "x", 3, 0.5, 1.0)) is None
    assert merit_of_record(TrialRecord(0, {}, "running", "", 0, None, 1.0)) is None
