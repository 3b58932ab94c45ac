"""Decoded showers in a worker's memory: all of a small set between epochs, or a bounded window of a large one.

Both answer the same question, `batch(positions)`, for positions of an epoch; they differ in what they hold.
"""

from __future__ import annotations

import threading
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from gan3d.data.dataset import ShowerSet
from gan3d.data.showers import Showers


class WholeSet:
    """Every shower of the set, decoded once: the first time that one of its block is wanted."""

    def __init__(self, showers: ShowerSet) -> None:
        self._showers = showers
        self._held = Showers.empty(len(showers), showers.grid, has_polar_angle=showers.has_polar_angle)
        self._is_here = np.zeros(len(showers.edges) - 1, dtype=bool)
        self._filling = threading.Lock()

    def batch(self, index: NDArray[np.int64]) -> Showers:
        """Showers at ``index`` of the set."""
        edges = self._showers.edges
        blocks = np.unique(np.searchsorted(edges, index, side="right") - 1)
        with self._filling:
            for block in blocks[~self._is_here[blocks]]:
                here = slice(int(edges[block]), int(edges[block + 1]))
                self._held.put(here, self._showers.read(np.arange(here.start, here.stop)))
                self._is_here[block] = True
        return self._held.take(index)


@lru_cache(maxsize=1)
def whole_set(showers: ShowerSet) -> WholeSet:
    """The set's showers in memory; kept, so that the next trial on the same set need not decode them again."""
    return WholeSet(showers)


class Window:
    """The part of an epoch between what was read and what was let go.

    An epoch is read in ``order``, block by block, and let go in another order, in which no shower comes more than ``window``
    places early (`shuffled_within`); so at most a window, a batch and a block of showers are held.
    """

    def __init__(self, showers: ShowerSet, order: NDArray[np.int64], window: int, batch_per_worker: int) -> None:
        self._showers = showers
        self._order = order
        self._cuts = _cuts(order, showers.edges)
        num_slots = min(len(order), window + batch_per_worker + int(np.diff(self._cuts).max(initial=0)))
        self._held = Showers.empty(num_slots, showers.grid, has_polar_angle=showers.has_polar_angle)
        self._free = np.arange(num_slots)
        self._slot = np.empty(len(order), dtype=np.int64)
        self._next_cut = 0

    def batch(self, positions: NDArray[np.int64]) -> Showers:
        """Showers at ``positions`` of the order; each position may be asked for once."""
        while self._cuts[self._next_cut] <= positions.max():
            self._read_block()
        slots = self._slot[positions]
        batch = self._held.take(slots)
        self._free = np.concatenate([self._free, slots])
        return batch

    def _read_block(self) -> None:
        here = slice(int(self._cuts[self._next_cut]), int(self._cuts[self._next_cut + 1]))
        num_read = here.stop - here.start
        slots, self._free = self._free[:num_read], self._free[num_read:]
        self._held.put(slots, self._showers.read(self._order[here]))
        self._slot[here] = slots
        self._next_cut += 1


def shuffled_within(num_showers: int, window: int, random: np.random.Generator) -> NDArray[np.int64]:
    """(N,) order in which a shuffling buffer of ``window`` showers lets showers 0 to N - 1 go.

    Each newcomer takes a random place in the buffer, whose shower goes; what is left at the end goes in random order. So the one
    that goes at step k is at most number k + window - 1.
    """
    held = np.arange(min(window, num_showers)).tolist()
    gone = []
    for newcomer, place in enumerate(random.integers(window, size=max(0, num_showers - window)).tolist(), start=window):
        gone.append(held[place])
        held[place] = newcomer
    return np.concatenate([np.array(gone, dtype=np.int64), random.permutation(np.array(held, dtype=np.int64))])


def _cuts(order: NDArray[np.int64], edges: NDArray[np.int64]) -> NDArray[np.int64]:
    """Positions of ``order`` where another block begins, and its end."""
    blocks = np.searchsorted(edges, order, side="right")
    cuts: NDArray[np.int64] = np.concatenate([[0], np.flatnonzero(np.diff(blocks)) + 1, [len(order)]])
    return cuts
