"""What Tune tells becomes what MLflow and the user are told: a real tracker on SQLite, trials as Tune hands them over."""

from __future__ import annotations

import pickle
import threading
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import h5py
import pandas as pd
import pytest
from ledger_inputs import Clock
from shower_layouts import make_showers
from small_study import Notes, load_small_study
from small_trial import showers_of, small_trial

from gan3d.config.cost import Rates
from gan3d.config.objective import Objective
from gan3d.config.study import Study
from gan3d.config.training import TrialSettings
from gan3d.cost.account import Account
from gan3d.cost.ledger import Ledger
from gan3d.data.shower_file import write_clic_file
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher
from gan3d.tracking import frames
from gan3d.tracking.callback import SLOWEST, SLOWEST_RATIO, WORLD_SIZE, StudyCallback
from gan3d.tracking.client import open_client
from gan3d.tracking.outcome import ACTOR_LOST, BEST, EPOCH, FAILED, REASON
from gan3d.tracking.store import MARKER_METRIC, StudyTracker, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder
from gan3d.training.merit import Merit

EPOCHS = 3
METRIC = "physics.shower_distance"
ASKED = {"training": {"batch_per_worker": 8}, "workers": {"per_trial": 4}, "data": {"train": ["a"], "validation": ["b"]}}
SETTINGS = TrialSettings.model_validate(ASKED).model_dump(mode="json")
SPACE = {"training.seed": {"choice": [7, 8]}}
STUDY = Study.model_validate({"name": "told", "question": "Who is told?", "search_space": SPACE, "sampler": {"name": "grid"}} | ASKED)


@pytest.fixture(scope="module")
def uri(tracked_folder: Callable[[str], Path]) -> str:
    """One database for all tests: each has a study of its own name."""
    return default_tracking_uri(tracked_folder("callback"))


class Locked(Notes):
    """A watcher that no process can take along, as the terminal is."""

    def __init__(self) -> None:
        super().__init__()
        self.lock = threading.Lock()


class Told:
    """A callback, its watcher's notes, and what MLflow came to know."""

    def __init__(self, uri: str, name: str, folder: Path) -> None:
        self._uri, self._name, self._folder = uri, name, folder
        self._tracker = StudyTracker.open(uri, study_name=name, results=folder, resume=False)
        self._tracker.log_study("", "", [], {}, {}, objective=Objective(metric=METRIC))
        self.notes, self.clock = Locked(), Clock()
        self.account = Account(STUDY, Ledger(Rates(), now=self.clock))
        self.session()

    def session(self) -> Told:
        """The next driver, which knows of the one before what the ledger does."""
        self.account.ledger.save(self._folder)
        self.account = Account(STUDY, Ledger.open(self._folder, Rates(), now=self.clock))
        self.callback = StudyCallback(self._tracker, self.notes, self.account)
        return self

    def start(self, number: int = 0, *, known_epochs: int = 0) -> SimpleNamespace:
        config: dict[str, Any] = {"number": number, "epochs": EPOCHS, "known_epochs": known_epochs}
        config |= {"sample": {"training.seed": 7}, "settings": SETTINGS, "digest": "c0ffee"}
        config["assignment"] = {"folder": str(self._folder / "trials" / "0000")}
        trial = SimpleNamespace(trial_id=f"of {number}", config=config, last_result=None, error_file=None)
        self.callback.on_trial_start(0, [trial], trial)
        return trial

    def report(
        self,
        trial: SimpleNamespace,
        epoch: int,
        value: float = 0.5,
        reason: str = "",
        slowest: tuple[float, float] = (0.0, 1.0),
        size: int = 4,
    ) -> None:
        metrics = {METRIC: value, MARKER_METRIC: 1.0, SLOWEST: slowest[0], SLOWEST_RATIO: slowest[1], WORLD_SIZE: float(size)}
        told = {EPOCH: epoch, FAILED: bool(reason), REASON: reason, BEST: Merit(0.0, (value,))}
        trial.last_result = metrics | told
        self.callback.on_trial_result(0, [trial], trial, trial.last_result)

    def mlflow_epochs(self) -> pd.DataFrame:
        return frames.epochs(self._uri, self._name)

    def mlflow_trial(self) -> dict[str, Any]:
        (row,) = frames.trials(self._uri, self._name).to_dict("records")
        return {str(key): value for key, value in row.items()}

    def mlflow_tags(self) -> dict[str, str]:
        tags: dict[str, str] = open_client(self._uri).get_run(self.mlflow_trial()["run_id"]).data.tags
        return tags


@pytest.fixture
def told(uri: str, tmp_path: Path, request: pytest.FixtureRequest) -> Told:
    return Told(uri, request.node.name.replace("[", "_").replace("]", ""), tmp_path)


def test_a_trial_s_life_is_told_to_mlflow_and_the_user(told: Told) -> None:
    trial = told.start()
    for epoch, value in enumerate((0.5, 0.25, 0.125), start=1):
        told.report(trial, epoch, value)
    told.callback.on_trial_complete(0, [trial], trial)
    assert told.mlflow_epochs()[["epoch", METRIC]].to_numpy().tolist() == [[1, 0.5], [2, 0.25], [3, 0.125]]
    row = told.mlflow_trial()
    assert (row["state"], row["reason"], row["objective"], row["training.seed"]) == ("complete", "", 0.125, 7)
    assert told.notes.started == [0]
    assert told.notes.epochs == [(0, 1), (0, 2), (0, 3)]
    assert [(record.number, record.state, record.epochs) for record in told.notes.ended] == [(0, "complete", 3)]
    assert "error" not in told.mlflow_tags()


def test_a_trial_that_is_taken_up_took_the_time_of_both_sessions_and_not_that_between(told: Told) -> None:
    trial = told.start()
    told.clock.wait(100)
    told.report(trial, 1)
    told.session()
    told.clock.wait(8 * 3600)
    trial = told.start(known_epochs=1)
    told.report(trial, 1)
    for epoch, size in ((2, 3), (3, 4)):
        told.clock.wait(50)
        told.report(trial, epoch, size=size)
    told.callback.on_trial_complete(0, [trial], trial)
    assert told.mlflow_trial()["seconds"] == 200.0
    assert [record.seconds for record in told.notes.ended] == [200.0]


def test_a_rank_that_keeps_the_others_waiting_is_named_once(told: Told, tmp_path: Path) -> None:
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    TrialFolder(folder).write_workers([{"rank": 0, "host": "node1"}, {"rank": 1, "host": "node7"}])
    trial = told.start()
    for epoch, ratio in ((1, 1.5), (2, 10.2), (3, 9.9)):
        told.report(trial, epoch, slowest=(1.0, ratio))
    said = "rank 1 on node7 takes 10.2 times as long as the median rank (epoch 2)"
    assert told.notes.said == [f"trial 0: {said}; the others wait for it"]
    assert told.mlflow_tags()["straggler"] == said


def test_a_trial_that_loses_and_regains_workers_says_so(told: Told) -> None:
    trial = told.start()
    for epoch, size in ((1, 4), (2, 3), (3, 3), (4, 4)):
        told.clock.wait(100)
        told.report(trial, epoch, size=size)
    told.clock.wait(100)
    assert told.notes.said == ["trial 0: 3 of 4 workers from epoch 2 on", "trial 0: 4 of 4 workers from epoch 4 on"]
    assert told.mlflow_tags()["elastic"] == "4 of 4 workers from epoch 4 on"
    # An epoch's size is known at its end: four workers for two epochs, three for the next two, four again.
    assert told.account.ledger.total().core_seconds == 200 * 4 + 200 * 3 + 100 * 4


@pytest.mark.parametrize("is_new_session", [True, False])
def test_epochs_told_again_say_nothing_of_the_team_that_there_is_now(told: Told, is_new_session: bool) -> None:
    trial = told.start()
    for epoch, size in ((1, 2), (2, 4)):
        told.report(trial, epoch, size=size, slowest=(1.0, 5.0))
    # Taken up by the next session; or its actor was lost, and Tune begins it again.
    trial = told.session().start(known_epochs=2) if is_new_session else told.start()
    before = told.account.ledger.total().core_seconds
    said = len(told.notes.said)
    told.report(trial, 1, size=2, slowest=(1.0, 5.0))
    told.clock.wait(100)
    told.report(trial, 2, size=4, slowest=(1.0, 5.0))
    assert len(told.notes.said) == said
    assert told.account.ledger.total().core_seconds == before + 100 * 4
    assert told.mlflow_tags()["elastic"] == "4 of 4 workers from epoch 2 on"
    told.report(trial, 3, size=3)
    assert told.notes.said[said:] == ["trial 0: 3 of 4 workers from epoch 3 on"]


def test_an_epoch_reported_again_is_logged_once(told: Told) -> None:
    trial = told.start()
    told.report(trial, 1, 0.5)
    told.report(trial, 2, 0.25)
    again = told.start()  # Tune restarts a trial whose actor was lost; its workers report what is on disk again
    for epoch, value in ((1, 0.5), (2, 0.25), (3, 0.125)):
        told.report(again, epoch, value)
    assert told.mlflow_epochs()["epoch"].tolist() == [1, 2, 3]


@pytest.mark.parametrize("epochs_before", [0, 2])
def test_a_lost_actor_is_a_failure_with_the_reason_optuna_has_and_the_error_s_last_line(
    told: Told, tmp_path: Path, epochs_before: int
) -> None:
    trial = told.start()
    for epoch in range(1, epochs_before + 1):
        told.report(trial, epoch)
    error_file = tmp_path / "error.txt"
    error_file.write_text("Failure # 1\nTraceback ...\nActorDiedError: the node was lost\n\n", encoding="utf-8")
    trial.error_file = str(error_file)
    told.callback.on_trial_error(0, [trial], trial)
    row = told.mlflow_trial()
    assert (row["state"], row["reason"], row["epochs"]) == ("failed", ACTOR_LOST, epochs_before)
    assert told.mlflow_tags()["error"] == "ActorDiedError: the node was lost"
    assert [record.reason for record in told.notes.ended] == [ACTOR_LOST]


def test_optuna_has_the_same_reason_for_a_lost_actor(tmp_path: Path) -> None:
    loaded = load_small_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    opened = open_optuna_study(loaded.study, tmp_path / "journal.log")
    searcher = OptunaSearcher(loaded.study, opened, trials_folder=tmp_path / "trials", base=loaded.base)
    assert searcher.suggest("a") is not None
    searcher.begin("a")
    searcher.on_trial_complete("a", None, error=True)
    (record,) = searcher.records()
    assert (record.state, record.reason) == ("failed", ACTOR_LOST)


def test_a_trial_that_could_not_begin_has_no_end_to_tell(told: Told) -> None:
    """Its actor was lost between two trials; the searcher proposes it again."""
    trial = told.start()
    told.report(trial, 1, 0.5)
    told.callback.on_trial_error(0, [], SimpleNamespace(trial_id="another", config=trial.config))
    assert told.mlflow_trial()["state"] == "running"
    assert told.notes.ended == []


@pytest.mark.parametrize("content", [None, "", "\n\n"])
def test_an_error_file_that_says_nothing_hides_no_failure(told: Told, tmp_path: Path, content: str | None) -> None:
    trial = told.start()
    trial.error_file = str(tmp_path / "error.txt")
    if content is not None:
        Path(trial.error_file).write_text(content, encoding="utf-8")
    told.callback.on_trial_error(0, [trial], trial)
    assert (told.mlflow_trial()["state"], told.mlflow_trial()["reason"]) == ("failed", ACTOR_LOST)
    assert "error" not in told.mlflow_tags()


def test_a_failure_s_made_up_objective_is_not_logged_as_an_epoch(told: Told) -> None:
    trial = told.start()
    told.report(trial, 1, 0.5)
    told.report(trial, 1, float("inf"), reason="DivergedError: losses are not finite")
    told.callback.on_trial_complete(0, [trial], trial)
    assert told.mlflow_epochs()[["epoch", METRIC]].to_numpy().tolist() == [[1, 0.5]]
    assert told.notes.epochs == [(0, 1)]
    assert told.mlflow_trial()["state"] == "failed"


@pytest.mark.parametrize("written", [None, "{", ""])
def test_showers_that_cannot_be_counted_here_hide_nothing_else(told: Told, tmp_path: Path, written: str | None) -> None:
    trial = told.start()
    folder = TrialFolder(tmp_path / "trials" / "0000")
    if written is not None:
        folder.path.mkdir(parents=True)
        (folder.path / "showers.json").write_text(written, encoding="utf-8")
    told.callback.on_trial_complete(0, [trial], trial)
    assert {name for name in told.mlflow_tags() if name.startswith("showers.")} == set()
    assert told.mlflow_trial()["reason"] == "ended before its first epoch"


def test_dropped_showers_are_told_to_mlflow(told: Told, tmp_path: Path) -> None:
    """From real files: ten showers of which one is empty and one is not finite."""
    showers = make_showers(10, (12, 12, 12), seed=3)
    showers.cells[4] = 0.0
    write_clic_file(tmp_path / "train.h5", showers)
    with h5py.File(tmp_path / "train.h5", "r+") as file:
        file["ECAL"][7] = float("nan")
    write_clic_file(tmp_path / "validation.h5", make_showers(6, (12, 12, 12), seed=4))
    trial = told.start()
    folder = TrialFolder(tmp_path / "trials" / "0000")
    folder.write_settings({})
    folder.write_showers(showers_of(small_trial(tmp_path)).counts)
    told.report(trial, 3)
    told.callback.on_trial_complete(0, [trial], trial)
    tags = told.mlflow_tags()
    counts = {name.removeprefix("showers."): int(value) for name, value in tags.items() if name.startswith("showers.")}
    assert counts == {"train": 8, "validation": 6, "dropped_empty": 1, "dropped_not_finite": 1}


def test_tune_can_pickle_it(told: Told) -> None:
    told.start()
    assert isinstance(pickle.loads(pickle.dumps(told.callback)), StudyCallback)
