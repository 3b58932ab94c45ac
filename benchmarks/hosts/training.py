"""Trainings of the seed's networks by gan3d's own loop, held by the ranks of a test bed and advanced epoch by epoch.

Two ranks that train together exchange gradients over the link as it is at the time; two that train alone, side by side, are the
ceiling: the same work on the same cores without a network.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from benchmarks.training_step import study_settings
from gan3d.config.training import TrialSettings
from gan3d.records import EpochRecord
from gan3d.training.loop import Trial, epochs
from gan3d.training.ranks import Ranks
from gan3d.training.showers import open_showers
from gan3d.training.state import TrainState

STUDY = "seed_baseline"
#: Nothing is learned from validation here.
VALIDATION_SHOWERS = 8
#: Networks stay as they are: a step costs the same, and none diverges.
LEARNING_RATE = 1e-12
#: More than anybody measures; the loop ends with its process.
MOST_EPOCHS = 1000


@dataclass(frozen=True, slots=True)
class Epoch:
    """What one rank says of an epoch: each step's wall time, and its phases summed over the epoch [s]."""

    step_seconds: tuple[float, ...]
    timing: dict[str, float]


@dataclass(slots=True)
class Training:
    """A training that stands between two epochs."""

    state: TrainState
    records: Iterator[EpochRecord] = field(default_factory=lambda: iter(()))
    ends: list[float] = field(default_factory=list)
    """Of the steps of the epoch that is under way [s]."""


#: Of this process, by whether it is with the other ranks, and its batch.
TRAININGS: dict[tuple[bool, int], Training] = {}


def settings_of(batch: int, steps: int, world_size: int) -> TrialSettings:
    """The seed's trial with ``batch`` showers per step on each worker, ``steps`` steps to an epoch."""
    content = study_settings(STUDY).model_dump()
    content["training"] |= {"epochs": MOST_EPOCHS, "batch_per_worker": batch, "max_steps_per_epoch": steps, "learning_rate_rule": "none"}
    for network in ("generator", "discriminator"):
        content["training"][network]["learning_rate"] = LEARNING_RATE
    content["workers"] |= {"per_trial": world_size}
    content["data"] |= {"max_validation_showers": VALIDATION_SHOWERS, "num_train_showers": None}
    return TrialSettings.model_validate(content)


def begin(ranks: Ranks, together: bool, batch: int, steps: int) -> None:
    """Make a training, together with the other ranks or alone; nothing is trained yet."""
    among = ranks if together else Ranks()
    settings = settings_of(batch, steps, among.world_size)
    training = Training(TrainState(settings, among))
    showers = open_showers(settings.data, among, polar_angle=settings.training.polar_angle)
    trial = Trial(settings, among, showers, progress=lambda _step, _steps: training.ends.append(time.perf_counter()))
    training.records = epochs(trial, training.state)
    TRAININGS[together, batch] = training


def compute_alike(ranks: Ranks, batch: int) -> None:  # noqa: ARG001 - every call hears of the ranks
    """The trainings of a batch compute alike from now on, alone as together; each had chosen the ways of its convolutions by stopwatch."""
    TRAININGS[False, batch].state.set_paths(TRAININGS[True, batch].state.paths())


def train_epoch(ranks: Ranks, together: bool, batch: int) -> Epoch:
    """The next epoch. All ranks begin at the same time."""
    training = TRAININGS[together, batch]
    training.ends.clear()
    ranks.barrier()
    start = time.perf_counter()
    metrics: dict[str, Any] = next(training.records).as_metrics()
    ends = [start, *training.ends]
    steps = tuple(end - begin for begin, end in pairwise(ends))
    return Epoch(steps, {name.removeprefix("timing."): value for name, value in metrics.items() if name.startswith("timing.")})
