"""Weak scaling from one worker to two with a core each, beside the ceiling of two workers that know nothing of each other.

Each measurement is an epoch of `training.loop` with its own loader, on real showers; throughput and split are those of its record.
Measured in blocks, each in another order: one worker alone (each core in turn), two apart at once, two together under DDP. What two
apart lose against twice the one (memory bandwidth, shared caches, clock rate) no framework gets back: that is the ceiling. The same
two processes do all three, on the same cores, with the same paths of convolutions. Learning rates are next to nothing, so that a
network's state, and with it the work, stays what it was.

Efficiencies are geometric means over blocks with 95 % intervals of Student's t on the logarithms of paired ratios
(`gan3d.scaling.speedup`), shown as `value (low-high)`. Who waits for the other at every step loses what apart is nobody's loss, where cores
differ: so the efficiency is also told without it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from functools import partial
from random import Random
from statistics import median

import numpy as np

from benchmarks.harness import Row
from benchmarks.training_step import spread_out, study_settings
from benchmarks.worker_processes import WorkerProcesses, worker_processes
from gan3d.config.training import TrialSettings
from gan3d.records import PHASES, Timing
from gan3d.scaling.draws import geometric_mean
from gan3d.training.loop import Trial, epochs
from gan3d.training.ranks import Ranks
from gan3d.training.showers import open_showers
from gan3d.training.state import TrainState

NAME = "weak_scaling"
#: Study whose networks are trained, showers per worker, blocks, steps of an epoch, and of a quick run's. Measurements are as short as can
#: be, for a virtual core's speed changes by the second: one or two seconds, but long beside an epoch's end, where nothing hides the last
#: all-reduce (3 ms). Many short blocks then say more than a few long ones.
CASES = (("seed_baseline", 8, 120, 2, 1), ("seed_baseline", 32, 40, 1, 1))
WORKERS = 2
QUICK_BLOCKS = 2
#: Small, so that no update changes what an epoch costs; and validation showers enough to be a validation.
LEARNING_RATE, VALIDATION_SHOWERS = 1e-12, 16
#: Epochs the processes may be asked for.
MANY = 100_000
#: What a block measures: the call, and who makes it (None: all).
APART, TOGETHER = "apart", "together"


@dataclass(slots=True)
class Blocks:
    """Records of a case's measurements, block by block."""

    steps: int
    alone: list[Timing] = field(default_factory=list)
    apart: list[list[Timing]] = field(default_factory=list)
    together: list[Timing] = field(default_factory=list)

    @property
    def rates(self) -> dict[str, list[float]]:
        """Showers per second over all workers."""
        return {
            "alone": [timing.showers_per_second for timing in self.alone],
            APART: [sum(timing.showers_per_second for timing in pair) for pair in self.apart],
            TOGETHER: [timing.showers_per_second for timing in self.together],
        }

    @property
    def rates_without_straggler_wait(self) -> list[float]:
        """Of two together, had both always been as fast as their mean; a little too kind, for the wait at an epoch's end is among it."""
        seconds = [timing.num_showers / timing.showers_per_second for timing in self.together]
        waits = [timing.straggler_wait_seconds_mean for timing in self.together]
        return [timing.num_showers / (whole - wait) for timing, whole, wait in zip(self.together, seconds, waits, strict=True)]

    def milliseconds(self, timings: Sequence[Timing], part: str) -> list[float]:
        """Of a part of each epoch, per step, mean over ranks."""
        return [1e3 * float(getattr(timing, f"{part}_seconds_mean")) / self.steps for timing in timings]


def rows(quick: bool) -> Iterator[Row]:
    """Each case with processes of its own."""
    for study, batch, num_blocks, steps, quick_steps in CASES:
        num_steps = quick_steps if quick else steps
        with worker_processes(partial(calls, study, batch, num_steps), WORKERS, bound=True) as workers:
            blocks = measured(workers, QUICK_BLOCKS if quick else num_blocks, num_steps)
        yield from rows_of(f"{study}, {batch} a worker", blocks)


def measured(workers: WorkerProcesses, number: int, steps: int) -> Blocks:
    """So many blocks, each in an order of its own."""
    found, random = Blocks(steps), Random(1)
    for block in range(number):
        measurements: list[Callable[[], None]] = [
            lambda block=block: found.alone.extend(workers.ask(APART, [block % WORKERS])),  # type: ignore[misc]
            lambda: found.apart.append(workers.ask(APART)),
            lambda: found.together.append(workers.ask(TOGETHER)[0]),
        ]
        random.shuffle(measurements)
        for measure in measurements:
            measure()
    return found


def calls(study: str, batch: int, steps: int, ranks: Ranks) -> dict[str, Callable[[], Timing]]:
    """What a worker can do: an epoch with the others, or one of its own."""
    states: dict[str, TrainState] = {}
    made: dict[str, Callable[[], Timing]] = {}
    for name, with_others in ((TOGETHER, ranks), (APART, Ranks())):
        settings = settings_of(study, batch, steps, with_others.world_size)
        state = states[name] = TrainState(settings, with_others)
        showers = open_showers(settings.data, with_others, polar_angle=settings.training.polar_angle)
        made[name] = partial(next_timing, epochs(Trial(settings, with_others, showers), state))
        made[name]()  # warm-up: paths are chosen, memory is taken
    # Each process chose by its own stopwatch. Now all compute alike.
    states[APART].set_paths(states[TOGETHER].paths())
    made[APART]()
    return made


def next_timing(records: Iterator[object]) -> Timing:
    """Of an epoch more."""
    timing = next(records).timing  # type: ignore[attr-defined]
    assert isinstance(timing, Timing)
    return timing


def settings_of(study: str, batch: int, steps: int, world_size: int) -> TrialSettings:
    """The study's, on the showers of `samples/`, with epochs of so many steps."""
    content = spread_out(study_settings(study), batch, world_size=world_size).model_dump()
    content["training"] |= {"epochs": MANY, "max_steps_per_epoch": steps, "learning_rate_rule": "none"}
    content["training"] |= {"learning_rate_warmup_epochs": 0.0}
    for network in ("generator", "discriminator"):
        content["training"][network]["learning_rate"] = LEARNING_RATE
    content["data"]["max_validation_showers"] = VALIDATION_SHOWERS
    return TrialSettings.model_validate(content)


def rows_of(case: str, blocks: Blocks) -> Iterator[Row]:
    """Throughput, efficiencies, and where a step's time goes in one process of two, apart and together."""
    rates = blocks.rates
    for variant, of in (("1 worker", "alone"), ("2 workers apart", APART), ("2 workers together", TOGETHER)):
        yield Row.of((NAME, case, variant), rates[of], "showers/s")
    yield efficiency((case, "ceiling: apart over twice 1"), rates[APART], rates["alone"])
    yield efficiency((case, "efficiency: together over twice 1"), rates[TOGETHER], rates["alone"])
    of_one_apart = [rate / WORKERS for rate in rates[APART]]
    yield efficiency((case, "efficiency over ceiling"), rates[TOGETHER], of_one_apart)
    yield efficiency((case, "the same, straggler wait taken out"), blocks.rates_without_straggler_wait, of_one_apart)
    yield from split_rows(case, blocks)


def efficiency(names: tuple[str, str], of_two: Sequence[float], of_one: Sequence[float]) -> Row:
    """Parallel efficiency with its 95 % interval [%], paired by block."""
    ratios = np.log(of_two) - np.log(of_one) - np.log(WORKERS)
    value, low, high = (100 * end for end in geometric_mean(ratios))
    return Row(NAME, *names, value, "%", low, high, len(of_two))


def split_rows(case: str, blocks: Blocks) -> Iterator[Row]:
    """Phases before validation that take a hundredth of a millisecond or more, and communication that is hidden."""
    variants = (("2 workers apart", [timing for pair in blocks.apart for timing in pair]), ("2 workers together", blocks.together))
    for part in (*PHASES[: PHASES.index("validation")], "overlapped_communication"):
        for variant, timings in variants:
            milliseconds = blocks.milliseconds(timings, part)
            if median(milliseconds) >= 0.01:
                yield Row.of((NAME, f"{case}: {part}", variant), milliseconds, "ms/step")
