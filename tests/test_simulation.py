"""The simulation as a whole: the same showers whatever the processes, and files that are there whole or not at all."""

from __future__ import annotations

import h5py
import numpy as np
import pytest

from gan3d.errors import ConfigError, DataError
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.simulation import simulate as module
from gan3d.simulation.fit_samples import with_responses
from gan3d.simulation.simulate import SHOWERS_PER_CHUNK, shower_batch, simulate

CLIC = calorimeter("clic")


def read(path) -> dict[str, np.ndarray]:
    with h5py.File(path) as file:
        return {name: data[()] for name, data in file.items()}


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A file of two chunks and a bit, by one process, and what the progress callback heard."""
    path = tmp_path_factory.mktemp("simulation") / "deep" / "showers.h5"
    heard: list[int] = []
    num = 2 * SHOWERS_PER_CHUNK + 5
    simulate(path, calorimeter=CLIC, num_showers=num, incident_energy_gev=(10, 50), seed=3, progress=heard.append)
    return path, heard, num


def test_the_file_has_the_clic_fixed_angle_layout(written):
    path, _, num = written
    data = read(path)
    assert {name: (values.shape, values.dtype) for name, values in data.items()} == {
        "ECAL": ((num, 25, 25, 25), np.float32),
        "target": ((num, 5), np.float32),
        "energy": ((num, 1), np.float32),
    }
    with h5py.File(path) as file:
        assert file["ECAL"].compression == "gzip"
        assert file["ECAL"].shuffle
        assert file["ECAL"].chunks[0] <= 8
    assert np.all(data["target"][:, 0] == 11)
    assert np.all((data["energy"] >= 10) & (data["energy"] <= 50))
    assert data["target"][:, 1] == pytest.approx(data["energy"][:, 0])
    assert np.hypot(data["target"][:, 2], data["target"][:, 4]) == pytest.approx(data["energy"][:, 0])


def test_progress_adds_up_to_the_showers(written):
    _, heard, num = written
    assert sum(heard) == num
    assert len(heard) == 3


def test_the_file_holds_what_the_batch_in_memory_holds(written):
    path, _, num = written
    batch = shower_batch(CLIC, num_showers=num, incident_energy_gev=(10, 50), seed=3)
    data = read(path)
    assert np.array_equal(batch.cells, data["ECAL"])
    assert np.array_equal(batch.incident_energy, data["energy"][:, 0])
    assert batch.polar_angle == pytest.approx(np.full(num, np.pi / 2))


def test_any_number_of_processes_makes_the_same_showers(written, tmp_path):
    path, _, num = written
    again = tmp_path / "again.h5"
    simulate(again, calorimeter=CLIC, num_showers=num, incident_energy_gev=(10, 50), seed=3, processes=2)
    ours, theirs = read(path), read(again)
    assert ours.keys() == theirs.keys()
    assert all(np.array_equal(ours[name], theirs[name]) for name in ours)


def test_another_seed_makes_other_showers(written):
    path, _, num = written
    other = shower_batch(CLIC, num_showers=num, incident_energy_gev=(10, 50), seed=4)
    assert not np.any(other.incident_energy == read(path)["energy"][:, 0])


def test_chunks_do_not_repeat_each_other(written):
    energy = read(written[0])["energy"][:, 0]
    assert len(np.unique(energy)) == len(energy)


def test_inclined_showers_carry_their_polar_angle(tmp_path):
    path = tmp_path / "inclined.h5"
    simulate(path, calorimeter=CLIC, num_showers=8, incident_energy_gev=(100, 200), polar_angle_rad=(1.1, 2.0))
    data = read(path)
    theta = data["theta"][:, 0]
    assert np.all((theta >= 1.1) & (theta <= 2.0))
    assert data["target"][:, 2] == pytest.approx(data["energy"][:, 0] * np.cos(theta), rel=1e-4)
    assert np.all(data["target"][:, 3] == 0)


def test_a_broken_run_leaves_the_old_file_and_no_other(tmp_path, monkeypatch):
    path = tmp_path / "showers.h5"
    path.write_bytes(b"old")

    def interrupt(_: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        simulate(path, calorimeter=CLIC, num_showers=4, incident_energy_gev=(10, 20), progress=interrupt)
    assert path.read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [path]


def test_an_error_in_a_process_reaches_the_caller_and_leaves_no_file(tmp_path):
    impossible = with_responses(CLIC, np.full(2, -1.0))
    with pytest.raises(ValueError, match="lam"):
        simulate(tmp_path / "x.h5", calorimeter=impossible, num_showers=70, incident_energy_gev=(10, 20), processes=2)
    assert not list(tmp_path.iterdir())


def test_a_place_that_cannot_be_written_to_is_named(tmp_path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(DataError, match="cannot be written"):
        simulate(tmp_path / "file" / "x.h5", calorimeter=CLIC, num_showers=4, incident_energy_gev=(10, 20))
    with pytest.raises(DataError, match="is a folder"):
        simulate(tmp_path, calorimeter=CLIC, num_showers=4, incident_energy_gev=(10, 20))


def test_memory_does_not_grow_with_the_number_of_showers():
    sizes = module._chunk_sizes(1000)
    assert sum(sizes) == 1000
    assert max(sizes) == SHOWERS_PER_CHUNK


@pytest.mark.parametrize(
    ("request_", "key"),
    [
        ({"num_showers": 0}, "num_showers"),
        ({"incident_energy_gev": (0.5, 10)}, "incident_energy_gev"),
        ({"incident_energy_gev": (50, 10)}, "incident_energy_gev"),
        ({"incident_energy_gev": (10, float("inf"))}, "incident_energy_gev"),
        ({"incident_energy_gev": (float("nan"), 10)}, "incident_energy_gev"),
        ({"polar_angle_rad": (0.1, 1.5)}, "polar_angle_rad"),
        ({"polar_angle_rad": (60, 120)}, "polar_angle_rad"),
        ({"processes": 0}, "processes"),
        ({"seed": -1}, "seed"),
    ],
)
def test_impossible_requests_name_what_is_wrong_and_write_nothing(tmp_path, request_, key):
    asked = {"num_showers": 4, "incident_energy_gev": (10, 20)} | request_
    with pytest.raises(ConfigError, match=key) as caught:
        simulate(tmp_path / "x.h5", calorimeter=CLIC, **asked)
    assert caught.value.key == key
    assert not list(tmp_path.iterdir())
