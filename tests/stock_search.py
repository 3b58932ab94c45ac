"""Ray Tune with its own Optuna integration and its own MLflow logger, put together as their documentation does.

Trials are functions that report what a script says. Nothing of gan3d is in it but what keeps Tune quiet.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import optuna
from bookkeeping import Told, stored_trials, told_of, trial_runs, tune_trials
from optuna.distributions import CategoricalDistribution
from ray import cloudpickle, tune
from ray.air.integrations.mlflow import MLflowLoggerCallback
from ray.tune.error import TuneError
from ray.tune.schedulers import ASHAScheduler, FIFOScheduler
from ray.tune.search.optuna import OptunaSearch

from gan3d.search.run import quiet

LOSS, SECONDS = "loss", "seconds"
EPOCHS = 3
BROKEN = "no more memory"

#: What a trial reports, epoch by epoch; an exception is raised.
Script = Sequence[Mapping[str, float] | Exception]


@dataclass(frozen=True, slots=True)
class StockStudy:
    """What came of it."""

    told: dict[str, Told]
    """By case."""
    error: str
    """With what Tune gave the whole study up; empty if it did not."""


def run_stock_study(folder: Path, uri: str, scripts: Mapping[str, Script], objectives: Sequence[str]) -> StockStudy:
    """A trial for each script, one after the other, in their order; ASHA where there is one objective, which is all it can."""
    name = folder.name
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(folder / "journal.log")))
    is_single = len(objectives) == 1
    search = OptunaSearch(
        {"case": CategoricalDistribution(list(scripts))},
        metric=objectives[0] if is_single else list(objectives),
        mode="min" if is_single else ["min"] * len(objectives),
        points_to_evaluate=[{"case": case} for case in scripts],
        storage=storage,
        study_name=name,
    )
    halving = ASHAScheduler(metric=objectives[0], mode="min", max_t=EPOCHS, grace_period=1, reduction_factor=2)
    tuner = tune.Tuner(
        tune.with_parameters(play, scripts=dict(scripts)),
        tune_config=tune.TuneConfig(
            search_alg=search,
            scheduler=halving if is_single else FIFOScheduler(),
            num_samples=len(scripts),
            max_concurrent_trials=1,
            reuse_actors=True,
        ),
        run_config=tune.RunConfig(
            name=name, storage_path=str(folder), callbacks=[MLflowLoggerCallback(uri, experiment_name=name)], verbose=0
        ),
    )
    error = ""
    with quiet(verbose=False):
        try:
            tuner.fit()
        except TuneError as problem:
            error = str(problem).strip().splitlines()[-1]
    return StockStudy(_told(folder, uri, name), error)


def play(config: dict[str, Any], scripts: Mapping[str, Script]) -> None:
    """One trial."""
    for row in scripts[config["case"]]:
        if isinstance(row, Exception):
            raise row
        tune.report(dict(row))


def _told(folder: Path, uri: str, name: str) -> dict[str, Told]:
    runs = {run.data.params["case"]: run for run in trial_runs(uri, name)}
    statuses = {trial.config["case"]: trial.status for trial in tune_trials(folder / name)}
    asked = [trial for trial in stored_trials(folder / "journal.log", name) if "case" in trial.params]
    return {trial.params["case"]: told_of(trial, runs.get(trial.params["case"]), statuses.get(trial.params["case"], "")) for trial in asked}


# Ray's workers do not look for modules here.
cloudpickle.register_pickle_by_value(sys.modules[__name__])
