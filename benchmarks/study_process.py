"""One study, or the bare loop of its first trial, in a process of its own; what happened when is printed as one line of JSON.

python -m benchmarks.study_process run STUDY RESULTS        a study as `gan3d run` runs it: Ray, Tune, MLflow
python -m benchmarks.study_process bare STUDY RESULTS       its settings as written, by `training.loop.epochs` and nothing else
"""

from __future__ import annotations

import json
import sys
import time
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from gan3d.config.load import load_study
from gan3d.records import TrialRecord

#: Metric that says how long an epoch took by its own clock.
EPOCH_SECONDS = "timing.epoch_seconds"


@dataclass(slots=True)
class Marks:
    """Times of a study's events [s since 1970]; a watcher of `gan3d.search.run`."""

    said: list[tuple[float, str]] = field(default_factory=list)
    searched: float = 0.0
    """Cluster, tracking and the search's memory were ready."""
    started: dict[int, float] = field(default_factory=dict)
    epochs: dict[int, list[tuple[float, float]]] = field(default_factory=dict)
    """Of each trial, per epoch: when it was known, and the seconds it took by its own clock."""
    ended: dict[int, float] = field(default_factory=dict)
    over: float = 0.0

    def earlier_trials(self, records: list[TrialRecord]) -> None:  # noqa: ARG002
        """The search begins."""
        self.searched = time.time()

    def trial_started(self, number: int, sample: dict[str, Any]) -> None:  # noqa: ARG002
        """Tune has a trial."""
        self.started[number] = time.time()

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:  # noqa: ARG002
        """The driver knows of an epoch."""
        self.epochs.setdefault(number, []).append((time.time(), metrics[EPOCH_SECONDS]))

    def trial_ended(self, record: TrialRecord) -> None:
        """The driver knows of an end."""
        self.ended[record.number] = time.time()

    def step_progress(self, number: int, epoch: int, step: int, steps: int) -> None:
        """Nothing: the terminal's business."""

    def say(self, text: str) -> None:
        """One line for the user."""
        self.said.append((time.time(), text))


def run(study: Path, results: Path) -> Marks:
    """The study, as the command line runs it."""
    from gan3d.cli.studies import refuse_before_starting

    loaded, marks = load_study(study), Marks()
    refuse_before_starting(loaded)
    from gan3d.search.run import RunOptions, run_study

    run_study(loaded, RunOptions(results, address=None, tracking_uri=None, resume=False, verbose=False), marks)
    marks.over = time.time()
    return marks


def bare(study: Path) -> Marks:
    """One rank trains the settings as written."""
    from gan3d.search.searcher import found_from
    from gan3d.training.loop import Trial, epochs
    from gan3d.training.ranks import Ranks
    from gan3d.training.showers import open_showers
    from gan3d.training.state import TrainState

    loaded, marks = load_study(study), Marks()
    written = loaded.study.trial_settings(loaded.study.default_sample or {})
    settings = written.model_copy(update={"data": found_from(written.data, loaded.base)})
    ranks = Ranks()
    showers = open_showers(settings.data, ranks, polar_angle=settings.training.polar_angle)
    for record in epochs(Trial(settings, ranks, showers), TrainState(settings, ranks)):
        marks.epoch_ended(0, record.epoch, record.as_metrics())
    marks.over = time.time()
    return marks


if __name__ == "__main__":
    what, study, results = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3])
    print(json.dumps(asdict(run(study, results) if what == "run" else bare(study))))
