"""What Tune, Optuna and MLflow each say of a study's trials, read from where they keep it, and what of that is not true."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from mlflow.entities import Run
from ray.tune import ExperimentAnalysis

from gan3d.search.optuna_trials import curve_of
from gan3d.tracking.client import open_client

#: Optuna's word for how a trial ended.
OPTUNA = {"complete": "COMPLETE", "pruned": "PRUNED", "failed": "FAIL"}
#: What an MLflow run without a tag ``state`` says.
MLFLOW = {"FINISHED": "complete", "FAILED": "failed", "RUNNING": "running"}


@dataclass(frozen=True, slots=True)
class Told:
    """What the three say of one trial."""

    tune: str
    """Its status; empty where Tune does not know the trial."""
    optuna: str
    curve: dict[int, float]
    """Epoch → objective, where that is finite."""
    reason: str
    """Optuna's."""
    mlflow: str
    """Its run's status; empty where there is no run."""
    state: str
    """MLflow's tag, or what the status says where there is none."""
    mlflow_reason: str


def untrue(told: Told, state: str, curve: dict[int, float]) -> list[str]:
    """What is wrong with what the three say of a trial that ended as ``state`` and learned as ``curve`` says."""
    found = []
    if told.optuna != OPTUNA[state]:
        found.append(f"Optuna says {told.optuna}, not {OPTUNA[state]}")
    if told.curve != curve:
        found.append(f"Optuna has the curve {told.curve}, not {curve}")
    if told.state != state:
        found.append(f"MLflow says {told.state}, not {state}")
    if told.reason != told.mlflow_reason:
        found.append(f"Optuna says {told.reason!r}, MLflow {told.mlflow_reason!r}")
    if state == "failed" and not told.reason:
        found.append("nobody says why")
    return found


def told_of(trial: optuna.trial.FrozenTrial, run: Run | None, status: str) -> Told:
    """One trial, as its three keepers have it."""
    tags = run.data.tags if run is not None else {}
    mlflow = run.info.status if run is not None else ""
    curve = {epoch: merit.first for epoch, merit in curve_of(trial).items() if math.isfinite(merit.first)}
    state, reason = tags.get("state", MLFLOW.get(mlflow, "")), tags.get("reason", "")
    return Told(status, trial.state.name, curve, trial.user_attrs.get("reason", ""), mlflow, state, reason)


def stored_trials(place: Path | str, name: str) -> list[optuna.trial.FrozenTrial]:
    """Optuna's trials, by number, from a journal or from the database of a URL."""
    journal = optuna.storages.journal.JournalFileBackend(str(place)) if isinstance(place, Path) else None
    return optuna.load_study(study_name=name, storage=str(place) if journal is None else optuna.storages.JournalStorage(journal)).trials


def trial_runs(uri: str, experiment: str) -> Iterator[Run]:
    """MLflow's runs of trials, in the order in which they began."""
    client = open_client(uri)
    found = client.get_experiment_by_name(experiment)
    assert found is not None, experiment
    for run in client.search_runs([found.experiment_id], order_by=["attributes.start_time ASC"]):
        if run.data.tags.get("kind", "trial") == "trial":
            yield run


def tune_trials(folder: Path) -> list[Any]:
    """Tune's trials as its newest snapshot has them; none where it never took one."""
    return list(ExperimentAnalysis(str(folder)).trials) if any(folder.glob("experiment_state-*.json")) else []
