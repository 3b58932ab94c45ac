"""A data set: showers of many files under one index; and the order in which the ranks of a trial go through it.

Showers that are empty or not finite are dropped and counted. To know them, every shower must be looked at once (`scan`): `ShowerSet.scan`
shares that work between ranks; without it, the first question that needs the answer makes the whole scan in this process.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cached_property
from itertools import pairwise
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.layouts import GridShape
from gan3d.data.node_cache import decoded_on_this_node
from gan3d.data.paths import find_files, located
from gan3d.data.scan import Scan, scan
from gan3d.data.shower_file import ShowerFile, by, open_shower_file
from gan3d.data.showers import Showers
from gan3d.errors import DataError

BLOCK_BYTES = 16_000_000
"""Decoded size of a block of consecutive showers: large beside the cost of a read, small beside a worker's memory."""
BLOCK_SHOWERS = 32
"""And not more showers than this, unless the file's chunks are larger: small blocks make a better shuffle."""
LARGEST_BLOCK_BYTES = 256_000_000
"""Where even one chunk of the file is larger, a block is a part of it."""


class ShowerSet:
    """Showers of many files; small, so that it can be sent to another process together with its scan."""

    def __init__(self, files: Sequence[ShowerFile], max_showers: int | None = None, threshold_gev: float = 0.0) -> None:
        """Of ``files`` in their order, the first ``max_showers`` in all (bad ones counted)."""
        self.files = tuple(files)
        self.threshold_gev = threshold_gev
        self._check_grids()
        ends = np.cumsum([file.num_showers for file in self.files])
        self.num_in_files = int(ends[-1] if max_showers is None else min(max_showers, ends[-1]))
        self._starts = np.concatenate([[0], ends[:-1]]).astype(np.int64)
        self._scan: Scan | None = None

    @classmethod
    def open(
        cls,
        patterns: Sequence[str],
        *,
        base: Path | None = None,
        max_showers: int | None = None,
        grid: GridShape | None = None,
        crop: bool = False,
        node_cache: str | None = None,
        threshold_gev: float = 0.0,
    ) -> ShowerSet:
        """The files that match ``patterns`` (see `paths`), checked; reads their conditions, not their cells.

        Args:
            patterns: paths, globs, `$VARS`.
            base: folder of relative patterns; by default the current one.
            max_showers: use only the first so many, bad ones counted.
            grid: (X, Y, L) that the files must have.
            crop: whether larger files are cropped to it, in their middle.
            node_cache: folder of decoded copies, see `node_cache`; `$VARS` are those of this process.
            threshold_gev: cells below it [GeV] count neither for what a shower deposits nor for whether it is empty; they are read all
                the same.

        Raises:
            DataError: no file matches, a file is not one of showers, or the grids differ.
        """
        files = [open_shower_file(path) for path in find_files(patterns, base or Path.cwd())]
        if crop and grid is not None:
            files = [file if file.grid == tuple(grid) else file.cropped(grid) for file in files]
        showers = cls(files, max_showers, threshold_gev)
        if grid is not None and tuple(grid) != showers.grid:
            message = f"the showers have {by(showers.grid)} cells, data.grid says {by(grid)}; set data.grid to {list(showers.grid)}"
            raise DataError(message, file=str(showers.files[0].path))
        if node_cache is not None:
            folder = Path(located(node_cache, base or Path.cwd()))
            showers.files = decoded_on_this_node(showers.files, showers._used(), folder)
        return showers

    def scan(self, rank: int = 0, world_size: int = 1, sum_over_ranks: Callable[[torch.Tensor], object] | None = None) -> ShowerSet:
        """Find the showers to drop, once; every rank of ``world_size`` calls this and looks at its share. Returns itself.

        Raises:
            DataError: a damaged file or a negative energy, on every rank; or no shower is left.
        """
        if self._scan is None:
            found = scan(self._read_range, self._edges_in_files, rank, world_size, sum_over_ranks, threshold_gev=self.threshold_gev)
            if not len(found.kept):
                message = f"no shower can be used; dropped: {found.dropped}"
                raise DataError(message, file=str(self.files[0].path))
            self._scan = found
        return self

    def __len__(self) -> int:
        return len(self._found.kept)

    @property
    def is_scanned(self) -> bool:
        """Whether the showers to drop are known in this process."""
        return self._scan is not None

    @property
    def grid(self) -> GridShape:
        """Cells (X, Y, L) of every shower."""
        return self.files[0].grid

    @property
    def is_polar(self) -> bool:
        """Whether x and y of every file are an angle and a radius."""
        return all(file.layout.is_polar for file in self.files)

    @property
    def has_polar_angle(self) -> bool:
        """Whether every shower has one; where only some files do, none is delivered."""
        return all(file.has_polar_angle for file in self.files)

    @property
    def shower_bytes(self) -> int:
        """Decoded size of one shower's cells."""
        return int(np.prod(self.grid)) * np.dtype(np.float32).itemsize

    @property
    def dropped(self) -> dict[str, int]:
        """Reason (`empty`, `not_finite`) to number of showers."""
        return dict(self._found.dropped)

    def incident_energies(self) -> NDArray[np.float32]:
        """(N,) float32 [GeV]."""
        every = np.concatenate([file.layout.incident_energy for file in self.files])
        return every[self._found.kept]

    def polar_angles(self) -> NDArray[np.float32] | None:
        """(N,) float32 [rad]; None where not every shower has one."""
        if not self.has_polar_angle:
            return None
        every = np.concatenate([file.layout.polar_angle for file in self.files if file.layout.polar_angle is not None])
        return every[self._found.kept]

    def deposited_energies(self) -> NDArray[np.float32]:
        """(N,) float32 [GeV], of all cells that are not below the threshold of the set."""
        return self._found.deposited_energy

    @cached_property
    def edges(self) -> NDArray[np.int64]:
        """(num_blocks + 1,) positions where blocks of consecutive showers begin and end; a block lies in one file, on its chunks."""
        edges: NDArray[np.int64] = np.unique(np.searchsorted(self._found.kept, self._edges_in_files))
        return edges

    def read(self, index: NDArray[np.int64]) -> Showers:
        """Showers at ``index`` (0 to N - 1), in its order; ``identity`` counts all showers of the files, dropped ones too.

        Raises:
            DataError: a file is damaged.
        """
        rows = self._found.kept[index]
        rising = np.argsort(rows, kind="stable")
        runs = self._runs(rows[rising])
        if len(runs) == 1 and np.array_equal(rows, np.arange(rows[0], rows[0] + len(rows))):
            return self._read_range(int(rows[0]), int(rows[-1]) + 1)
        showers = Showers.empty(len(rows), self.grid, has_polar_angle=self.has_polar_angle)
        for run in runs:
            here = rising[run]
            first, last = int(rows[here[0]]), int(rows[here[-1]])
            showers.put(here, self._read_range(first, last + 1).take(rows[here] - first))
        return showers

    @property
    def _found(self) -> Scan:
        self.scan()
        assert self._scan is not None
        return self._scan

    @cached_property
    def _edges_in_files(self) -> NDArray[np.int64]:
        """As `edges`, of all showers of the files."""
        blocks = [
            np.arange(start, start + file.num_showers, _block(file, self.shower_bytes))
            for start, file in zip(self._starts, self.files, strict=True)
        ]
        inside = np.concatenate(blocks)
        return np.append(inside[inside < self.num_in_files], self.num_in_files)

    def _used(self) -> list[int]:
        """Showers of each file that belong to the set."""
        left = self.num_in_files - self._starts
        return [int(min(max(number, 0), file.num_showers)) for number, file in zip(left, self.files, strict=True)]

    def _runs(self, rows: NDArray[np.int64]) -> list[slice]:
        """Parts of rising ``rows`` that are read at once: in one block, where decoding what lies between costs least."""
        blocks = np.searchsorted(self._edges_in_files, rows, side="right")
        cuts = np.concatenate([[0], np.flatnonzero(np.diff(blocks)) + 1, [len(rows)]])
        return [slice(int(start), int(stop)) for start, stop in pairwise(cuts) if stop > start]

    def _read_range(self, start: int, stop: int) -> Showers:
        """Showers ``start`` to ``stop`` of one file, counted over all files."""
        number = int(np.searchsorted(self._starts, start, side="right")) - 1
        offset = int(self._starts[number])
        showers = self.files[number].read(start - offset, stop - offset)
        polar_angle = showers.polar_angle if self.has_polar_angle else None
        return Showers(showers.cells, showers.incident_energy, polar_angle, showers.identity + offset)

    def _check_grids(self) -> None:
        first = self.files[0]
        for file in self.files[1:]:
            if file.grid != first.grid:
                message = f"its showers have {by(file.grid)} cells, those of {first.path} have {by(first.grid)}; a data set has one grid"
                raise DataError(message, file=str(file.path))


def shard(edges: NDArray[np.int64], rank: int, world_size: int, epoch: int, seed: int) -> NDArray[np.int64]:
    """Showers of this rank in this epoch, in the order in which they are read.

    The blocks between ``edges`` are permuted with (seed, epoch), their concatenation, begun at a random shower, is cut into
    ``world_size`` pieces of one length: so ranks share no shower, read different blocks (a compressed chunk is decoded by one
    rank), and the showers left over, fewer than ``world_size``, are others in each epoch.
    """
    random = np.random.default_rng([seed, epoch])
    permuted = random.permutation(len(edges) - 1)
    lengths = np.diff(edges)[permuted]
    num_showers = int(edges[-1])
    order: NDArray[np.int64] = np.arange(num_showers) + np.repeat(edges[:-1][permuted] - (np.cumsum(lengths) - lengths), lengths)
    order = np.roll(order, random.integers(num_showers))
    length = num_showers // world_size
    return order[rank * length : (rank + 1) * length]


def _block(file: ShowerFile, shower_bytes: int) -> int:
    """Showers to a block: whole chunks of the file."""
    wanted = min(BLOCK_SHOWERS, max(1, BLOCK_BYTES // shower_bytes))
    whole_chunks = -(-wanted // file.layout.storage.chunk) * file.layout.storage.chunk
    return min(whole_chunks, max(1, LARGEST_BLOCK_BYTES // shower_bytes))
