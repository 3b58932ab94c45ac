"""A reference that a trial has learnt from is refused; one that chose its epoch is used with a warning."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import Result
from small_study import SAMPLES
from trained_states import settings, write
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError
from gan3d.generation.trained import trial_folder
from gan3d.validation.seen import refuse_learnt, seen_by, warnings_of


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("seen")
    for name, start in (("train", 0), ("validation", 200)):
        showers = open_shower_file(SAMPLES / "clic_10_100_train.h5").read(start, start + 200)
        cells = showers.cells[:, 7:19, 7:19, 3:15].copy()
        write_clic_file(folder / f"{name}.h5", Showers(cells, showers.incident_energy, None, showers.identity))
    (folder / "other.h5").write_bytes((folder / "validation.h5").read_bytes())
    (folder / "link.h5").symlink_to(folder / "train.h5")
    trial = trial_folder(folder, 1)
    trial.path.mkdir(parents=True)
    data = settings().data.model_copy(
        update={"train": (str(folder / "tr*.h5"), str(folder / "gone.h5")), "validation": (str(folder / "validation.h5"),)}
    )
    write(trial.best, settings().model_copy(update={"data": data}))
    return folder


def run(command: str, folder: Path, *arguments: object) -> Result:
    return CliRunner().invoke(app, [command, str(trial_folder(folder, 1).path), *map(str, arguments)])


def test_files_are_known_as_far_as_they_are_here(folder: Path) -> None:
    seen = seen_by(trial_folder(folder, 1).path)
    assert seen == {(folder / "train.h5").resolve(): "train", (folder / "validation.h5").resolve(): "validation"}
    with pytest.raises(ConfigError, match=r"a file of data\.train of this trial"):
        refuse_learnt([folder / "other.h5", folder / "link.h5"], seen)
    refuse_learnt([folder / "other.h5", folder / "validation.h5"], seen)
    assert warnings_of([folder / "other.h5"], seen) == ()
    assert len(warnings_of([folder / "other.h5", folder / "validation.h5"], seen)) == 1


@pytest.mark.parametrize("command", ["validate", "export"])
def test_training_files_are_no_reference(folder: Path, command: str) -> None:
    output = () if command == "validate" else (folder / "refused.pt2",)
    told = run(command, folder, *output, "--reference", folder / "link.h5")
    assert told.exit_code == 2, told.output
    assert "is a file of data.train of this trial" in " ".join(told.output.split())
    assert not (folder / "refused.pt2").exists()


def test_files_named_with_training_are_no_reference_of_showers_either(folder: Path) -> None:
    file = str(folder / "validation.h5")
    told = CliRunner().invoke(app, ["validate", file, "--training", file, "--reference", file, "--quick"])
    assert told.exit_code == 2
    assert "named with --training as well" in " ".join(told.output.split())


def test_the_trials_own_validation_files_are_used_and_it_is_said(folder: Path) -> None:
    told = run("validate", folder, "--reference", folder / "validation.h5", "--quick", "--json")
    assert told.exit_code == 1, told.output  # a generator that was never trained
    assert "is a file of data.validation of this trial" in told.stderr
    (warning,) = json.loads(told.stdout.splitlines()[-1])["warnings"]
    assert "chose the epoch" in warning
    fresh = run("validate", folder, "--reference", folder / "other.h5", "--quick", "--json")
    assert json.loads(fresh.stdout.splitlines()[-1])["warnings"] == []


def test_an_export_by_default_judges_on_validation_files_and_says_so(folder: Path) -> None:
    told = run("export", folder, folder / "generator.pt2", "--json")
    (warning,) = json.loads(told.stdout.splitlines()[-1])["warnings"]
    assert "is a file of data.validation of this trial" in warning
