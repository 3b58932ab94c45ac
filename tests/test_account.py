"""A study's account: what its teams hold, and which limit of the budget is spent when."""

from __future__ import annotations

from typing import Any

import pytest
from ledger_inputs import Clock, epoch_of

from gan3d.config.study import Study
from gan3d.cost.account import Account
from gan3d.cost.ledger import Ledger

HOUR = 3600.0
ASKED: dict[str, Any] = {
    "name": "spending",
    "question": "What is left?",
    "search_space": {"workers.per_trial": {"choice": [1, 4]}},
    "sampler": {"name": "grid"},
    "workers": {"cpus_per_worker": 2},
    "training": {"global_batch": 16},
    "data": {"train": ["a"], "validation": ["b"]},
}


class Books:
    """An account and its clock [hours]."""

    def __init__(self, budget: dict[str, float] | None = None, **cost: Any) -> None:
        study = Study.model_validate(ASKED | {"budget": budget or {}, "cost": {"watts_per_core": 100.0} | cost})
        self.clock = Clock()
        self.account = Account(study, Ledger(study.cost, now=self.clock))

    def hold(self, hours: float, workers: int = 4, number: int = 0) -> None:
        self.account.start_trial(number, workers)
        self.clock.wait(hours * HOUR)
        self.account.end_trial(number)


def test_a_trial_holds_its_own_workers_and_reserves_those_of_the_largest() -> None:
    books = Books()
    books.hold(3, workers=1)
    total = books.account.total()
    assert (total.core_hours, total.reserved_core_hours) == (6, 24)


def test_a_trial_is_billed_for_itself_and_the_study_for_whole_teams() -> None:
    books = Books(price_per_core_hour=0.5)
    books.hold(1, workers=1, number=0)
    books.hold(1, workers=4, number=1)
    bills = books.account.trial_bills()
    assert [bills[number].money for number in (0, 1)] == [1.0, 4.0]
    assert books.account.total().money == 8.0
    assert books.account.end_trial(1) == bills[1]


def test_gpus_are_held_too() -> None:
    books = Books()
    study = Study.model_validate(ASKED | {"workers": {"gpus_per_worker": 1}})
    account = Account(study, Ledger(study.cost, now=books.clock))
    account.start_trial(0, 1)
    books.clock.wait(2 * HOUR)
    assert (account.total().gpu_hours, account.total().reserved_gpu_hours) == (2, 8)


def test_a_trial_that_lost_workers_holds_and_reserves_those_that_are_left() -> None:
    books = Books()
    books.account.start_trial(0, 4)
    books.clock.wait(1 * HOUR)
    books.account.resize_trial(0, 3)
    books.clock.wait(1 * HOUR)
    total = books.account.total()
    assert (total.core_hours, total.reserved_core_hours) == (8 + 6, 8 + 6)


def test_the_first_epoch_without_a_lost_worker_is_no_longer_than_it_was() -> None:
    """Tune asks who may stop a trial, and so counts its epoch, before the driver hears that it goes on with fewer workers."""
    books = Books()
    books.account.start_trial(0, 4)
    books.clock.wait(100)
    books.account.end_epoch(0, 1, epoch_of(1 * 2 * 100.0) | {"timing.world_size": 1.0})
    books.account.resize_trial(0, 1)
    assert books.account.ledger.in_epochs()[1] == 100


#: Of one hour of eight reserved CPUs, four of them a trial's: 8 core-hours, 0.4 kWh, 2 money, 1 hour.
LIMITS = {
    "core_hours": (8.0, "budget.core_hours = 8 is spent (8 core-hours)"),
    "kwh": (0.4, "budget.kwh = 0.4 is spent (0.4 kWh)"),
    "money": (2.0, "budget.money = 2 is spent (2 CHF)"),
    "wall_hours": (1.0, "budget.wall_hours = 1 is spent (1 hours)"),
}


@pytest.mark.parametrize("name", LIMITS)
def test_a_limit_is_spent_when_it_is_reached_and_not_before(name: str) -> None:
    limit, message = LIMITS[name]
    for hours, expected in ((0.999, ""), (1.0, message)):
        books = Books({name: limit}, price_per_core_hour=0.25, currency="CHF")
        books.hold(hours, workers=2)
        assert books.account.exhausted == expected


@pytest.mark.parametrize("name", LIMITS)
def test_a_spent_limit_stays_spent(name: str) -> None:
    books = Books({name: LIMITS[name][0]}, price_per_core_hour=0.25)
    books.hold(5)
    books.clock.wait(HOUR)
    assert books.account.exhausted


def test_every_limit_that_is_spent_is_told() -> None:
    books = Books({"core_hours": 8, "wall_hours": 0.5, "kwh": 100})
    books.hold(2)
    assert books.account.exhausted == "budget.core_hours = 8 is spent (16 core-hours) and budget.wall_hours = 0.5 is spent (2 hours)"


def test_a_study_without_a_budget_may_spend_anything() -> None:
    books = Books()
    books.hold(1e6)
    assert books.account.exhausted == ""


def test_measured_energy_counts_against_a_budget_as_declared_energy_does() -> None:
    books = Books({"kwh": 1.0})
    books.account.start_trial(0, 4)
    books.clock.wait(60)
    held = 8 * 60.0
    assert books.account.end_epoch(0, 1, epoch_of(held, rapl=3.5e6))
    assert books.account.exhausted == ""
    assert books.account.end_epoch(0, 2, epoch_of(held, rapl=0.2e6))
    assert books.account.exhausted == "budget.kwh = 1 is spent (1.028 kWh)"


def test_running_trials_count_before_they_end() -> None:
    books = Books({"core_hours": 8})
    books.account.start_trial(0, 4)
    books.clock.wait(HOUR)
    assert books.account.exhausted


def test_an_epoch_told_again_is_not_new() -> None:
    books = Books()
    books.account.start_trial(0, 4)
    assert [books.account.end_epoch(0, epoch, epoch_of(1.0)) for epoch in (1, 1, 2)] == [True, False, True]
