"""Every complete or stopped trial of a study of contenders is validated as `gan3d validate` does it; the table has what the report says."""

from __future__ import annotations

import importlib
import json
from collections.abc import Iterator
from contextlib import redirect_stderr, redirect_stdout
from io import BytesIO, StringIO
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

import pandas as pd
import pytest
from small_study import GRID, SAMPLES, load_small_study

from gan3d.cli.validation import Validated, Validation
from gan3d.config.load import dump_study
from gan3d.config.objective import Objective
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.records import TrialRecord
from gan3d.tracking.store import StudyTracker, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder, save_state
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState
from gan3d.validation.distances import NAMES
from gan3d.validation.report import Beside, Report

ANALYSIS = Path(__file__).resolve().parents[1] / "analysis"
STAIRS = {"few filters": {"training.generator.filters.1": 2}, "best": {"training.generator.filters.1": 4}}
SEEDS = (2, 3)


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two contenders, two seeds each, as training leaves them, the last one to go on; one trial more that failed."""
    folder = tmp_path_factory.mktemp("small")
    study = load_small_study(folder, {"stairs": STAIRS, "training.seed": {"choice": list(SEEDS)}}, workers={"per_trial": 1}).study
    tracker = StudyTracker.open(default_tracking_uri(folder), study_name="small", results=folder, resume=False)
    tracker.log_study("Which?", dump_study(study), [], {}, {"usable_cores": 2}, objective=Objective())
    samples = [{"stairs": stair, "training.seed": seed} for stair in STAIRS for seed in SEEDS]
    for number, sample in enumerate([*samples, samples[0]]):
        settings = study.trial_settings(sample)
        tracker.start_trial(number, sample, settings.model_dump(), "")
        tracker.log_metrics(number, 1, {"timing.epoch_seconds": 1.0, "physics.shower_distance": 0.5})
        ended = ("complete", "complete", "complete", "stopped", "failed")[number]
        tracker.end_trial(TrialRecord(number, sample, ended, "", 1, 0.5, 1.0))
        if ended != "failed":
            trial = TrialFolder(folder / "trials" / f"{number:04d}")
            trial.write_settings(settings.model_dump(mode="json"))
            state = TrainState(settings, Ranks()).state_dict()
            save_state(trial.best, {"state": state, "settings": settings.model_dump_json()})
    assert tracker.end()
    return folder


@pytest.fixture(scope="module")
def reference(results: Path) -> Path:
    showers = open_shower_file(SAMPLES / "clic_10_100_train.h5").read(400, 620)
    cells = showers.cells[:, 7:19, 7:19, 3:15].copy()
    assert list(cells.shape[1:]) == GRID
    write_clic_file(results / "reference.h5", Showers(cells, showers.incident_energy, None, showers.identity))
    return results / "reference.h5"


class Drawn(NamedTuple):
    """What a call of the script left."""

    code: int
    output: Path
    out: str
    err: str

    @property
    def csv(self) -> bytes:
        return (self.output / "validated_trials.csv").read_bytes()

    @property
    def facts(self) -> dict[str, Any]:
        return dict(json.loads((self.output / "validated_trials.json").read_text(encoding="utf-8")))


def draw(script: ModuleType, study: str, results: Path, reference: Path | str, output: Path, *options: object) -> Drawn:
    words = ["validated_trials.py", study, "--results", results, "--reference", reference, "--output", output, "--quick", *options]
    out, err = StringIO(), StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        patch.setattr("sys.argv", [str(word) for word in words])
        code = script.main()
    return Drawn(code, output, out.getvalue(), err.getvalue())


@pytest.fixture(scope="module")
def script() -> Iterator[ModuleType]:
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(ANALYSIS))
        yield importlib.import_module("validated_trials")


@pytest.fixture(scope="module")
def whole(script: ModuleType, results: Path, reference: Path, tmp_path_factory: pytest.TempPathFactory) -> Drawn:
    return draw(script, "small", results, reference, tmp_path_factory.mktemp("whole"))


def test_each_trial_with_a_state_has_a_row_and_each_contender_a_column(whole: Drawn) -> None:
    assert whole.code == 0
    table = pd.read_csv(BytesIO(whole.csv))
    assert list(zip(table["contender"], table["seed"], table["trial"], strict=True)) == [
        ("few filters", 2, 0),
        ("few filters", 3, 1),
        ("best", 2, 2),
        ("best", 3, 3),
    ]
    assert (table["showers"] == 110).all()
    assert (table["flagged"] > 10).all(), "none of them was trained"
    assert (table["profile_depth_floor"] == table["profile_depth_floor"].iloc[0]).all(), "one reference, one floor"
    assert table.groupby("contender")["profile_depth"].nunique().eq(2).all(), "seeds differ"
    line = next(line for line in whole.out.splitlines() if line.startswith("| profile depth, size of the deviation"))
    sizes = 100 * table[table["contender"] == "best"]["profile_depth"].abs()
    assert f"{sizes.mean():.2f} ± {sizes.std(ddof=1):.2f}" in line.split("|")[3]
    assert whole.facts["reference"] == ["reference.h5"]
    assert whole.facts["warnings"] == ["Not trained to their end yet: trials 3 (epoch 1)."]
    assert (whole.output / "validated_trials.png").stat().st_size > 10_000
    assert "trial 3 (best, seed 3), 4 of 4" in whole.err


def test_the_ten_distances_are_there_with_their_floors(whole: Drawn) -> None:
    table = pd.read_csv(BytesIO(whole.csv))
    for name in NAMES:
        assert (table[f"physics.{name}"] > 0).all(), name
        floor = table[f"physics.{name}_floor"]
        assert (floor == floor.iloc[0]).all(), "one reference, one floor"
    assert (table["physics.shower_distance"] > 2 * table["physics.shower_distance_floor"]).all(), "none of them was trained"
    assert "| physics.shower distance |" in whole.out


def test_a_reference_that_chose_the_epochs_is_said_once_and_kept(
    script: ModuleType, results: Path, reference: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "validation.h5").write_bytes(reference.read_bytes())
    found = draw(script, "small", results, "validation.h5", tmp_path)
    assert found.err.count("is a file of data.validation of this trial") == 1, "four trials, one file"
    _unfinished, warning = found.facts["warnings"]
    assert "chose the epoch" in warning


def test_what_was_interrupted_goes_on_behind_the_last_trial_it_has_judged(
    script: ModuleType, results: Path, reference: Path, whole: Drawn, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    really, judged = script.validated, []

    def counted(asked: Validation) -> Validated:
        if len(judged) == 2:
            raise KeyboardInterrupt
        judged.append(asked.what.name)
        return really(asked)  # type: ignore[no-any-return]

    def again(*options: object) -> Drawn:
        judged.clear()
        return draw(script, "small", results, reference, tmp_path, *options)

    monkeypatch.setattr(script, "validated", counted)
    with pytest.raises(KeyboardInterrupt):
        again()
    with (tmp_path / "validated_trials.rows.jsonl").open("a", encoding="utf-8") as cut_off:
        cut_off.write('\n{"asked":')
    assert again().csv == whole.csv
    assert judged == ["0002", "0003"]
    with pytest.raises(KeyboardInterrupt):
        again()
    assert judged == ["0000", "0001"], "the table was written: asked anew, all are judged anew"
    with pytest.raises(KeyboardInterrupt):
        again("--seed", 2)
    assert judged == ["0000", "0001"], "another question"


def test_divergences_stand_beside_areas(script: ModuleType) -> None:
    kinds = ("high_level", "challenge", "low_level")
    beside = {f"{kind}_{what}": Beside(0.6, 0.01, 0.5, 0.01, 200, 100) for kind in kinds for what in ("auc", "divergence")}
    report = Report(100, 200, 100, (), (), (), (), {}, 1, {}, beside, {})
    assert set(beside) <= set(script.numbers_of(report))
    assert script.as_text(float("nan"), "frechet") == "not measured"


def test_a_study_without_records_is_told(script: ModuleType, results: Path, reference: Path, tmp_path: Path) -> None:
    found = draw(script, "absent", results, reference, tmp_path)
    assert found.code == 2
    assert "Studies there: small" in found.err


def test_a_reference_that_is_not_there_is_told(script: ModuleType, results: Path, tmp_path: Path) -> None:
    found = draw(script, "small", results, "none.h5", tmp_path)
    assert found.code == 2
    assert "none.h5" in found.err
