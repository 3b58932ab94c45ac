"""Laws of one shower file: every layout gives back the showers that went in; every bad file is refused by name."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest
from shower_layouts import CLIC_GRID, LAYOUTS, clic, make_showers, target_table, write

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.errors import DataError

ROOT = Path(__file__).parent.parent
SAMPLE = ROOT / "samples" / "geant4"
GEANT4 = Path(os.environ.get("GAN3D_GEANT4", ROOT.parent / "shared" / "data" / "geant4"))
HALF_PI = np.float32(np.pi / 2)


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_gives_back_the_showers(layout: str, tmp_path: Path) -> None:
    writer, grid, has_polar_angle = LAYOUTS[layout]
    showers = make_showers(11, grid, has_polar_angle=has_polar_angle)
    writer(tmp_path / "file.h5", showers)
    file = open_shower_file(tmp_path / "file.h5")
    assert (file.num_showers, file.grid, file.has_polar_angle) == (11, grid, has_polar_angle)
    read = file.read(0, 11)
    assert read.cells.dtype == read.incident_energy.dtype == np.float32
    np.testing.assert_allclose(read.cells, showers.cells, rtol=1e-6)
    np.testing.assert_allclose(read.incident_energy, showers.incident_energy, rtol=1e-6)
    assert read.identity.tolist() == list(range(11))
    if has_polar_angle:
        np.testing.assert_array_equal(read.polar_angle, showers.polar_angle)
    else:
        assert read.polar_angle is None


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_part_of_a_file_is_that_part_of_the_whole(layout: str, tmp_path: Path) -> None:
    writer, grid, has_polar_angle = LAYOUTS[layout]
    writer(tmp_path / "file.h5", make_showers(11, grid, has_polar_angle=has_polar_angle))
    file = open_shower_file(tmp_path / "file.h5")
    whole, part = file.read(0, 11), file.read(3, 8)
    np.testing.assert_array_equal(part.cells, whole.cells[3:8])
    np.testing.assert_array_equal(part.incident_energy, whole.incident_energy[3:8])
    assert part.identity.tolist() == [3, 4, 5, 6, 7]


def test_what_is_written_is_read_bit_for_bit_whatever_the_response(tmp_path: Path) -> None:
    showers = make_showers(20, has_polar_angle=True)
    strange = Showers(showers.cells * np.float32(40), showers.incident_energy, showers.polar_angle, showers.identity)
    write_clic_file(tmp_path / "file.h5", strange)
    read = open_shower_file(tmp_path / "file.h5").read(0, 20)
    np.testing.assert_array_equal(read.cells, strange.cells)
    np.testing.assert_array_equal(read.incident_energy, strange.incident_energy)
    np.testing.assert_array_equal(read.polar_angle, strange.polar_angle)


def test_the_written_target_is_an_electron_of_that_energy_and_angle(tmp_path: Path) -> None:
    showers = make_showers(5, has_polar_angle=True)
    write_clic_file(tmp_path / "file.h5", showers)
    with h5py.File(tmp_path / "file.h5") as file:
        pdg, energy, *momentum = file["target"][()].T
        px, py, pz = momentum
    assert set(pdg) == {11}
    np.testing.assert_array_equal(energy, showers.incident_energy)
    assert showers.polar_angle is not None
    np.testing.assert_allclose(np.hypot(px, pz), energy, rtol=1e-6)
    np.testing.assert_allclose(np.arctan2(pz, px), showers.polar_angle, rtol=1e-6)
    assert not py.any()


def test_an_interrupted_write_leaves_the_old_file_and_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    write_clic_file(path, make_showers(3))
    before = path.read_bytes()
    torn = Showers(make_showers(4).cells, np.ones(3, dtype=np.float32), np.ones(2, dtype=np.float32), np.arange(4))
    with pytest.raises(ValueError, match="could not be broadcast"):
        write_clic_file(path, torn)
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]


def test_an_empty_first_shower_does_not_hide_the_unit(tmp_path: Path) -> None:
    writer, grid, _ = LAYOUTS["clic_angle_times_50"]
    showers = make_showers(40, grid, has_polar_angle=True)
    showers.cells[:20] = 0
    showers.cells[20] = np.nan
    writer(tmp_path / "file.h5", showers)
    np.testing.assert_allclose(open_shower_file(tmp_path / "file.h5").read(21, 40).cells, showers.cells[21:], rtol=1e-6)


CELLS = make_showers(6).cells
TARGET = target_table(make_showers(6)).astype(np.float32)
ENERGY = TARGET[:, 1]


def _negative(row: int, values: np.ndarray) -> np.ndarray:
    values = values.copy()
    values[(row, *([1] * (values.ndim - 1)))] = -0.5
    return values


REFUSED: dict[str, tuple[dict[str, np.ndarray], str]] = {
    "no cells": ({"target": TARGET}, "neither 'ECAL' (CLIC) nor 'showers' (CaloChallenge) is in the file; it holds 'target'"),
    "nothing": ({}, "it holds nothing"),
    "no energy": ({"ECAL": CELLS}, "neither 'energy' nor 'target' is in the file; it holds 'ECAL'"),
    "flat cells": ({"ECAL": CELLS.reshape(6, -1), "target": TARGET}, "'ECAL' has shape (6, 720); expected (showers, x, y, layers)"),
    "no layer": ({"ECAL": CELLS[..., :0], "target": TARGET}, "'ECAL' has shape (6, 9, 10, 0)"),
    "words": ({"ECAL": np.array([b"a"]), "target": TARGET}, "'ECAL' is not a data set of numbers"),
    "no shower": ({"ECAL": CELLS[:0], "target": TARGET[:0]}, "the file holds no shower"),
    "short target": ({"ECAL": CELLS, "target": TARGET[:5]}, "5 incident energies for 6 showers"),
    "narrow target": ({"ECAL": CELLS, "target": TARGET[:, :1]}, "'target' has shape (6, 1)"),
    "wide energy": ({"ECAL": CELLS, "energy": TARGET}, "'energy' has shape (6, 5); expected (showers,) or (showers, 1)"),
    "odd energy": ({"ECAL": CELLS, "energy": TARGET[:, None, :1]}, "'energy' has shape (6, 1, 1); expected (showers,) or (showers, 1)"),
    "odd target": ({"ECAL": CELLS, "target": TARGET.reshape(3, 2, 5)}, "'target' has shape (3, 2, 5)"),
    "short theta": ({"ECAL": CELLS, "energy": ENERGY, "theta": ENERGY[:2]}, "2 polar angles for 6 showers"),
    "theta in degrees": ({"ECAL": CELLS, "energy": ENERGY, "theta": ENERGY * 0 + 90}, "file.h5[0]: 'theta' is 90; expected a polar angle"),
    "negative energy": ({"ECAL": CELLS, "energy": _negative(3, ENERGY)}, "file.h5[3]: incident energy -0.5 GeV is not positive"),
    "no unit": (
        {"ECAL": CELLS * 1000, "energy": ENERGY},
        "cannot tell the unit of 'ECAL': its showers' median of deposited over incident energy is 20",
    ),
    "all empty": ({"ECAL": CELLS * 0, "energy": ENERGY}, "every shower is empty or not finite"),
    "data set 1": ({"showers": np.ones((6, 368)), "incident_energies": ENERGY}, "CaloChallenge data set 1 (photons, 368 cells)"),
    "other voxels": ({"showers": np.ones((6, 100)), "incident_energies": ENERGY}, "'showers' has shape (6, 100); expected (showers, 6480)"),
    "no incident": ({"showers": np.ones((6, 6480))}, "data set 'incident_energies' is missing; the file holds 'showers'"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_bad_file_is_refused_by_name(fault: str, tmp_path: Path) -> None:
    data_sets, message = REFUSED[fault]
    path = write(tmp_path / "file.h5", **data_sets)
    with pytest.raises(DataError, match=re.escape(message)) as refusal:
        open_shower_file(path)
    assert refusal.value.file == str(path)
    assert str(path) in str(refusal.value)


def test_a_group_in_place_of_the_cells_is_refused(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        file.create_group("ECAL")
    with pytest.raises(DataError, match="'ECAL' is not a data set of numbers"):
        open_shower_file(tmp_path / "file.h5")


def _truncate(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-100])


def _not_hdf5(path: Path) -> None:
    path.write_text("showers", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "message"),
    [(_truncate, "not a complete HDF5 file"), (_not_hdf5, "not a complete HDF5 file"), (Path.unlink, "there is no such file")],
)
def test_a_damaged_file_is_refused_by_name(damage: Callable[[Path], None], message: str, tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    clic(path, make_showers(6))
    damage(path)
    with pytest.raises(DataError, match=message) as refusal:
        open_shower_file(path)
    assert refusal.value.file == str(path)


def test_a_chunk_that_cannot_be_decoded_names_file_and_shower(tmp_path: Path) -> None:
    path = tmp_path / "file.h5"
    clic(path, make_showers(60))
    with h5py.File(path) as file:
        chunk = file["ECAL"].id.get_chunk_info(10)
    content = bytearray(path.read_bytes())
    content[chunk.byte_offset : chunk.byte_offset + chunk.size] = bytes(chunk.size)
    path.write_bytes(content)
    opened = open_shower_file(path)
    assert len(opened.read(0, 40)) == 40
    with pytest.raises(DataError, match=r"showers 40 to 43 cannot be decoded, the file is damaged") as refusal:
        opened.read(40, 44)
    assert (refusal.value.file, refusal.value.index) == (str(path), 40)


def test_a_negative_cell_names_file_and_shower(tmp_path: Path) -> None:
    path = write(tmp_path / "file.h5", ECAL=_negative(4, CELLS), target=TARGET)
    with pytest.raises(DataError, match=r"a cell holds a negative energy, -0\.5 GeV") as refusal:
        open_shower_file(path).read(2, 6)
    assert (refusal.value.file, refusal.value.index) == (str(path), 4)


def test_no_shower_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="there is no shower to write"):
        write_clic_file(tmp_path / "file.h5", make_showers(0, CLIC_GRID))


@pytest.mark.parametrize(("part", "num_showers"), [("train", 720), ("validation", 180), ("test", 180)])
def test_the_sample_holds_real_showers(part: str, num_showers: int) -> None:
    file = open_shower_file(SAMPLE / f"clic_10_100_{part}.h5")
    assert (file.num_showers, file.grid, file.has_polar_angle) == (num_showers, (25, 25, 25), False)
    showers = file.read(0, num_showers)
    response = showers.cells.sum(axis=(1, 2, 3)) / showers.incident_energy
    assert 0.019 < response.mean() < 0.022
    assert 10 <= showers.incident_energy.min() < showers.incident_energy.max() <= 100


def test_no_shower_of_the_sample_is_in_two_of_its_files() -> None:
    files = [open_shower_file(path) for path in sorted(SAMPLE.glob("*.h5"))]
    energies = np.concatenate([file.layout.incident_energy for file in files])
    assert len(np.unique(energies)) == len(energies) == 1080


def test_the_sample_is_small() -> None:
    assert sum(path.stat().st_size for path in SAMPLE.iterdir()) < 5_000_000


@pytest.mark.skipif(not GEANT4.is_dir(), reason="the full Geant4 files are not here")
@pytest.mark.parametrize("pattern", ["clic_10_100_*", "clic_10_500_*", "Ele_clic_fixed*", "Ele_clic_angle*", "Ele_x0_fixed*"])
def test_every_geant4_file_reads_right(pattern: str) -> None:
    paths = sorted(GEANT4.glob(f"{pattern}.h5"))
    assert paths
    for path in paths:
        file = open_shower_file(path)
        showers = file.read(0, file.num_showers)
        with h5py.File(path) as raw:
            np.testing.assert_array_equal(showers.cells, raw["ECAL"][()])
            np.testing.assert_array_equal(showers.incident_energy, raw["target"][()].reshape(-1, 5)[:, 1])
            assert file.has_polar_angle == ("theta" in raw)
            if showers.polar_angle is not None:
                np.testing.assert_array_equal(showers.polar_angle, raw["theta"][:, 0])
        response = showers.cells.sum(axis=(1, 2, 3)) / showers.incident_energy
        assert 0.015 < np.median(response) < 0.025
