"""Batches of a rank: its share of each epoch, shuffled, within bounded memory, read ahead in a thread.

A set that fits into ``cache_megabytes`` is kept decoded and shuffled as a whole. A larger one is read in blocks, in another order
each epoch, and shuffled again within a window of many blocks. Either way an epoch depends on its number, the seed and the world
size only (and the settings above), so a trial resumes at any epoch as if it had never stopped.

In the order of the seed's public code there is neither a shuffle nor a share: every rank takes the first showers of the files.
"""

from __future__ import annotations

from collections.abc import Generator, Iterator
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from gan3d.data.dataset import ShowerSet, shard
from gan3d.data.memory import WholeSet, Window, shuffled_within, whole_set
from gan3d.data.read_ahead import read_ahead
from gan3d.data.showers import Showers
from gan3d.errors import DataError

MEGABYTE = 1_000_000
WINDOW_BLOCKS = 32
"""Blocks in the shuffling window: enough that neighbours in a file come apart, few enough to fill soon when an epoch begins."""
SMALLEST_WINDOW_BYTES = 64_000_000
"""The shuffling window may be so large even where the cache is smaller, or none: without one there is no shuffle."""


@dataclass(frozen=True, slots=True)
class Share:
    """Which showers of an epoch a worker takes, and how many at once. See `config.training` for ``order`` and ``virtual_ranks``."""

    batch_per_worker: int
    """Showers of one rank, real or virtual; a batch of the loader holds those of all of a worker's virtual ranks."""
    rank: int
    """Of the worker, among ``world_size`` workers."""
    world_size: int
    seed: int
    virtual_ranks: int = 1
    order: Literal["shuffled", "seed"] = "shuffled"

    @property
    def local_batch(self) -> int:
        """Showers of a batch."""
        return self.batch_per_worker * self.virtual_ranks


class Loader:
    """Epochs of batches for one worker; every worker makes its own, with the same settings but for the rank."""

    def __init__(
        self,
        showers: ShowerSet,
        share: Share,
        *,
        cache_megabytes: int,
        read_ahead_batches: int,
        num_steps: int | None = None,
    ) -> None:
        """See `config.training.Data` for ``cache_megabytes`` and ``read_ahead_batches``; ``num_steps`` ends an epoch early.

        Raises:
            DataError: fewer showers than one global batch.
        """
        assert 0 <= share.rank < share.world_size
        self._showers = showers
        self._share = share
        self._read_ahead_batches = read_ahead_batches
        self._budget = cache_megabytes * MEGABYTE // showers.shower_bytes
        self._whole_set = whole_set(showers) if len(showers) <= self._budget else None
        if self._whole_set is None:
            whole_set.cache_clear()  # an earlier trial's: memory that is not in this trial's budget
        whole_pass = self._whole_pass()
        self._num_steps = whole_pass if num_steps is None else min(num_steps, whole_pass)

    @property
    def num_steps(self) -> int:
        """Batches in an epoch, the same on all ranks; the remainder, smaller than one global batch, is another one each epoch."""
        return self._num_steps

    def epoch(self, number: int) -> Generator[Showers]:
        """The `num_steps` batches of epoch ``number``; close the iterator (or use it up) to end the thread that reads ahead."""
        return read_ahead(self._batches(number), self._read_ahead_batches)

    def _batches(self, number: int) -> Iterator[Showers]:
        if self._share.order == "seed":
            yield from self._first_showers()
            return
        memory, going = self._small_set(self._whole_set, number) if self._whole_set is not None else self._large_set(number)
        for start in range(0, self._num_steps * self._share.local_batch, self._share.local_batch):
            yield memory.batch(going[start : start + self._share.local_batch])

    def _first_showers(self) -> Iterator[Showers]:
        """The same batches on every rank and in every epoch: each virtual rank's showers are the same, too."""
        memory = self._whole_set or self._showers
        for start in range(0, self._num_steps * self._share.batch_per_worker, self._share.batch_per_worker):
            rows = np.arange(start, start + self._share.batch_per_worker)
            of_one_rank = memory.batch(rows) if isinstance(memory, WholeSet) else memory.read(rows)
            yield of_one_rank.take(np.tile(np.arange(self._share.batch_per_worker), self._share.virtual_ranks))

    def _small_set(self, whole_set: WholeSet, number: int) -> tuple[WholeSet, NDArray[np.int64]]:
        """Batch by batch each virtual rank's share, as workers would have it that are as many."""
        single_showers = np.arange(len(self._showers) + 1)
        share, count = self._share, self._share.virtual_ranks
        ranks = range(share.rank * count, (share.rank + 1) * count)
        shards = [shard(single_showers, rank, share.world_size * count, number, share.seed) for rank in ranks]
        length = self._num_steps * share.batch_per_worker
        batches = [own[:length].reshape(self._num_steps, share.batch_per_worker) for own in shards]
        return whole_set, np.stack(batches, axis=1).reshape(-1)

    def _large_set(self, number: int) -> tuple[Window, NDArray[np.int64]]:
        order = shard(self._showers.edges, self._share.rank, self._share.world_size, number, self._share.seed)
        # The window is filled from one batch more than the epoch needs: the showers left out are a random choice.
        order = order[: (self._num_steps + 1) * self._share.local_batch]
        window = self._window(len(order))
        random = np.random.default_rng([self._share.seed, number, 1 + self._share.rank])
        return Window(self._showers, order, window, self._share.local_batch), shuffled_within(len(order), window, random)

    def _window(self, num_showers: int) -> int:
        """Showers in the shuffling window: within the budget, but two blocks at least."""
        block = int(np.diff(self._showers.edges).max())
        budget = max(self._budget, SMALLEST_WINDOW_BYTES // self._showers.shower_bytes)
        return max(2 * block, min(budget, WINDOW_BLOCKS * block, num_showers // 4))

    def _whole_pass(self) -> int:
        global_batch = self._share.local_batch * self._share.world_size
        if len(self._showers) < global_batch:
            message = (
                f"{len(self._showers)} showers are fewer than one global batch of {global_batch}; lower training.global_batch or add files"
            )
            raise DataError(message, file=str(self._showers.files[0].path))
        return len(self._showers) // global_batch


def validation_shard(num_showers: int, rank: int, world_size: int) -> NDArray[np.int64]:
    """This rank's showers, consecutive; the ranks' lengths differ by one at most and together they are all showers."""
    return np.arange(num_showers * rank // world_size, num_showers * (rank + 1) // world_size)
