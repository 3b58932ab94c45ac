"""A calorimeter of a user's own: only a YAML file, from showers to training to validation."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from small_trial import ALONE, small_trial, some_epochs
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.data.shower_file import open_shower_file
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter_file import built_in, calorimeter, read_calorimeter
from gan3d.training.state import TrainState

MINE = """\
name: lead_glass_toy
cells: {shape: square, edge_mm: 8.0, across: 12}
materials:
  lead: {density_g_cm3: 11.35, atomic_number: 82, atomic_mass: 207.2, radiation_length_g_cm2: 6.37, minimum_ionisation_mev_cm2_g: 1.122}
layers:
  - repeat: 12
    electron_response: 0.8
    slabs:
      - {material: lead, mm: 8.0}
      - {material: air, mm: 0.5}
      - {material: silicon, mm: 0.5, sensitive: true}
"""
POLAR = """\
name: small_cylinder
cells: {shape: polar, angles: 12, rings: 12, ring_mm: 3.0}
sampling_fraction: 0.04
readout_threshold_gev: 1e-5
layers:
  - repeat: 12
    electron_response: 0.8
    slabs: [{material: tungsten, mm: 5.0}, {material: silicon, mm: 0.5, sensitive: true}]
"""


def written(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text)
    return path


def gan3d(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, [str(one) for one in arguments])
    return result.exit_code, result.output


@pytest.mark.parametrize(("text", "name"), [(MINE, "lead_glass_toy"), (POLAR, "small_cylinder")])
def test_one_file_is_enough_to_simulate_train_and_validate(tmp_path: Path, text: str, name: str) -> None:
    path = written(tmp_path, text)
    assert calorimeter(str(path)).name == name
    for output, number, seed in (("train.h5", 400, 1), ("validation.h5", 100, 2)):
        code, said = gan3d("simulate", tmp_path / output, "--calorimeter", path, "--showers", number, "--energy", 5, 20, "--seed", seed)
        assert code == 0, said
    file = open_shower_file(tmp_path / "train.h5")
    assert file.grid == (12, 12, 12)
    settings = small_trial(tmp_path, {"training.epochs": 1, "training.max_steps_per_epoch": 2, "data.cell_scale": 1.0})
    [record] = some_epochs(settings, TrainState(settings, ALONE), None)
    assert np.isfinite(record.physics.shower_distance)
    options = ("--reference", tmp_path / "train.h5", "--calorimeter", path, "--quick")
    code, said = gan3d("validate", tmp_path / "validation.h5", *options)
    assert code == 0, said


def test_a_cylinders_showers_deposit_what_its_sampling_fraction_makes_of_them(tmp_path: Path) -> None:
    path = written(tmp_path, POLAR)
    gan3d("simulate", tmp_path / "rings.h5", "--calorimeter", path, "--showers", 60, "--energy", 10, 10)
    cells = open_shower_file(tmp_path / "rings.h5").read(0, 60).cells
    by_ring, by_angle = cells.sum((0, 1, 3)), cells.sum((0, 2, 3))
    assert by_ring.argmax() <= 2  # the axis is in the middle, and inner rings are small
    assert by_angle == pytest.approx(np.full(12, by_angle.mean()), rel=0.1)
    written(tmp_path, POLAR.replace("0.04", "0.08"))
    again = read_calorimeter(tmp_path / "mine.yaml")
    assert again.sampling_fraction == 0.08


def test_those_that_come_along_are_found_by_name() -> None:
    assert built_in() == ("calochallenge_2", "clic", "clic_wide", "uniform")
    grids = {name: calorimeter(name).grid for name in built_in()}
    assert grids == {"calochallenge_2": (16, 9, 45), "clic": (25, 25, 25), "clic_wide": (51, 51, 25), "uniform": (25, 25, 25)}
    assert all(calorimeter(name).name == name for name in built_in())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        (("material: lead,", "material: plumbum,"), ["mine.yaml:9", "layers.0.slabs.0.material = plumbum", "is no material", "tungsten"]),
        ((", sensitive: true", ""), ["layers.0.slabs", "sensitive: true"]),
        (("mm: 8.0}", "mm: -8.0}"), ["mine.yaml:9", "layers.0.slabs.0.mm", "-8"]),
        (("across: 12", "acros: 12"), ["mine.yaml:2", "acros", "across"]),
        (("shape: square", "shape: polar"), ["cells.edge_mm", "does not go with"]),
        (("across: 12}", "across: 12, rings: 9}"), ["cells.rings", "does not go with"]),
        (("  - repeat: 12\n", "  - repeat: 0\n"), ["mine.yaml:6", "layers.0.repeat"]),
        (("{material: air, mm: 0.5}", "{material: air, mm: 0.5, sensitive: true}"), ["layers.0.slabs.1.material", "cannot be sensitive"]),
        (("layers:", "sheets:"), ["sheets", "layers"]),
    ],
)
def test_a_wrong_file_is_told_by_line_key_value_and_way_out(tmp_path: Path, change: tuple[str, str], expected: list[str]) -> None:
    with pytest.raises(ConfigError) as caught:
        read_calorimeter(written(tmp_path, MINE.replace(*change)))
    for part in expected:
        assert part in str(caught.value), str(caught.value)


def test_no_such_calorimeter_names_those_there_are(tmp_path: Path) -> None:
    code, said = gan3d("simulate", tmp_path / "x.h5", "--calorimeter", "atlas")
    assert code == 2
    assert "calochallenge_2, clic, clic_wide, uniform" in said
    code, said = gan3d("simulate", tmp_path / "x.h5", "--calorimeter", tmp_path / "absent.yaml")
    assert code == 2
    assert "absent.yaml" in said


def test_a_cylinder_has_no_polar_angle(tmp_path: Path) -> None:
    code, said = gan3d("simulate", tmp_path / "x.h5", "--calorimeter", "calochallenge_2", "--angle", 60, 120, "--showers", 2)
    assert code == 2
    assert "has no meaning for calochallenge_2" in " ".join(said.split())


def test_energies_uniform_in_their_logarithm(tmp_path: Path) -> None:
    code, said = gan3d("simulate", tmp_path / "x.h5", "--energy", 1, 16, "--spectrum", "log_uniform", "--showers", 200)
    assert code == 0, said
    energies = open_shower_file(tmp_path / "x.h5").layout.incident_energy
    assert 0.35 < (energies < 4).mean() < 0.65
    assert energies.min() >= 1
    assert energies.max() <= 16
