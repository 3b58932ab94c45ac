"""A grid in blocks: every combination once in each, in orders that differ, the same after a resume; and what cannot be in blocks."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_study import load_small_study
from tune_results import epoch_result

from gan3d.config.load import LoadedStudy
from gan3d.errors import ConfigError
from gan3d.search.blocks import another_order, ordered_grid
from gan3d.search.plan import make_plan
from gan3d.search.resources import local_cluster
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import OptunaSearcher

SEED = "training.seed"
SPACE = {
    "training.scaling": {"choice": ["strong", "weak"]},
    SEED: {"choice": [5, 3, 4, 1, 2]},
    "workers.per_trial": {"choice": [1, 2, 4]},
}
BATCHES = {"epochs": 3, "global_batch": 16, "batch_per_worker": 4}


def load(folder: Path, space: dict[str, Any] = SPACE, **sampler: Any) -> LoadedStudy:
    sampler = {"name": "grid", "blocks": SEED} | sampler
    return load_small_study(folder, space, sampler=sampler, training=BATCHES if "training.scaling" in space else {"global_batch": 16})


def blocks_of(samples: list[dict[str, Any]]) -> list[list[tuple[Any, ...]]]:
    """The samples of each block, in their order, without the block's key."""
    seeds = list(dict.fromkeys(sample[SEED] for sample in samples))
    return [[tuple(value for key, value in sample.items() if key != SEED) for sample in samples if sample[SEED] == seed] for seed in seeds]


def test_each_block_holds_every_other_combination_once(tmp_path: Path) -> None:
    study = load(tmp_path).study
    samples = list(ordered_grid(study))
    assert [sample[SEED] for sample in samples] == [seed for seed in (5, 3, 4, 1, 2) for _ in range(6)]
    assert all(len(block) == len(set(block)) == 6 for block in blocks_of(samples))
    assert Counter(map(str, samples)) == Counter(map(str, study.search_space.grid()))


def test_blocks_differ_in_their_order_and_the_seed_decides_it(tmp_path: Path) -> None:
    orders = blocks_of(list(ordered_grid(load(tmp_path).study)))
    assert len({tuple(order) for order in orders}) == 5
    assert orders == blocks_of(list(ordered_grid(load(tmp_path).study)))
    assert orders != blocks_of(list(ordered_grid(load(tmp_path, seed=2).study)))


def test_every_combination_comes_early_and_late() -> None:
    """The law that drift does not look like scaling: over many blocks each combination's mean place is the middle."""
    random = np.random.default_rng(3)
    order: list[int] = []
    places = np.zeros(5)
    for _ in range(2_000):
        order = another_order(5, order, random)
        places[order] += np.arange(5)
    standard_error = np.sqrt(2.0 / 2_000)  # of the mean of a place among 0..4
    assert np.abs(places / 2_000 - 2.0).max() < 5 * standard_error


def test_two_samples_to_a_block_alternate(tmp_path: Path) -> None:
    space = {"workers.per_trial": {"choice": [1, 2]}, SEED: {"choice": [1, 2, 3, 4]}}
    orders = blocks_of(list(ordered_grid(load(tmp_path, space).study)))
    assert [order[0] for order in orders[:2]] == [order[0] for order in orders[2:]] != [order[1] for order in orders[:2]]


def test_one_sample_to_a_block_is_a_block(tmp_path: Path) -> None:
    study = load(tmp_path, {SEED: {"choice": [2, 1]}}).study
    assert list(ordered_grid(study)) == [{SEED: 2}, {SEED: 1}]


def test_without_blocks_the_order_is_the_grids(tmp_path: Path) -> None:
    study = load(tmp_path, blocks=None).study
    assert list(ordered_grid(study)) == list(study.search_space.grid())


def test_optuna_keeps_the_order_also_over_an_interruption(tmp_path: Path) -> None:
    """What Tune is given, trial by trial, with the journal opened again in the middle and one trial taken up again."""
    loaded = load(tmp_path)
    given: list[dict[str, Any]] = []
    for session in range(3):
        opened = open_optuna_study(loaded.study, tmp_path / "journal.log")
        search = OptunaSearcher(loaded.study, opened, trials_folder=tmp_path / "trials", base=loaded.base)
        for turn in range(11):
            config = search.suggest(str(turn))
            if not isinstance(config, dict):
                break
            if session == 0 or turn > 0:  # the first one of a later session was interrupted in the one before
                given.append(config["sample"])
            if turn < 10:
                search.on_trial_complete(str(turn), epoch_result(3, 1.0))
    assert given == list(ordered_grid(loaded.study))


def test_the_plan_lists_trials_in_the_order_they_run(tmp_path: Path) -> None:
    loaded = load(tmp_path)
    assert list(make_plan(loaded, local_cluster()).samples) == list(ordered_grid(loaded.study))


@pytest.mark.parametrize(
    ("sampler", "trials", "message"),
    [
        ({"name": "random"}, {}, r"sampler\.blocks = training\.seed orders a grid, but sampler\.name = random.*Set sampler\.name to grid"),
        (
            {"blocks": "training.sed"},
            {},
            r"is not a key of the search space; did you mean training\.seed\? Sampled keys: training",
        ),
        ({}, {"number": 20}, r"trials\.number = 20 is not a whole number of blocks of 6 trials.*Nearest: 18, 24"),
    ],
)
def test_what_cannot_be_in_blocks_is_refused(sampler: dict[str, Any], trials: dict[str, Any], message: str, tmp_path: Path) -> None:
    sampler = {"name": "grid", "blocks": SEED} | sampler
    with pytest.raises(ConfigError, match=message):
        load_small_study(tmp_path, SPACE, sampler=sampler, training=BATCHES, trials=trials)


def test_whole_blocks_may_be_fewer_than_the_grids(tmp_path: Path) -> None:
    loaded = load_small_study(tmp_path, SPACE, sampler={"name": "grid", "blocks": SEED}, training=BATCHES, trials={"number": 12})
    assert {sample[SEED] for sample in make_plan(loaded, local_cluster()).samples} == {5, 3}
