"""Trials that Optuna knows to have ended and MLflow does not: the next session says so, once, and touches no other."""

from __future__ import annotations

from pathlib import Path

import pytest
from logged import log_epoch
from small_study import load_small_study
from test_store import ended, record

from gan3d.config.load import LoadedStudy
from gan3d.cost.account import Account
from gan3d.cost.ledger import Ledger
from gan3d.records import TrialRecord
from gan3d.search.optuna_trials import INTERRUPTED
from gan3d.tracking import frames
from gan3d.tracking.catching_up import catch_up
from gan3d.tracking.outcome import UNTRAINED
from gan3d.tracking.store import StudyTracker, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder

SAMPLE = {"training.seed": 1}


class Driver:
    """What a session's driver has at hand."""

    def __init__(self, folder: Path, loaded: LoadedStudy) -> None:
        self.folder, self.loaded = folder, loaded
        self.uri = default_tracking_uri(folder)
        self.account = Account(loaded.study, Ledger.open(folder, loaded.study.cost))
        self.tracker = StudyTracker.open(self.uri, study_name="small", results=folder, resume=(folder / "tracking_run.txt").exists())

    def start(self, number: int, *epochs: int) -> None:
        settings = self.loaded.study.trial_settings(SAMPLE)
        self.tracker.start_trial(number, SAMPLE, settings.model_dump(mode="json"), settings.digest())
        for epoch in epochs:
            log_epoch(self.tracker, number, record(epoch, float(epoch)))

    def train(self, number: int, *epochs: int) -> None:
        """As the workers do."""
        trial = TrialFolder(self.folder / "trials" / f"{number:04d}")
        trial.path.mkdir(parents=True, exist_ok=True)
        for epoch in epochs:
            trial.commit({"epoch": epoch, "metrics": record(epoch, float(epoch)).as_metrics()})

    def catch_up(self, *records: TrialRecord) -> None:
        catch_up(self.tracker, self.uri, self.loaded.study, records, self.account, self.folder / "trials")


def of(number: int, state: str = "complete", reason: str = "") -> TrialRecord:
    told = ended(state, number)
    return TrialRecord(number, SAMPLE, told.state, reason or told.reason, told.epochs, told.objective, told.seconds, restarts=1)


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> LoadedStudy:
    return load_small_study(tmp_path_factory.mktemp("study"), {"training.seed": {"choice": [1, 2]}})


@pytest.fixture
def folder(tracked_folder) -> Path:
    return Path(tracked_folder("results"))


def test_a_trial_that_has_ended_is_said_to_have_with_the_epochs_that_are_missing(folder: Path, loaded: LoadedStudy) -> None:
    killed = Driver(folder, loaded)
    killed.start(0, 1)
    killed.train(0, 1, 2, 3)
    again = Driver(folder, loaded)
    assert again.tracker.continued
    again.catch_up(of(0))
    again.catch_up(of(0))
    (row,) = frames.trials(again.uri, "small").to_dict("records")
    assert {name: row[name] for name in ("trial", "state", "reason", "epochs", "objective", "restarts")} == {
        "trial": 0,
        "state": "complete",
        "reason": "",
        "epochs": 2,  # the third was begun by workers whose trial had ended
        "objective": 0.25,
        "restarts": 1,
    }
    assert row["digest"] == loaded.study.trial_settings(SAMPLE).digest()
    points = frames.epochs(again.uri, "small", metrics=["losses.generator_total"])
    assert points[["epoch", "losses.generator_total"]].to_numpy().tolist() == [[1, 1.0], [2, 2.0]]


def test_a_trial_that_was_not_trained_gets_its_run(folder: Path, loaded: LoadedStudy) -> None:
    Driver(folder, loaded)
    again = Driver(folder, loaded)
    again.catch_up(of(0, "failed", f"{UNTRAINED}: it would train as trial 7 did"), of(1, "failed", "DivergedError: not finite"))
    rows = frames.trials(again.uri, "small")
    assert rows["trial"].tolist() == [0, 1]
    assert rows["state"].tolist() == ["failed", "failed"]
    assert rows["digest"].tolist() == ["", loaded.study.trial_settings(SAMPLE).digest()]


def test_a_trial_whose_end_is_said_already_is_left_alone(folder: Path, loaded: LoadedStudy) -> None:
    before = Driver(folder, loaded)
    before.start(0, 1, 2)
    before.tracker.end_trial(of(0))
    before.train(0, 1, 2, 3)
    rows = frames.trials(before.uri, "small")
    again = Driver(folder, loaded)
    again.catch_up(of(0))
    assert frames.trials(again.uri, "small").equals(rows)


def test_a_trial_whose_driver_was_killed_waits_and_goes_on(folder: Path, loaded: LoadedStudy) -> None:
    killed = Driver(folder, loaded)
    killed.start(0, 1)
    killed.train(0, 1, 2)
    again = Driver(folder, loaded)
    again.catch_up(of(0, "stopped", INTERRUPTED))
    (row,) = frames.trials(again.uri, "small").to_dict("records")
    assert (row["state"], row["reason"], row["epochs"]) == ("stopped", INTERRUPTED, 2)
    again.start(0)
    (row,) = frames.trials(again.uri, "small").to_dict("records")
    assert (row["state"], row["reason"]) == ("running", "")


def test_a_server_that_does_not_answer_stops_nothing(folder: Path, loaded: LoadedStudy, caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(folder, loaded)
    catch_up(driver.tracker, f"{driver.uri}.gone", loaded.study, [of(0)], driver.account, folder / "trials")
    assert "does not tell which trials have ended" in caplog.text
    assert frames.trials(driver.uri, "small").empty
