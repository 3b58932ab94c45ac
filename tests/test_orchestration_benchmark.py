"""The orchestration benchmark's studies are valid, and its arithmetic takes epochs for what their own clocks say."""

from __future__ import annotations

import pytest

from benchmarks.orchestration import SEEDS, SHORT, WORLD_SIZES, Timeline, study
from gan3d.config.load import load_study
from gan3d.search.samplers import first_samples


@pytest.fixture
def timeline() -> Timeline:
    """Epochs of 2 s and 3 s, known at 12 s and 15.5 s."""
    return Timeline(called=1.0, gone=20.0, marks={"epochs": {"0": [[12.0, 2.0], [15.5, 3.0]]}})


def test_a_trial_goes_from_its_first_epochs_begin_to_its_last_ones_end(timeline: Timeline) -> None:
    assert (timeline.first_step(0), timeline.last_epoch(0)) == (10.0, 15.5)


def test_a_gap_is_what_no_epoch_has_counted(timeline: Timeline) -> None:
    assert timeline.gaps(0) == [0.5]


def test_the_world_size_changes_from_each_trial_to_the_next() -> None:
    with study(WORLD_SIZES, SHORT, per_trial=2) as small:
        samples = first_samples(load_study(small.file).study)
    assert [sample["workers.per_trial"] for sample in samples] == [1, 2] * len(SEEDS["choice"])


def test_the_bare_loop_and_the_study_train_the_same_settings() -> None:
    with study({"training.seed": SEEDS}, SHORT, per_trial=1, only_first=True) as small:
        loaded = load_study(small.file).study
    assert (loaded.num_trials, loaded.training.epochs) == (1, SHORT["epochs"])
    assert first_samples(loaded) == [{"training.seed": loaded.training.seed}]
    assert not small.file.exists()
