"""A search without training: the program's own searcher and early stopping, told what the trainings of a surface told."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import optuna

from benchmarks.search.surface import CORE_SECONDS, DISTANCE, LEARNING_RATES, Surface
from gan3d.config.load import LoadedStudy, load_study
from gan3d.config.ranges import Choice
from gan3d.config.space import SearchSpace
from gan3d.search.searcher import OptunaSearcher
from gan3d.search.trial_results import TrialResults

STUDY = Path(__file__).with_name("replay.yaml")
#: A search that is told a good value of the key that matters most (read off the surface) and draws the rest at random: for comparison.
ORACLE = "random, told the learning rate"
BEST_RATE = 1e-3
#: What is compared: name → sampler, scheduler, epochs of the first rung.
METHODS = {
    "random": ("random", "none", 1),
    "random + ASHA": ("random", "asha", 3),
    "TPE": ("tpe", "none", 1),
    "TPE + ASHA": ("tpe", "asha", 3),
    "random + ASHA from epoch 1": ("random", "asha", 1),
    "TPE + ASHA from epoch 1": ("tpe", "asha", 1),
    ORACLE: ("random", "none", 1),
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
    sampler, scheduler, grace = METHODS[method]
    changes = [f"sampler.name={sampler}", f"sampler.seed={seed}", f"scheduler.name={scheduler}", f"scheduler.grace={grace}"]
    changes += [f"objective.trade_offs=[{{metric: {CORE_SECONDS}}}]"] if several else []
    loaded = load_study(STUDY, changes)
    if method != ORACLE:
        return loaded
    ranges = loaded.study.search_space.ranges
    told = Choice.model_construct(choice=(BEST_RATE,))  # by itself no range: there is nothing to choose
    space = SearchSpace.model_construct(ranges=dict(ranges) | {LEARNING_RATES[0]: told})
    return replace(loaded, study=loaded.study.model_copy(update={"search_space": space}))


def search(method: str, seed: int, surface: Surface, core_seconds: float, *, several: bool = False) -> Iterator[Step]:
    """The epochs of one search, until so much is spent or all samples are tried; trials one after the other.

    Args:
        method: of `METHODS`.
        seed: of the sampler, and of which of a sample's trainings answers.
        surface: what trials become.
        core_seconds: the budget.
        several: with the cost of an epoch as a trade-off.
    """
    loaded = study_of(method, seed, several=several)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = optuna.create_study(directions=[goal.direction for goal in loaded.study.objective.goals])
    searcher = OptunaSearcher(loaded.study, opened, trials_folder=Path("unused"), base=loaded.base)
    random, spent = np.random.default_rng(seed), 0.0
    while spent < core_seconds and isinstance(config := searcher.suggest("trial"), dict):
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
