"""Training step on one thread: showers per second, GFLOP/s of the work asked for, and their share of sgemm's rate in the same run.

Times are the process's CPU seconds, so that a neighbour on the machine's other cores costs little. Showers are real ones.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.harness import Row, interleaved, rates
from benchmarks.naive import NaiveTraining, take_weights
from gan3d.config.load import load_study
from gan3d.config.study import Study
from gan3d.config.training import TrialSettings
from gan3d.models.work import gigaflop_per_shower
from gan3d.training.allocation import keep_freed_memory
from gan3d.training.clock import PhaseClock
from gan3d.training.loop import autocast_of, set_precision, to_batch
from gan3d.training.paths import choose_paths
from gan3d.training.ranks import Ranks
from gan3d.training.showers import TrialShowers, open_showers
from gan3d.training.start import observable_distributions, start_from
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import Batch, Recipe, slots_of, train_step

ROOT = Path(__file__).resolve().parents[1]
SHOWERS = ROOT / "samples" / "geant4"
ALONE = Ranks()
#: Edge of the square matrices whose product is the limit that a rate is compared with.
SGEMM_EDGE = 2048
#: Filters beside the seed's own, discriminator and generator: its multiples-of-16 variant, and one with fewer in the first block.
OTHER_FILTERS = (((32, 16, 16, 16), (64, 16, 16)), ((16, 16, 16, 16), (64, 16, 16)))
#: Showers per step of one of the quickstart's two workers.
QUICKSTART_BATCH = 12

Step = Callable[[], None]


@dataclass(frozen=True, slots=True)
class Timed:
    """A step to be timed: of which case and variant, how many showers and multiply-adds it is asked for."""

    case: str
    variant: str
    settings: TrialSettings
    batch: int
    step: Step

    @property
    def gigaflop(self) -> float:
        """Of one step."""
        return self.batch * gigaflop_per_shower(self.settings)


def rows(quick: bool) -> Iterator[Row]:
    """Networks at their batch; then the seed's at larger ones."""
    seed = study_settings("seed_baseline")
    yield from measured([naive(seed), ours("seed's networks", seed, 8), *other_networks(quick)], rounds=2 if quick else 5)
    if not quick:
        yield from measured([ours("seed's networks, larger batches", seed, batch) for batch in (8, 32, 128)], rounds=3)


def ours(case: str, settings: TrialSettings, batch: int) -> Timed:
    """gan3d's step."""
    return Timed(case, f"gan3d, batch {batch}", settings, batch, gan3d_step(settings, batch))


def naive(settings: TrialSettings, batch: int = 8) -> Timed:
    """The naive port's step."""
    return Timed("seed's networks", f"naive, batch {batch}", settings, batch, naive_step(settings, batch))


def other_networks(quick: bool) -> Iterator[Timed]:
    """With other filters, and the quickstart's."""
    for filters, of_generator in () if quick else OTHER_FILTERS:
        other = study_settings("seed_baseline", {"discriminator": {"filters": filters}, "generator": {"filters": of_generator}})
        yield ours(f"filters D {listed(filters)}, G {listed(of_generator)}", other, 8)
    yield ours("quickstart's networks", study_settings("quickstart"), QUICKSTART_BATCH)


def listed(numbers: Iterable[int]) -> str:
    """As in a study's file, without blanks."""
    return ",".join(map(str, numbers))


def measured(steps: Sequence[Timed], rounds: int) -> Iterator[Row]:
    """Rows of steps that run in turn, each followed by an sgemm."""
    calls: dict[str, Callable[[], object]] = {}
    for place, timed in enumerate(steps):
        calls |= {f"{place}": timed.step, f"{place} sgemm": sgemm_call()}
    seconds = interleaved(calls, rounds, time.process_time)
    limits = [rates(2e-9 * SGEMM_EDGE**3, seconds[f"{place} sgemm"]) for place in range(len(steps))]
    for place, timed in enumerate(steps):
        names, taken = ("training_step", timed.case, timed.variant), seconds[f"{place}"]
        speed = rates(timed.gigaflop, taken)
        yield Row.of(names, rates(timed.batch, taken), "showers/s/core")
        yield Row.of(names, speed, "GFLOP/s")
        yield Row.of(names, [100 * rate / limit for rate, limit in zip(speed, limits[place], strict=True)], "% of sgemm")
    names = ("training_step", f"sgemm between the {len(steps)} steps above", f"edge {SGEMM_EDGE}")
    yield Row.of(names, [limit for each in limits for limit in each], "GFLOP/s")


def sgemm_call() -> Callable[[], object]:
    """A product of two square matrices."""
    left, right = torch.randn(2, SGEMM_EDGE, SGEMM_EDGE)
    out = torch.empty(SGEMM_EDGE, SGEMM_EDGE)
    return lambda: torch.mm(left, right, out=out)


def study_settings(study: str, training: Mapping[str, Any] | None = None) -> TrialSettings:
    """Settings of a study of the repository on the showers that come with it; ``training`` changes keys of its recipe."""
    asked: Study = load_study(ROOT / "studies" / f"{study}.yaml").study
    content = {"training": asked.training.model_dump(), "workers": asked.workers.model_dump(), "data": asked.data.model_dump()}
    content["data"] |= {"train": (str(SHOWERS / "clic_10_100_train.h5"),), "validation": (str(SHOWERS / "clic_10_100_validation.h5"),)}
    for key, value in (training or {}).items():
        content["training"][key] = content["training"][key] | value if isinstance(value, Mapping) else value
    return TrialSettings.model_validate(content)


def spread_out(settings: TrialSettings, batch: int, *, world_size: int = 1, threads: int = 1) -> TrialSettings:
    """The same trial with ``batch`` showers per step on each of so many ranks with so many threads each."""
    content = settings.model_dump()
    content["training"] |= {"global_batch": None, "batch_per_worker": batch}
    content["workers"] |= {"per_trial": world_size, "cpus_per_worker": threads, "threads_per_worker": None}
    return TrialSettings.model_validate(content)


def gan3d_step(settings: TrialSettings, batch: int, ranks: Ranks = ALONE, threads: int = 1, *, keep_memory: bool = True) -> Step:
    """A call of this makes one training step, as the loop does, with ``batch`` showers on this rank; state and showers go on."""
    settings = spread_out(settings, batch, world_size=ranks.world_size, threads=threads)
    set_precision(settings)
    training, showers = settings.training, showers_of(settings)
    state = TrainState(settings, ranks)
    if keep_memory:
        keep_freed_memory()
    choose_paths(state, settings, ranks)
    start_from(showers.train, state, settings)
    observables = observable_distributions(showers.train, settings, ranks.device)
    conditions, response = showers.conditions(training), showers.response(training)
    recipe = Recipe(training, conditions, response, autocast_of(settings, ranks.device), observables)
    batches = [batch_of(showers, settings, number * ranks.world_size + ranks.rank) for number in range(2)]

    def step() -> None:
        train_step(state, batches[state.step % len(batches)], recipe, slots_of(settings, ranks, state.step), PhaseClock(ranks.device))

    return step


def naive_step(settings: TrialSettings, batch: int) -> Step:
    """A call of this makes one step of the naive port, which starts from gan3d's weights; ``settings`` are the seed's, with any filters."""
    settings = spread_out(settings, batch)
    set_precision(settings)
    start, showers = TrainState(settings, ALONE), showers_of(settings)
    naive = NaiveTraining(settings.training.generator.filters, settings.training.discriminator.filters)
    take_weights(naive.generator, start.generator)
    take_weights(naive.discriminator, start.discriminator)
    monte_carlo = batch_of(showers, settings, 0)
    cells, energy = monte_carlo.cells.unsqueeze(1), monte_carlo.incident_energy / 100
    return lambda: naive.step(cells, energy)


def batch_of(showers: TrialShowers, settings: TrialSettings, number: int) -> Batch:
    """Training showers of a step, by its number; from the start again where there are no more."""
    size = settings.batch_per_worker
    places = np.arange(number * size, (number + 1) * size) % len(showers.train)
    monte_carlo = showers.train.read(places)
    return to_batch(monte_carlo, transform_of(settings), torch.device("cpu"), polar_angle=settings.training.polar_angle)


def showers_of(settings: TrialSettings) -> TrialShowers:
    """The trial's showers, opened by this process alone; kept for later trials on the same files."""
    return open_showers(settings.data, ALONE, polar_angle=settings.training.polar_angle)
