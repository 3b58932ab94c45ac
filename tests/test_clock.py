"""Every second of an epoch belongs to exactly one phase; a slow rank's seconds are its own, the others' are straggler wait."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
from gloo_processes import GlooProcesses, gloo_processes
from small_trial import ALONE, small_files, small_trial, trained

from gan3d.config.training import TrialSettings
from gan3d.records import PHASES, EpochRecord
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks

#: Injected into one phase of one rank [s].
SLEEP = 0.3
#: What a phase of the small trial may take on a busy machine without counting as a sleep [s].
NOTHING = 0.2
#: Epochs with a sleep in the same phase; noise of the machine does not hit all of them alike.
REPEATS = 3
#: Where a rank sleeps in turn: everything that is not itself communication.
SLEEPING = ("data_wait", "discriminator", "generator", "optimiser", "validation", "checkpoint")


class FakeTime:
    """A clock that a test moves."""

    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds

    def work(self, seconds: float) -> None:
        self.seconds += seconds

    def work_in_vain(self, seconds: float) -> None:
        self.work(seconds)
        message = "the disk is full"
        raise OSError(message)


@pytest.fixture(name="fake")
def fake_time() -> FakeTime:
    return FakeTime()


def charged(clock: PhaseClock) -> dict[str, float]:
    return {name: seconds for name, seconds in clock.seconds.items() if seconds}


def test_an_inner_phase_pauses_the_outer_one(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake)
    with clock.phase("discriminator"):
        fake.work(1)
        with clock.phase("optimiser"):
            fake.work(2)
        fake.work(4)
        with clock.phase("straggler_wait"):
            fake.work(8)
    assert charged(clock) == {"discriminator": 5, "optimiser": 2, "straggler_wait": 8}


def test_phases_nest_to_any_depth_and_in_themselves(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake)
    with clock.phase("generator"):
        fake.work(1)
        with clock.phase("optimiser"):
            fake.work(2)
            with clock.phase("generator"):
                fake.work(4)
                with clock.phase("exposed_communication"):
                    fake.work(8)
    assert charged(clock) == {"generator": 5, "optimiser": 2, "exposed_communication": 8}


def test_phases_add_up_to_the_epoch(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake)
    for seconds, name in enumerate(PHASES * 3, start=1):
        with clock.phase(name):
            fake.work(seconds)
    assert sum(clock.seconds.values()) == clock.epoch_seconds == sum(range(1, 3 * len(PHASES) + 1))


def test_time_outside_of_phases_is_in_the_epoch_only(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake)
    fake.work(3)
    assert clock.epoch_seconds == 3
    assert charged(clock) == {}


def test_a_phase_that_raises_is_charged(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake)
    with pytest.raises(OSError, match="full"), clock.phase("checkpoint"):
        fake.work_in_vain(2)
    assert charged(clock) == {"checkpoint": 2}


def test_only_the_phases_of_the_record_exist() -> None:
    clock = PhaseClock()
    assert tuple(clock.seconds) == PHASES
    with pytest.raises(KeyError), clock.phase("warm_up"):
        pass


def test_the_default_clock_measures_wall_time() -> None:
    clock = PhaseClock()
    with clock.phase("data_wait"):
        time.sleep(0.05)
    assert 0.05 <= clock.seconds["data_wait"] <= clock.epoch_seconds


class SleepyClock(PhaseClock):
    """A real clock on a rank that falls asleep once an epoch; keeps every epoch's seconds. The fault is faked, the ranks are not."""

    epochs: list[dict[str, float]] = []  # noqa: RUF012 - one list for the rank's process
    sleeper = False

    def __init__(self, device: torch.device) -> None:
        super().__init__(device)
        self.sleeps_in = SLEEPING[len(self.epochs) % len(SLEEPING)]
        self.is_awake = True
        self.epochs.append(self.seconds)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with super().phase(name):
            if self.sleeper and self.is_awake and name == self.sleeps_in:
                self.is_awake = False
                time.sleep(SLEEP)
            yield


def sleepy_epochs(ranks: Ranks, settings: TrialSettings) -> list[dict[str, float]]:
    """Seconds of each phase on this rank in each epoch; rank 1 sleeps."""
    SleepyClock.sleeper = ranks.rank == 1
    with patch("gan3d.training.loop.PhaseClock", SleepyClock):
        trained(settings, ranks)
    return SleepyClock.epochs


def timed_epochs(ranks: Ranks, settings: TrialSettings) -> list[EpochRecord]:
    return trained(settings, ranks)[1]


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    with gloo_processes(2, tmp_path_factory.mktemp("store")) as processes:
        yield processes


@pytest.fixture(scope="module")
def sleepy(two_ranks: GlooProcesses, files: Path) -> list[list[dict[str, float]]]:
    settings = small_trial(files, {"workers.per_trial": 2, "training.epochs": REPEATS * len(SLEEPING), "training.max_steps_per_epoch": 1})
    return two_ranks.run(sleepy_epochs, settings)


@pytest.mark.parametrize("phase", SLEEPING)
def test_a_sleep_on_one_rank_is_its_phase_there_and_straggler_wait_on_the_other(sleepy: list[list[dict[str, float]]], phase: str) -> None:
    first = SLEEPING.index(phase)
    other, sleeper = ({name: [epoch[name] for epoch in rank[first :: len(SLEEPING)]] for name in PHASES} for rank in sleepy)
    assert len(sleeper[phase]) == REPEATS
    assert min(sleeper.pop(phase)) >= SLEEP
    assert statistics.median(other.pop("straggler_wait")) > SLEEP - NOTHING
    for rank, phases in (("the sleeper", sleeper), ("the other rank", other)):
        for name, seconds in phases.items():
            assert min(seconds) < NOTHING, f"{name} of {rank}"


def left_over(record: EpochRecord) -> float:
    """Share of the epoch that no phase was charged with."""
    metrics = record.as_metrics()
    charged_seconds = sum(metrics[f"timing.{name}_seconds_mean"] for name in PHASES)
    return 1 - charged_seconds / record.timing.epoch_seconds


@pytest.mark.parametrize("world_size", [1, 2])
def test_phases_of_real_epochs_add_up_within_2_percent(two_ranks: GlooProcesses, files: Path, world_size: int) -> None:
    changes = {"workers.per_trial": world_size, "training.epochs": 5, "training.discriminator.filters": [16, 8, 8, 8]}
    settings = small_trial(files, changes)
    records = timed_epochs(ALONE, settings) if world_size == 1 else two_ranks.run(timed_epochs, settings)[0]
    shares = [left_over(record) for record in records]
    assert abs(statistics.median(shares)) < 0.02, shares
