"""In a finite space no trial is spent on what was tried, with every sampler that may be asked again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_study import load_small_study
from tune_results import epoch_result, failed_result

from gan3d.config.load import LoadedStudy
from gan3d.config.space import SearchSpace
from gan3d.search import untried as untried_samples
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher
from gan3d.search.untried import Untried, untried

FILTERS, BATCH = "training.generator.filters.0", "training.global_batch"
BLOCKS, FOURTH = "training.discriminator.blocks", "training.discriminator.filters.3"
FINITE: dict[str, Any] = {BATCH: {"choice": [8, 16, 32]}, FILTERS: {"min": 16, "max": 64, "step": 16}}
CONDITIONAL: dict[str, Any] = {
    BATCH: {"choice": [8, 16]},
    BLOCKS: {"min": 3, "max": 4},
    FOURTH: {"min": 16, "max": 48, "step": 16, "when": {BLOCKS: [4]}},
}
FORBIDDEN = [{BATCH: [32], FILTERS: {"min": 48}}]
CASES = [
    *((name, FINITE, 12) for name in ("random", "quasi_random", "tpe", "nsga2", "gp")),
    *((name, FINITE | {"forbidden": FORBIDDEN}, 10) for name in ("random", "tpe")),
    *((name, CONDITIONAL, 8) for name in ("random", "tpe", "nsga2")),
]


def load(folder: Path, name: str, space: dict[str, Any], number: int, **changes: Any) -> LoadedStudy:
    folder.mkdir(exist_ok=True)
    sampler = {"name": name, "seed": 5, "startup_trials": 3, "population": 3}
    return load_small_study(folder, space, sampler=sampler, trials={"number": number}, **changes)


def searcher(loaded: LoadedStudy, folder: Path) -> OptunaSearcher:
    opened = open_optuna_study(loaded.study, folder / "journal.log")
    return OptunaSearcher(loaded.study, opened, trials_folder=folder / "trials", base=loaded.base)


def samples_of(search: OptunaSearcher, number: int = 1_000) -> list[dict[str, Any]]:
    """Ask until there are no more; the fewer filters the better, so that samplers that learn come back to one place."""
    found: list[dict[str, Any]] = []
    while len(found) < number and isinstance(config := search.suggest(str(len(found))), dict):
        worth = config["sample"].get(FILTERS, 0) + config["sample"].get(FOURTH, 0) + config["sample"].get(BATCH, 0)
        search.on_trial_complete(str(len(found)), epoch_result(3, float(worth)))
        found.append(config["sample"])
    return found


@pytest.mark.parametrize(("name", "space", "number"), CASES)
def test_as_many_trials_as_there_are_samples_train_them_all(name: str, space: dict[str, Any], number: int, tmp_path: Path) -> None:
    loaded = load(tmp_path, name, space, number)
    assert loaded.study.search_space.grid_size == number
    search = searcher(loaded, tmp_path)
    samples = samples_of(search)
    assert search.untrained == []
    assert len({tuple(sorted(sample.items())) for sample in samples}) == number
    assert all(loaded.study.search_space.contains(sample) for sample in samples)


@pytest.mark.parametrize(("name", "space", "number"), CASES)
def test_an_interrupted_study_leaves_out_the_same(name: str, space: dict[str, Any], number: int, tmp_path: Path) -> None:
    whole, parts = (load(tmp_path / run, name, space, number) for run in ("whole", "parts"))
    uninterrupted = samples_of(searcher(whole, tmp_path / "whole"))
    found: list[dict[str, Any]] = []
    while part := samples_of(searcher(parts, tmp_path / "parts"), 3):
        found += part
    assert found == uninterrupted


@pytest.mark.parametrize("is_listed", [True, False])
@pytest.mark.parametrize("space", [FINITE, FINITE | {"forbidden": FORBIDDEN}, CONDITIONAL], ids=["plain", "forbidden", "conditional"])
def test_what_is_left_allows_whole_samples_and_beginnings(space: dict[str, Any], is_listed: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if not is_listed:
        monkeypatch.setattr(untried_samples, "MOST_LISTED", 0)
    whole = SearchSpace.model_validate(space)
    samples = list(whole.grid())
    left = Untried(whole, samples[:-1])
    assert [left.allows(sample) for sample in samples] == [False] * (len(samples) - 1) + [True]
    assert left.allows({})
    if is_listed:
        key = next(iter(samples[-1]))
        assert [left.allows({key: value}) for value in whole.ranges[key].values or ()] == [
            value == samples[-1][key] for value in whole.ranges[key].values or ()
        ]


def test_values_that_rounding_tells_apart_are_one() -> None:
    space = SearchSpace.model_validate({"training.discriminator.dropout": {"min": 0.0, "max": 0.3, "step": 0.1}})
    left = Untried(space, [{"training.discriminator.dropout": 0.1 + 2 * 0.1}])
    assert not left.allows({"training.discriminator.dropout": 0.3})
    assert left.allows({"training.discriminator.dropout": 0.2})


@pytest.mark.parametrize("is_lost", [True, False])
def test_a_sample_whose_worker_was_lost_may_come_again_and_one_that_diverged_not(is_lost: bool, tmp_path: Path) -> None:
    loaded = load(tmp_path, "random", FINITE, 12)
    search = searcher(loaded, tmp_path)
    first = search.suggest("a")
    assert first is not None
    search.begin("a")
    search.on_trial_complete("a", None if is_lost else failed_result("DivergedError: x"), error=is_lost)
    left = untried(loaded.study, search._optuna.trials)
    assert (left is None or left.allows(first["sample"])) == is_lost


def test_a_trial_that_is_still_being_trained_counts(tmp_path: Path) -> None:
    loaded = load(tmp_path, "tpe", FINITE, 12)
    search = searcher(loaded, tmp_path)
    configs = [search.suggest(str(number)) for number in range(12)]
    assert len({tuple(sorted(config["sample"].items())) for config in configs if config is not None}) == 12


def test_where_nothing_is_left_everything_may_come_again(tmp_path: Path) -> None:
    loaded = load(tmp_path, "random", FINITE, 12)
    search = searcher(loaded, tmp_path)
    samples_of(search)
    assert untried(loaded.study, search._optuna.trials) is None


@pytest.mark.parametrize(
    ("name", "space", "changes"),
    [
        ("cmaes", {FILTERS: FINITE[FILTERS], "training.discriminator.filters.0": dict(FINITE[FILTERS])}, {}),
        ("tpe", FINITE | {"training.generator.learning_rate": {"min": 1e-4, "max": 1e-2}}, {}),
        ("tpe", FINITE, {"objective": {"metric": "timing.showers_per_second"}}),
    ],
    ids=["CMA-ES narrows down", "an infinite space", "speed is measured anew"],
)
def test_what_is_left_alone(name: str, space: dict[str, Any], changes: dict[str, Any], tmp_path: Path) -> None:
    loaded = load(tmp_path, name, space, 8, **changes)
    search = searcher(loaded, tmp_path)
    samples_of(search, 5)
    assert untried(loaded.study, search._optuna.trials) is None
