"""The whole road, for real: Ray Tune, Optuna, Ray Train, MLflow; trials that diverge, are stopped, lose a worker; a driver that dies."""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import optuna
import psutil
import pytest
from killed_study import titled
from small_study import Notes, load_small_study, write_study

from gan3d.config.load import LoadedStudy
from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.tracking import frames
from gan3d.training.checkpoint import TrialFolder

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's and MLflow's own
]

DIVERGING = 1e18
LEARNING_RATE = "training.discriminator.learning_rate"


def options(results: Path, *, resume: bool = False) -> RunOptions:
    return RunOptions(results=results, address=None, tracking_uri=None, resume=resume, verbose=False)


def optuna_trials(results: Path, name: str) -> list[optuna.trial.FrozenTrial]:
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(results / "optuna_journal.log")))
    return optuna.load_study(study_name=name, storage=storage).trials


#: Words in the titles of Ray's processes; a trial actor's changes while it waits for an epoch.
ANY, WORKER, TRIAL_ACTOR = ("ray::",), ("RayTrainWorker",), ("TeamTrial", "ResourceTrainable")


def own_processes(words: tuple[str, ...]) -> list[psutil.Process]:
    """Ray's processes of this test: a local cluster descends from its driver, those of other studies do not."""
    return titled(psutil.Process().children(recursive=True), *words)


def assert_the_three_agree(result: StudyResult, loaded: LoadedStudy) -> None:
    """Our records, Optuna's storage and MLflow tell the same of every trial."""
    words = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
    mlflow = frames.trials(result.tracking_uri, loaded.study.name).set_index("trial")
    stored = optuna_trials(result.results, loaded.study.name)
    assert [record.number for record in result.trials] == [trial.number for trial in stored] == sorted(mlflow.index)
    for record, trial in zip(result.trials, stored, strict=True):
        row = mlflow.loc[record.number].to_dict()
        assert trial.state.name == words[record.state]
        assert row["state"] == record.state
        assert row["reason"] == record.reason
        assert int(row["epochs"]) == record.epochs == len(trial.intermediate_values)
        assert int(row["restarts"]) == record.restarts == trial.user_attrs.get("restarts", 0)


class Killer(Notes):
    """Kills one of the study's processes whenever an epoch has ended, the first ``kills`` times."""

    def __init__(self, words: tuple[str, ...], *, kills: int) -> None:
        super().__init__()
        self._words, self._kills = words, kills
        self.seen: set[psutil.Process] = set()

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        self.seen.update(own_processes(ANY))
        if len(self.epochs) < self._kills:
            own_processes(self._words)[-1].send_signal(signal.SIGKILL)
        super().epoch_ended(number, epoch, metrics)


@pytest.fixture(scope="module")
def eventful(tmp_path_factory: pytest.TempPathFactory) -> tuple[StudyResult, Killer, LoadedStudy]:
    """One study in which a trial diverges, one is stopped early, and one loses a worker to SIGKILL."""
    folder = tmp_path_factory.mktemp("eventful")
    space = {LEARNING_RATE: {"choice": [1e-3, DIVERGING]}, "training.generator.learning_rate": {"choice": [1e-3, 1e-7]}}
    loaded = load_small_study(folder, space, scheduler={"name": "asha", "grace": 1, "reduction_factor": 2})

    notes = Killer(WORKER, kills=1)
    return run_study(loaded, options(folder / "results"), notes), notes, loaded


def test_the_killed_worker_is_in_the_records(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    restarts = {record.number: record.restarts for record in eventful[0].trials}
    assert restarts.pop(0) >= 1
    assert not any(restarts.values())


def test_a_study_survives_divergence_early_stopping_and_a_killed_worker(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    result, notes, _ = eventful
    assert result.state == "complete"
    by_rate = {record.sample[LEARNING_RATE]: record for record in result.trials}
    assert set(by_rate) == {1e-3, DIVERGING}
    failed = [record for record in result.trials if record.sample[LEARNING_RATE] == DIVERGING]
    assert all(record.state == "failed" and "DivergedError" in record.reason for record in failed), failed
    assert result.trials[0].state == "complete"
    assert [epoch for number, epoch in notes.epochs if number == 0] == [1, 2, 3]


def test_optuna_mlflow_and_the_records_agree_trial_by_trial(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    result, _, loaded = eventful
    assert_the_three_agree(result, loaded)


def test_every_epoch_is_logged_once_with_finite_physics(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    result, _, loaded = eventful
    epochs = frames.epochs(result.tracking_uri, loaded.study.name)
    assert not epochs.duplicated(["trial", "epoch"]).any()
    assert set(map(tuple, epochs[["trial", "epoch"]].to_numpy().tolist())) == {
        (record.number, epoch) for record in result.trials for epoch in range(1, record.epochs + 1)
    }
    assert all(math.isfinite(value) for value in epochs["physics.shower_distance"])


def test_the_best_state_is_on_disk_and_an_artefact(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    result, _, loaded = eventful
    assert result.best is not None
    assert TrialFolder(result.results / "trials" / f"{result.best.number:04d}").best.is_file()
    folder = frames.study(result.tracking_uri, loaded.study.name)
    assert list(Path(result.results / "artifacts").rglob("best.pt")), folder


def test_nothing_is_left_running(eventful: tuple[StudyResult, Killer, LoadedStudy]) -> None:
    assert eventful[0].state == "complete"
    deadline = time.monotonic() + 60
    assert len(eventful[1].seen) > 2
    while left := [process for process in eventful[1].seen if process.is_running()]:
        assert time.monotonic() < deadline, left
        time.sleep(0.5)


@pytest.mark.parametrize(("kills", "state"), [(1, "complete"), (2, "failed")])
def test_a_killed_trial_actor_neither_stops_the_study_nor_keeps_its_cpus(tmp_path: Path, kills: int, state: str) -> None:
    """Tune starts the actor once more, and the trial goes on from its last epoch; the second time it gives the trial up."""
    loaded = load_small_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    notes = Killer(TRIAL_ACTOR, kills=kills)
    result = run_study(loaded, options(tmp_path / "results"), notes)
    assert result.state == "complete"
    hit, untouched = result.trials
    assert (hit.state, hit.restarts) == (state, 1)
    assert bool(hit.reason) == (state == "failed")
    assert (untouched.state, untouched.restarts) == ("complete", 0)
    assert len(TrialFolder(result.results / "trials" / "0000").records()) == (3 if state == "complete" else 1)
    assert_the_three_agree(result, loaded)


def test_early_stopping_is_pruned_not_complete(tmp_path: Path) -> None:
    """A sampler of fixed order: a good learning rate first, then one at which nothing is learned, stopped after its first epoch."""
    space = {"training.generator.learning_rate": {"choice": [3e-3, 1e-9]}}
    scheduler = {"name": "asha", "grace": 1, "reduction_factor": 2}
    loaded = load_small_study(tmp_path, space, scheduler=scheduler, objective={"metric": "losses.generator_deposited_energy"})
    result = run_study(loaded, options(tmp_path / "results"), Notes())
    assert [record.state for record in result.trials] == ["complete", "pruned"]
    assert result.trials[1].epochs == 1
    assert_the_three_agree(result, loaded)


@pytest.mark.parametrize("blow", [signal.SIGKILL, signal.SIGINT])
def test_a_stopped_driver_loses_no_finished_epoch_and_the_study_goes_on(tmp_path: Path, blow: signal.Signals) -> None:
    space = {"training.seed": {"choice": [1, 2]}}
    study = write_study(tmp_path, space)
    results = tmp_path / "results"
    command = [sys.executable, "-m", "gan3d.cli", "run", str(study), "--results", str(results), "--set", "training.epochs=6"]
    driver = subprocess.Popen(command, start_new_session=True, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    first = TrialFolder(results / "trials" / "0000")
    deadline = time.monotonic() + 180
    while len(first.records()) < 2:
        assert driver.poll() is None, driver.communicate()[0]
        assert time.monotonic() < deadline
        time.sleep(0.1)
    os.kill(driver.pid, blow)
    output = driver.communicate(timeout=120)[0]
    finished = first.records()
    if blow == signal.SIGINT:
        assert driver.returncode == 130, output
        assert "--resume" in output
    done = subprocess.run([*command, "--resume"], capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stdout + done.stderr
    after = first.records()
    assert after[: len(finished)] == finished
    trials = optuna_trials(results, "small")
    assert [trial.state.name for trial in trials] == ["COMPLETE", "COMPLETE"]
    assert [sorted(trial.intermediate_values) for trial in trials] == [[1, 2, 3, 4, 5, 6]] * 2
    epochs = frames.epochs(f"sqlite:///{results / 'tracking.db'}", "small")
    assert sorted(map(tuple, epochs[["trial", "epoch"]].to_numpy().tolist())) == [(t, e) for t in (0, 1) for e in range(1, 7)]
