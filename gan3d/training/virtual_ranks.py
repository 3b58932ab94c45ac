"""Ranks that one worker imitates, one after the other: each has its share of the worker's batch and its own running statistics.

So one worker of 32 virtual ranks learns what 32 workers learn: normalisation sees a virtual rank's showers only, gradients are
added up before the update, each of a loss over the number of ranks, and running statistics are averaged where those of workers are, before
validation. Dropout differs, whose random stream belongs to the worker, and which showers are in which step, where a worker's cache does
not hold the whole training set: such a set is shared out by workers (`gan3d.data.loader`).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator

import torch
from torch import nn


class VirtualRanks:
    """The virtual ranks of one worker during one epoch."""

    def __init__(self, networks: Iterable[nn.Module], count: int) -> None:
        """``count`` ranks that begin with the running statistics the networks have now."""
        self.count = count
        self._buffers = [buffer for network in networks for buffer in network.buffers() if buffer.is_floating_point()]
        self._of_rank = [[buffer.clone() for buffer in self._buffers] for _ in range(count)] if count > 1 else []

    def each(self, num_showers: int) -> Iterator[slice]:
        """Each rank's part of the worker's ``num_showers``; while it is worked on, the networks hold that rank's statistics."""
        share = num_showers // self.count
        for number in range(self.count):
            self._put(number)
            yield slice(number * share, (number + 1) * share)
            self._take(number)

    @torch.no_grad()
    def average_(self) -> None:
        """Give the networks the mean of the ranks' running statistics, and the ranks too."""
        if self.count == 1:
            return
        for place, buffer in enumerate(self._buffers):
            buffer.copy_(torch.stack([own[place] for own in self._of_rank]).mean(0))
            for own in self._of_rank:
                own[place].copy_(buffer)

    @torch.no_grad()
    def _put(self, number: int) -> None:
        if self._of_rank and self._buffers:
            torch._foreach_copy_(self._buffers, self._of_rank[number])

    @torch.no_grad()
    def _take(self, number: int) -> None:
        if self._of_rank and self._buffers:
            torch._foreach_copy_(self._of_rank[number], self._buffers)
