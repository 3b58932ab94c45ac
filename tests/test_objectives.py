"""A real study of several objectives under a constraint, stopped early: Optuna, MLflow, `best.pt` and the result say the same."""

from __future__ import annotations

from pathlib import Path

import optuna
import pytest
from small_study import Notes, load_small_study

from gan3d.config.load import LoadedStudy
from gan3d.search.run import RunOptions, StudyResult, run_study
from gan3d.search.samplers import open_optuna_study
from gan3d.tracking import frames
from gan3d.training.checkpoint import TrialFolder, load_state
from gan3d.training.merit import best_epoch, judged

pytestmark = [pytest.mark.slow, pytest.mark.filterwarnings("default")]
SPACE = {
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
    "training.generator.filters.0": {"min": 4, "max": 16, "step": 4},
}
DISTANCE, STEPS = "physics.shower_distance", "cost.core_seconds"
OBJECTIVE = {"average_epochs": 2, "trade_offs": [{"metric": STEPS}], "constraints": [{"metric": "physics.layer_fractions", "at_most": 2.0}]}


@pytest.fixture(scope="module")
def study(tmp_path_factory: pytest.TempPathFactory) -> tuple[LoadedStudy, StudyResult]:
    folder = tmp_path_factory.mktemp("objectives")
    loaded = load_small_study(
        folder,
        SPACE,
        sampler={"name": "tpe", "startup_trials": 3},
        scheduler={"name": "asha", "reduction_factor": 2},
        objective=OBJECTIVE,
        trials={"number": 7},
        workers={"per_trial": 1},
        figures=["pareto_front"],
    )
    return loaded, run_study(loaded, RunOptions(folder / "results", None, None, resume=False, verbose=False), Notes())


def optuna_trials(study: tuple[LoadedStudy, StudyResult]) -> list[optuna.trial.FrozenTrial]:
    loaded, result = study
    return open_optuna_study(loaded.study, result.results / "optuna_journal.log").trials


def test_every_trial_is_worth_what_its_epochs_say(study: tuple[LoadedStudy, StudyResult]) -> None:
    loaded, result = study
    assert {trial.state for trial in result.trials} == {"complete", "pruned"}
    for trial in result.trials:
        folder = TrialFolder(result.results / "trials" / f"{trial.number:04d}")
        rows = [(row["epoch"], row["metrics"]) for row in folder.records()]
        found = best_epoch(judged(rows, loaded.study.objective), loaded.study.objective)
        assert found is not None
        epoch, merit = found
        assert (trial.objective, *trial.trade_offs) == pytest.approx((merit.first, *merit.traded))
        assert trial.excess == pytest.approx(merit.excess)
        assert load_state(folder.best)["state"]["epoch"] == epoch


def test_optuna_has_values_curves_constraints_and_rungs(study: tuple[LoadedStudy, StudyResult]) -> None:
    _, result = study
    for trial, record in zip(optuna_trials(study), result.trials, strict=True):
        assert trial.state.name.lower() == record.state
        if record.state == "complete":
            assert trial.values == [record.objective, *record.trade_offs]
        assert trial.constraints == {"excess": record.excess}
        assert sum(name.startswith("epoch/") for name in trial.user_attrs) == record.epochs
        went_on = [trial.user_attrs[f"rung/{rung}"]["goes_on"] for rung in range(2) if f"rung/{rung}" in trial.user_attrs]
        assert went_on == [True] * (len(went_on) - 1) + [record.state == "complete"]


def test_mlflow_s_frames_say_the_same(study: tuple[LoadedStudy, StudyResult]) -> None:
    loaded, result = study
    assert frames.study(result.tracking_uri, "small").objective == loaded.study.objective
    table = frames.trials(result.tracking_uri, "small").set_index("trial")
    for record in result.trials:
        row = table.loc[record.number]
        assert (row["best_objective"], row[f"best.{STEPS}"], row["excess"]) == pytest.approx(
            (record.objective, record.trade_offs[0], record.excess)
        )
        assert row["state"] == record.state


def test_the_front_is_optuna_s(study: tuple[LoadedStudy, StudyResult]) -> None:
    loaded, result = study
    opened = open_optuna_study(loaded.study, result.results / "optuna_journal.log")
    assert set(result.front) == {trial.number for trial in opened.best_trials}
    assert result.best is not None
    assert result.best.number in result.front


def test_its_front_is_drawn(study: tuple[LoadedStudy, StudyResult]) -> None:
    _, result = study
    assert [path.name for path in result.figures] == ["pareto_front.png"]
    folder = frames.study(result.tracking_uri, "small").artifact_dir
    assert folder is not None
    assert (folder / "figures" / "pareto_front.json").exists()


def test_a_study_can_be_published_and_read_with_its_objective(study: tuple[LoadedStudy, StudyResult], tmp_path: Path) -> None:
    loaded, result = study
    frames.publish(result.tracking_uri, "small", tmp_path / "published")
    assert frames.study(str(tmp_path / "published"), "small").objective == loaded.study.objective
    assert f"best.{STEPS}" in frames.trials(str(tmp_path / "published"), "small")
