"""The middle of larger showers: 13:38 of 51, as the 3DGAN line took it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from shower_layouts import make_showers
from small_trial import ALONE, small_trial, some_epochs

from gan3d.data.dataset import ShowerSet
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.errors import DataError
from gan3d.training.state import TrainState


@pytest.fixture
def wide(tmp_path: Path) -> Path:
    write_clic_file(tmp_path / "train.h5", make_showers(40, (51, 51, 12), seed=1, has_polar_angle=True))
    write_clic_file(tmp_path / "validation.h5", make_showers(30, (51, 51, 12), seed=2, has_polar_angle=True))
    return tmp_path


def test_of_51_cells_those_from_13_to_37_are_seen(wide: Path) -> None:
    whole = open_shower_file(wide / "train.h5").read(0, 40)
    showers = ShowerSet.open([str(wide / "train.h5")], grid=(25, 25, 12), crop=True)
    assert showers.grid == (25, 25, 12)
    found = showers.read(np.arange(len(showers)))
    np.testing.assert_array_equal(found.cells, whole.cells[:, 13:38, 13:38])
    assert showers.deposited_energies() == pytest.approx(found.cells.sum((1, 2, 3)), rel=1e-5)


def test_a_copy_on_the_nodes_disk_holds_all_cells_and_the_middle_is_seen(wide: Path, tmp_path: Path) -> None:
    pattern, cache = [str(wide / "train.h5")], str(tmp_path / "cache")
    first, again = (ShowerSet.open(pattern, grid=(25, 25, 12), crop=True, node_cache=cache) for _ in range(2))
    everything = ShowerSet.open(pattern, node_cache=cache)
    rows = np.arange(40)
    np.testing.assert_array_equal(first.read(rows).cells, again.read(rows).cells)
    np.testing.assert_array_equal(first.read(rows).cells, everything.read(rows).cells[:, 13:38, 13:38])
    assert len(list((tmp_path / "cache").rglob("*.npy"))) == 1


@pytest.mark.parametrize("grid", [(24, 25, 12), (25, 25, 11), (53, 53, 12)])
def test_what_has_no_such_middle_is_refused(wide: Path, grid: tuple[int, int, int]) -> None:
    with pytest.raises(DataError, match="cannot be cropped"):
        ShowerSet.open([str(wide / "train.h5")], grid=grid, crop=True)


def test_without_asking_nothing_is_cropped(wide: Path) -> None:
    with pytest.raises(DataError, match=r"set data.grid to \[51, 51, 12\]"):
        ShowerSet.open([str(wide / "train.h5")], grid=(25, 25, 12))


def test_a_trial_trains_on_the_middle_with_the_angle(wide: Path) -> None:
    changes = {"data.grid": [13, 13, 12], "data.crop": True, "training.polar_angle": True, "training.epochs": 1}
    settings = small_trial(wide, changes)
    [record] = some_epochs(settings, TrainState(settings, ALONE), None)
    assert record.losses.generator_polar_angle > 0
