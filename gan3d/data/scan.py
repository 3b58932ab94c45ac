"""One look at every shower of a data set: what each deposited, and which ones are fit to be used.

Cost: one pass over the files, shared by the ranks that take part (a core decodes about 5000 showers of 25 x 25 x 25 cells in a
second, so 200 000 showers, 12.5 GB, take one rank 40 seconds and 32 ranks little more than one), and one sum of 4 bytes per
shower over them. Nothing is written next to the data.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.errors import DataError

EMPTY = "empty"
NOT_FINITE = "not_finite"
#: What a rank says whose own share is in order.
ELSEWHERE = "another rank could not read its share of the showers; its error says which file"


@dataclass(frozen=True, slots=True, eq=False)
class Scan:
    """What was found.

    Attributes:
        kept: indices of the showers that are used, rising.
        deposited_energy: of the kept ones, float32 [GeV].
        dropped: reason to number of showers, both reasons always there.
    """

    kept: NDArray[np.int64]
    deposited_energy: NDArray[np.float32]
    dropped: dict[str, int]


def scan(
    read: Callable[[int, int], Showers],
    edges: NDArray[np.int64],
    rank: int = 0,
    world_size: int = 1,
    sum_over_ranks: Callable[[torch.Tensor], object] | None = None,
    *,
    threshold_gev: float = 0.0,
) -> Scan:
    """Look at the blocks between ``edges``, each rank at its share of them; every rank gets the whole answer.

    Args:
        read: showers from an index to another (exclusive).
        edges: (num_blocks + 1,) indices where blocks of showers begin and end.
        rank: of this process.
        world_size: how many ranks take part; all of them must call.
        sum_over_ranks: sums a tensor over the ranks, in place; needed where there are several.
        threshold_gev: cells below it [GeV] deposit nothing.

    Raises:
        DataError: a file is damaged or holds a negative energy; raised on every rank, so that none waits for another.
    """
    assert world_size == 1 or sum_over_ranks is not None
    # One number more than there are showers: how many ranks failed.
    found = np.zeros(edges[-1] + 1, dtype=np.float32)
    failure = _look(read, np.array_split(np.arange(len(edges) - 1), world_size)[rank], edges, found, threshold_gev)
    found[-1] = failure is not None
    if sum_over_ranks is not None:
        sum_over_ranks(torch.from_numpy(found))
    if failure is not None:
        raise failure
    if found[-1]:
        raise DataError(ELSEWHERE)
    return _summary(found[:-1])


def _look(
    read: Callable[[int, int], Showers],
    blocks: NDArray[np.int64],
    edges: NDArray[np.int64],
    found: NDArray[np.float32],
    threshold_gev: float,
) -> DataError | None:
    """Fill ``found`` with what the showers of ``blocks`` deposited [GeV], NaN where a shower is not finite."""
    try:
        for block in blocks:
            start, stop = int(edges[block]), int(edges[block + 1])
            showers = read(start, stop)
            with np.errstate(invalid="ignore", over="ignore"):
                # Not `where=` the cell is above: what is not a number must stay in the sum, to be found.
                cells = np.where(showers.cells < threshold_gev, np.float32(0), showers.cells) if threshold_gev else showers.cells
                deposited = cells.sum(axis=(1, 2, 3))
            found[start:stop] = np.where(_is_finite(showers, deposited), deposited, np.nan)
    except DataError as error:
        return error
    return None


def _is_finite(showers: Showers, deposited: NDArray[np.float32]) -> NDArray[np.bool_]:
    is_finite = np.isfinite(deposited) & np.isfinite(showers.incident_energy)
    return is_finite if showers.polar_angle is None else is_finite & np.isfinite(showers.polar_angle)


def _summary(deposited: NDArray[np.float32]) -> Scan:
    kept = np.flatnonzero(deposited > 0)
    not_finite = int(np.isnan(deposited).sum())
    dropped = {EMPTY: len(deposited) - len(kept) - not_finite, NOT_FINITE: not_finite}
    return Scan(kept, deposited[kept], dropped)
