"""Trained GANs as a table: every sample's curve, epoch by epoch, and what an epoch costs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from gan3d.tracking import frames

STUDY = "search_surface"
DISTANCE, CORE_SECONDS = "physics.shower_distance", "cost.core_seconds"
LEARNING_RATES = ("training.generator.learning_rate", "training.discriminator.learning_rate")
#: What decides how long an epoch takes; learning rates and seeds do not.
SIZES = ("training.global_batch", "training.generator.filters.0", "training.discriminator.filters.0")
SEED = "training.seed"
Point = tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Training:
    """One trained GAN. ``distances`` (or another metric) of its epochs; of one that diverged as many as it ended."""

    distances: tuple[float, ...]
    core_seconds: float
    """Of one of its epochs: the median of all trainings of its sizes on the machine that trained it, relative to other sizes there."""
    has_diverged: bool

    @property
    def best(self) -> float:
        """Its objective; infinite where it has none."""
        return math.inf if self.has_diverged else min(self.distances)


class Surface:
    """All trainings, by sample and seed."""

    def __init__(self, trainings: Mapping[tuple[Point, int], Training], epochs: int) -> None:
        self.trainings, self.epochs = dict(trainings), epochs
        self._seeds: dict[Point, list[int]] = {}
        for point, seed in sorted(self.trainings):
            self._seeds.setdefault(point, []).append(seed)

    @classmethod
    def read(cls, folder: Path, metric: str = DISTANCE) -> Surface:
        """From published frames; ``metric`` is what is made small."""
        trials, epochs = frames.trials(str(folder), STUDY), frames.epochs(str(folder), STUDY, metrics=[metric, CORE_SECONDS])
        ended = trials[trials["state"].isin(["complete", "failed"])]
        costs = epoch_costs(epochs)
        curves = {run: rows.sort_values("epoch")[metric].tolist() for run, rows in epochs.groupby("run_id")}
        found = {}
        for row in ended.to_dict("records"):
            sizes = tuple(float(row[key]) for key in SIZES)
            point = (*(float(row[key]) for key in LEARNING_RATES), *sizes)
            found[point, int(row[SEED])] = Training(tuple(curves.get(row["run_id"], ())), costs[sizes], row["state"] == "failed")
        return cls(found, int(epochs["epoch"].max()))

    @property
    def num_samples(self) -> int:
        """Samples that were trained, with several seeds or one."""
        return len(self._seeds)

    def training(self, sample: Mapping[str, Any], draw: float) -> Training:
        """One of a sample's trainings; ``draw`` of [0, 1) says which seed.

        Raises:
            KeyError: the sample was not trained.
        """
        point = tuple(float(sample[key]) for key in (*LEARNING_RATES, *SIZES))
        seeds = self._seeds[point]
        return self.trainings[point, seeds[int(draw * len(seeds))]]

    def best_share(self, share: float) -> float:
        """The distance that so large a share of all trainings reaches."""
        return float(np.quantile([training.best for training in self.trainings.values()], share, method="lower"))


def epoch_costs(epochs: pd.DataFrame) -> dict[tuple[float, ...], float]:
    """Core-seconds of an epoch by sizes.

    Trainings of a surface come from several sessions and machines, some busier than others. Each session's costs are medians over
    its own trainings, divided by the session's mean over sizes; sizes are then as long, relative to each other, as in the median session,
    and the mean over sizes is that of the quickest.
    """
    rows = epochs.assign(session=epochs["started"].dt.floor("12h"))
    table = rows.pivot_table(index="session", columns=list(SIZES), values=CORE_SECONDS, aggfunc="median")
    level = table.mean(axis=1)
    relative = table.div(level, axis=0).median()
    found = relative / relative.mean() * level.min()
    return {tuple(map(float, sizes)): float(seconds) for sizes, seconds in found.items()}
