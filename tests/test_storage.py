"""Laws of storage: chunks and filters are told from the file, and the chunks that are advised are good ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from shower_layouts import clic_not_chunked, make_showers

from gan3d.data.shower_file import open_shower_file
from gan3d.data.storage import GOOD_CHUNK_BYTES, storage_of

CELLS = make_showers(60).cells
SAMPLE = Path(__file__).parent.parent / "samples" / "geant4" / "clic_10_100_train.h5"
KINDS: dict[str, tuple[dict[str, Any], tuple[int, str]]] = {
    "gzip": ({"chunks": (4, 9, 10, 8), "compression": "gzip"}, (4, "gzip")),
    "gzip shuffled": ({"chunks": (50, 9, 10, 8), "compression": "gzip", "shuffle": True}, (50, "shuffle, gzip")),
    "lzf": ({"chunks": (1, 9, 10, 8), "compression": "lzf"}, (1, "lzf")),
    "parts of showers": ({"chunks": (30, 3, 10, 8), "compression": "gzip"}, (30, "gzip")),
    "not compressed": ({"chunks": (16, 9, 10, 8)}, (16, "")),
    "not chunked": ({}, (1, "")),
}


@pytest.mark.parametrize("kind", KINDS)
def test_storage_is_what_the_file_says(kind: str, tmp_path: Path) -> None:
    options, (chunk, filters) = KINDS[kind]
    with h5py.File(tmp_path / "file.h5", "w") as file:
        storage = storage_of(file.create_dataset("ECAL", data=CELLS, **options))
    assert (storage.chunk, storage.filters, storage.shape) == (chunk, filters, CELLS.shape)
    assert storage.is_compressed == bool(filters)


def test_a_virtual_data_set_is_not_chunked(tmp_path: Path) -> None:
    with h5py.File(tmp_path / "virtual.h5", "w") as file:
        layout = h5py.VirtualLayout((720, 25, 25, 25), dtype="f4")
        layout[:] = h5py.VirtualSource(SAMPLE, "ECAL", shape=(720, 25, 25, 25))
        assert storage_of(file.create_virtual_dataset("ECAL", layout)).chunk == 1


@pytest.mark.parametrize(("grid", "showers"), [((25, 25, 25), 16), ((51, 51, 25), 3), ((128, 128, 128), 1), ((2, 2, 2), 60)])
def test_good_chunks_hold_whole_showers_of_about_a_megabyte(grid: tuple[int, int, int], showers: int, tmp_path: Path) -> None:
    with h5py.File(tmp_path / "file.h5", "w") as file:
        storage = storage_of(file.create_dataset("ECAL", (60, *grid), "f4"))
    assert storage.good_chunk == (showers, *grid)
    assert showers == 1 or 4 * np.prod(storage.good_chunk) <= GOOD_CHUNK_BYTES


def test_a_layout_knows_its_storage(tmp_path: Path) -> None:
    clic_not_chunked(tmp_path / "file.h5", make_showers(5))
    assert open_shower_file(tmp_path / "file.h5").layout.storage.chunk == 1
    assert open_shower_file(SAMPLE).layout.storage.filters == "shuffle, gzip"
