"""`gan3d validate` as a user calls it: real Geant4 showers, and what is wrong with them."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from small_study import SAMPLES
from small_trial import small_files, small_trial, trained
from typer.testing import CliRunner

from benchmarks.planted_faults import scaled
from gan3d.cli.app import app
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.training.checkpoint import TrialFolder, save_state

GEANT4 = str(SAMPLES / "clic_10_100_train.h5")


@pytest.fixture(scope="module")
def held_out() -> Showers:
    file = open_shower_file(SAMPLES / "clic_10_100_test.h5")
    return file.read(0, file.num_showers)


def validate(*arguments: str) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["validate", *arguments, "--reference", GEANT4, "--calorimeter", "clic"])
    return result.exit_code, result.output


def test_geant4_passes_against_geant4() -> None:
    code, output = validate(str(SAMPLES / "clic_10_100_test.h5"), "--quick")
    assert code == 0, output
    assert "pass the gate of 5 standard deviations" in output


def test_showers_of_a_wrong_scale_do_not_and_the_document_says_why(held_out: Showers, tmp_path: Path) -> None:
    write_clic_file(tmp_path / "scaled.h5", scaled(held_out))
    code, output = validate(str(tmp_path / "scaled.h5"), "--quick", "--json")
    found = json.loads(output.splitlines()[-1])
    assert code == 1
    assert found["passes"] is False
    assert any(one["name"] == "mean/response" and one["is_flagged"] for one in found["findings"])
    assert [one["axis"] for one in found["profiles"]] == ["x", "y", "depth"]
    for one in found["response"]:
        assert one["difference"] == pytest.approx(0.03, abs=4 * one["error"])


@pytest.mark.slow
def test_all_of_it(held_out: Showers, tmp_path: Path) -> None:
    write_clic_file(tmp_path / "held_out.h5", held_out)
    code, output = validate(str(tmp_path / "held_out.h5"), "--json")
    assert code == 0
    distances = json.loads(output.splitlines()[-1])["distances"]
    assert set(distances) > {"frechet", "kernel", "high_level_auc", "challenge_auc", "low_level_auc", "coverage"}
    for name in ("high_level_auc", "low_level_auc"):
        assert distances[name]["value"] == pytest.approx(0.5, abs=0.15)


@pytest.mark.parametrize(
    ("what", "message"),
    [("nowhere.h5", "there is no such file and no such folder"), (".", "a trial that has finished an epoch")],
)
def test_what_is_not_there_is_said(what: str, message: str, tmp_path: Path) -> None:
    code, output = validate(str(tmp_path / what), "--quick")
    assert code == 2
    assert message in " ".join(output.split())


def test_other_grids_and_too_few_showers_are_refused(held_out: Showers, tmp_path: Path) -> None:
    few, cropped = tmp_path / "few.h5", tmp_path / "cropped.h5"
    write_clic_file(few, held_out.take(slice(0, 20)))
    write_clic_file(cropped, Showers(held_out.cells[:, :, :, :20], held_out.incident_energy, None, held_out.identity))
    assert validate(str(few), "--quick")[0] == validate(str(cropped), "--quick")[0] == 2
    assert "20 showers are too few to be judged: at least 100" in validate(str(few), "--quick")[1]
    assert "cells cannot be held against those of" in " ".join(validate(str(cropped), "--quick")[1].split())


def test_a_calorimeter_of_another_grid_is_refused_with_both_grids_and_the_way_out() -> None:
    arguments = [str(SAMPLES / "clic_10_100_test.h5"), "--reference", GEANT4, "--calorimeter", "calochallenge_2", "--quick"]
    result = CliRunner().invoke(app, ["validate", *arguments])
    said = " ".join(result.output.split())
    assert result.exit_code == 2, result.exception
    assert "a grid of 25 x 25 x 25 cells" in said
    assert "whose grid is 16 x 9 x 45" in said
    assert "--calorimeter" in said


def test_broken_showers_are_counted_and_flagged(held_out: Showers, tmp_path: Path) -> None:
    cells = held_out.cells.copy()
    cells[:2] = 0
    write_clic_file(tmp_path / "empty.h5", Showers(cells, held_out.incident_energy, None, held_out.identity))
    code, output = validate(str(tmp_path / "empty.h5"), "--quick")
    assert code == 1
    assert "broken/showers" in output


@pytest.mark.slow
def test_a_trial_is_judged_by_what_its_generator_makes_and_its_copies_are_looked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = small_files(tmp_path, num_train=240, num_validation=60)
    trained_on, reference = str(folder / "validation.h5"), str(folder / "train.h5")
    settings = small_trial(folder, {"training.epochs": 1, "data.train": [trained_on], "data.validation": [reference]})
    state, _ = trained(settings)
    trial = TrialFolder(tmp_path / "trial")
    trial.path.mkdir()
    save_state(trial.best, {"state": state.state_dict(), "settings": settings.model_dump_json()})
    monkeypatch.chdir(tmp_path)
    result = CliRunner().invoke(app, ["validate", str(trial.path), "--reference", reference, "--json"])
    found = json.loads(result.output.splitlines()[-1])
    assert result.exit_code == 1  # a young generator
    assert found["num_judged"] == 120
    assert found["distances"]["copies"]["floor"] == pytest.approx(0.05, abs=0.1)
    quick = [
        CliRunner().invoke(app, ["validate", str(what), "--reference", reference, "--quick", "--json"]) for what in (trial.path, trial.best)
    ]
    of_folder, of_state = (json.loads(result.output.splitlines()[-1]) for result in quick)
    assert of_folder["findings"] == of_state["findings"]


def test_a_dead_generator_is_told_by_the_gate_alone(held_out: Showers, tmp_path: Path) -> None:
    write_clic_file(tmp_path / "dead.h5", Showers(np.zeros_like(held_out.cells), held_out.incident_energy, None, held_out.identity))
    code, output = validate(str(tmp_path / "dead.h5"), "--json")
    found = json.loads(output.splitlines()[-1])
    assert code == 1
    assert [one["name"] for one in found["findings"]] == ["broken/showers"]
    assert found["distances"] == {}
