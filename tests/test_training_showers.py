"""A trial's showers are opened by all its ranks together, whatever trials some of them had in between."""

from __future__ import annotations

from pathlib import Path

import pytest
from gloo_processes import gloo_processes
from small_trial import ALONE, showers_of, small_files, small_trial

from gan3d.config.training import TrialSettings
from gan3d.training.ranks import Ranks
from gan3d.training.showers import TrialShowers


@pytest.fixture
def settings(tmp_path: Path) -> TrialSettings:
    return small_trial(small_files(tmp_path))


def of_two_around_one(ranks: Ranks, settings: TrialSettings) -> bool:
    """As a team of two trains trials of two workers, one and two; whether the second trial of two found what the first had opened."""
    first = showers_of(settings, ranks)
    if ranks.rank == 0:
        assert len(showers_of(settings).validation) == len(first.validation) * 2
    again = showers_of(settings, ranks)
    ranks.barrier()
    return again is first


def test_a_smaller_trial_in_between_leaves_the_ranks_of_a_larger_one_agreed(settings: TrialSettings, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with gloo_processes(2, folder) as processes:
        assert processes.run(of_two_around_one, settings) == [True, True]


def test_trials_with_the_same_data_share_what_is_open(settings: TrialSettings) -> None:
    assert showers_of(settings) is showers_of(settings.model_copy())


def test_other_data_is_opened_anew(settings: TrialSettings) -> None:
    fewer = settings.data.model_copy(update={"max_train_showers": 16})
    found: list[TrialShowers] = [showers_of(each, ALONE) for each in (settings, settings.model_copy(update={"data": fewer}), settings)]
    assert [len(one.train) for one in found] == [48, 16, 48]
