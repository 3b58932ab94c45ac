"""The ranks of one trial: who am I, and the few collectives a trial needs. One process is a world of one, without torch.distributed."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist

CPU = torch.device("cpu")


@dataclass(frozen=True, slots=True)
class Ranks:
    """This process among the trial's processes.

    ``group`` is the trial's process group (a subgroup of the team's where the trial is smaller), None for a world of one.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = CPU
    group: dist.ProcessGroup | None = None

    def sum(self, tensor: torch.Tensor) -> torch.Tensor:
        """Sum over ranks, in place; returns the tensor."""
        return self._all_reduce(tensor, dist.ReduceOp.SUM)

    def max(self, tensor: torch.Tensor) -> torch.Tensor:
        """Elementwise maximum over ranks, in place; returns the tensor."""
        return self._all_reduce(tensor, dist.ReduceOp.MAX)

    def min(self, tensor: torch.Tensor) -> torch.Tensor:
        """Elementwise minimum over ranks, in place; returns the tensor."""
        return self._all_reduce(tensor, dist.ReduceOp.MIN)

    def mean(self, tensor: torch.Tensor) -> torch.Tensor:
        """Mean over ranks, in place; returns the tensor."""
        return self.sum(tensor).div_(self.world_size)

    def barrier(self) -> None:
        """Wait until every rank is here."""
        if self.group is not None:
            dist.barrier(group=self.group)

    def broadcast(self, value: Any) -> Any:
        """Rank 0's value, on every rank."""
        if self.group is None:
            return value
        box = [value]
        dist.broadcast_object_list(box, group=self.group, group_src=0)
        return box[0]

    def gather(self, value: Any) -> list[Any]:
        """Every rank's value, in the order of ranks, on every rank."""
        if self.group is None:
            return [value]
        found = [None] * self.world_size
        dist.all_gather_object(found, value, group=self.group)
        return found

    def _all_reduce(self, tensor: torch.Tensor, operation: Any) -> torch.Tensor:
        if self.group is not None:
            dist.all_reduce(tensor, op=operation, group=self.group)
        return tensor
