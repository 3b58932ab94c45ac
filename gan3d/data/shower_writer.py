"""Writes showers as they come, in the layouts that `layouts` reads, and never leaves half a file behind.

Of square cells that of the CLIC files: `ECAL` (N, X, Y, L) float32 [GeV], `target` (N, 5) = PDG code, E, px, py, pz [GeV], `energy` (N, 1)
[GeV] and, for inclined showers, `theta` (N, 1) [rad], pi/2 being normal incidence. Of polar cells CaloChallenge's: `showers` (N, L * X * Y)
[MeV], whose attribute `cylinder` says (L, X, Y), and `incident_energies` (N, 1) [MeV].

HDF5 does not survive a full disk: what it could not write it tries again whenever the file is closed, and at last when the process ends,
which dies of it with a segmentation fault. So it never meets one: room is taken for all that it may write, before it has anything to write.
"""

from __future__ import annotations

import os
from contextlib import ExitStack
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from gan3d.data.showers import NORMAL_INCIDENCE_RAD
from gan3d.errors import DataError, no_room_in
from gan3d.writing import take_room, written_beside

#: Particle Data Group, Monte Carlo particle numbering scheme.
ELECTRON_PDG_CODE = 11
MEV_PER_GEV = 1000.0
#: Showers per HDF5 chunk. 4, 8 and 16 are read and written in the same time and take the same room (within 3 %), but only 4
#: of 51 x 51 x 25 cells fit into the chunk cache of HDF5 1.x (1 MiB), and parts of `gan3d generate` are joined by the chunk with those of
#: earlier versions, which have 4.
_SHOWERS_PER_CHUNK = 4
_ROWS_PER_CHUNK = 1024
#: Showers that room is taken for at once: as cells before they are packed, so more would find a disk full on which they have room.
_SHOWERS_AT_ONCE = 32
#: For what HDF5 writes beside chunks: an attribute takes 64 KiB at most.
METADATA_BYTES = 1 << 17
#: Of a chunk: its share of a node of the tree in which HDF5 finds chunks (3.6 kB for 32 to 64 of them), and zlib's own bytes.
_METADATA_BYTES_PER_CHUNK = 512
#: What zlib makes longer, if nothing can be packed, is by far less than one byte in so many.
_PACKED_LONGER = 512


class ShowerWriter:
    """A context manager; the file appears under its name when the block ends without an exception."""

    def __init__(self, path: Path, grid: tuple[int, int, int], *, is_polar: bool, has_polar_angle: bool) -> None:
        """Nothing is written yet.

        Args:
            path: of the file.
            grid: cells along x, along y, and layers.
            is_polar: x and y are angles and rings about the shower's axis.
            has_polar_angle: showers come at an angle each.
        """
        self._path, self._grid = path, grid
        self._is_polar, self._has_polar_angle = is_polar, has_polar_angle
        self._opened = ExitStack()

    def __enter__(self) -> Self:
        """Create a temporary file beside ``path``, whose folder is created where it is missing.

        Raises:
            DataError: if nothing can be written there.
            OSError: the disk is full.
        """
        if self._path.is_dir():
            msg = "is a folder, not a file to write"
            raise DataError(msg, file=str(self._path))
        try:
            self._path.parent.mkdir(parents=True, exist_ok=True)
            with self._opened:
                temporary = self._opened.enter_context(written_beside(self._path))
                temporary.write_bytes(self._without_showers())
                self._descriptor = self._opened.enter_context(temporary.open("rb+", buffering=0)).fileno()
                self._file = self._opened.enter_context(h5py.File(temporary, "r+"))
                self._opened = self._opened.pop_all()
        except OSError as error:
            if (full := no_room_in(error)) is not None:
                raise self._no_room(full) from error
            msg = f"cannot be written: {error}"
            raise DataError(msg, file=str(self._path)) from error
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._opened.__exit__(kind, error, trace)

    def append(self, cells: np.ndarray, energy_gev: np.ndarray, polar_angle_rad: np.ndarray | None = None) -> None:
        """Add showers: ``cells`` (B, X, Y, L) [GeV], incident energy (B,) [GeV], polar angle (B,) [rad], by default normal incidence.

        Raises:
            OSError: the disk is full; whoever leaves the block with it leaves nothing behind.
        """
        if polar_angle_rad is None:
            polar_angle_rad = np.full_like(energy_gev, NORMAL_INCIDENCE_RAD)
        if self._is_polar:
            layers_first = cells.transpose(0, 3, 1, 2).reshape(len(cells), -1)
            rows = {"showers": MEV_PER_GEV * layers_first, "incident_energies": MEV_PER_GEV * energy_gev[:, None]}
        else:
            rows = {"ECAL": cells, "target": _target(energy_gev, polar_angle_rad), "energy": energy_gev[:, None]}
        if self._has_polar_angle:
            rows["theta"] = polar_angle_rad[:, None]
        for start in range(0, len(cells), _SHOWERS_AT_ONCE):
            self._extend({name: values[start : start + _SHOWERS_AT_ONCE] for name, values in rows.items()})

    def note(self, **facts: str | int) -> None:
        """Attributes of the file: where its showers come from.

        Raises:
            OSError: the disk is full.
        """
        self._take_room(METADATA_BYTES)
        self._file.attrs.update(facts)
        self._settle()

    def _without_showers(self) -> bytes:
        """A file's bytes, made in memory: HDF5 opens it with nothing to write."""
        with h5py.File(self._path.name, "w", driver="core", backing_store=False) as file:
            if self._is_polar:
                showers = _data_set(file, "showers", (prod(self._grid),))
                showers.attrs["cylinder"] = (self._grid[2], *self._grid[:2])
                _data_set(file, "incident_energies", (1,))
            else:
                ecal = _data_set(file, "ECAL", self._grid)
                ecal.attrs["unit"] = "GeV"  # which a reader would guess from the response, rightly for a detector of its kind only
                _data_set(file, "target", (5,))
                _data_set(file, "energy", (1,))
                if self._has_polar_angle:
                    _data_set(file, "theta", (1,))
            file.flush()
            return bytes(file.id.get_file_image())

    def _extend(self, rows: dict[str, np.ndarray]) -> None:
        self._take_room(METADATA_BYTES + sum(_most_bytes(self._file[name], len(values)) for name, values in rows.items()))
        for name, values in rows.items():
            data = self._file[name]
            data.resize(len(data) + len(values), axis=0)
            data[-len(values) :] = values
        self._settle()

    def _take_room(self, num_bytes: int) -> None:
        try:
            take_room(self._descriptor, self._file.id.get_filesize(), num_bytes)
        except OSError as error:
            raise self._no_room(error) from error

    def _settle(self) -> None:
        """Let HDF5 write what it holds, and give back the room that was not needed, of which it does not know."""
        self._file.flush()
        os.ftruncate(self._descriptor, self._file.id.get_filesize())

    def _no_room(self, error: OSError) -> OSError:
        """The same of the file that the user knows."""
        return OSError(error.errno, error.strerror, str(self._path))


def _data_set(file: h5py.File, name: str, row: tuple[int, ...]) -> h5py.Dataset:
    """Without rows yet; cells are packed."""
    is_cells = name in ("ECAL", "showers")
    how = {"compression": "gzip", "shuffle": True} if is_cells else {}
    chunk = (_SHOWERS_PER_CHUNK if is_cells else _ROWS_PER_CHUNK, *row)
    return file.create_dataset(name, (0, *row), np.float32, maxshape=(None, *row), chunks=chunk, **how)


def _most_bytes(data: h5py.Dataset, num_rows: int) -> int:
    """Disk space that ``num_rows`` more may take: every chunk that is touched lies somewhere else afterwards, packed no smaller."""
    rows: int = data.chunks[0]
    first, last = len(data) // rows, -(-(len(data) + num_rows) // rows)
    chunk_bytes: int = prod(data.chunks) * data.dtype.itemsize
    return (last - first) * (chunk_bytes + chunk_bytes // _PACKED_LONGER + _METADATA_BYTES_PER_CHUNK)


def _target(energy: np.ndarray, polar_angle: np.ndarray) -> np.ndarray:
    """(B, 5) PDG code and four-momentum [GeV] of electrons, whose mass is neglected; they are tilted towards x."""
    momentum = [energy * np.cos(polar_angle), np.zeros_like(energy), energy * np.sin(polar_angle)]
    return np.stack([np.full_like(energy, ELECTRON_PDG_CODE), energy, *momentum], axis=1)
