"""Early stopping: decisions of the searcher on its real Optuna storage, over interruptions too."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_study import write_study
from tune_results import epoch_result, failed_result

from gan3d.config.load import LoadedStudy, load_study
from gan3d.search.rungs import Rungs, bracket_weights
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher

SPACE = {"training.seed": {"min": 1, "max": 1000}}
TWO_NUMBERS = {"trade_offs": [{"metric": "timing.epoch_seconds"}]}
GATE = {"constraints": [{"metric": "physics.response", "at_most": 0.02}]}


def load(folder: Path, scheduler: dict[str, Any], *, epochs: int = 9, **more: Any) -> LoadedStudy:
    path = write_study(folder, SPACE, sampler={"name": "random"}, scheduler=scheduler, trials={"number": 40}, **more)
    return load_study(path, [f"training.epochs={epochs}"])


def opened(loaded: LoadedStudy, folder: Path) -> OptunaSearcher:
    study = open_optuna_study(loaded.study, folder / "journal.log")
    return OptunaSearcher(loaded.study, study, trials_folder=folder / "trials", base=loaded.base)


def reach(searcher: OptunaSearcher, name: str, results: list[dict[str, Any]]) -> int:
    """Start a trial and let it report until it is stopped; returns after how many epochs (all of them: it was not)."""
    searcher.suggest(name)
    for result in results:
        if not searcher.goes_on(name, result):
            searcher.on_trial_complete(name, result)
            return int(result["epoch"])
    return len(results)


def flat(value: float, epochs: int = 8) -> list[dict[str, Any]]:
    return [epoch_result(epoch, value) for epoch in range(1, epochs + 1)]


def stops(searcher: OptunaSearcher, values: list[float]) -> Iterator[int]:
    for place, value in enumerate(values):
        yield reach(searcher, f"{place} {value}", flat(value))


def test_one_in_three_goes_on_at_each_rung(tmp_path: Path) -> None:
    """Rungs of 1 and 3 epochs: the first goes on, for it is the best so far; then the best third of those at the rung."""
    searcher = opened(load(tmp_path, {"name": "asha"}), tmp_path)
    assert list(stops(searcher, [5.0, 6.0, 4.0, 4.5, 4.2, 3.0, 4.1])) == [8, 1, 8, 1, 1, 8, 1]


def test_it_looks_at_rungs_only_and_at_the_best_epoch_so_far(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "asha", "grace": 2}), tmp_path)
    assert reach(searcher, "a", flat(1.0)) == 8
    worse_then_better = [epoch_result(1, 9.0), epoch_result(2, 0.5), *(epoch_result(epoch, 9.0, best=0.5) for epoch in range(3, 9))]
    assert reach(searcher, "b", worse_then_better) == 8
    assert reach(searcher, "c", flat(0.6)) == 2


def test_an_interrupted_study_decides_as_one_that_was_not(tmp_path: Path) -> None:
    values = [5.0, 6.0, 4.0, 4.5, 4.2, 3.0, 4.1, 2.0, 2.5]
    loaded = load(tmp_path, {"name": "asha"})
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    whole.mkdir()
    parts.mkdir()
    at_once = list(stops(opened(loaded, whole), values))
    in_parts = []
    for place, value in enumerate(values):
        searcher = opened(loaded, parts)  # the driver is killed before every trial; running trials are taken up and tell their epochs again
        for running in range(sum(stop == 8 for stop in in_parts)):
            searcher.suggest(f"again {running}")
        in_parts.append(reach(searcher, str(place), flat(value)))
    assert in_parts == at_once


def test_a_decision_is_taken_once(tmp_path: Path) -> None:
    """A trial that was let through goes on when it tells its epochs again, whatever the others have done since; a stopped one stops."""
    loaded = load(tmp_path, {"name": "asha"})
    searcher = opened(loaded, tmp_path)
    searcher.suggest("a")
    assert searcher.goes_on("a", epoch_result(1, 5.0))
    for name in ("b", "c", "d"):
        searcher.suggest(name)
        searcher.goes_on(name, epoch_result(1, 0.1))
    searcher.suggest("e")
    assert not searcher.goes_on("e", epoch_result(1, 0.2))
    later = opened(loaded, tmp_path)
    for name in "abcde":
        later.suggest(name)
    assert later.goes_on("a", epoch_result(1, 5.0))
    assert not later.goes_on("e", epoch_result(1, 0.2))


def test_failed_trials_are_nobody_s_measure(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "asha"}), tmp_path)
    searcher.suggest("a")
    searcher.goes_on("a", epoch_result(1, 0.1))
    assert searcher.goes_on("a", failed_result("DivergedError: x", 2, 0.1))
    searcher.on_trial_complete("a", failed_result("DivergedError: x", 2, 0.1))
    assert reach(searcher, "b", flat(0.5)) == 8


def test_constraints_go_first(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "asha"}, objective=GATE), tmp_path)
    for name in "abc":
        searcher.suggest(name)
    assert searcher.goes_on("a", epoch_result(1, 0.9, excess=-0.1))
    assert not searcher.goes_on("b", epoch_result(1, 0.1, excess=0.1))
    assert searcher.goes_on("c", epoch_result(1, 0.8, excess=-0.9))


def test_with_trade_offs_the_front_goes_on(tmp_path: Path) -> None:
    """Two in six: both ends of the front do, what they beat does not."""
    searcher = opened(load(tmp_path, {"name": "asha"}, objective=TWO_NUMBERS), tmp_path)
    points = [(9.0, 9.0), (9.5, 9.5), (9.6, 9.6), (9.7, 9.7), (1.0, 8.0), (8.0, 1.0), (9.0, 8.0)]
    found = []
    for place, point in enumerate(points):
        searcher.suggest(str(place))
        found.append(searcher.goes_on(str(place), epoch_result(1, *point)))
    assert found == [True, False, False, False, True, True, False]
    study = open_optuna_study(load(tmp_path, {"name": "asha"}, objective=TWO_NUMBERS).study, tmp_path / "journal.log")
    assert study.trials[4].user_attrs["epoch/0001"] == {"excess": 0.0, "values": [1.0, 8.0]}


def test_in_core_seconds_cheap_trials_get_more_epochs(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "asha", "rungs_in": "core_seconds", "grace": 10, "most": 90}), tmp_path)
    dear = [epoch_result(epoch, 1.0, age=16.0 * epoch) for epoch in range(1, 5)]
    cheap = [epoch_result(epoch, 2.0, age=4.0 * epoch) for epoch in range(1, 9)]
    assert reach(searcher, "dear", dear) == 4
    assert reach(searcher, "cheap", cheap) == 3


def test_hyperband_spares_some_trials_the_first_rungs(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "hyperband"}), tmp_path)
    reached = list(stops(searcher, [float(value) for value in range(30)]))
    assert set(reached) == {1, 3, 8}
    again = Rungs(load(tmp_path, {"name": "hyperband"}).study)
    first = [again._first_rung(number) for number in range(3000)]
    shares = [first.count(rung) / 3000 for rung in range(3)]
    assert shares == pytest.approx(bracket_weights(2, 3), abs=0.03)
    assert bracket_weights(2, 3) == pytest.approx([9 / 16.5, 4.5 / 16.5, 3 / 16.5])


def test_the_median_ends_what_is_worse_than_half(tmp_path: Path) -> None:
    loaded = load(tmp_path, {"name": "median", "grace": 2})
    searcher = opened(loaded, tmp_path)
    for place, value in enumerate([1.0, 2.0, 3.0, 4.0]):
        assert reach(searcher, str(place), flat(value, 9)) == 9
        searcher.on_trial_complete(str(place), epoch_result(9, value))
    assert reach(searcher, "bad", flat(2.6)) == 2
    assert reach(searcher, "good", flat(2.4)) == 8


def test_the_median_ends_no_trial_that_tells_its_epochs_again(tmp_path: Path) -> None:
    """Its best so far is compared at the newest epoch that is known: what it is told of an earlier one says nothing of it."""
    loaded = load(tmp_path, {"name": "median"}, epochs=6)
    searcher = opened(loaded, tmp_path)
    falling = [epoch_result(epoch, 10.0 - epoch) for epoch in range(1, 7)]
    for number in range(5):
        reach(searcher, str(number), falling)
        searcher.on_trial_complete(str(number), falling[-1])
    slow = [epoch_result(epoch, value) for epoch, value in enumerate([8.9, 7.9, 6.9, 7.5, 7.5], 1)]
    assert reach(searcher, "slow", slow[:3]) == 3
    searcher.on_trial_result("slow", slow[3])  # and the driver is killed before it can decide
    later = opened(loaded, tmp_path)
    assert reach(later, "again", slow) == 4


def test_without_a_scheduler_nobody_is_stopped(tmp_path: Path) -> None:
    searcher = opened(load(tmp_path, {"name": "none"}), tmp_path)
    assert list(stops(searcher, [1.0, 2.0, 3.0, 4.0])) == [8] * 4
