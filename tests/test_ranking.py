"""Order among trials that are worth several numbers."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from gan3d.config.objective import Objective
from gan3d.records import TrialRecord
from gan3d.search.ranking import front, front_of, ranked
from gan3d.training.merit import Merit

ONE = Objective()
TWO = Objective.model_validate({"trade_offs": [{"metric": "timing.epoch_seconds"}]})
UP = Objective.model_validate({"trade_offs": [{"metric": "timing.showers_per_second"}]})


def merits(*values: tuple[float, ...], excess: float = 0.0) -> list[Merit]:
    return [Merit(excess, one) for one in values]


def test_with_one_metric_it_alone_orders_after_the_constraints() -> None:
    found = [Merit(0.5, (0.1,)), Merit(0.0, (0.4,)), Merit(-0.2, (0.3,)), Merit(0.1, (0.9,)), Merit(0.0, (math.nan,))]
    assert ranked(found, ONE) == [2, 1, 4, 3, 0]


def test_fronts_come_one_after_the_other() -> None:
    points = merits((3.0, 3.0), (1.0, 2.0), (2.0, 1.0), (3.0, 2.0), (9.0, 9.0))
    order = ranked(points, TWO)
    assert set(order[:2]) == {1, 2}
    assert order[2:] == [3, 0, 4]
    assert front(points, TWO) == [1, 2]


def test_within_a_front_what_adds_most_hypervolume_is_first() -> None:
    """The middle one is beside another: without it nearly nothing would be lost."""
    points = merits((0.0, 1.0), (0.49, 0.51), (0.5, 0.5), (1.0, 0.0))
    assert ranked(points, TWO)[-1] == 1


def test_whoever_breaks_a_constraint_comes_last_by_how_much() -> None:
    points = [Merit(0.2, (0.0, 0.0)), Merit(0.1, (9.0, 9.0)), Merit(0.0, (5.0, 5.0)), Merit(-1.0, (4.0, 6.0))]
    assert ranked(points, TWO)[2:] == [1, 0]
    assert front(points, TWO) == [2, 3]


def test_more_may_be_better_for_a_trade_off() -> None:
    points = merits((1.0, 5.0), (1.0, 9.0), (2.0, 9.0))
    assert front(points, UP) == [1]
    assert ranked(points, UP)[0] == 1


def test_equals_are_both_on_the_front_and_the_earlier_one_first() -> None:
    points = merits((1.0, 1.0), (1.0, 1.0))
    assert front(points, TWO) == [0, 1]
    assert ranked(points, TWO) == [0, 1]


def test_what_is_not_finite_is_behind_all_that_is() -> None:
    assert ranked(merits((math.nan, 0.0), (5.0, 5.0)), TWO) == [1, 0]
    assert front(merits((math.inf, 0.0)), TWO) == []


@pytest.mark.parametrize("objective", [ONE, TWO])
def test_nothing_has_no_order(objective: Objective) -> None:
    assert ranked([], objective) == front([], objective) == []


def test_a_front_is_of_complete_trials() -> None:
    records = [
        TrialRecord(0, {}, "pruned", "", 1, 0.1, 1.0, trade_offs=(1.0,)),
        TrialRecord(1, {}, "complete", "", 3, 0.3, 1.0, trade_offs=(2.0,)),
        TrialRecord(2, {}, "failed", "x", 3, 0.1, 1.0, trade_offs=(1.0,)),
        TrialRecord(3, {}, "complete", "", 3, 0.4, 1.0, trade_offs=(1.0,)),
        TrialRecord(4, {}, "complete", "", 3, 0.4, 1.0, trade_offs=(3.0,)),
    ]
    assert front_of(records, TWO) == (1, 3)
    assert front_of([replace(record, trade_offs=()) for record in records], ONE) == (1,)
