"""What an epoch cost, added to its record: each rank reads its own meters, the sum over ranks is the trial's."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import torch

from gan3d.cost.epochs import EpochMeter, Holding, merged
from gan3d.cost.meters import Nvml, Rapl
from gan3d.records import EpochRecord
from gan3d.training.ranks import Ranks


class TrialMeter:
    """Runs from the moment it is made, on every rank of a trial."""

    def __init__(self, holding: Holding, ranks: Ranks) -> None:
        self._holding, self._ranks = holding, ranks
        self._meter = EpochMeter(holding, node_energy(), gpu_energy(ranks.device))

    def with_cost(self, record: EpochRecord) -> EpochRecord:
        """The record with what was spent since the one before; equal on all ranks, and to be called on all."""
        row = torch.tensor(self._meter.read(), dtype=torch.float64, device=self._ranks.device)
        return replace(record, cost=merged(self._ranks.sum(row).tolist(), self._holding))


@cache
def node_energy() -> Rapl | None:
    """This process's view of its node's energy, watched to the process's end; None where it cannot be read."""
    meter = Rapl.open()
    if meter is not None:
        meter.watch()
    return meter


@cache
def gpu_energy(device: torch.device) -> Nvml | None:
    """The meter of this worker's GPU; None on a CPU, or where it cannot be read."""
    return Nvml.open(str(torch.cuda.get_device_properties(device).uuid)) if device.type == "cuda" else None
