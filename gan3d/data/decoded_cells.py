"""Decoded cells in a file of their own, which costs a copy to read: a plain `.npy` of (N, X, Y, L) float32, then N check words.

Why this layout: reading 32 showers of 25 x 25 x 25 cells takes 180 us a shower from gzip (level 9, shuffled), 15 us from HDF5
without compression, and 7 us from here, the check included (`benchmarks/data_path.py`). It is read, not mapped: a mapped file
that is cut short kills the process that looks at it, a file that is read just ends.

Whoever reads gets the cells or None, never wrong ones: the length and the header are checked when the file is opened, the check
word of every shower (the exclusive or of its 32-bit words) each time that it is read.
"""

from __future__ import annotations

import io
import os
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan3d.data.layouts import GridShape
from gan3d.writing import take_room

CHECK_OF_ZEROS = np.uint32(0x5EED_CE11)
"""Check word of a shower without energy; not zero, so that a part of the disk that was never written is told from it."""
_FLOAT, _WORD = np.dtype("<f4"), np.dtype("<u4")


@dataclass(frozen=True, slots=True)
class DecodedCells:
    """The file ``path`` of ``num_showers`` showers of ``grid`` cells, there or not."""

    path: Path
    num_showers: int
    grid: GridShape

    @property
    def file_bytes(self) -> int:
        """Length of the whole file."""
        return len(self._header) + self.num_showers * (self.shower_bytes + _WORD.itemsize)

    def is_whole(self) -> bool:
        """Whether the file is there, with the right header and length."""
        try:
            with self.path.open("rb") as file:
                return file.read(len(self._header)) == self._header and os.fstat(file.fileno()).st_size == self.file_bytes
        except OSError:
            return False

    def read(self, start: int, stop: int) -> NDArray[np.float32] | None:
        """(B, X, Y, L) cells of showers ``start`` to ``stop`` (exclusive) [GeV]; None where the file is gone or damaged."""
        num_cells = (stop - start) * int(np.prod(self.grid))
        try:
            with self.path.open("rb", buffering=0) as file:
                cells = np.fromfile(file, _FLOAT, num_cells, offset=self._place(start))
                file.seek(self._place(self.num_showers) + start * _WORD.itemsize)
                words = np.fromfile(file, _WORD, stop - start)
        except OSError:
            return None
        if len(cells) != num_cells or len(words) != stop - start:
            return None
        cells = cells.reshape(-1, *self.grid)
        return cells if np.array_equal(check_words(cells), words) else None

    def write(self, parts: Iterable[NDArray[np.float32]]) -> None:
        """Write consecutive ``parts`` of all showers; the file appears under its name only when it is complete and on the disk.

        One process at a time may write; what an earlier one left half done is overwritten.

        Raises:
            OSError: the disk is full, or cannot be written on; nothing is left behind.
        """
        partial = self.path.with_name(f"{self.path.name}.partial")
        try:
            with partial.open("wb") as file:
                # The disk space is taken at once: several processes that fill one disk cannot all believe that there is room.
                take_room(file.fileno(), 0, self.file_bytes)
                file.write(self._header)
                words = [_written(file, part) for part in parts]
                file.write(np.concatenate(words).astype(_WORD).tobytes())
                assert file.tell() == self.file_bytes
                file.flush()
                os.fsync(file.fileno())
            partial.replace(self.path)
        finally:
            partial.unlink(missing_ok=True)

    @property
    def _header(self) -> bytes:
        text = io.BytesIO()
        described = {"descr": _FLOAT.str, "fortran_order": False, "shape": (self.num_showers, *self.grid)}
        np.lib.format.write_array_header_1_0(text, described)
        return text.getvalue()

    @property
    def shower_bytes(self) -> int:
        """Of one shower's cells."""
        return int(np.prod(self.grid)) * _FLOAT.itemsize

    def _place(self, shower: int) -> int:
        return len(self._header) + shower * self.shower_bytes


def check_words(cells: NDArray[np.float32]) -> NDArray[np.uint32]:
    """(B,) one word per shower, from the bits of its cells."""
    words: NDArray[np.uint32] = np.bitwise_xor.reduce(cells.reshape(len(cells), -1).view(np.uint32), axis=1) ^ CHECK_OF_ZEROS
    return words


def _written(file: io.BufferedWriter, cells: NDArray[np.float32]) -> NDArray[np.uint32]:
    cells = np.ascontiguousarray(cells, dtype=_FLOAT)
    file.write(cells.data)
    return check_words(cells)
