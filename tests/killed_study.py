"""A real study for tests that kill: its processes, found by a mark that all of them inherit, and what it wrote, in three places."""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import shutil
import signal
import sqlite3
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
import psutil
import pytest
import torch

from gan3d.search.place import place_of
from gan3d.search.storage import open_storage
from gan3d.training.checkpoint import TrialFolder, load_state

#: In the environment of every process of a session; orphans keep it.
MARK = "GAN3D_TEST_SESSION"
#: What follows from the seed alone, bit for bit.
EXACT = ("losses.", "physics.")
#: Longest wait for anything, and for a session's last process to be gone, on a busy machine [s].
PATIENCE, GONE = 300.0, 150.0
#: Ray's agents tell their head that their node died before they end, and where the head died with it they give up after 60 s.
IMPATIENT = {"RAY_gcs_rpc_server_reconnect_timeout_s": "15"}


class Session:
    """One `gan3d` command, from its start to the end of its last process."""

    def __init__(self, folder: Path, *words: str) -> None:
        self.mark = uuid.uuid4().hex
        self._output = folder / f"session_{self.mark}.txt"
        with self._output.open("w") as output:
            self.driver = subprocess.Popen(
                [sys.executable, "-m", "gan3d.cli", *words],
                env={**os.environ, **IMPATIENT, MARK: self.mark},
                cwd=folder,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    @property
    def output(self) -> str:
        """All it has printed, on one line."""
        return " ".join(self._output.read_text(encoding="utf-8", errors="replace").split())

    @property
    def is_running(self) -> bool:
        return self.driver.poll() is None

    def processes(self) -> list[psutil.Process]:
        """Every living process of this session, children of the dead among them."""
        found = []
        for process in psutil.process_iter():
            with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                if process.status() != psutil.STATUS_ZOMBIE and process.environ().get(MARK) == self.mark:
                    found.append(process)
        return found

    def named(self, *words: str) -> list[psutil.Process]:
        """Those with one of these words in their titles."""
        return titled(self.processes(), *words)

    def ended(self, seconds: float = PATIENCE) -> int:
        """Wait for the driver; returns its exit code."""
        try:
            return self.driver.wait(seconds)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the driver did not end: {self.output}")

    def left_behind(self) -> list[str]:
        """Titles of processes that outlive the driver for longer than they may."""
        deadline = time.monotonic() + GONE
        while (left := self.processes()) and time.monotonic() < deadline:
            time.sleep(0.2)
        titles = []
        for process in left:
            with contextlib.suppress(psutil.NoSuchProcess):
                titles.append(" ".join(process.cmdline()))
        return titles

    def clear(self) -> None:
        """Kill whatever there is, for the next test's sake."""
        kill(self.processes())
        self.driver.wait()


def titled(processes: Iterable[psutil.Process], *words: str) -> list[psutil.Process]:
    """Those of them with one of these words in their titles; one that ended meanwhile is none."""
    found = []
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            if any(word in " ".join(process.cmdline()) for word in words):
                found.append(process)
    return found


def kill(processes: Iterable[psutil.Process]) -> None:
    """SIGKILL, all of them at once."""
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def interrupt(session: Session) -> None:
    """Ctrl-C: the terminal sends it to the driver and to all that share its process group."""
    os.killpg(session.driver.pid, signal.SIGINT)


def ask_to_stop(session: Session) -> None:
    """From another terminal."""
    command = [sys.executable, "-m", "gan3d.cli", "stop", "killed", "--wait", "600"]
    subprocess.run(command, cwd=psutil.Process(session.driver.pid).cwd(), check=True, stdout=subprocess.DEVNULL)


def kill_worker(session: Session) -> None:
    kill(session.named("RayTrainWorker")[-1:])


def kill_trial_actor(session: Session) -> None:
    # Its title is another one while it waits for an epoch.
    kill(session.named("TeamTrial", "ResourceTrainable")[-1:])


def kill_driver(session: Session) -> None:
    session.driver.kill()


def kill_head(session: Session) -> None:
    kill(session.named("gcs_server", "raylet/raylet"))


def reboot(session: Session) -> None:
    """Everything at once, and what a start of the machine sweeps away."""
    (raylet,) = session.named("raylet/raylet")
    (temporary,) = {found[1] for word in raylet.cmdline() if (found := re.search(r"(/\S*/session_[^/\s]+)/sockets", word))}
    kill([*session.processes(), *session.processes()])
    while session.processes():
        kill(session.processes())
    session.driver.wait()
    shutil.rmtree(temporary)


@dataclass(frozen=True)
class Results:
    """What a study wrote, read without any of its own readers where they would tidy up."""

    folder: Path
    study: str

    def finished(self) -> dict[int, list[int]]:
        """Trial number → epochs by its folder."""
        return {number: [row["epoch"] for row in rows] for number, rows in self.rows().items()}

    def num_finished(self) -> int:
        return sum(map(len, self.finished().values()))

    def rows(self) -> dict[int, list[dict[str, Any]]]:
        return {int(path.name): TrialFolder(path).records() for path in sorted((self.folder / "trials").glob("[0-9]*"))}

    def weights(self) -> dict[int, tuple[str, str]]:
        """Trial number → checksums of its last state and of its best one."""
        found = {}
        for number, rows in self.rows().items():
            folder = TrialFolder(self.folder / "trials" / f"{number:04d}")
            newest = folder.state(rows[-1]["epoch"])
            found[number] = (checksum(load_state(newest)["state"]), checksum(load_state(folder.best)["state"]))
        return found

    def optuna(self) -> list[optuna.trial.FrozenTrial]:
        """Those that were ever proposed."""
        found = optuna.load_study(study_name=self.study, storage=open_storage(place_of(self.folder))).trials
        return [trial for trial in found if trial.state.name != "WAITING"]

    def restarts(self) -> int:
        """Of all trials, as far as Optuna was told."""
        return sum(trial.user_attrs.get("restarts", 0) for trial in self.optuna())

    def mlflow_trials(self) -> list[tuple[int, str, str, int]]:
        """(trial number, MLflow's status, our state, restarts) of every run, in the order of numbers."""
        names = ("trial_number", "state", "restarts")
        tags = " ".join(f"left join tags {name} on {name}.run_uuid = r.run_uuid and {name}.key = '{name}'" for name in names)
        text = f"select trial_number.value, r.status, state.value, restarts.value from runs r {tags} where trial_number.value is not null"
        return sorted((int(number), status, state, int(restarts or 0)) for number, status, state, restarts in self._asked(text))

    def mlflow_points(self) -> list[tuple[int, str, int, float]]:
        """(trial number, metric, epoch, value) of every point of every run: doubled ones twice."""
        text = (
            "select t.value, m.key, m.step, m.value from metrics m "
            "join tags t on t.run_uuid = m.run_uuid and t.key = 'trial_number' where m.is_nan = 0"
        )
        return sorted((int(number), key.replace("/", ".", 1), int(step), float(value)) for number, key, step, value in self._asked(text))

    def num_study_runs(self) -> int:
        return len(self._asked("select 1 from tags where key = 'kind' and value = 'study'"))

    def _asked(self, text: str) -> list[tuple[Any, ...]]:
        with contextlib.closing(sqlite3.connect(self.folder / "tracking.db")) as database:
            return database.execute(text).fetchall()


def checksum(value: Any) -> str:
    """Of tensors and plain values in any nesting."""
    digest = hashlib.sha256()

    def add(part: Any) -> None:
        if isinstance(part, torch.Tensor):
            digest.update(part.contiguous().numpy().tobytes())
        elif isinstance(part, dict):
            for key in part:
                digest.update(repr(key).encode())
                add(part[key])
        elif isinstance(part, list | tuple):
            for item in part:
                add(item)
        else:
            digest.update(repr(part).encode())

    add(value)
    return digest.hexdigest()


def exact(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name.startswith(EXACT)}


def wait_for(is_true: Callable[[], bool], session: Session, what: str) -> None:
    """Look twenty times a second, as long as the session lives."""
    deadline = time.monotonic() + PATIENCE
    while not is_true():
        assert session.is_running, f"ended before {what}: {session.output}"
        assert time.monotonic() < deadline, f"waited in vain for {what}: {session.output}"
        time.sleep(0.05)


def assert_whole(results: Results, num_trials: int, num_epochs: int) -> None:
    """Every trial and every epoch once, in Optuna's storage, in the trials' folders and in MLflow, which agree on every number."""
    every, epochs = list(range(num_trials)), list(range(1, num_epochs + 1))
    stored, rows, points = results.optuna(), results.rows(), results.mlflow_points()
    assert [trial.number for trial in stored] == every
    assert {trial.number: trial.state.name for trial in stored} == dict.fromkeys(every, "COMPLETE")
    assert results.finished() == dict.fromkeys(every, epochs)
    restarts = {trial.number: trial.user_attrs.get("restarts", 0) for trial in stored}
    assert results.mlflow_trials() == [(number, "FINISHED", "complete", restarts[number]) for number in every]
    assert results.num_study_runs() == 1
    metrics = {(number, row["epoch"]): row["metrics"] for number, some in rows.items() for row in some}
    expected = [(*place, name, value) for place, found in metrics.items() for name, value in found.items()]
    assert sorted((number, epoch, name) for number, name, epoch, _ in points) == sorted(point[:3] for point in expected)
    for number, name, epoch, value in points:
        assert value == metrics[number, epoch][name], (number, epoch, name)
    for trial in stored:
        curve = {row["epoch"]: row["metrics"]["physics.shower_distance"] for row in rows[trial.number]}
        assert trial.intermediate_values == curve, trial.number
        assert trial.value == min(curve.values()), trial.number


def assert_same(results: Results, uninterrupted: Results) -> None:
    """The same samples, physics and weights, to the last bit."""
    assert [trial.params for trial in results.optuna()] == [trial.params for trial in uninterrupted.optuna()]
    found, expected = results.rows(), uninterrupted.rows()
    assert found.keys() == expected.keys()
    for number in expected:
        assert [exact(row["metrics"]) for row in found[number]] == [exact(row["metrics"]) for row in expected[number]], number
    assert results.weights() == uninterrupted.weights()
