"""What a study would do and need, before anything starts: trials, steps, networks, memory, disk, and whether the cluster has room.

Network sizes come from networks built for real (`footprint`), showers are counted in the files where they are here, and memory is an
estimate. No Ray is needed.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Any

from gan3d.config.forbidden import FORBIDDEN
from gan3d.config.load import LoadedStudy
from gan3d.config.ranges import Between, Range
from gan3d.config.scalars import Scalar
from gan3d.config.space import SearchSpace
from gan3d.config.stairs import STAIRS, Stairs
from gan3d.config.study import Study
from gan3d.config.study_checks import MAX_SAMPLES_CHECKED
from gan3d.config.training import TrialSettings
from gan3d.errors import DataError, ResourceError
from gan3d.models.fourier.kernel import Kernel
from gan3d.search.blocks import ordered_grid
from gan3d.search.footprint import (
    STATES_OF_ENDED_TRIAL,
    STATES_OF_RUNNING_TRIAL,
    Networks,
    WorkerMemory,
    largest_and_smallest,
    worker_memory,
)
from gan3d.search.needs import Needs, needs_of
from gan3d.search.placement import Placement, placement_of
from gan3d.search.resources import Cluster
from gan3d.search.stock import Stock, take_stock

#: A grid up to this size is listed whole.
MOST_SAMPLES_LISTED = 200
#: Knobs that decide how much a trial computes and holds.
SIZE_KEYS = (
    STAIRS,
    "workers.per_trial",
    "training.global_batch",
    "training.batch_per_worker",
    "training.scaling",
    "training.virtual_ranks",
    "training.epochs",
    "training.max_steps_per_epoch",
    "data.max_train_showers",
    "data.cache_megabytes_per_worker",
    "data.read_ahead_batches",
)
#: Beginnings of the knobs that decide how large a network and its checkpoint are.
SHAPE_KEYS = (
    STAIRS,
    "training.generator.",
    "training.generator_average",
    "training.discriminator.",
    "training.polar_angle",
    "training.optimiser.",
)


@dataclass(frozen=True, slots=True)
class Span:
    """A whole number that differs from trial to trial."""

    least: int
    most: int

    @classmethod
    def of(cls, numbers: Iterable[int]) -> Span:
        """From the least to the most of some numbers."""
        known = list(numbers)
        return cls(min(known), max(known))


@dataclass(frozen=True, slots=True)
class Disk:
    """Checkpoints on disk [bytes]."""

    state: int
    """One state of the largest networks."""
    study: int
    """All trials' at most, at the end or while the last ones run, with a copy of the best in MLflow."""


@dataclass(frozen=True, slots=True)
class Plan:
    """A study's plan. Sizes are of the largest trial where they are not a `Span`."""

    study: str
    question: str
    objective: str
    direction: str
    target: float | None
    trade_offs: tuple[str, ...]
    constraints: tuple[str, ...]
    budget: dict[str, float]
    """The limits there are, by name: see `gan3d.config.cost`."""
    num_trials: int
    sampler: str
    scheduler: str
    grid_size: int | None
    ranges: dict[str, Any]
    forbidden: tuple[dict[str, Any], ...]
    """Combinations of values that no sample has; sizes below are upper limits where the largest networks are among them."""
    begins_as_written: bool
    """Whether the settings as written, moved into the search space, are a trial that a sampler begins with."""
    samples: tuple[dict[str, Any], ...]
    """The whole grid, if it is sampled and not too long."""
    global_batch: Span
    batch_per_worker: Span
    virtual_ranks: Span
    epochs: Span
    stock: Stock
    steps_per_epoch: Span | None
    """None where nobody knows how many showers there are."""
    smallest: Networks
    largest: Networks
    memory: WorkerMemory
    disk: Disk
    needs: Needs
    placement: Placement
    cluster: Cluster
    has_kernel: bool
    """Whether the C kernel for convolutions on a CPU was compiled here."""

    @property
    def fits(self) -> bool:
        """Whether the cluster has room for all workers that run at the same time."""
        return self.needs.problem(self.cluster) is None

    def as_dict(self) -> dict[str, Any]:
        """Plain values, ready for JSON."""
        networks = {name: asdict(one) | {"parameters": one.parameters, "megabytes": one.megabytes} for name, one in self._networks}
        derived: dict[str, Any] = {"memory": asdict(self.memory) | {"total": self.memory.total}, "fits": self.fits}
        derived["at_once"] = self.needs.at_once(self.cluster)
        derived["needs"] = asdict(self.needs) | {"workers": self.needs.workers, "cpus": self.needs.cpus, "gpus": self.needs.gpus}
        cluster = {"where": self.cluster.where, "cpus": self.cluster.cpus, "gpus": self.cluster.gpus, "memory_gb": self.cluster.memory_gb}
        return asdict(self) | networks | derived | {"cluster": cluster}

    @property
    def _networks(self) -> tuple[tuple[str, Networks], ...]:
        return (("smallest", self.smallest), ("largest", self.largest))


def make_plan(loaded: LoadedStudy, cluster: Cluster) -> Plan:
    """Plan a study for a cluster, whether or not it has room.

    Raises:
        DataError: shower files are here, but cannot be used or are too few.
    """
    study = loaded.study
    sizes = list(size_corners(study))
    stock = take_stock(study.data, loaded.base)
    largest, smallest = largest_and_smallest(shape_corners(study))
    ranges = study.search_space.model_dump(mode="json")
    forbidden = tuple(ranges.pop(FORBIDDEN, ()))
    return Plan(
        study=study.name,
        question=study.question,
        objective=study.objective.metric,
        direction=study.objective.direction,
        target=study.objective.target,
        trade_offs=tuple(f"{goal.direction} {goal.metric}" for goal in study.objective.trade_offs),
        constraints=tuple(limit.text for limit in study.objective.constraints),
        budget=study.budget.limits,
        num_trials=study.num_trials,
        sampler=study.sampler.name,
        scheduler=study.scheduler.name,
        grid_size=study.search_space.grid_size,
        ranges=ranges,
        forbidden=forbidden,
        begins_as_written=study.default_sample is not None,
        samples=listed_samples(study),
        global_batch=Span.of(settings.global_batch for settings in sizes),
        batch_per_worker=Span.of(settings.batch_per_worker for settings in sizes),
        virtual_ranks=Span.of(settings.training.virtual_ranks for settings in sizes),
        epochs=Span.of(settings.training.epochs for settings in sizes),
        stock=stock,
        steps_per_epoch=steps_per_epoch(sizes, stock),
        smallest=smallest,
        largest=largest,
        memory=max((_memory(largest, settings, stock) for settings in sizes), key=lambda memory: memory.total),
        disk=disk_of(study, largest),
        needs=needs_of(study),
        placement=placement_of(study),
        has_kernel=Kernel.here() is not None,
        cluster=cluster,
    )


def refuse_impossible(plan: Plan) -> None:
    """Raise where the study would wait for ever: admitted trials always have room for all their workers.

    Raises:
        ResourceError: with both numbers and the way out.
    """
    problem = plan.needs.problem(plan.cluster)
    if problem is not None:
        raise ResourceError(problem)


def listed_samples(study: Study) -> tuple[dict[str, Any], ...]:
    """The grid's samples in the order they are trained, as far as the study trains and a reader wants to see them."""
    if study.sampler.name != "grid" or study.num_trials > MOST_SAMPLES_LISTED:
        return ()
    return tuple(itertools.islice(ordered_grid(study), study.num_trials))


def size_corners(study: Study) -> Iterator[TrialSettings]:
    """Trials at every combination of ends of the ranges in `SIZE_KEYS`; what else is sampled stays at its first end."""
    first = {key: one.ends[0] for key, one in study.search_space.ranges.items()}
    for point in _size_points(study.search_space):
        settings, _ = study.settings_or_problems(first | point, even_forbidden=True)
        if settings is not None:
            yield settings


def _size_points(space: SearchSpace) -> Iterator[dict[str, Scalar]]:
    """Ends of the ranges in `SIZE_KEYS`; where combinations are forbidden, all values that are not, unless they are too many."""
    ranges = {key: space.ranges[key] for key in SIZE_KEYS if key in space.ranges}
    is_short = math.prod(one.num_values or math.inf for one in ranges.values()) <= MAX_SAMPLES_CHECKED
    every = space.forbidden and is_short
    for values in itertools.product(*((one.values if every else None) or one.ends for one in ranges.values())):
        point = dict(zip(ranges, values, strict=True))
        if not every or space.allows(point):
            yield point


def shape_corners(study: Study) -> Iterator[TrialSettings]:
    """Trials among which are those with most and with fewest parameters.

    More filters, a wider kernel or a longer noise vector never make a network smaller, so numbers go up and down together; words are
    all tried. Forbidden ones count too, so that with them the largest is an upper limit.
    """
    ranges = study.search_space.ranges
    first = {key: one.ends[0] for key, one in ranges.items()}
    shaping = {key: one for key, one in ranges.items() if key.startswith(SHAPE_KEYS)}
    words = {key: [value for value in one.ends if not is_number(value)] for key, one in shaping.items()}
    for pick in (min, max):
        values: dict[str, list[Scalar]] = {key: list(words[key]) for key in shaping}
        for key, one in shaping.items():
            values[key] += [pick(known)] if (known := numbers_of(one)) else []
        for point in itertools.product(*values.values()):
            settings, _ = study.settings_or_problems(first | dict(zip(values, point, strict=True)), even_forbidden=True)
            if settings is not None:
                yield settings


def numbers_of(one: Range) -> list[int | float]:
    """The numbers among the ends of a range."""
    if isinstance(one, Between):
        return [one.min, one.max]
    if isinstance(one, Stairs):
        return []
    return [value for value in one.choice if isinstance(value, int | float) and is_number(value)]


def is_number(value: object) -> bool:
    """Whether a value is a number; true and false are words."""
    return isinstance(value, int | float) and not isinstance(value, bool)


def steps_per_epoch(sizes: Iterable[TrialSettings], stock: Stock) -> Span | None:
    """Optimiser steps of an epoch.

    Raises:
        DataError: not one step, for there are fewer showers than a global batch.
    """
    if stock.train is None:
        return None
    found = []
    for settings in sizes:
        most = settings.data.max_train_showers
        showers = stock.train if most is None else min(stock.train, most)
        steps = showers // settings.global_batch
        if not steps:
            way_out = "lower training.global_batch or add files"
            message = f"{showers} training showers are fewer than one global batch of {settings.global_batch}; {way_out}"
            raise DataError(message)
        found.append(min(steps, settings.training.max_steps_per_epoch or steps))
    return Span.of(found)


def disk_of(study: Study, largest: Networks) -> Disk:
    """Checkpoints of the whole study, if all trials have the largest networks."""
    state, concurrent = largest.state_bytes, min(study.trials.concurrent, study.num_trials)
    states = STATES_OF_ENDED_TRIAL * (study.num_trials - concurrent) + STATES_OF_RUNNING_TRIAL * concurrent
    return Disk(state, (states + 1) * state)


def _memory(largest: Networks, settings: TrialSettings, stock: Stock) -> WorkerMemory:
    return worker_memory(largest, settings, num_train=stock.train, num_validation=stock.validation)
