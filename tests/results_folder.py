"""A results folder filled as a driver fills it, with real journals, records and ledgers, and no training."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from ledger_inputs import Clock, epoch_of

from gan3d.cli.results import STUDY, TRIALS
from gan3d.config.load import dump_study
from gan3d.config.study import Study
from gan3d.cost.ledger import Ledger, Team
from gan3d.search.optuna_trials import keep_epoch, record_of, tell_end
from gan3d.search.place import place_of
from gan3d.search.samplers import asked_for, open_optuna_study
from gan3d.training.checkpoint import TrialFolder
from gan3d.training.merit import Judge

METRIC, TRADED = "physics.shower_distance", "losses.generator_deposited_energy"
CONTENT: dict[str, Any] = {
    "name": "told",
    "question": "How does it stand?",
    "search_space": {"training.seed": {"choice": [1, 2, 3, 4, 5, 6]}},
    "sampler": {"name": "grid"},
    "training": {"global_batch": 16, "epochs": 4},
    "workers": {"per_trial": 2, "cpus_per_worker": 1},
    "data": {"train": ["a"], "validation": ["b"]},
}
TIMING = {"timing.num_showers": 600.0, "timing.showers_per_second": 10.0, "timing.num_steps": 45.0}


class ResultsFolder:
    """A study in ``path``; ``changes`` replace its top-level sections."""

    def __init__(self, path: Path, **changes: Any) -> None:
        self.path = path
        self.study = Study.model_validate(CONTENT | changes)
        path.mkdir(parents=True, exist_ok=True)
        (path / STUDY).write_text(dump_study(self.study), encoding="utf-8")
        self._clock = Clock()
        self._ledger = Ledger(self.study.cost, now=self._clock)

    def open_journal(self) -> optuna.Study:
        """As the driver does, its first samples enqueued; in a database, where the folder names one."""
        return open_optuna_study(self.study, place_of(self.path))

    def begin(self, *objectives: float) -> optuna.Trial:
        """The next trial, with an epoch per objective, each of which held two cores for a minute."""
        trial = asked_for(self.open_journal(), self.study.search_space)
        self._ledger.start(trial.number, Team(2, 2))
        self.folder(trial.number).path.mkdir(parents=True)
        judge = Judge(self.study.objective)
        for epoch, value in enumerate(objectives, 1):
            keep_epoch(trial, epoch, judge.judge(self.train(trial, epoch, value)), self.study.objective)
        return trial

    def train(self, trial: optuna.Trial, epoch: int, value: float) -> dict[str, float]:
        """An epoch of its workers, of which the driver has not heard yet."""
        self._clock.wait(60)
        metrics = {METRIC: value, f"{METRIC}_floor": 0.09, TRADED: 1.0 - value} | TIMING | epoch_of(120.0, declared=876.0)
        self._ledger.add_epoch(trial.number, epoch, metrics)
        self.folder(trial.number).commit({"epoch": epoch, "metrics": metrics})
        return metrics

    def end(self, trial: optuna.Trial, state: Any, reason: str = "") -> None:
        """Tell the journal how it ended: with ``state``, in our words. A trial that the budget stops has not ended for Optuna."""
        self._ledger.end(trial.number)
        opened = self.open_journal()
        record = record_of(opened.trials[trial.number], self.study.objective)
        tell_end(opened, trial, replace(record, state=state, reason=reason, seconds=60.0), self.study.objective)

    def save_ledger(self) -> None:
        """As the driver does every few seconds."""
        self._ledger.save(self.path)

    def folder(self, number: int) -> TrialFolder:
        """Of a trial."""
        return TrialFolder(self.path / TRIALS / f"{number:04d}")
