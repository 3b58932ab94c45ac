"""`gan3d generate` as a user runs it: a file that the package reads, and refusals with a way out."""

from __future__ import annotations

import json
from pathlib import Path

import h5py
import numpy as np
import pytest
from trained_states import settings, write
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError, DataError
from gan3d.generation.conditions import Listed
from gan3d.generation.production import Production, produce
from gan3d.generation.trained import trial_folder


@pytest.fixture
def trial(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = trial_folder(Path("results/small"), 1)
    folder.path.mkdir(parents=True)
    write(folder.best, settings())
    return folder.path


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def test_showers_of_a_trial_lie_in_a_file_that_this_package_reads(trial: Path) -> None:
    told = generate(trial, "showers.h5", "--showers", 300, "--energy", 20, 30, "--processes", 1)
    assert told.exit_code == 0, told.output
    assert "300 showers in showers.h5" in told.output
    file = open_shower_file(Path("showers.h5"))
    assert (file.num_showers, file.grid) == (300, (12, 12, 12))
    assert 20 <= file.layout.incident_energy.min() <= file.layout.incident_energy.max() <= 30


def test_json_says_how_many_and_where(trial: Path) -> None:
    told = generate(trial / "best.pt", "showers.h5", "--showers", 3, "--processes", 1, "--json")
    facts = json.loads(told.stdout)
    assert facts["seconds"] > 0
    assert (facts["file"], facts["num_showers"], facts["made_before"]) == ("showers.h5", 3, 0)


def test_energies_of_a_file_are_taken_in_their_order(trial: Path) -> None:
    assert generate(trial, "one.h5", "--showers", 20, "--processes", 1).exit_code == 0
    assert generate(trial, "other.h5", "--like", "one.h5", "--seed", 2, "--processes", 1).exit_code == 0
    with h5py.File("one.h5") as one, h5py.File("other.h5") as other:
        assert (one["energy"][:] == other["energy"][:]).all()
        assert (one["ECAL"][:] != other["ECAL"][:]).any()


def test_a_file_that_is_there_is_not_replaced_unasked(trial: Path) -> None:
    Path("showers.h5").write_text("mine")
    told = generate(trial, "showers.h5", "--showers", 3)
    assert told.exit_code == 2
    assert "--force" in told.output
    assert Path("showers.h5").read_text() == "mine"
    assert generate(trial, "showers.h5", "--showers", 3, "--force", "--processes", 1).exit_code == 0


def test_a_row_that_no_shower_can_have_is_told_before_any_is_made(trial: Path) -> None:
    assert generate(trial, "like.h5", "--showers", 300, "--processes", 1).exit_code == 0
    for value in (np.nan, np.inf):
        with h5py.File("like.h5", "r+") as file:
            file["energy"][290], file["target"][290, 1] = value, value
        told = generate(trial, "x.h5", "--like", "like.h5", "--processes", 1)
        assert told.exit_code == 2
        said = " ".join(told.output.split())
        assert f"like.h5[290]: its incident energy is {value:g} GeV" in said
        assert "--showers 290" in said
        assert not list(Path().glob("*x.h5*"))
    assert generate(trial, "x.h5", "--like", "like.h5", "--showers", 290, "--processes", 1).exit_code == 0


@pytest.mark.parametrize("angle", [np.nan, 0.0, np.float32(np.pi)])
def test_an_angle_that_no_shower_can_have_is_told_with_its_row(tmp_path: Path, angle: float) -> None:
    cells, energy, angles = (np.full(shape, value, np.float32) for shape, value in (((200, 2, 2, 2), 1e-3), (200, 50), (200, 1.4)))
    showers = Showers(cells, energy, angles, np.arange(200))
    showers.polar_angle[150] = angle
    write_clic_file(tmp_path / "like.h5", showers)
    with pytest.raises(DataError, match=r"like\.h5\[150\]: its polar angle is .* with 1 of 200 showers"):
        Listed.of_file(tmp_path / "like.h5")
    assert Listed.of_file(tmp_path / "like.h5", 150).num_showers == 150


def test_conditions_of_every_chunk_are_looked_at_before_the_first(trial: Path) -> None:
    energy = np.full(300, 50, np.float32)
    energy[290] = np.nan
    made: list[int] = []
    with pytest.raises(ConfigError, match="finite numbers above 0"):
        produce(Production(trial, Listed(energy, None), 1), Path("x.h5"), progress=made.append)
    assert not made


@pytest.mark.parametrize("options", [(), ("--force",)])
def test_an_output_that_is_a_folder_is_told_at_once(trial: Path, options: tuple[str, ...]) -> None:
    Path("folder").mkdir()
    # A file that is no study: were the output not looked at first, this would be told.
    told = [generate("nothing", "folder", *options), CliRunner().invoke(app, ["simulate", "folder", "--showers", "1", *options])]
    for one in told:
        assert one.exit_code == 2
        assert "there is a folder of that name. Give the name of a file in it" in " ".join(one.output.split())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("nothing", "x.h5"), "no study was run in results/nothing"),
        (("TRIAL", "x.h5", "--angle", 60, 120), "normal incidence only"),
        (("TRIAL", "x.h5", "--energy", 50, 10), "must be above 0, finite, and rise"),
        (("TRIAL", "x.h5", "--like", "y.h5", "--angle", 60, 120), "both say at which angles"),
        (("TRIAL", "x.h5", "--like", "y.h5", "--energy", 10, 100), "both say at which energies"),
        (("TRIAL", "x.h5", "--like", "THREE", "--spectrum", "uniform"), "--spectrum and --like three.h5 both say at which energies"),
        (("TRIAL", "x.h5", "--like", "THREE", "--showers", 500), "conditions of 3 showers, not of 500"),
        (("TRIAL", "x.h5", "--angle", 90, 181), "angle = 90 to 181 degrees must lie between 0 and 180"),
        (("TRIAL", "x.h5", "--seed", 2**63), "9223372036854775807"),
        (("results/small/trials/0009", "x.h5"), "there is no such trial"),
        (("results/small/trials/0001/epoch_0099.pt", "x.h5"), "there is no such state"),
        (("TRIAL", "x.h5", "--address", "auto", "--processes", 2), "--address is of a cluster. Give one"),
    ],
    ids=["model", "angle", "energy", "both", "both energies", "spectrum", "too few", "beyond", "seed", "trial", "state", "cluster"],
)
def test_what_cannot_be_made_is_refused_with_the_reason(trial: Path, arguments: tuple[object, ...], message: str) -> None:
    if "THREE" in arguments:
        assert generate(trial, "three.h5", "--showers", 3, "--processes", 1).exit_code == 0
    told = generate(*({"TRIAL": trial, "THREE": "three.h5"}.get(str(argument), argument) for argument in arguments))
    assert told.exit_code == 2
    assert message in " ".join(told.output.replace("│", " ").split())
    assert not Path("x.h5").exists()
