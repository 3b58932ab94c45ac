"""The overhead benchmark's arithmetic: a trial's parts add up to its length, and only what trained the same is compared."""

from __future__ import annotations

from typing import Any

import pytest

from benchmarks.harness import Row
from benchmarks.orchestration import Timeline, study
from benchmarks.overhead import FEW, Pair, Parts, refuse_different, trial_rows
from benchmarks.study_process import Marks
from gan3d.config.load import load_study
from gan3d.search.samplers import first_samples

LOSS, OTHER = "losses.generator_total", "physics.response"


def marks(change: float, gap: float, checkpoint: float) -> dict[str, Any]:
    """Two trials of two epochs of 25 s; the second's settings come ``change`` after the first, two seconds before its first step."""
    first_step = 100.0 + change + 2.0
    return {
        "epochs": {"0": [[75.0, 25.0], [100.0, 25.0]], "1": [[first_step + 25, 25.0], [first_step + 50 + gap, 25.0]]},
        "taken": {"0": 40.0, "1": 100.0 + change},
        "built": {"0": 45.0, "1": 100.5 + change},
        "checkpoints": {"0": [checkpoint] * 2, "1": [checkpoint] * 2},
        "numbers": {"0": [{LOSS: 1.0, OTHER: 3.0}] * 2, "1": [{LOSS: 2.0}, {LOSS: 1.5}]},
    }


def timeline(change: float, gap: float, checkpoint: float) -> Timeline:
    return Timeline(called=0.0, gone=200.0, marks=marks(change, gap, checkpoint))


@pytest.fixture
def pair() -> Pair:
    return Pair(bare=timeline(0.0, 0.0, 0.0), study=timeline(0.5, 0.25, 0.125))


def test_a_trial_s_parts_add_up_to_what_lies_between_two_last_epochs(pair: Pair) -> None:
    parts = Parts.of(pair.study, 1)
    assert parts == Parts(change=0.5, build=0.5, start=1.5, epochs=50.0, gaps=0.25, checkpoints=0.25)
    assert parts.whole == pair.study.last_epoch(1) - pair.study.last_epoch(0) == 52.75


def test_the_overhead_is_the_study_s_over_the_bare_loop_s_and_the_first_trial_is_not_in_it(pair: Pair) -> None:
    rows = {row.variant: row for row in trial_rows([pair])}
    wall, added = rows["study over bare loop, wall"], rows["study over bare loop, what is not training"]
    assert (wall.rounds, rows["bare loop"].value, rows["study"].value) == (1, 52.0, 52.75)
    assert wall.value == pytest.approx(100 * 0.75 / 52)
    assert added.value == pytest.approx(100 * (0.75 + 0.25) / 52)


def test_a_slow_moment_of_the_machine_is_no_overhead(pair: Pair) -> None:
    slow = marks(0.5, 0.25, 0.125)
    slow["epochs"]["1"] = [[130.0, 27.5], [157.75, 27.5]]
    rows: dict[str, Row] = {row.variant: row for row in trial_rows([pair._replace(study=Timeline(0.0, 200.0, slow))])}
    assert rows["study over bare loop, wall"].value > 10
    assert rows["study over bare loop, what is not training"].value == pytest.approx(100 * (0.75 + 0.25) / 52)


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ({"0": [{LOSS: 1.0, OTHER: 3.0}] * 2, "1": [{LOSS: 2.0}, {LOSS: 1.5000001}]}, "trial 1, epoch 2: losses.generator_total is 1.5 in"),
        ({"0": [{LOSS: 1.0, OTHER: 3.0}, {LOSS: 1.0}], "1": [{LOSS: 2.0}, {LOSS: 1.5}]}, "trial 0, epoch 2: physics.response is 3.0 in"),
        ({"0": [{LOSS: 1.0, OTHER: 3.0}] * 2, "1": [{LOSS: 2.0}]}, "trial 1, epoch 2: losses.generator_total is 1.5 in"),
        ({"0": [{LOSS: 1.0, OTHER: 3.0}] * 2}, "trial 1, epoch 1: losses.generator_total is 2.0 in"),
    ],
)
def test_trainings_that_differ_are_not_compared(pair: Pair, numbers: dict[str, Any], words: str) -> None:
    refuse_different(pair)
    pair.study.marks["numbers"] = numbers
    with pytest.raises(ValueError, match=words):
        refuse_different(pair)


def test_the_study_of_a_grid_and_the_bare_loop_train_the_same_samples_in_a_way_that_repeats() -> None:
    with study({"training.seed": {"choice": [1, 2]}}, FEW, per_trial=1, convolutions="plain") as small:
        loaded = load_study(small.file).study
    assert first_samples(loaded) == [{"training.seed": 1}, {"training.seed": 2}]
    assert (loaded.workers.convolutions, loaded.workers.per_trial, loaded.training.epochs) == ("plain", 1, FEW["epochs"])


def test_calls_are_timed_whether_they_return_or_raise() -> None:
    class Called:
        def call(self, value: int, *, is_good: bool) -> int:
            if not is_good:
                raise OSError
            return value

    kept = Marks()
    kept.time_calls(Called, "call", "calls")
    assert Called().call(3, is_good=True) == 3
    with pytest.raises(OSError):  # noqa: PT011 - the one of above
        Called().call(3, is_good=False)
    assert len(kept.spent["calls"]) == 2
    assert min(kept.spent["calls"]) >= 0


def test_a_watcher_keeps_what_must_not_depend_on_who_trains() -> None:
    kept = Marks()
    kept.epoch_ended(0, 1, {"timing.epoch_seconds": 2.0, "timing.checkpoint_seconds_mean": 0.5, LOSS: 1.0, OTHER: 3.0, "cost.joules": 9.0})
    assert (kept.numbers, kept.checkpoints) == ({0: [{LOSS: 1.0, OTHER: 3.0}]}, {0: [0.5]})
    assert [seconds for _, seconds in kept.epochs[0]] == [2.0]
