"""What a study will cost, at the rate of an earlier run's epochs; and what `gan3d plan` says of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from ledger_inputs import Clock, epoch_of
from small_study import write_study
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.config.load import dump_study, load_study
from gan3d.config.study import Study
from gan3d.cost.estimate import estimate
from gan3d.cost.ledger import Ledger, Team
from gan3d.errors import ConfigError

SPACE = {"training.seed": {"choice": [1, 2, 3, 4]}}
RATES = {"watts_per_core": 20.0, "price_per_core_hour": 0.5, "grams_co2_per_kwh": 100.0}


def leave_a_run(results: Path, study: Study, epochs: int, forming: float = 0.0) -> None:
    """An earlier run: half an hour and one core-hour for each epoch, on a team of two CPUs of which the trial used one.

    Before that so many seconds to form the team.
    """
    clock = Clock()
    ledger = Ledger(study.cost, now=clock)
    ledger.start(0, Team(1, 2))
    clock.wait(forming)
    for epoch in range(1, epochs + 1):
        clock.wait(1800)
        ledger.add_epoch(0, epoch, epoch_of(1800, reserved=3600, declared=1800 * 20))
    results.mkdir(parents=True)
    ledger.save(results)
    (results / "study.yaml").write_text(dump_study(study), encoding="utf-8")


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load_study(write_study(tmp_path, SPACE, cost=RATES)).study


def test_an_estimate_is_the_rate_times_the_epochs(tmp_path: Path, study: Study) -> None:
    leave_a_run(tmp_path / "results", study, epochs=3)
    found = estimate(tmp_path / "results", study, epochs_planned=12)
    assert found is not None
    assert (found.epochs_planned, found.epochs_known, found.source) == (12, 3, str(tmp_path / "results"))
    assert found.wall_hours == pytest.approx(6)
    assert (found.bill.core_hours, found.bill.reserved_core_hours) == (pytest.approx(6), pytest.approx(12))
    assert found.bill.kwh == pytest.approx(0.12)
    assert found.bill.money == pytest.approx(6)
    assert found.bill.grams_co2 == pytest.approx(12)
    assert found.bill.energy_source == "declared"


def test_as_many_epochs_as_there_were_cost_what_they_cost(tmp_path: Path, study: Study) -> None:
    leave_a_run(tmp_path / "results", study, epochs=5)
    found = estimate(tmp_path / "results", study, epochs_planned=5)
    assert found is not None
    assert found.wall_hours == pytest.approx(2.5)


@pytest.mark.parametrize(("planned", "hours"), [(12, 10 + 6), (2, 10 + 1), (1, 10 + 0.5)])
def test_what_was_spent_outside_of_epochs_comes_once(tmp_path: Path, study: Study, planned: int, hours: float) -> None:
    """A short trial run of a long study must not make its teams look as if they were formed anew for every epoch."""
    leave_a_run(tmp_path / "results", study, epochs=2, forming=36_000)
    found = estimate(tmp_path / "results", study, planned)
    assert found is not None
    assert found.wall_hours == pytest.approx(hours)
    assert found.bill.reserved_core_hours == pytest.approx(2 * hours)
    assert found.bill.kwh == pytest.approx(0.02 * hours)


def test_trials_side_by_side_take_less_time_and_as_much_energy(tmp_path: Path, study: Study) -> None:
    leave_a_run(tmp_path / "results", study, epochs=2)
    two = study.model_copy(update={"trials": study.trials.model_copy(update={"concurrent": 2})})
    found = estimate(tmp_path / "results", two, 6)
    assert found is not None
    assert found.wall_hours == pytest.approx(1 + 2 / 2)
    assert found.bill.kwh == pytest.approx(0.06)


def test_without_a_finished_epoch_there_is_no_estimate(tmp_path: Path, study: Study) -> None:
    assert estimate(tmp_path / "nowhere", study, 12) is None
    leave_a_run(tmp_path / "results", study, epochs=0)
    assert estimate(tmp_path / "results", study, 12) is None


def test_a_broken_ledger_is_no_rate(tmp_path: Path, study: Study) -> None:
    (tmp_path / "cost.json").write_text("{", encoding="utf-8")
    with pytest.raises(ConfigError, match="is not a ledger"):
        estimate(tmp_path, study, 12)


def plan(*arguments: str) -> Result:
    return CliRunner().invoke(app, ["plan", "small.yaml", *arguments])


def words(shown: Result) -> str:
    assert shown.exit_code == 0, shown.output
    return " ".join(shown.stdout.split())


@pytest.fixture
def folder(tmp_path: Path, study: Study, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where `small.yaml` is, with an earlier run of two epochs."""
    monkeypatch.chdir(tmp_path)
    leave_a_run(tmp_path / "results" / "small", study, epochs=2)
    return tmp_path


def test_a_plan_shows_the_budget_and_what_an_earlier_run_says(folder: Path) -> None:
    text = words(plan("--set", "budget.core_hours=10", "--set", "budget.wall_hours=2"))
    assert "budget 10 core-hours, 2 hours of wall time" in text
    # Four trials of three epochs.
    rate = "6 hours: 12 epochs at the rate of 2 epochs in results/small"
    assert (
        f"cost about 12 core-hours reserved (6 by the trials' own workers), 0.12 kWh (declared: 20 W per core), 12 g CO2, 6 EUR, {rate}"
        in text
    )
    assert "differs in" not in text


def test_a_plan_says_where_the_earlier_run_was_another_one(folder: Path) -> None:
    text = words(plan("--set", "training.epochs=9", "--set", "training.generator.kernel=5", "--set", "workers.per_trial=1"))
    assert "36 epochs at the rate of 2 epochs in results/small; that run differs in training.generator.kernel, workers.per_trial" in text


def test_a_run_whose_study_is_lost_may_have_been_any(folder: Path) -> None:
    (folder / "results" / "small" / "study.yaml").unlink()
    assert "that run differs in study.yaml" in words(plan())


def test_a_plan_as_json_has_the_same(folder: Path) -> None:
    planned: dict[str, Any] = json.loads(plan("--json", "--set", "budget.kwh=3", "--set", "training.max_steps_per_epoch=1").stdout)
    assert planned["budget"] == {"kwh": 3.0}
    found = planned["estimate"]
    assert (found["wall_hours"], found["bill"]["money"]) == (pytest.approx(6), pytest.approx(6))
    assert (found["bill"]["energy_source"], found["bill"]["measured_share"]) == ("declared", 0)
    assert found["differs_in"] == ["training.max_steps_per_epoch"]


def test_without_an_earlier_run_a_plan_estimates_nothing(folder: Path) -> None:
    (folder / "results").rename(folder / "elsewhere")
    assert json.loads(plan("--json").stdout)["estimate"] is None
    assert "at the rate of" not in words(plan())


def test_a_plan_with_a_broken_ledger_is_a_message(folder: Path) -> None:
    (folder / "results" / "small" / "cost.json").write_text("{", encoding="utf-8")
    refused = plan()
    assert refused.exit_code == 2
    assert "results/small/cost.json: is not a ledger" in refused.stderr
