"""What a study cost, in words and as JSON: energy never without measured or declared, money never without its currency."""

from __future__ import annotations

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from gan3d.cli.cost_lines import budget_text, cost_lines, cost_text, energy_text, estimate_text, money_rows
from gan3d.cli.summary import print_summary, summary
from gan3d.config.cost import Rates
from gan3d.config.study import Study
from gan3d.cost.estimate import Estimate
from gan3d.cost.ledger import Spent
from gan3d.cost.prices import JOULES_PER_KWH, Bill, bill
from gan3d.records import TrialRecord
from gan3d.search.run import State, StudyResult

RATES = Rates(watts_per_core=7.3, watts_per_gpu=300.0)
ALL_RATES = RATES.model_copy(update={"grams_co2_per_kwh": 300.0, "price_per_core_hour": 0.1, "currency": "CHF"})
SPENT_TEXT = "budget.core_hours = 2 is spent (2.001 core-hours)"
STUDY = Study.model_validate(
    {
        "name": "told",
        "question": "What did it cost?",
        "search_space": {"training.seed": {"choice": [1, 2, 3]}},
        "sampler": {"name": "grid"},
        "training": {"global_batch": 16, "epochs": 4},
        "data": {"train": ["a"], "validation": ["b"]},
        "budget": {"core_hours": 2},
        "cost": ALL_RATES.model_dump(),
    }
)


def bill_of(*, rapl: float = 0.0, nvml: float = 0.0, declared: float = 0.0, rates: Rates = RATES, **seconds: float) -> Bill:
    """Of joules in kWh, and of seconds in hours."""
    hours = {name: 3600 * value for name, value in ({"core_seconds": 2.0, "reserved_core_seconds": 2.0} | seconds).items()}
    joules = {"rapl_joules": rapl * JOULES_PER_KWH, "nvml_joules": nvml * JOULES_PER_KWH, "declared_joules": declared * JOULES_PER_KWH}
    return bill(Spent(**hours, **joules), rates, reserved=True)


ENERGY: dict[str, tuple[Bill, str]] = {
    "declared": (bill_of(declared=0.5), "0.5 kWh (declared: 7.3 W per core)"),
    "nothing": (bill_of(), "0 kWh (declared: 7.3 W per core)"),
    "measured": (bill_of(rapl=0.5), "0.5 kWh (100 % measured by rapl)"),
    "mostly measured": (bill_of(rapl=3.0, declared=1.0), "4 kWh (75 % measured by rapl, the rest declared: 7.3 W per core)"),
    "nearly all measured": (bill_of(rapl=1.0, declared=1e-3), "1 kWh (99 % measured by rapl, the rest declared: 7.3 W per core)"),
    "with a GPU": (
        bill_of(rapl=1.0, nvml=2.0, declared=1.0, reserved_gpu_seconds=1.0),
        "4 kWh (75 % measured by rapl+nvml, the rest declared: 7.3 W per core, 300 W per GPU where not measured)",
    ),
}


@pytest.mark.parametrize("name", ENERGY)
def test_energy_says_whether_it_is_measured_or_declared(name: str) -> None:
    found, expected = ENERGY[name]
    assert energy_text(found, RATES) == expected


def test_a_cost_tells_reserved_and_own_core_hours_apart() -> None:
    assert cost_text(bill_of(declared=0.1), RATES).startswith("2 core-hours reserved, ")
    half = bill_of(declared=0.1, reserved_core_seconds=4.0)
    assert cost_text(half, RATES).startswith("4 core-hours reserved (2 by the trials' own workers), 0.1 kWh")


def test_a_cost_leaves_out_what_has_no_rate() -> None:
    assert cost_text(bill_of(declared=0.1), RATES) == "2 core-hours reserved, 0.1 kWh (declared: 7.3 W per core)"
    text = cost_text(bill_of(declared=0.1, rates=ALL_RATES, reserved_gpu_seconds=6.0), ALL_RATES)
    assert text.startswith("2 core-hours reserved, 6 GPU-hours, 0.1 kWh (declared: ")
    assert text.endswith("), 30 g CO2, 0.2 CHF")


@pytest.mark.parametrize(
    ("seconds", "text"), [(12_345.0, "12,345"), (99.4, "99"), (1.234, "1.2"), (1.23e-6, "1.2e-06")], ids=["large", "tens", "ones", "tiny"]
)
def test_numbers_have_the_digits_they_are_worth(seconds: float, text: str) -> None:
    found = bill_of(core_seconds=seconds, reserved_core_seconds=seconds)
    assert cost_text(found, RATES).startswith(f"{text} core-hours reserved")


def test_a_budget_is_named_with_its_units() -> None:
    limits = {"core_hours": 10.0, "kwh": 0.5, "money": 20.0, "wall_hours": 2.0}
    assert budget_text(limits, "CHF") == "10 core-hours, 0.5 kWh, 20 CHF, 2 hours of wall time"


@pytest.mark.parametrize(("epochs", "word"), [(1, "1 epoch in"), (1234, "1,234 epochs in")])
def test_an_estimate_says_what_it_is_from(epochs: int, word: str) -> None:
    found = Estimate(bill_of(declared=0.1), 5.0, 4000, epochs, "results/told")
    text = estimate_text(found, RATES)
    assert text.startswith("about 2 core-hours reserved, 0.1 kWh (declared: 7.3 W per core), 5 hours: 4,000 epochs at the rate of ")
    assert text.endswith(f"{word} results/told")
    assert estimate_text(found, RATES, ["workers.per_trial"]) == f"{text}; that run differs in workers.per_trial"


def test_a_plan_has_a_row_for_what_there_is() -> None:
    assert list(money_rows(STUDY.model_copy(update={"budget": type(STUDY.budget)()}), None)) == []
    expected = Estimate(bill_of(declared=0.1), 5.0, 40, 4, "results/told")
    assert [label for label, _ in money_rows(STUDY, expected)] == ["budget", "cost"]


def result(state: State, trials: int, spent: str = SPENT_TEXT, **changes: Any) -> StudyResult:
    """A study whose last trial was stopped, if it was."""
    records = [TrialRecord(number, {"training.seed": number + 1}, "complete", "", 4, 0.5, 60.0) for number in range(trials)]
    if state == "stopped" and records:
        records[-1] = replace(records[-1], state="stopped", reason=f"after epoch 2 of 4: {spent}", epochs=2)
    cost = bill_of(declared=0.1, rates=ALL_RATES)
    found = StudyResult(
        "told", state, tuple(records), records[0] if records else None, Path("results"), "sqlite:///x.db", (), 1.0, cost, {0: cost}, spent
    )
    return replace(found, **changes)


def budget_line(found: StudyResult) -> str:
    lines = {label: text for label, text, _ in cost_lines(found, STUDY)}
    return lines.get("budget", "")


def test_a_stopped_study_says_which_limit_ended_it_and_what_is_left() -> None:
    assert budget_line(result("stopped", 2)) == f"{SPENT_TEXT}; 1 of 3 trials ended. Raise it to go on: what was spent counts"


def test_a_study_that_the_budget_ended_before_any_trial_came_to_something_says_so_too() -> None:
    assert budget_line(result("stopped", 0)).startswith(f"{SPENT_TEXT}; 0 of 3 trials ended")


@pytest.mark.parametrize(("state", "trials", "spent"), [("complete", 3, SPENT_TEXT), ("failed", 3, SPENT_TEXT), ("interrupted", 1, "")])
def test_a_budget_that_ended_nothing_is_not_blamed(state: State, trials: int, spent: str) -> None:
    assert budget_line(result(state, trials, spent)) == ""


def test_json_has_the_bill_of_the_study_and_of_each_trial() -> None:
    read = json.loads(json.dumps(summary(result("stopped", 2), STUDY, "gan3d run x --resume"), allow_nan=False))
    assert (read["state"], read["budget"], read["budget_spent"]) == ("stopped", {"core_hours": 2.0}, SPENT_TEXT)
    assert read["go_on"] == "gan3d run x --resume"
    for found in (read["cost"], read["trials"][0]["cost"]):
        assert (found["core_hours"], found["kwh"], found["money"], found["currency"]) == (2, pytest.approx(0.1), pytest.approx(0.2), "CHF")
        assert (found["energy_source"], found["measured_share"]) == ("declared", 0)
        assert found["grams_co2"] == pytest.approx(30)
    assert read["trials"][1]["cost"] is None


def test_the_terminal_has_the_cost_the_reason_and_what_to_type_next() -> None:
    written = io.StringIO()
    print_summary(result("stopped", 2), STUDY, "gan3d run x --resume", Console(file=written, width=200))
    text = written.getvalue()
    assert "cost       2 core-hours reserved, 0.1 kWh (declared: 7.3 W per core), 30 g CO2, 0.2 CHF" in text
    assert f"budget     {SPENT_TEXT}; 1 of 3 trials ended." in text
    assert f"after epoch 2 of 4: {SPENT_TEXT}" in text
    assert "go on      gan3d run x --resume" in text
