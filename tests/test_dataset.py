"""Laws of a data set: many files are one; what cannot be used is dropped and counted; ranks partition it."""

from __future__ import annotations

import pickle
import re
import threading
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from shower_layouts import calochallenge, clic, clic_angle, clic_not_chunked, make_showers, target_table, write

from gan3d.data.dataset import ShowerSet, shard
from gan3d.data.showers import Showers
from gan3d.errors import DataError

SIZES = (30, 7, 23)


@pytest.fixture
def three_files(tmp_path: Path) -> Path:
    for number, size in enumerate(SIZES):
        clic(tmp_path / f"showers_{number}.h5", make_showers(size, seed=number))
    return tmp_path


def _whole() -> Showers:
    parts = [make_showers(size, seed=number) for number, size in enumerate(SIZES)]
    cells = np.concatenate([part.cells for part in parts])
    return Showers(cells, np.concatenate([part.incident_energy for part in parts]), None, np.arange(len(cells)))


def test_many_files_are_one_set_in_the_order_of_their_names(three_files: Path) -> None:
    showers = ShowerSet.open(["showers_*.h5"], base=three_files)
    read, whole = showers.read(np.arange(60)), _whole()
    assert len(showers) == 60
    np.testing.assert_array_equal(read.cells, whole.cells)
    np.testing.assert_array_equal(read.incident_energy, whole.incident_energy)
    np.testing.assert_array_equal(read.identity, np.arange(60))
    np.testing.assert_array_equal(showers.incident_energies(), whole.incident_energy)
    np.testing.assert_allclose(showers.deposited_energies(), whole.cells.sum(axis=(1, 2, 3)), rtol=1e-5)


@settings(deadline=None, max_examples=25)
@given(index=st.lists(st.integers(0, 59), max_size=80))
def test_any_selection_is_that_selection_of_the_whole(index: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.getbasetemp() / "selection"
    if not folder.exists():
        folder.mkdir()
        for number, size in enumerate(SIZES):
            clic(folder / f"{number}.h5", make_showers(size, seed=number))
    chosen = np.array(index, dtype=np.int64)
    read = ShowerSet.open(["*.h5"], base=folder).read(chosen)
    np.testing.assert_array_equal(read.cells, _whole().cells[chosen])
    np.testing.assert_array_equal(read.identity, chosen)


def test_a_file_named_twice_counts_once(three_files: Path) -> None:
    showers = ShowerSet.open(["showers_1.h5", "./showers_*.h5", str(three_files / "showers_1.h5")], base=three_files)
    assert [file.path.name for file in showers.files] == ["showers_1.h5", "showers_0.h5", "showers_2.h5"]


def test_variables_are_expanded(three_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("SHOWERS_HERE", str(three_files))
    assert len(ShowerSet.open(["$SHOWERS_HERE/showers_[01].h5", "${SHOWERS_HERE}/showers_2.h5"])) == 60


def test_an_undefined_variable_is_named_with_the_way_out(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SHOWERS_HERE", raising=False)
    with pytest.raises(
        DataError, match=r"\$SHOWERS_HERE/\*\.h5: the environment variable SHOWERS_HERE is not defined; export SHOWERS_HERE="
    ):
        ShowerSet.open(["$SHOWERS_HERE/*.h5"])


@pytest.mark.parametrize(
    ("patterns", "message"),
    [
        (["nothing_*.h5"], "no file matches 'nothing_*.h5'"),
        (["showers_0.h5", "missing.h5"], "no file matches 'missing.h5'"),
        (["."], "it is a folder: name its files"),
        ([], "no shower file is named"),
    ],
)
def test_patterns_that_find_nothing_are_refused(patterns: list[str], message: str, three_files: Path) -> None:
    with pytest.raises(DataError, match=re.escape(message)):
        ShowerSet.open(patterns, base=three_files)


def test_mixed_grids_name_both_files(three_files: Path) -> None:
    clic(three_files / "showers_9.h5", make_showers(4, (8, 8, 8)))
    with pytest.raises(DataError, match=r"showers_9\.h5: its showers have 8 x 8 x 8 cells, those of .*showers_0\.h5 have 9 x 10 x 8"):
        ShowerSet.open(["*.h5"], base=three_files)


def test_a_grid_that_the_settings_do_not_expect_is_refused(three_files: Path) -> None:
    with pytest.raises(DataError, match=re.escape("9 x 10 x 8 cells, data.grid says 25 x 25 x 25; set data.grid to [9, 10, 8]")):
        ShowerSet.open(["*.h5"], base=three_files, grid=(25, 25, 25))


def test_the_angle_is_delivered_where_every_shower_has_one(tmp_path: Path) -> None:
    angled = make_showers(6, has_polar_angle=True)
    assert angled.polar_angle is not None
    clic_angle(tmp_path / "a.h5", angled)
    clic(tmp_path / "b.h5", make_showers(6))
    both, one = ShowerSet.open(["a.h5", "b.h5"], base=tmp_path), ShowerSet.open(["a.h5"], base=tmp_path)
    assert not both.has_polar_angle
    assert both.read(np.arange(12)).polar_angle is None
    np.testing.assert_array_equal(one.read(np.array([4, 2])).polar_angle, angled.polar_angle[[4, 2]])


def _spoiled(folder: Path) -> tuple[ShowerSet, list[int]]:
    """Sixty showers of which five cannot be used, and the indices of the others."""
    for number, size in enumerate(SIZES):
        showers = make_showers(size, seed=number, has_polar_angle=True)
        if number == 0:
            showers.cells[[0, 13]] = 0
        if number == 2:
            showers.cells[3, 1, 1, 1] = np.nan
            showers.cells[5, 1, 1, 1] = np.inf
            assert showers.polar_angle is not None
            showers.polar_angle[7] = np.nan
        clic_angle(folder / f"{number}.h5", showers)
    return ShowerSet.open(["*.h5"], base=folder), sorted(set(range(60)) - {0, 13, 40, 42, 44})


def test_empty_and_not_finite_showers_are_dropped_and_counted(tmp_path: Path) -> None:
    showers, kept = _spoiled(tmp_path)
    assert showers.num_in_files == 60
    assert len(showers) == 55
    assert showers.dropped == {"empty": 2, "not_finite": 3}
    read = showers.read(np.arange(55))
    assert read.identity.tolist() == kept
    assert np.isfinite(read.cells).all()
    assert (showers.deposited_energies() > 0).all()
    assert len(showers.incident_energies()) == 55


def test_cells_below_the_threshold_deposit_nothing_and_what_is_not_finite_is_still_found(tmp_path: Path) -> None:
    spoiled, kept = _spoiled(tmp_path)
    least = float(spoiled.deposited_energies().min())
    every = spoiled.read(np.arange(55))
    threshold = float(np.median(every.cells[every.cells > 0]))
    showers = ShowerSet.open(["*.h5"], base=tmp_path, threshold_gev=threshold)
    assert showers.dropped["not_finite"] == 3
    above = np.where(every.cells >= threshold, every.cells, 0).sum((1, 2, 3))
    np.testing.assert_allclose(showers.deposited_energies(), above[above > 0], rtol=1e-5)
    assert showers.read(np.arange(len(showers))).cells.min() == every.cells.min()
    nothing = ShowerSet.open(["*.h5"], base=tmp_path, threshold_gev=float(every.cells.max()) * 2)
    with pytest.raises(DataError, match=re.escape("dropped: {'empty': 57, 'not_finite': 3}")):
        nothing.scan()
    assert least > 0
    assert len(kept) == 55


def test_a_set_without_a_single_good_shower_is_refused(tmp_path: Path) -> None:
    calo = make_showers(3, (16, 9, 45))
    calo.cells[:] = 0
    calochallenge(tmp_path / "file.h5", calo)
    with pytest.raises(DataError, match=re.escape("no shower can be used; dropped: {'empty': 3, 'not_finite': 0}")):
        ShowerSet.open(["file.h5"], base=tmp_path).scan()


def test_only_the_first_showers_are_used_when_asked(three_files: Path) -> None:
    showers = ShowerSet.open(["*.h5"], base=three_files, max_showers=33)
    assert len(showers) == 33
    np.testing.assert_array_equal(showers.read(np.arange(33)).cells, _whole().cells[:33])
    assert len(ShowerSet.open(["*.h5"], base=three_files, max_showers=1000)) == 60


def test_a_set_crosses_processes_with_its_scan(tmp_path: Path) -> None:
    showers, kept = _spoiled(tmp_path)
    assert not pickle.loads(pickle.dumps(showers)).is_scanned
    showers.scan()
    copy = pickle.loads(pickle.dumps(showers))
    assert copy.is_scanned
    assert copy.read(np.arange(55)).identity.tolist() == kept


class Together:
    """A sum over threads that play the ranks."""

    def __init__(self, world_size: int) -> None:
        self._barrier = threading.Barrier(world_size, timeout=20)
        self._parts: list[torch.Tensor] = []

    def __call__(self, tensor: torch.Tensor) -> None:
        self._parts.append(tensor.clone())
        self._barrier.wait()
        tensor.copy_(torch.stack(self._parts).sum(dim=0))


def _scan_together(sets: list[ShowerSet]) -> list[DataError | None]:
    together = Together(len(sets))
    errors: list[DataError | None] = [None] * len(sets)

    def scan(rank: int) -> None:
        try:
            sets[rank].scan(rank, len(sets), together)
        except DataError as error:
            errors[rank] = error

    threads = [threading.Thread(target=scan, args=(rank,)) for rank in range(len(sets))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=30)
    assert not any(thread.is_alive() for thread in threads)
    return errors


@pytest.mark.parametrize("world_size", [1, 2, 3, 7])
def test_ranks_that_share_the_scan_find_what_one_finds(world_size: int, tmp_path: Path) -> None:
    alone, _ = _spoiled(tmp_path)
    sets = [ShowerSet.open(["*.h5"], base=tmp_path) for _ in range(world_size)]
    assert _scan_together(sets) == [None] * world_size
    for showers in sets:
        assert showers.dropped == alone.dropped
        np.testing.assert_array_equal(showers.deposited_energies(), alone.deposited_energies())
        np.testing.assert_array_equal(showers.edges, alone.edges)


def test_a_negative_energy_on_one_rank_is_an_error_on_all(tmp_path: Path) -> None:
    showers = make_showers(20)
    clic(tmp_path / "0.h5", showers)
    bad = showers.cells.copy()
    bad[17, 2, 2, 2] = -1
    write(tmp_path / "1.h5", ECAL=bad, target=target_table(showers))
    first, second = _scan_together([ShowerSet.open(["*.h5"], base=tmp_path) for _ in range(2)])
    assert "another rank" in str(first)
    assert second is not None
    assert (second.file, second.index) == (str(tmp_path / "1.h5"), 17)


def test_blocks_lie_in_one_file_on_its_chunks(tmp_path: Path) -> None:
    clic(tmp_path / "0.h5", make_showers(150))
    clic_not_chunked(tmp_path / "1.h5", make_showers(100))
    showers = ShowerSet.open(["*.h5"], base=tmp_path)
    assert showers.edges.tolist() == [0, 32, 64, 96, 128, 150, 182, 214, 246, 250]


EDGES = st.lists(st.integers(1, 9), min_size=1, max_size=40).map(lambda lengths: np.concatenate([[0], np.cumsum(lengths)]))


@given(edges=EDGES, world_size=st.integers(1, 9), epoch=st.integers(0, 100), seed=st.integers(0, 2**32))
def test_ranks_partition_the_data_set(edges: np.ndarray, world_size: int, epoch: int, seed: int) -> None:
    pieces = [shard(edges, rank, world_size, epoch, seed) for rank in range(world_size)]
    together = np.concatenate(pieces)
    assert {len(piece) for piece in pieces} == {edges[-1] // world_size}
    assert len(np.unique(together)) == len(together) > edges[-1] - world_size
    assert set(together) <= set(range(edges[-1]))


@given(edges=EDGES, world_size=st.integers(1, 4))
def test_a_block_is_read_by_as_few_ranks_as_can_be(edges: np.ndarray, world_size: int) -> None:
    blocks = [np.unique(np.searchsorted(edges, shard(edges, rank, world_size, 0, 1), side="right")) for rank in range(world_size)]
    assert sum(len(each) for each in blocks) <= len(edges) - 1 + world_size


def test_every_epoch_and_every_seed_has_its_own_order() -> None:
    edges = np.arange(0, 641, 8)
    orders = {shard(edges, 0, 1, epoch, seed).tobytes() for epoch in range(5) for seed in range(5)}
    assert len(orders) == 25


def test_the_showers_left_over_are_others_each_epoch() -> None:
    edges = np.arange(0, 101, 10)
    seen = [np.concatenate([shard(edges, rank, 7, epoch, 1) for rank in range(7)]) for epoch in range(30)]
    left_over = {frozenset(range(100)) - frozenset(each) for each in seen}
    assert {len(each) for each in left_over} == {2}
    assert len(left_over) > 20
    assert len(frozenset.union(*left_over)) > 40


def test_an_order_can_be_made_again() -> None:
    edges = np.arange(0, 641, 8)
    np.testing.assert_array_equal(shard(edges, 1, 3, 7, 5), shard(edges, 1, 3, 7, 5))
