"""A search without training: the program's own searcher and early stopping, told what the trainings of a surface told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import numpy as np
import optuna

from benchmarks.search.surface import CORE_SECONDS, DISTANCE, Surface
from gan3d.config.load import LoadedStudy, load_study
from gan3d.search.searcher import OptunaSearcher
from gan3d.search.trial_results import TrialResults

STUDY = Path(__file__).with_name("replay.yaml")
#: What is compared: name → sampler, scheduler.
METHODS = {
    "random": ("random", "none"),
    "random + ASHA": ("random", "asha"),
    "TPE": ("tpe", "none"),
    "TPE + ASHA": ("tpe", "asha"),
}


@dataclass(frozen=True, slots=True)
class Step:
    """An epoch of a search."""

    core_seconds: float
    """Spent by all trials until its end."""
    distance: float
    cost: float
    """Core-seconds of one epoch of its trial."""
    trial: int


@cache
def study_of(method: str, seed: int, *, several: bool) -> LoadedStudy:
    """The study that a method runs."""
    sampler, scheduler = METHODS[method]
    changes = [f"sampler.name={sampler}", f"sampler.seed={seed}", f"scheduler.name={scheduler}", "scheduler.grace=1"]
    changes += [f"objective.trade_offs=[{{metric: {CORE_SECONDS}}}]"] if several else []
    return load_study(STUDY, changes)


def search(method: str, seed: int, surface: Surface, core_seconds: float, *, several: bool = False) -> Iterator[Step]:
    """The epochs of one search, until so much is spent; trials one after the other.

    Args:
        method: of `METHODS`.
        seed: of the sampler, and of which training answers at a point that was trained with several seeds.
        surface: what trials become.
        core_seconds: the budget.
        several: with the cost of an epoch as a trade-off.
    """
    loaded = study_of(method, seed, several=several)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = optuna.create_study(directions=[goal.direction for goal in loaded.study.objective.goals])
    searcher = OptunaSearcher(loaded.study, opened, trials_folder=Path("unused"), base=loaded.base)
    random, spent = np.random.default_rng(seed), 0.0
    while spent < core_seconds and (config := searcher.suggest("trial")) is not None:
        training = surface.training(config["sample"], random.random())
        results, result = TrialResults(config), None
        for epoch, distance in enumerate(training.distances, start=1):
            spent += training.core_seconds
            yield Step(spent, distance, training.core_seconds, config["number"])
            result = results.of_epoch(epoch, {DISTANCE: distance, CORE_SECONDS: training.core_seconds})
            if result["done"] or not searcher.goes_on("trial", result):
                break
        else:
            assert training.has_diverged
            spent += training.core_seconds  # the epoch that it did not end
            result = results.of_failure("DivergedError: on the surface", len(training.distances) + 1)
        searcher.on_trial_complete("trial", result)
