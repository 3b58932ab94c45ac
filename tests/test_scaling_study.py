"""A scaling study for real: trials of one and of two workers in one team; and two teams side by side."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import Notes, load_small_study

from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]  # Ray's and MLflow's own


def run(folder: Path, **study: object) -> StudyResult:
    loaded = load_small_study(folder, **study)  # type: ignore[arg-type]
    return run_study(loaded, RunOptions(folder / "results", None, None, resume=False, verbose=False), Notes())


def test_a_team_trains_trials_of_several_world_sizes_and_the_curves_are_drawn(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        search_space={"workers.per_trial": {"choice": [1, 2]}, "training.seed": {"choice": [1, 2]}},
        objective={"metric": "timing.showers_per_second"},
        figures=["scaling_curves"],
    )
    assert [record.state for record in result.trials] == ["complete"] * 4
    epochs = frames.epochs(result.tracking_uri, "small")
    sizes = epochs.groupby("trial")["timing.world_size"].unique().map(list).tolist()
    assert sorted(sizes) == [[1.0], [1.0], [2.0], [2.0]]
    assert (epochs["timing.num_showers"] == 96).all(), "the global batch is fixed: a strong scaling"
    alone = epochs["timing.world_size"] == 1
    assert (epochs.loc[alone, "timing.exposed_communication_seconds_max"] == 0).all()
    assert (epochs.loc[~alone, "timing.exposed_communication_seconds_max"] > 0).all()
    assert [figure.stem for figure in result.figures] == ["scaling_curves"]


def test_one_and_two_workers_learn_the_same(tmp_path: Path) -> None:
    """Same seed, same global batch, no dropout, group normalisation: the order of showers differs with the world size, physics hardly."""
    result = run(tmp_path, search_space={"workers.per_trial": {"choice": [1, 2]}})
    one, two = (record.objective for record in result.trials)
    assert one is not None
    assert two is not None
    assert abs(one - two) < 0.1


def test_two_teams_side_by_side_end(tmp_path: Path) -> None:
    result = run(
        tmp_path,
        search_space={"training.seed": {"choice": [1, 2, 3, 4]}},
        workers={"per_trial": 1},
        trials={"concurrent": 2},
    )
    assert [record.state for record in result.trials] == ["complete"] * 4
    assert [record.epochs for record in result.trials] == [3] * 4
