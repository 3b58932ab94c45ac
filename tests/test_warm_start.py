"""A study that begins with what others trained: it knows their trials, trains none of them again, and refuses what does not match."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import optuna
import pandas as pd
import pytest
from small_study import Notes, load_small_study

from gan3d.errors import ConfigError
from gan3d.search.optuna_trials import FROM_ATTRIBUTE
from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.search.warm_start import as_optuna_trials, known_trials
from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SEEDS = {"training.seed": {"choice": [1, 2]}}
MORE = {"training.seed": {"choice": [1, 2, 3]}}


def run(folder: Path, space: dict[str, Any], **changes: Any) -> StudyResult:
    loaded = load_small_study(folder, space, **changes)
    options = RunOptions(folder / "results", None, None, resume=False, verbose=False)
    return run_study(loaded, options, Notes())


@pytest.fixture(scope="module")
def earlier(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a study of two trials; its results in results, its published frames in published."""
    folder = tmp_path_factory.mktemp("earlier")
    result = run(folder, SEEDS)
    frames.publish(result.tracking_uri, "small", folder / "published")
    return folder


def next_study(folder: Path, space: dict[str, Any], start: Path, **changes: Any) -> Any:
    """With showers of its own, which are the same."""
    return load_small_study(folder, space, warm_start=[str(start)], **changes)


@pytest.mark.parametrize("place", ["results", "published"])
def test_trials_of_an_earlier_study_are_known_with_their_curves(earlier: Path, place: str, tmp_path: Path) -> None:
    loaded = next_study(tmp_path, MORE, earlier / place)
    known = known_trials(loaded.study, loaded.base)
    epochs = frames.epochs(f"sqlite:///{earlier / 'results' / 'tracking.db'}", "small")
    assert [(one.study, one.trial, one.sample, one.state) for one in known] == [
        ("small", number, {"training.seed": number + 1}, "complete") for number in range(2)
    ]
    for one in known:
        curve = epochs[epochs["trial"] == one.trial].set_index("epoch")["physics.shower_distance"]
        assert {epoch: merit.first for epoch, merit in one.curve.items()} == pytest.approx(curve.to_dict())
        assert one.digest == loaded.study.trial_settings(one.sample).digest()


def test_known_trials_are_not_trained_again(earlier: Path, tmp_path: Path) -> None:
    loaded = next_study(tmp_path, MORE, earlier / "published")
    result = run_study(loaded, RunOptions(tmp_path / "results", None, None, resume=False, verbose=False), Notes())
    assert result.state == "complete"
    first, second, third = result.trials
    assert [record.state for record in result.trials] == ["complete"] * 3
    assert max(first.seconds, second.seconds) < 1
    assert first.reason == "not trained: it would train as small, trial 0 did"
    assert third.reason == ""
    assert third.seconds > 0
    assert [folder.name for folder in sorted((tmp_path / "results" / "trials").iterdir())] == [f"{third.number:04d}"]
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(tmp_path / "results" / "optuna_journal.log")))
    trials = optuna.load_study(study_name="small", storage=storage).trials
    assert [trial.user_attrs.get(FROM_ATTRIBUTE) for trial in trials] == ["small, trial 0", "small, trial 1", None, None, None]
    frames.publish(result.tracking_uri, "small", tmp_path / "published")
    assert len(frames.trials(str(tmp_path / "published"), "small")) == 1, "what was not trained is not published"


def test_a_study_whose_trials_are_all_known_trains_none(earlier: Path, tmp_path: Path) -> None:
    loaded = next_study(tmp_path, SEEDS, earlier / "published")
    result = run_study(loaded, RunOptions(tmp_path / "results", None, None, resume=False, verbose=False), Notes())
    assert result.state == "complete"
    assert [record.state for record in result.trials] == ["complete"] * 2
    assert not (tmp_path / "results" / "trials").exists()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"training": {"epochs": 3, "global_batch": 12}}, "of the 2 trials of study small in .* none would train the same here"),
    ],
)
def test_what_does_not_match_is_refused(earlier: Path, changes: dict[str, Any], message: str, tmp_path: Path) -> None:
    loaded = next_study(tmp_path, MORE, earlier / "published", **changes)
    with pytest.raises(ConfigError, match=message):
        known_trials(loaded.study, loaded.base)


def test_they_are_judged_by_the_objective_of_the_study_that_begins(earlier: Path, tmp_path: Path) -> None:
    objective = {"metric": "physics.response", "trade_offs": [{"metric": "physics.occupancy"}]}
    loaded = next_study(tmp_path, MORE, earlier / "published", objective=objective)
    known = known_trials(loaded.study, loaded.base)
    epochs = frames.epochs(str(earlier / "published"), "small")
    for one in known:
        rows = epochs[epochs["trial"] == one.trial].set_index("epoch")
        measured = rows[["physics.response", "physics.occupancy"]].to_numpy().tolist()
        assert [[merit.first, *merit.traded] for merit in one.curve.values()] == measured
    (first, second) = as_optuna_trials(loaded.study, known)
    best, beginning = min(known[0].curve.values(), key=lambda merit: merit.first), known[1].curve[1]
    assert first.values == [best.first, *best.traded]  # noqa: PD011 - Optuna's, not pandas'
    assert second.user_attrs["epoch/0001"] == {"excess": 0.0, "values": [beginning.first, *beginning.traded]}


def test_what_the_earlier_study_did_not_measure_is_missing(earlier: Path, tmp_path: Path) -> None:
    """As in records of a version that knew no costs."""
    old = tmp_path / "old"
    shutil.copytree(earlier / "published", old)
    rows = pd.read_csv(old / "epochs.csv.gz").drop(columns="cost.joules")
    rows.to_csv(old / "epochs.csv.gz", index=False)
    loaded = next_study(tmp_path, MORE, old, objective={"metric": "cost.joules"})
    with pytest.raises(ConfigError, match=r"study small in .* did not measure cost\.joules, which this one asks for"):
        known_trials(loaded.study, loaded.base)


def test_a_folder_without_a_study_is_refused(tmp_path: Path) -> None:
    loaded = next_study(tmp_path, SEEDS, tmp_path)
    with pytest.raises(ConfigError, match="holds neither a study's results nor its published frames"):
        known_trials(loaded.study, loaded.base)
