"""Laws of decoded cells: they are read back bit for bit, or not at all."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shower_layouts import CLIC_GRID, make_showers

from gan3d.data.decoded_cells import DecodedCells, check_words

NUM = 20
CELLS = make_showers(NUM).cells
CELLS[3] = 0
CELLS[4, 1, 1, 1] = np.nan
CELLS[5, 1, 1, 1] = -0.0


def _written(folder: Path) -> DecodedCells:
    decoded = DecodedCells(folder / "cells.npy", NUM, CLIC_GRID)
    decoded.write(iter([CELLS[:7], CELLS[7:8], CELLS[8:]]))
    return decoded


@pytest.mark.parametrize(("start", "stop"), [(0, NUM), (0, 1), (NUM - 1, NUM), (3, 11)])
def test_what_is_written_is_read_bit_for_bit(start: int, stop: int, tmp_path: Path) -> None:
    cells = _written(tmp_path).read(start, stop)
    assert cells is not None
    assert (cells.dtype, cells.shape) == (np.float32, (stop - start, *CLIC_GRID))
    assert cells.tobytes() == CELLS[start:stop].tobytes()
    assert cells.flags.c_contiguous
    assert cells.flags.writeable


def test_numpy_reads_the_file_as_it_is(tmp_path: Path) -> None:
    np.testing.assert_array_equal(np.load(_written(tmp_path).path), CELLS)


def test_a_file_is_as_long_as_it_says(tmp_path: Path) -> None:
    decoded = _written(tmp_path)
    assert decoded.path.stat().st_size == decoded.file_bytes
    assert decoded.is_whole()
    assert list(tmp_path.iterdir()) == [decoded.path]


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size - 1)


def _emptied(path: Path) -> None:
    path.write_bytes(b"")


def _zeroed(path: Path) -> None:
    path.write_bytes(bytes(path.stat().st_size))


def _of_other_shape(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b"(20, 9, 10, 8)", b"(20, 9, 8, 10)"))


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _emptied, _zeroed, _of_other_shape])
def test_a_file_that_is_not_as_written_is_not_whole(damage: Callable[[Path], None], tmp_path: Path) -> None:
    decoded = _written(tmp_path)
    damage(decoded.path)
    assert not decoded.is_whole()


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _emptied, _zeroed])
def test_damaged_showers_are_not_read(damage: Callable[[Path], None], tmp_path: Path) -> None:
    decoded = _written(tmp_path)
    damage(decoded.path)
    assert decoded.read(NUM - 2, NUM) is None


@settings(deadline=None, max_examples=50)
@given(place=st.integers(128, 128 + NUM * 2880 + NUM * 4 - 1), bit=st.integers(0, 7))
def test_no_bit_flips_unseen(place: int, bit: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    decoded = _written(tmp_path_factory.mktemp("flipped"))
    content = bytearray(decoded.path.read_bytes())
    content[place] ^= 1 << bit
    decoded.path.write_bytes(content)
    assert decoded.read(0, NUM) is None
    shower = (place - 128) // 2880 if place < 128 + NUM * 2880 else (place - 128 - NUM * 2880) // 4
    others = [number for number in range(NUM) if number != shower]
    assert all(decoded.read(number, number + 1) is not None for number in others)


def test_an_empty_shower_is_told_from_one_that_was_never_written() -> None:
    assert check_words(np.zeros((1, *CLIC_GRID), dtype=np.float32)) != 0


def test_an_interrupted_write_leaves_nothing(tmp_path: Path) -> None:
    def parts() -> Iterator[np.ndarray]:
        yield CELLS[:5]
        raise OSError(errno.EIO, "unplugged")

    decoded = DecodedCells(tmp_path / "cells.npy", NUM, CLIC_GRID)
    with pytest.raises(OSError, match="unplugged"):
        decoded.write(parts())
    assert not decoded.is_whole()
    assert list(tmp_path.iterdir()) == []


def test_what_a_killed_writer_left_is_overwritten(tmp_path: Path) -> None:
    (tmp_path / "cells.npy.partial").write_bytes(b"x" * 10_000_000)
    decoded = _written(tmp_path)
    assert decoded.is_whole()
    assert list(tmp_path.iterdir()) == [decoded.path]
