"""One study, or the bare loop of its trials, in a process of its own; what happened when is printed as one line of JSON.

python -m benchmarks.study_process run STUDY RESULTS        a study as `gan3d run` runs it: Ray, Tune, MLflow
python -m benchmarks.study_process bare STUDY RESULTS       its first samples (a grid: all) by `training.loop.epochs` and nothing else
"""

from __future__ import annotations

import functools
import json
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gan3d.config.load import load_study
from gan3d.records import TrialRecord

#: Metric that says how long an epoch took by its own clock.
EPOCH_SECONDS = "timing.epoch_seconds"
#: Of that, for the state on disk.
CHECKPOINT_SECONDS = "timing.checkpoint_seconds_mean"
#: Metrics that are the same whoever trains, on whatever machine state.
REPEATABLE = ("losses.", "physics.")


@dataclass(slots=True)
class Marks:
    """Times of a study's events [s since 1970]; a watcher of `gan3d.search.run`."""

    said: list[tuple[float, str]] = field(default_factory=list)
    connected: float = 0.0
    """Ray was there, and the plan was made anew."""
    searched: float = 0.0
    """Cluster, tracking and the search's memory were ready."""
    started: dict[int, float] = field(default_factory=dict)
    epochs: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Of each trial, per epoch: when it was known, and the seconds it took by its own clock."""
    ended: dict[int, float] = field(default_factory=dict)
    taken: dict[int, float] = field(default_factory=dict)
    """Whoever trains the trial had its settings."""
    built: dict[int, float] = field(default_factory=dict)
    """Its showers were open, its networks made."""
    checkpoints: dict[int, list[float]] = field(default_factory=dict)
    """Of each trial, per epoch: seconds for the state on disk."""
    numbers: dict[int, list[dict[str, float]]] = field(default_factory=dict)
    """Of each trial, per epoch: what must not depend on who trains."""
    spent: dict[str, list[float]] = field(default_factory=dict)
    """Seconds of the driver's calls, by what they are for."""
    over: float = 0.0

    def earlier_trials(self, records: list[TrialRecord]) -> None:  # noqa: ARG002
        """The search begins."""
        self.searched = time.time()

    def trial_started(self, number: int, sample: dict[str, Any], known_epochs: int = 0) -> None:  # noqa: ARG002
        """Tune has a trial."""
        self.started[number] = time.time()

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:  # noqa: ARG002
        """The driver knows of an epoch."""
        self.epochs.setdefault(number, []).append((time.time(), metrics[EPOCH_SECONDS]))
        self.checkpoints.setdefault(number, []).append(metrics[CHECKPOINT_SECONDS])
        self.numbers.setdefault(number, []).append({name: value for name, value in metrics.items() if name.startswith(REPEATABLE)})

    def trial_ended(self, record: TrialRecord) -> None:
        """The driver knows of an end."""
        self.ended[record.number] = time.time()

    def step_progress(self, number: int, epoch: int, step: int, steps: int) -> None:
        """Nothing: the terminal's business."""

    def say(self, text: str) -> None:
        """One line for the user."""
        self.said.append((time.time(), text))

    def time_calls(self, owner: type, method: str, name: str) -> None:
        """From now on each call of the method adds its seconds to ``spent``."""
        called: Callable[..., Any] = getattr(owner, method)

        @functools.wraps(called)
        def timed(*arguments: Any, **named: Any) -> Any:
            begin = time.perf_counter()
            try:
                return called(*arguments, **named)
            finally:
                self.spent.setdefault(name, []).append(time.perf_counter() - begin)

        setattr(owner, method, timed)


def run(study: Path, results: Path) -> Marks:
    """The study, as the command line runs it."""
    from gan3d.cli.studies import refuse_before_starting

    loaded, marks = load_study(study), Marks()
    refuse_before_starting(loaded)
    from gan3d.search.run import RunOptions, run_study
    from gan3d.search.searcher import OptunaSearcher
    from gan3d.tracking.store import StudyTracker

    for owner, name, epoch in ((OptunaSearcher, "Optuna", "on_trial_result"), (StudyTracker, "MLflow", "log_metrics")):
        marks.time_calls(owner, epoch, f"{name}, an epoch")
    marks.time_calls(OptunaSearcher, "suggest", "Optuna, a trial's start")
    marks.time_calls(StudyTracker, "start_trial", "MLflow, a trial's start")
    marks.time_calls(OptunaSearcher, "on_trial_complete", "Optuna, a trial's end")
    marks.time_calls(StudyTracker, "end_trial", "MLflow, a trial's end")
    run_study(loaded, RunOptions(results, address=None, tracking_uri=None, resume=False, verbose=False), marks)
    marks.over = time.time()
    marks.connected = (results / "study.yaml").stat().st_mtime
    for number in marks.started:
        folder = results / "trials" / f"{number:04d}"
        marks.taken[number] = (folder / "settings.json").stat().st_mtime
        marks.built[number] = (folder / "showers.json").stat().st_mtime
    return marks


def bare(study: Path) -> Marks:
    """One rank trains one trial after the other."""
    from gan3d.search.files import found_from
    from gan3d.search.samplers import first_samples
    from gan3d.training.loop import Trial, epochs
    from gan3d.training.ranks import Ranks
    from gan3d.training.showers import open_showers
    from gan3d.training.state import TrainState

    loaded, marks, ranks = load_study(study), Marks(), Ranks()
    for number, sample in enumerate(first_samples(loaded.study)):
        marks.taken[number] = time.time()
        written = loaded.study.trial_settings(sample)
        settings = written.model_copy(update={"data": found_from(written.data, loaded.base)})
        showers = open_showers(settings.data, ranks, polar_angle=settings.training.polar_angle)
        state = TrainState(settings, ranks)
        marks.built[number] = time.time()
        for record in epochs(Trial(settings, ranks, showers), state):
            marks.epoch_ended(number, record.epoch, record.as_metrics())
    marks.over = time.time()
    return marks


if __name__ == "__main__":
    what, study, results = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    print(json.dumps(asdict(run(study, results) if what == "run" else bare(study))))
