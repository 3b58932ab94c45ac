"""A real study that spends its budget: it stops with what it has, everybody agrees on that, and a larger budget goes on with it."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import psutil
import pytest
from small_study import write_study
from test_run import optuna_trials

from gan3d.config.cost import Rates
from gan3d.cost.ledger import SECONDS_BETWEEN_SAVES, Ledger, Spent
from gan3d.records import TrialRecord
from gan3d.search.optuna_trials import INTERRUPTED
from gan3d.tracking import frames
from gan3d.training.checkpoint import TrialFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's and MLflow's own
]

EPOCHS = 3
#: Trial 0 has one worker of a team of two.
SPACE = {"workers.per_trial": {"choice": [1, 2]}}
WATTS = 12.5
RATES = {"watts_per_core": WATTS, "price_per_core_hour": 0.04, "grams_co2_per_kwh": 56.0, "currency": "CHF"}
#: Spent while the team is formed, so after the first epoch.
TINY = "budget.core_hours=0.0001"


@dataclass
class Session:
    """One run of `gan3d run`, and every process that it had."""

    returncode: int
    stdout: str
    stderr: str
    seen: set[psutil.Process]

    @property
    def told(self) -> dict[str, Any]:
        """The JSON document on stdout."""
        read: dict[str, Any] = json.loads(self.stdout)
        return read


class Folder:
    """A study, its results and the sessions that are run in it."""

    def __init__(self, path: Path) -> None:
        self.path, self.results = path, path / "results"
        self.study = write_study(path, SPACE, cost=RATES)
        self.uri = f"sqlite:///{self.results / 'tracking.db'}"

    def command(self, *arguments: str) -> list[str]:
        start = [sys.executable, "-m", "gan3d.cli", "run", str(self.study), "--results", str(self.results)]
        return [*start, "--set", f"training.epochs={EPOCHS}", *arguments]

    def run(self, *arguments: str) -> Session:
        """To its end, looking at its processes all the while."""
        out, err = self.path / "out.txt", self.path / "err.txt"
        with out.open("w") as stdout, err.open("w") as stderr:
            driver = psutil.Popen(self.command(*arguments), stdout=stdout, stderr=stderr, start_new_session=True)
            seen: set[psutil.Process] = set()
            deadline = time.monotonic() + 400
            while driver.poll() is None:
                assert time.monotonic() < deadline
                with contextlib.suppress(psutil.NoSuchProcess):
                    seen.update(driver.children(recursive=True))
                time.sleep(0.2)
        return Session(driver.returncode, out.read_text(encoding="utf-8"), err.read_text(encoding="utf-8"), seen)

    def records(self, number: int) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = TrialFolder(self.results / "trials" / f"{number:04d}").records()
        return rows

    def ledger(self) -> Ledger:
        return Ledger.open(self.results, Rates.model_validate(RATES))


@dataclass
class Story:
    """Three sessions: one that the budget ends, one that may not spend more, one that may."""

    folder: Folder
    sessions: list[Session]
    records: list[list[dict[str, Any]]]
    """Of trial 0, after each session."""
    stored: list[list[Any]]
    """Optuna's trials that were ever proposed, after each session."""
    trials: list[dict[int, dict[str, Any]]]
    """MLflow's rows by trial number, after each session."""
    spent: list[Spent]
    """By `cost.json`, after each session."""


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = Folder(tmp_path_factory.mktemp("budget"))
    found = Story(folder, [], [], [], [], [])
    for arguments in (["--json", "--set", TINY], ["--set", TINY, "--resume"], ["--json", "--set", "budget.core_hours=1000", "--resume"]):
        session = folder.run(*arguments)
        assert session.returncode == 0, session.stdout + session.stderr
        found.sessions.append(session)
        found.records.append(folder.records(0))
        found.stored.append([trial for trial in optuna_trials(folder.results, "small") if trial.state.name != "WAITING"])
        rows = frames.trials(folder.uri, "small").to_dict("records")
        found.trials.append({int(row["trial"]): {str(key): value for key, value in row.items()} for row in rows})
        found.spent.append(folder.ledger().total())
    return found


def test_a_study_whose_budget_is_spent_stops_with_what_it_has(story: Story) -> None:
    told = story.sessions[0].told
    (trial,) = told["trials"]
    assert (told["state"], told["budget"]) == ("stopped", {"core_hours": 0.0001})
    assert told["budget_spent"].startswith("budget.core_hours = 0.0001 is spent (")
    assert (trial["number"], trial["state"], trial["epochs"]) == (0, "stopped", 1)
    assert trial["reason"].startswith("after epoch 1 of 3: budget.core_hours = 0.0001 is spent (")
    assert told["best"]["number"] == 0
    assert Path(told["best"]["checkpoint"]).is_file()
    assert "--resume" in told["go_on"]
    assert [row["epoch"] for row in story.records[0]] == [1]


def test_the_terminal_says_why_and_how_to_go_on(story: Story) -> None:
    for text in (story.sessions[0].stderr, story.sessions[1].stdout):
        lines = " ".join(text.split())
        assert "budget budget.core_hours = 0.0001 is spent (" in lines
        assert "0 of 2 trials ended. Raise it to go on: what was spent counts" in lines
        assert "go on gan3d run" in lines
        assert "core-hours reserved (" in lines


def test_a_spent_budget_pays_for_no_further_session(story: Story) -> None:
    assert story.records[1] == story.records[0]
    assert story.spent[1] == story.spent[0]
    assert story.stored[1][0].user_attrs == story.stored[0][0].user_attrs
    assert story.trials[1] == story.trials[0]


@pytest.mark.parametrize("session", [0, 2], ids=["stopped", "complete"])
def test_records_optuna_and_mlflow_agree_on_every_trial(story: Story, session: int) -> None:
    words = {"complete": "COMPLETE", "stopped": "RUNNING"}
    names = {entry.name for entry in fields(TrialRecord)}
    told = [TrialRecord(**{name: trial[name] for name in names}) for trial in story.sessions[session].told["trials"]]
    stored, rows = story.stored[session], story.trials[session]
    assert [record.number for record in told] == [trial.number for trial in stored] == sorted(rows)
    for record, trial in zip(told, stored, strict=True):
        row = rows[record.number]
        assert trial.state.name == words[record.state]
        assert trial.user_attrs.get("stopped", "") == record.reason == row["reason"]
        assert row["state"] == record.state
        assert int(row["epochs"]) == record.epochs == len(trial.intermediate_values)
        assert row["objective"] == record.objective


def test_mlflow_has_the_study_s_state_reason_and_cost(story: Story) -> None:
    from gan3d.tracking.client import open_client

    told = story.sessions[2].told
    run_id = (story.folder.results / "tracking_run.txt").read_text(encoding="utf-8").strip()
    tags = open_client(story.folder.uri).get_run(run_id).data.tags
    assert (tags["state"], tags["reason"]) == ("complete", "")
    assert float(tags["cost.reserved_core_hours"]) == pytest.approx(told["cost"]["reserved_core_hours"], rel=1e-4)
    assert tags["cost.energy_source"] == told["cost"]["energy_source"]
    assert tags["cost.currency"] == "CHF"


def test_a_larger_budget_goes_on_and_loses_no_epoch(story: Story) -> None:
    told = story.sessions[2].told
    assert (told["state"], told["go_on"]) == ("complete", None)
    assert [(trial["state"], trial["epochs"]) for trial in told["trials"]] == [("complete", EPOCHS)] * 2
    assert story.records[2][:1] == story.records[0]
    assert [row["epoch"] for row in story.records[2]] == list(range(1, EPOCHS + 1))
    assert [sorted(trial.intermediate_values) for trial in story.stored[2]] == [list(range(1, EPOCHS + 1))] * 2
    epochs = frames.epochs(story.folder.uri, "small")[["trial", "epoch"]].to_numpy().tolist()
    assert sorted(map(tuple, epochs)) == [(number, epoch) for number in (0, 1) for epoch in range(1, EPOCHS + 1)]


def test_what_was_spent_before_counts(story: Story) -> None:
    first, _, last = story.spent
    assert last.reserved_core_seconds > first.reserved_core_seconds > 0
    held = story.folder.ledger().trials()[0]
    assert held.core_seconds > first.core_seconds


def test_nothing_is_left_running(story: Story) -> None:
    deadline = time.monotonic() + 60
    for session in story.sessions:
        assert len(session.seen) > 2
        while left := [process for process in session.seen if process.is_running() and process.status() != psutil.STATUS_ZOMBIE]:
            assert time.monotonic() < deadline, left
            time.sleep(0.5)


def test_the_ledger_is_consistent_with_the_epochs_records(story: Story) -> None:
    spent = story.folder.ledger().trials()
    for number, workers in ((0, 1), (1, 2)):
        metrics = [row["metrics"] for row in story.folder.records(number)]
        in_epochs = {name: sum(row[f"cost.{name}"] for row in metrics) for name in ("core_seconds", "reserved_core_seconds", "joules")}
        held = spent[number]
        assert held.core_seconds >= in_epochs["core_seconds"] >= workers * sum(row["timing.epoch_seconds"] for row in metrics) * 0.95
        assert held.reserved_core_seconds == pytest.approx(held.core_seconds * 2 / workers)
        assert in_epochs["reserved_core_seconds"] == pytest.approx(in_epochs["core_seconds"] * 2 / workers)
        measured = sum(row["cost.rapl_joules"] + row["cost.nvml_joules"] for row in metrics)
        assert held.rapl_joules + held.nvml_joules == pytest.approx(measured)
        outside = WATTS * (held.core_seconds - in_epochs["core_seconds"])
        assert held.declared_joules + measured == pytest.approx(in_epochs["joules"] + outside)


def test_the_bill_is_the_ledger_s_and_says_where_its_energy_is_known_from(story: Story) -> None:
    cost, total = story.sessions[2].told["cost"], story.spent[2]
    assert cost["reserved_core_hours"] * 3600 == pytest.approx(total.reserved_core_seconds)
    assert cost["core_hours"] * 3600 == pytest.approx(total.core_seconds)
    assert cost["money"] == pytest.approx(0.04 * cost["reserved_core_hours"])
    assert cost["grams_co2"] == pytest.approx(56 * cost["kwh"])
    assert cost["kwh"] * 3.6e6 == pytest.approx(total.rapl_joules + total.declared_joules)
    if not total.rapl_joules:
        assert (cost["energy_source"], cost["measured_share"]) == ("declared", 0)
        assert cost["kwh"] * 3.6e6 == pytest.approx(WATTS * total.core_seconds)
    trials = {trial["number"]: trial["cost"] for trial in story.sessions[2].told["trials"]}
    assert sum(trial["core_hours"] for trial in trials.values()) == pytest.approx(cost["core_hours"])
    assert trials[0]["money"] == pytest.approx(0.04 * trials[0]["core_hours"])


def test_a_plan_estimates_from_what_was_run(story: Story) -> None:
    command = [sys.executable, "-m", "gan3d.cli", "plan", str(story.folder.study), "--json", "--set", "training.epochs=6"]
    results = story.folder.path / "here" / "results"
    results.mkdir(parents=True)
    (results / "small").symlink_to(story.folder.results)
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=results.parent)
    found = json.loads(done.stdout)["estimate"]
    assert (found["epochs_planned"], found["epochs_known"], found["differs_in"]) == (12, 6, [])
    # Twice the epochs; teams are formed as often as they were.
    metrics = [row["metrics"] for number in (0, 1) for row in story.folder.records(number)]
    more = sum(row["cost.reserved_core_seconds"] for row in metrics) / 3600
    assert found["bill"]["reserved_core_hours"] == pytest.approx(story.sessions[2].told["cost"]["reserved_core_hours"] + more)


def test_a_killed_driver_forgets_seconds_of_its_ledger_and_no_epoch(tmp_path: Path) -> None:
    folder = Folder(tmp_path)
    many = ("--set", "training.epochs=40")
    driver = subprocess.Popen(folder.command(*many), start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    deadline = time.monotonic() + 240
    while folder.ledger().epochs < 2:
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(driver.pid, signal.SIGKILL)
    killed = time.time()
    driver.communicate(timeout=120)
    assert killed - (folder.results / "cost.json").stat().st_mtime < 3 * SECONDS_BETWEEN_SAVES  # three times, for a busy machine
    before, finished = folder.ledger().total(), folder.records(0)

    session = folder.run("--json", *many, "--set", TINY, "--resume")
    assert (session.returncode, session.told["state"]) == (0, "stopped"), session.stderr
    assert [(one["number"], one["state"], one["reason"]) for one in session.told["trials"]] == [(0, "stopped", INTERRUPTED)]
    assert folder.ledger().total() == before
    orphaned = folder.records(0)  # workers whose driver is gone end the epoch they are in
    assert orphaned[: len(finished)] == finished
    assert len(orphaned) <= len(finished) + 1

    a_little = f"budget.core_hours={before.reserved_core_seconds / 3600 + 1e-4}"
    session = folder.run("--json", *many, "--set", a_little, "--resume")
    assert session.returncode == 0, session.stderr
    (trial,) = session.told["trials"]
    after = folder.records(0)
    assert after[: len(orphaned)] == orphaned
    assert len(after) <= len(orphaned) + 1
    assert trial["epochs"] == len(after) == folder.ledger().epochs
    (stored,) = (one for one in optuna_trials(folder.results, "small") if one.number == 0)
    assert sorted(stored.intermediate_values) == [row["epoch"] for row in after]
    assert folder.ledger().total().core_seconds >= max(before.core_seconds, sum(row["metrics"]["cost.core_seconds"] for row in after))
