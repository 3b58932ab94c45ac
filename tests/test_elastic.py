"""Trials that go on with fewer workers: the batch rule, and what is said of it. On hosts that die: test_survival."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from small_trial import small_files, small_trial

from gan3d.config.elastic import with_workers


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


def trial(files: Path, workers: int, **training: Any) -> Any:
    return small_trial(
        files, {"workers.per_trial": workers, "workers.elastic": 1} | {f"training.{key}": value for key, value in training.items()}
    )


@pytest.mark.parametrize(("available", "expected"), [(8, 4), (4, 4), (3, 2), (2, 2), (1, 1)])
def test_a_fixed_global_batch_is_shared_by_as_many_as_divide_it(files: Path, available: int, expected: int) -> None:
    settings = with_workers(trial(files, 4, global_batch=16), available)
    assert (settings.world_size, settings.global_batch) == (expected, 16)
    assert settings.batch_per_worker == 16 // expected


def test_a_fixed_batch_per_worker_makes_the_global_one_smaller_and_the_rate_follows(files: Path) -> None:
    rule = {"learning_rate_rule": "linear", "learning_rate_reference_batch": 4}
    settings = trial(files, 4, global_batch=None, batch_per_worker=4, **rule)
    fewer = with_workers(settings, 3)
    assert (fewer.world_size, fewer.global_batch, fewer.batch_per_worker) == (3, 12, 4)
    assert (settings.learning_rate_factor, fewer.learning_rate_factor) == (4.0, 3.0)


def test_a_trial_that_is_not_elastic_is_left_as_it_is(files: Path) -> None:
    settings = small_trial(files, {"workers.per_trial": 2})
    assert with_workers(settings, 2) == settings


def test_workers_that_have_to_share_a_node_cannot_be_elastic(files: Path) -> None:
    with pytest.raises(ValueError, match=r"workers\.elastic = 1 cannot be had with workers\.one_node = true"):
        small_trial(files, {"workers.per_trial": 2, "workers.elastic": 1, "workers.one_node": True})


def test_with_all_its_workers_a_trial_is_what_it_was(files: Path) -> None:
    settings = trial(files, 2, global_batch=16)
    assert with_workers(settings, 2) == settings
    assert with_workers(settings, 2).digest() == settings.digest()
    assert settings.digest() == small_trial(files, {"workers.per_trial": 2, "training.global_batch": 16}).digest()
