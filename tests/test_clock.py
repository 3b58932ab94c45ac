"""Every second of an epoch belongs to exactly one phase; a slow rank's seconds are its own, the others' are straggler wait."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import pytest
import torch
from gloo_processes import GlooProcesses
from small_trial import ALONE, small_files, small_trial, trained

from gan3d.config.training import TrialSettings
from gan3d.records import PHASES
from gan3d.training.clock import PhaseClock, covered
from gan3d.training.ranks import Ranks

#: Injected into one phase of one rank [s]: long beside what a small trial's phase takes on a busy machine.
SLEEP = 0.5
#: What no phase exceeds in all of its repeats where nobody sleeps [s].
NOTHING = 0.2
#: Epochs with a sleep in the same phase; noise of the machine does not hit all of them alike.
REPEATS = 3
#: Where a rank sleeps in turn: nowhere, and in everything that is not itself communication.
AWAKE = "nowhere"
SLEEPING = ("data_wait", "discriminator", "generator", "optimiser", "validation", "checkpoint")
TURNS = (AWAKE, *SLEEPING)
#: More weights than DDP's first bucket of 1 MiB holds, so that early buckets are reduced during the backward pass.
SEVERAL_BUCKETS = {"training.generator.noise_dim": 4096}


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
    assert sum(charged(clock).values()) == clock.epoch_seconds == sum(range(1, 3 * len(PHASES) + 1))


def test_a_rank_without_others_communicates_with_nobody(fake: FakeTime) -> None:
    clock = PhaseClock(now=fake, has_others=False)
    with clock.phase("validation"):
        fake.work(1.0)
        with clock.collective():
            fake.work(2.0)
    with clock.collective():
        fake.work(4.0)
    assert charged(clock) == {"validation": 3.0}
    clock.split_waits(Ranks())
    assert charged(clock) == {"validation": 3.0}
    assert clock.epoch_seconds == 7.0


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
    assert tuple(clock.seconds) == (*PHASES, "overlapped_communication")
    with pytest.raises(AssertionError), clock.phase("warm_up"):
        pass


def test_the_default_clock_measures_wall_time() -> None:
    clock = PhaseClock()
    with clock.phase("data_wait"):
        time.sleep(0.05)
    assert 0.05 <= clock.seconds["data_wait"] <= clock.epoch_seconds


class Device:
    """A device that lags behind its host: its moments come when it is waited for."""

    def __init__(self) -> None:
        self.time = 0.0
        self.asked: list[list[float]] = []

    def now(self) -> list[float]:
        self.asked.append([])
        self.time += 1
        return self.asked[-1]

    def seconds(self, begin: list[float], end: list[float]) -> float:
        return end[0] - begin[0]

    def settle(self) -> None:
        for number, moment in enumerate(self.asked):
            moment[:] = [float(number)]


def test_on_a_device_seconds_are_made_of_its_own_moments_once_they_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("gan3d.training.clock.CudaMoments", Device)
    monkeypatch.setattr("gan3d.training.clock.MOST_CHARGES", 3)
    clock = PhaseClock(torch.device("cuda"))
    for _ in range(5):
        with clock.phase("generator"), clock.collective() as begin:
            clock.hide([(begin, clock.moment())], clock.moment())
    assert charged(clock) == {"generator": 10, "exposed_communication": 15, "overlapped_communication": 5}
    clock.split_waits(ALONE)
    assert charged(clock) == {"generator": 10, "exposed_communication": 15, "overlapped_communication": 5}


@pytest.mark.parametrize(
    ("reductions", "seconds"),
    [
        ([(1.0, 2.0)], 1.0),
        ([(1.0, 9.0)], 4.0),
        ([(1.0, 2.0), (3.0, 4.5)], 2.5),
        ([(1.0, 3.0), (2.0, 4.0)], 3.0),
        ([(1.0, 4.0), (2.0, 3.0)], 3.0),
        ([(1.0, 7.0), (2.0, 8.0)], 4.0),
        ([(5.0, 7.0)], 0.0),
    ],
)
def test_overlapped_is_the_time_before_the_end_in_which_something_is_reduced(reductions: list[tuple[float, float]], seconds: float) -> None:
    assert covered(reductions, 5.0) == seconds


def split(ranks: Ranks) -> dict[str, float]:
    """Of two ranks that come to two collectives in turn."""
    fake = FakeTime()
    clock = PhaseClock(now=fake)
    for waits in ((5, 1), (1, 2)):
        with clock.phase("generator"):
            fake.work(1)
            with clock.collective():
                fake.work(waits[ranks.rank])
    clock.split_waits(ranks)
    return charged(clock)


def test_the_shortest_wait_of_all_ranks_is_communication_and_the_rest_is_for_stragglers(two_ranks: GlooProcesses) -> None:
    first, second = two_ranks.run(split)
    assert first == {"generator": 2, "exposed_communication": 2, "straggler_wait": 4}
    assert second == {"generator": 2, "exposed_communication": 2, "straggler_wait": 1}


class SleepyClock(PhaseClock):
    """A real clock on a rank that falls asleep once an epoch; all are kept. The fault is faked, the ranks are not."""

    made: list[SleepyClock] = []  # noqa: RUF012 - one list for the rank's process
    turns: tuple[str, ...] = ()
    is_sleeper = False

    def __init__(self, device: torch.device, *, has_others: bool) -> None:
        super().__init__(device, has_others=has_others)
        self.wall_seconds = 0.0
        self.sleeps_in = self.turns[len(self.made) % len(self.turns)] if self.is_sleeper else AWAKE
        self.made.append(self)

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        with super().phase(name):
            if name == self.sleeps_in:
                self.sleeps_in = AWAKE
                time.sleep(SLEEP)
            yield

    def split_waits(self, ranks: Ranks) -> None:
        self.wall_seconds = self.epoch_seconds
        super().split_waits(ranks)


def sleepy_epochs(ranks: Ranks, settings: TrialSettings, turns: tuple[str, ...]) -> dict[str, list[Any]]:
    """Of each epoch of this rank: seconds of each phase, wall seconds, and the merged record; the last rank sleeps."""
    SleepyClock.made, SleepyClock.turns, SleepyClock.is_sleeper = [], turns, ranks.rank == 1
    with patch("gan3d.training.loop.PhaseClock", SleepyClock):
        _, records = trained(settings, ranks)
    clocks = SleepyClock.made
    return {
        "seconds": [{name: clock.seconds[name] for name in PHASES} for clock in clocks],
        "wall": [clock.wall_seconds for clock in clocks],
        "metrics": [record.as_metrics() for record in records],
    }


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


@pytest.fixture(scope="module", params=["one_bucket", pytest.param("several_buckets", marks=pytest.mark.slow)])
def sleepy(request: pytest.FixtureRequest, two_ranks: GlooProcesses, files: Path) -> list[dict[str, list[Any]]]:
    changes = {"workers.per_trial": 2, "training.epochs": REPEATS * len(TURNS), "training.max_steps_per_epoch": 1}
    if request.param == "several_buckets":
        changes |= SEVERAL_BUCKETS
    return two_ranks.run(sleepy_epochs, small_trial(files, changes), TURNS)


def shortest(rank: dict[str, list[Any]], turn: str) -> dict[str, float]:
    """Of each phase over the repeats of a turn: what is in all of them, noise comes and goes."""
    epochs = rank["seconds"][TURNS.index(turn) :: len(TURNS)]
    assert len(epochs) == REPEATS
    return {name: min(epoch[name] for epoch in epochs) for name in PHASES}


@pytest.mark.parametrize("phase", SLEEPING)
def test_a_sleep_on_one_rank_is_its_phase_there_and_straggler_wait_on_the_other(sleepy: list[dict[str, list[Any]]], phase: str) -> None:
    for rank, sleeping_phase in zip(sleepy, ("straggler_wait", phase), strict=True):
        awake = shortest(rank, AWAKE)
        more = {name: seconds - awake[name] for name, seconds in shortest(rank, phase).items()}
        assert SLEEP - NOTHING < more.pop(sleeping_phase) < SLEEP + NOTHING
        assert max(more.values()) < NOTHING, more


@pytest.mark.parametrize("phase", SLEEPING)
def test_the_record_holds_the_sleep_as_maximum_and_half_of_it_as_mean(sleepy: list[dict[str, list[Any]]], phase: str) -> None:
    first, second = sleepy
    for turn in range(TURNS.index(phase), len(first["seconds"]), len(TURNS)):
        metrics = first["metrics"][turn]
        assert metrics == second["metrics"][turn]
        assert metrics[f"timing.{phase}_seconds_max"] >= SLEEP
        assert metrics[f"timing.{phase}_seconds_mean"] >= SLEEP / 2
        for name in PHASES:
            pair = (first["seconds"][turn][name], second["seconds"][turn][name])
            assert metrics[f"timing.{name}_seconds_mean"] == pytest.approx(sum(pair) / 2, abs=1e-9)
            assert metrics[f"timing.{name}_seconds_max"] == pytest.approx(max(pair), abs=1e-9)


def test_a_sleep_before_ddp_rebuilds_its_buckets_is_no_computing_of_the_other_rank(two_ranks: GlooProcesses, files: Path) -> None:
    """In a trial's first step: the discriminator's second forward pass asks rank 0 for the new buckets, and rank 0 answers when all ask."""
    settings = small_trial(files, {"workers.per_trial": 2, "training.epochs": 1, "training.max_steps_per_epoch": 1})
    waits = []
    for _ in range(REPEATS):
        first, _second = two_ranks.run(sleepy_epochs, settings, ("optimiser",))
        waits.append(first["seconds"][0]["straggler_wait"])
    assert max(waits) > SLEEP - NOTHING


@pytest.mark.parametrize("world_size", [1, 2])
def test_phases_of_real_epochs_add_up_within_2_percent_on_every_rank(two_ranks: GlooProcesses, files: Path, world_size: int) -> None:
    changes = {"workers.per_trial": world_size, "training.epochs": 5, "training.discriminator.filters": [16, 8, 8, 8]}
    settings = small_trial(files, changes)
    turns = (AWAKE,)
    ranks = [sleepy_epochs(ALONE, settings, turns)] if world_size == 1 else two_ranks.run(sleepy_epochs, settings, turns)
    missing = []
    for epoch, metrics in enumerate(ranks[0]["metrics"]):
        shares = [abs(1 - sum(rank["seconds"][epoch].values()) / rank["wall"][epoch]) for rank in ranks]
        assert metrics["timing.unaccounted_share"] == pytest.approx(max(shares), abs=0.002)
        missing.append(max(shares))
    assert statistics.median(missing) < 0.02, missing
