"""One HDF5 file of showers: opened in any layout of the field (`layouts`), checked, read in part; and written in the CLIC layout.

The file is open only while it is read. So a `ShowerFile` crosses processes and threads as it is, any number of ranks may read
the same file, and any number of files may belong to a data set; an opening takes 0.2 ms, a block of 32 showers to decode 4 ms.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gan3d.data.decoded_cells import DecodedCells
from gan3d.data.layouts import GridShape, Layout, detect
from gan3d.data.shower_writer import ShowerWriter
from gan3d.data.showers import Showers
from gan3d.errors import DataError

_LOG = logging.getLogger(__name__)
DAMAGE = (OSError, RuntimeError, KeyError)
"""What h5py raises on a file whose bytes are not what HDF5 expects."""


@dataclass(frozen=True, slots=True, eq=False)
class ShowerFile:
    """A file whose layout is known, where its decoded cells are, if they are anywhere (`node_cache`), and how much of them is seen."""

    path: Path
    layout: Layout
    decoded: DecodedCells | None = None
    window: GridShape | None = None
    """Cells (X, Y, L) in the middle, where not all are seen."""

    @property
    def num_showers(self) -> int:
        """Showers in the file, bad ones counted."""
        return len(self.layout.incident_energy)

    @property
    def grid(self) -> GridShape:
        """Cells (X, Y, L) that are seen."""
        return self.window or self.layout.grid

    def whole(self) -> ShowerFile:
        """The same with all cells."""
        return replace(self, window=None)

    def cropped(self, grid: GridShape) -> ShowerFile:
        """The same with the cells in the middle only: of 51 x 51 and a grid of 25 x 25 those from 13 to 37 (svalleco/3Dgan's 13:38).

        Raises:
            DataError: there is no such middle.
        """
        of = self.layout.grid
        if of[2] != grid[2] or any(cells < wanted or (cells - wanted) % 2 for cells, wanted in zip(of[:2], grid[:2], strict=True)):
            message = (
                f"{by(of)} cells cannot be cropped to {by(grid)} in their middle: along x and y an even number may go, layers all stay"
            )
            raise DataError(message, file=str(self.path))
        return replace(self, window=grid)

    @property
    def has_polar_angle(self) -> bool:
        """Whether every shower has one."""
        return self.layout.polar_angle is not None

    def read(self, start: int, stop: int) -> Showers:
        """Showers ``start`` to ``stop`` (exclusive); ``identity`` is the index in this file.

        Raises:
            DataError: the file is damaged, or a cell's energy is negative.
        """
        assert 0 <= start < stop <= self.num_showers
        cells = self._decoded(start, stop)
        if cells is None:
            cells = self.layout.cells(self._stored(start, stop))
            self._check_not_negative(cells, start)
        if self.window is not None:
            (x, y), (first_x, first_y) = self.window[:2], self._corner()
            cells = np.ascontiguousarray(cells[:, first_x : first_x + x, first_y : first_y + y])
        here = slice(start, stop)
        angle = self.layout.polar_angle
        return Showers(
            cells=cells,
            incident_energy=self.layout.incident_energy[here],
            polar_angle=None if angle is None else angle[here],
            identity=np.arange(start, stop, dtype=np.int64),
        )

    def _corner(self) -> tuple[int, int]:
        """Where the window begins along x and y."""
        of, window = self.layout.grid, self.grid
        return (of[0] - window[0]) // 2, (of[1] - window[1]) // 2

    def _decoded(self, start: int, stop: int) -> NDArray[np.float32] | None:
        """Cells that were decoded, and checked, before; None where there are none."""
        if self.decoded is None or stop > self.decoded.num_showers:
            return None
        cells = self.decoded.read(start, stop)
        if cells is None and self.decoded.path.exists():
            _LOG.warning("%s is damaged and was removed; showers are read from %s", self.decoded.path, self.path)
            self.decoded.path.unlink(missing_ok=True)
        return cells

    def _stored(self, start: int, stop: int) -> NDArray[Any]:
        with _opened(self.path) as file:
            try:
                stored: NDArray[Any] = file[self.layout.cells_name][start:stop]
            except DAMAGE as error:
                message = f"showers {start} to {stop - 1} cannot be decoded, the file is damaged: {error}"
                raise DataError(message, file=str(self.path), index=start) from error
        return stored

    def _check_not_negative(self, cells: NDArray[np.float32], start: int) -> None:
        if cells.min() >= 0:
            return
        # Not finite showers come here too (a comparison with NaN is false); those are dropped later, not refused.
        wrong = np.flatnonzero((cells < 0).any(axis=(1, 2, 3)) & np.isfinite(cells).all(axis=(1, 2, 3)))
        if len(wrong):
            message = f"a cell holds a negative energy, {cells[wrong[0]].min():g} GeV"
            raise DataError(message, file=str(self.path), index=start + int(wrong[0]))


def open_shower_file(path: Path | str) -> ShowerFile:
    """Detect and check the layout of ``path``; reads the conditions of all showers and the cells of a few.

    Raises:
        DataError: not there, not HDF5, truncated, or not in a layout of `layouts`.
    """
    path = Path(path)
    with _opened(path) as file:
        try:
            layout = detect(file, str(path))
        except DAMAGE as error:
            message = f"cannot be read, the file is damaged: {error}"
            raise DataError(message, file=str(path)) from error
    return ShowerFile(path, layout)


def write_clic_file(path: Path | str, showers: Showers) -> None:
    """Write ``showers`` in the CLIC fixed-angle layout: `ECAL`, `target` (pdg, E, px, py, pz), `energy`, and `theta` if they have one.

    The file appears under its name only when it is complete. `ECAL` says that its unit is GeV, so that showers of any response
    (an untrained generator's too) are read back as they were.

    Raises:
        DataError: there is no shower, or nothing can be written at ``path``.
        OSError: the disk is full.
    """
    path = Path(path)
    if len(showers) == 0:
        message = "there is no shower to write"
        raise DataError(message, file=str(path))
    grid = showers.cells.shape[1:]
    with ShowerWriter(path, grid, is_polar=False, has_polar_angle=showers.polar_angle is not None) as writer:
        writer.append(showers.cells, showers.incident_energy, showers.polar_angle)


def by(grid: GridShape) -> str:
    """A grid as messages write it: 25 x 25 x 25."""
    return " x ".join(str(cells) for cells in grid)


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    if not path.is_file():
        message = "there is no such file"
        raise DataError(message, file=str(path))
    try:
        # Read-only and parallel file systems often cannot lock; nobody writes into a file under its final name.
        file = h5py.File(path, "r", locking="best-effort")
    except OSError as error:
        message = f"not a complete HDF5 file: {error}"
        raise DataError(message, file=str(path)) from error
    with file:
        yield file
