"""The ledger: seconds held and joules drawn add up, over trials, teams, sessions and whatever ends them."""

from __future__ import annotations

import json
import pickle
import threading
import time
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ledger_inputs import Clock, epoch_of

from gan3d.config.cost import Rates
from gan3d.cost import ledger as module
from gan3d.cost.ledger import FILE, Ledger, Spent, Team
from gan3d.errors import ConfigError

RATES = Rates(watts_per_core=10.0, watts_per_gpu=100.0)
#: Two of four workers of two CPUs.
HALF = Team(cores=4, team_cores=8)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def ledger(clock: Clock) -> Ledger:
    return Ledger(RATES, now=clock)


def seconds_of(spent: Spent) -> tuple[float, ...]:
    return spent.core_seconds, spent.reserved_core_seconds, spent.gpu_seconds, spent.reserved_gpu_seconds


def joules_of(spent: Spent) -> tuple[float, ...]:
    return spent.rapl_joules, spent.nvml_joules, spent.declared_joules


def same(one: Spent, other: Spent) -> bool:
    return all(getattr(one, entry.name) == pytest.approx(getattr(other, entry.name)) for entry in fields(Spent))


def test_a_trial_holds_its_team_from_its_start_to_its_end(ledger: Ledger, clock: Clock) -> None:
    clock.wait(5)
    ledger.start(0, Team(2, 8, 1, 4))
    clock.wait(10)
    assert seconds_of(ledger.total()) == (20, 80, 10, 40)
    clock.wait(10)
    assert seconds_of(ledger.end(0)) == (40, 160, 20, 80)
    clock.wait(100)
    assert seconds_of(ledger.total()) == (40, 160, 20, 80)
    assert ledger.wall_seconds == 125


def test_trials_side_by_side_hold_a_team_each_and_the_wall_time_passes_once(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, HALF)
    clock.wait(10)
    ledger.start(1, HALF)
    clock.wait(10)
    ledger.end(0)
    clock.wait(10)
    assert [seconds_of(spent)[0] for spent in ledger.trials().values()] == [80, 80]
    assert ledger.total().reserved_core_seconds == 320
    assert ledger.wall_seconds == 30


def test_an_end_told_twice_or_of_nothing_changes_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, HALF)
    clock.wait(3)
    once = ledger.end(0)
    clock.wait(3)
    assert ledger.end(0) == once
    assert ledger.end(7) == Spent()
    assert list(ledger.trials()) == [0]


def test_a_trial_taken_up_again_holds_on_where_it_was(ledger: Ledger, clock: Clock) -> None:
    for _ in range(2):
        ledger.start(0, HALF)
        clock.wait(5)
        ledger.end(0)
        clock.wait(50)
    assert seconds_of(ledger.total()) == (40, 80, 0, 0)


def test_energy_is_the_epochs_own_and_declared_for_the_rest(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, Team(2, 4, 1, 2))
    clock.wait(10)
    ledger.add_epoch(0, 1, epoch_of(12.0, rapl=70.0, gpu_seconds=6.0, nvml=500.0))
    # Outside of the epoch: 20 - 12 core-seconds at 10 W and 10 - 6 GPU-seconds at 100 W.
    assert joules_of(ledger.total()) == (70, 500, 80 + 400)
    ledger.add_epoch(0, 2, epoch_of(8.0, declared=80.0, gpu_seconds=4.0, nvml=300.0))
    assert joules_of(ledger.total()) == (70, 800, 80)


def test_workers_that_sleep_are_reserved_but_draw_nothing(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, HALF)
    clock.wait(10)
    assert joules_of(ledger.total()) == (0, 0, 40 * 10)


def test_an_epoch_told_again_counts_once(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, HALF)
    clock.wait(30)
    told = [ledger.add_epoch(0, epoch, epoch_of(40.0, rapl=7.0)) for epoch in (1, 2, 1, 2, 3)]
    assert told == [True, True, False, False, True]
    assert ledger.epochs == 3
    assert ledger.total().rapl_joules == 21


def test_an_epoch_without_a_cost_is_no_epoch_that_a_rate_could_be_from(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, HALF)
    clock.wait(10)
    assert ledger.add_epoch(0, 1, {"losses.generator_total": 1.0})
    assert ledger.epochs == 0
    assert joules_of(ledger.total()) == (0, 0, 400)


def test_the_ledger_never_knows_less_than_the_epochs_records(ledger: Ledger, clock: Clock) -> None:
    """A driver that was killed saw less of an epoch than its workers."""
    ledger.start(0, Team(4, 8, 2, 4))
    clock.wait(1)
    ledger.add_epoch(0, 1, epoch_of(40.0, reserved=80.0, declared=400.0, gpu_seconds=20.0, nvml=9.0))
    assert seconds_of(ledger.total()) == (40, 80, 20, 40)
    assert joules_of(ledger.total()) == (0, 9, 400)


def test_a_session_with_other_workers_does_not_change_what_the_earlier_ones_held(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    ledger.start(0, Team(2, 2))
    clock.wait(10)
    ledger.add_epoch(0, 1, epoch_of(15.0, rapl=30.0))
    ledger.save(tmp_path)
    again = Ledger.open(tmp_path, RATES, clock)
    again.start(0, Team(8, 16, 1, 2))
    clock.wait(1)
    assert seconds_of(again.total()) == (28, 36, 1, 2)
    assert joules_of(again.total()) == (30, 0, (28 - 15) * 10 + 100)
    again.save(tmp_path)
    assert same(Ledger.open(tmp_path, RATES, clock).total(), again.total())


def test_epochs_of_several_teams_cost_and_last_what_each_of_them_did(ledger: Ledger, clock: Clock) -> None:
    """Ten of 100 s on four CPUs, and one of 400 s on a single one."""
    ledger.start(0, Team(4, 4))
    for epoch in range(1, 11):
        clock.wait(100)
        ledger.add_epoch(0, epoch, epoch_of(400.0))
    ledger.start(0, Team(1, 1))
    clock.wait(400)
    ledger.add_epoch(0, 11, epoch_of(400.0))
    spent, seconds = ledger.in_epochs()
    assert seconds == pytest.approx(1400)
    assert seconds_of(spent) == pytest.approx((4400, 4400, 0, 0))


def test_a_trial_taken_up_in_a_larger_team_reserves_that_from_then_on(ledger: Ledger, clock: Clock) -> None:
    ledger.start(0, Team(4, 4, 1, 1))
    for epoch in range(1, 11):
        clock.wait(100)
        ledger.add_epoch(0, epoch, epoch_of(400.0, gpu_seconds=100.0))
    ledger.start(0, Team(4, 8, 1, 2))
    clock.wait(100)
    ledger.add_epoch(0, 11, epoch_of(400.0, reserved=800.0, gpu_seconds=100.0))
    assert seconds_of(ledger.in_epochs()[0]) == pytest.approx((4400, 4800, 1100, 1200))
    assert seconds_of(ledger.end(0)) == pytest.approx((4400, 4800, 1100, 1200))


def test_whatever_happens_in_whatever_order_the_sums_are_right(tmp_path: Path, clock: Clock) -> None:
    """Against a ledger kept by hand, saved and opened again at any moment."""
    random = np.random.default_rng(5)
    ledger = Ledger(RATES, now=clock)
    live: dict[int, int] = {}
    cores: dict[int, float] = {}
    for _ in range(3_000):
        number = int(random.integers(6))
        match int(random.integers(5)):
            case 0:
                workers = live.get(number, int(random.integers(1, 9)))
                ledger.start(number, Team(workers, 8))
                live[number] = workers
            case 1:
                ledger.end(number)
                live.pop(number, None)
            case 2 if not live:  # a session ends when no trial is live
                ledger.save(tmp_path)
                ledger = Ledger.open(tmp_path, RATES, clock)
            case _:
                seconds = float(random.exponential(10.0))
                clock.wait(seconds)
                for held, workers in live.items():
                    cores[held] = cores.get(held, 0.0) + workers * seconds
    found = {number: spent.core_seconds for number, spent in ledger.trials().items() if spent.core_seconds}
    assert found == pytest.approx(cores)
    assert ledger.total().core_seconds == pytest.approx(sum(cores.values()))
    assert ledger.total().declared_joules == pytest.approx(10.0 * sum(cores.values()))
    assert ledger.wall_seconds == pytest.approx(clock.seconds - 1000.0)


def test_saved_and_opened_it_is_the_same(ledger: Ledger, clock: Clock, tmp_path: Path) -> None:
    for number in (3, 1):
        ledger.start(number, Team(number, 4, 1, 2))
        clock.wait(7)
        ledger.add_epoch(number, 1, epoch_of(number, rapl=1.5, nvml=2.5, gpu_seconds=1.0))
    ledger.save(tmp_path)
    again = Ledger.open(tmp_path, RATES, clock)
    assert (again.trials(), again.epochs, again.wall_seconds) == (ledger.trials(), 2, 14)
    clock.wait(1000)  # between two sessions nothing runs
    assert Ledger.open(tmp_path, RATES, clock).total() == again.total()


def test_seconds_held_are_those_of_all_teams_that_a_trial_had(tmp_path: Path) -> None:
    clock = Clock()
    ledger = Ledger(RATES, now=clock)
    for cores, seconds in ((4, 10), (3, 5), (4, 2)):
        ledger.start(0, Team(cores, cores))
        clock.wait(seconds)
    assert ledger.held_seconds() == {0: 17}
    ledger.save(tmp_path)
    again = Ledger.open(tmp_path, RATES, clock)
    again.start(0, Team(2, 2))
    clock.wait(1)
    assert again.held_seconds() == {0: 18}
    assert again.total().core_seconds == 10 * 4 + 5 * 3 + 2 * 4 + 1 * 2


def test_an_empty_folder_has_an_empty_ledger(tmp_path: Path) -> None:
    found = Ledger.open(tmp_path, RATES)
    assert found.is_empty
    assert (found.epochs, found.total()) == (0, Spent())


ROW = {"team": {"cores": 1, "team_cores": 2}, "held_seconds": 4.0, "epochs": 1, "core_seconds": 3.0}


def test_a_row_may_leave_out_what_never_happened(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text(json.dumps({"wall_seconds": 5, "trials": {"0": ROW}}), encoding="utf-8")
    assert seconds_of(Ledger.open(tmp_path, RATES).total()) == (4, 8, 0, 0)


#: Of a trial that held four of four CPUs for 1000 s, then one of two for 500 s, as ledgers wrote it that priced epochs by their team.
EARLIER = {
    "team": {"cores": 1, "team_cores": 2, "gpus": 0, "team_gpus": 0},
    "held_seconds": 500.0,
    "before": {"core_seconds": 4000.0, "reserved_core_seconds": 4000.0},
    "seconds_before": 1000.0,
    "epochs": 11,
    "core_seconds": 4500.0,
    "declared_joules": 7.0,
}


def test_a_ledger_of_an_earlier_version_is_gone_on_with(tmp_path: Path, clock: Clock) -> None:
    (tmp_path / FILE).write_text(json.dumps({"wall_seconds": 1500, "trials": {"0": EARLIER}}), encoding="utf-8")
    ledger = Ledger.open(tmp_path, RATES, clock)
    assert (ledger.epochs, ledger.held_seconds()) == (11, {0: 1500})
    spent, seconds = ledger.in_epochs()
    assert seconds == pytest.approx(1500)
    assert seconds_of(spent) == pytest.approx((4500, 5000, 0, 0))
    ledger.start(0, Team(2, 2))
    clock.wait(10)
    assert not ledger.add_epoch(0, 11, epoch_of(20.0))
    assert ledger.add_epoch(0, 12, epoch_of(20.0, declared=5.0))
    assert seconds_of(ledger.total()) == pytest.approx((4520, 5020, 0, 0))
    assert joules_of(ledger.total()) == (0, 0, 12)
    ledger.save(tmp_path)
    assert Ledger.open(tmp_path, RATES, clock).in_epochs() == ledger.in_epochs()


def test_the_first_versions_did_not_say_how_long_earlier_teams_were_held(tmp_path: Path) -> None:
    row = {name: value for name, value in EARLIER.items() if name != "seconds_before"}
    (tmp_path / FILE).write_text(json.dumps({"wall_seconds": 1500, "trials": {"0": row}}), encoding="utf-8")
    ledger = Ledger.open(tmp_path, RATES)
    assert ledger.held_seconds() == {0: 500}
    assert ledger.in_epochs()[1] == pytest.approx(4500)  # all at the newest team's one CPU: the best that such a file can tell


def with_row(**changes: Any) -> str:
    return json.dumps({"wall_seconds": 5, "trials": {"0": ROW | changes}})


BROKEN = {
    "empty": "",
    "half a file": '{"wall_seconds": 1, "tri',
    "a list": "[]",
    "a number": "3",
    "no wall time": '{"trials": {}}',
    "no trials": '{"wall_seconds": 1}',
    "trials in a list": '{"wall_seconds": 1, "trials": [1]}',
    "a trial without a team": '{"wall_seconds": 1, "trials": {"0": {}}}',
    "a trial with a name": json.dumps({"wall_seconds": 5, "trials": {"first": ROW}}),
    "an unknown amount": with_row(water_litres=3),
    "an unknown part": with_row(held={}, outside={}),
    "words in a part": with_row(held={"core_seconds": "3"}),
    "a team of a list": with_row(team=[1, 2]),
    "words for seconds": with_row(held_seconds="4 s"),
    "negative seconds": with_row(held_seconds=-4),
    "not a number": with_row(held_seconds=float("nan")),
    "nothing": with_row(core_seconds=None),
    "an infinite wall time": '{"wall_seconds": Infinity, "trials": {}}',
}


@pytest.mark.parametrize("content", BROKEN.values(), ids=BROKEN)
def test_a_broken_ledger_is_refused_with_the_way_out(tmp_path: Path, content: str) -> None:
    (tmp_path / FILE).write_text(content, encoding="utf-8")
    with pytest.raises(ConfigError, match=r"is not a ledger of this version of gan3d\. Delete it to go on") as caught:
        Ledger.open(tmp_path, RATES)
    assert caught.value.where == str(tmp_path / FILE)


def test_a_ledger_that_is_not_utf8_is_refused(tmp_path: Path) -> None:
    (tmp_path / FILE).write_bytes(b"\xff\xfe{}")
    with pytest.raises(ConfigError, match="is not a ledger"):
        Ledger.open(tmp_path, RATES)


def test_a_ledger_that_cannot_be_read_is_no_traceback(tmp_path: Path) -> None:
    (tmp_path / FILE).mkdir()
    with pytest.raises(ConfigError, match=r"cannot be read \(is a directory\)"):
        Ledger.open(tmp_path, RATES)


def wait_for(what: Any) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.01)


def test_it_is_kept_on_disk_while_trials_run_and_at_the_end(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SAVES", 0.02)
    ledger = Ledger(RATES, now=clock)
    with ledger.kept(tmp_path):
        ledger.start(0, HALF)
        clock.wait(5)
        wait_for(lambda: Ledger.open(tmp_path, RATES, clock).wall_seconds == 5)
        assert Ledger.open(tmp_path, RATES, clock).total().core_seconds == 20
        clock.wait(5)
    assert Ledger.open(tmp_path, RATES, clock).total() == ledger.total()
    clock.wait(5)
    assert ledger.total().core_seconds == 40  # no trial holds anything after the study


def test_an_interruption_leaves_the_ledger_behind(tmp_path: Path, clock: Clock) -> None:
    ledger = Ledger(RATES, now=clock)

    def interrupted() -> None:
        with ledger.kept(tmp_path):
            ledger.start(0, HALF)
            clock.wait(3)
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert Ledger.open(tmp_path, RATES, clock).total().core_seconds == 12


def test_a_disk_that_is_away_for_a_moment_does_not_end_the_keeping(tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_SAVES", 0.02)
    results, away = tmp_path / "results", tmp_path / "away"
    results.mkdir()
    ledger = Ledger(RATES, now=clock)
    with ledger.kept(results):
        wait_for((results / FILE).exists)
        results.rename(away)
        time.sleep(0.2)
        away.rename(results)
        clock.wait(4)
        wait_for(lambda: Ledger.open(results, RATES, clock).wall_seconds == 4)


def test_a_reader_sees_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    ledger = Ledger(RATES)
    for number in range(50):
        ledger.start(number, HALF)
    ledger.save(tmp_path)
    over = threading.Event()

    def write() -> None:
        while not over.is_set():
            ledger.save(tmp_path)

    writer = threading.Thread(target=write)
    writer.start()
    try:
        for _ in range(100):
            assert len(Ledger.open(tmp_path, RATES).trials()) == 50
    finally:
        over.set()
        writer.join()
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_tune_can_pickle_whoever_holds_it(ledger: Ledger) -> None:
    ledger.start(0, HALF)
    assert isinstance(pickle.loads(pickle.dumps(ledger)), Ledger)
