"""Studies whose trials are played from a script: real Tune, Optuna, MLflow, board and trial actors; only the training is not there.

Everything that is special to how a study is put together, and to what its workers tell, is here. As a program it runs a study until
an epoch is known, and dies: python tests/searching.py STUDY
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import ray
from bookkeeping import Told, stored_trials, told_of, trial_runs, tune_trials
from ray import cloudpickle
from small_study import Notes, write_study

from gan3d.config.load import load_study
from gan3d.records import METRICS
from gan3d.search import run, team
from gan3d.search.place import place_of
from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.search.samplers import open_optuna_study
from gan3d.search.storage import claim_storage
from gan3d.search.team import TeamTrial

#: The sampled key that says which script a trial plays.
SEED = "training.seed"
METRIC = "physics.shower_distance"
NAN = float("nan")
DIVERGED = "DivergedError: losses are not finite"
BROKEN = "no more memory"
#: Of a trial that spends a budget of one core-hour with its second epoch.
CORE_SECONDS = 2000.0
BUDGET_CORE_HOURS = 1.0


class Script(NamedTuple):
    """How a trial goes: the objective of its epochs (None: not in the record), then its end, if it has one of its own."""

    values: tuple[float | None, ...]
    end: str = ""
    core_seconds: float = 0.0
    """Of each epoch."""


#: By `training.seed`. The first is what the study file says, so that it is asked first.
SCRIPTS = {
    "all epochs trained": Script((0.5, 0.4, 0.3)),
    "stopped by the scheduler": Script((0.9, 0.8, 0.7)),
    "diverged in its first epoch": Script((), "diverges"),
    "diverged in a later epoch": Script((0.45,), "diverges"),
    "not a number": Script((NAN, NAN, NAN)),
    "team ended": Script((0.4,), "raises"),
    "objective missing": Script((0.35, None)),
    "actor killed": Script((0.3,), "kills its process"),
    "budget spent": Script((0.2, 0.15, 0.1), core_seconds=CORE_SECONDS),
}
SEEDS = {name: number for number, name in enumerate(SCRIPTS, start=1)}

Ask = Callable[..., Any]


def play(board: Any, name: str, _spec: object) -> None:
    """In place of a team's Ray Train run: take assignments from the board and tell it what their scripts say, until there are no more."""
    seen = 0
    while (assignment := ray.get(board.next.remote(name, seen))) is not None:
        seen = assignment["sequence"]

        def ask(question: str, *arguments: Any, sequence: int = seen) -> Any:
            return ray.get(getattr(board, question).remote(name, sequence, *arguments))

        play_trial(ask, list(SCRIPTS.values())[assignment["settings"]["training"]["seed"] - 1])


def play_trial(ask: Ask, script: Script) -> None:
    """One trial, as far as it is wanted."""
    for epoch, value in enumerate(script.values, start=1):
        if not ask("permission", epoch):
            return
        ask("report", epoch, record(value, script.core_seconds))
    if not script.end or not ask("permission", len(script.values) + 1):
        return
    if script.end == "diverges":
        ask("fail", DIVERGED)
    elif script.end == "raises":
        raise MemoryError(BROKEN)
    else:
        os.kill(os.getpid(), signal.SIGKILL)


def record(value: float | None, core_seconds: float) -> dict[str, float]:
    """An epoch's metrics."""
    cost = dict.fromkeys(("cost.core_seconds", "cost.reserved_core_seconds"), core_seconds)
    metrics = dict.fromkeys(METRICS, 1.0) | cost | {METRIC: 0.0 if value is None else value}
    if value is None:
        del metrics[METRIC]
    return metrics


class PlayedTrial(TeamTrial):
    """The trial actor, whose team is played; looks after it more often, to be quick."""

    def setup(self, config: dict[str, Any], board: Any, spec: Any) -> None:  # type: ignore[override]
        team.train_team, team.LOOK_SECONDS = play, 0.2
        super().setup(config, board, spec)


# Ray's workers do not look for modules here.
cloudpickle.register_pickle_by_value(sys.modules[__name__])


def write_played_study(folder: Path, cases: Sequence[str], objective: dict[str, Any] | None = None, url: str | None = None) -> Path:
    """A study file whose trials are ``cases``, the first of them as the file says; Optuna gets the others told beforehand.

    Its storage is the journal, or the database of a URL, which the results folder then names.
    """
    # Wide enough for trials that are the same; nothing of it is asked but what is enqueued.
    space = {SEED: {"choice": list(range(1, 1 + len(SEEDS) + len(cases)))}}
    changes = {"sampler": {"name": "random"}, "trials": {"number": len(cases)}}
    scheduler = {"name": "asha", "grace": 1, "reduction_factor": 2}
    file = write_study(folder, space, scheduler=scheduler, objective=objective or {"metric": METRIC}, **changes)
    study = load_study(file).study
    assert study.training.seed == SEEDS[cases[0]]
    results = folder / "results"
    results.mkdir()
    opened = open_optuna_study(study, claim_storage(study, results, url))
    for case in cases[1:]:
        opened.enqueue_trial({SEED: SEEDS[case]})
    return file


def run_played_study(file: Path, watcher: Notes, *overrides: str, resume: bool) -> StudyResult:
    """The study, as `gan3d run` runs it, but for the workers."""
    options = RunOptions(file.parent / "results", address=None, tracking_uri=None, resume=resume, verbose=False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(run, "TeamTrial", PlayedTrial)
        return run_study(load_study(file, overrides), options, watcher)


def told_by(file: Path) -> list[Told]:
    """What the three say now, by trial number; trials that were only ever planned left out."""
    results, name = file.parent / "results", load_study(file).study.name
    runs = {int(run.data.tags["trial_number"]): run for run in trial_runs(f"sqlite:///{results / 'tracking.db'}", f"gan3d/{name}")}
    statuses = {trial.config["number"]: trial.status for trial in tune_trials(results / "ray" / "tune")}
    asked = [trial for trial in stored_trials(place_of(results), name) if trial.state.name != "WAITING"]
    return [told_of(trial, runs.get(trial.number), statuses.get(trial.number, "")) for trial in asked]


def error_tags(file: Path) -> dict[int, str]:
    """MLflow's tag ``error`` by trial number, where there is one."""
    name = load_study(file).study.name
    runs = trial_runs(f"sqlite:///{file.parent / 'results' / 'tracking.db'}", f"gan3d/{name}")
    return {int(run.data.tags["trial_number"]): run.data.tags["error"] for run in runs if "error" in run.data.tags}


class Dying(Notes):
    """A watcher that takes the driver with it when the first epoch is known."""

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        os.kill(os.getpid(), signal.SIGKILL)


if __name__ == "__main__":
    run_played_study(Path(sys.argv[1]), Dying(), resume=False)
