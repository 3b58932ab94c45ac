"""What each epoch of a trial cost, metered by its workers: every worker reads its own, the sum over ranks is the trial's.

An epoch lasts from the end of the one before, or from when the workers took the trial up, so loading, validation, checkpoint and
waiting for permission are in it. Not in it: forming the team, and epochs that were never finished; those `gan3d.cost.ledger` has.

Shares of a node. RAPL counts everybody on it, so a worker gets the node's energy times its own CPU time over the busy CPU time of
the whole node in the same interval: trials that run side by side and other users each get theirs, and what the node draws when
idle is shared in the same proportion. Ray's and the driver's own processes reserve no CPUs and are counted to no trial.
Where RAPL cannot be read, or its counters stand still, as in some virtual machines: CPUs of the worker x `cost.watts_per_core`, whether
or not they were busy. A GPU is one worker's alone.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import psutil

from gan3d.cost.meters import Nvml, Rapl
from gan3d.records import Cost


@dataclass(frozen=True, slots=True)
class Holding:
    """What one worker holds, and what that draws where no counter says so. Travels with a trial's assignment."""

    cpus_per_worker: int
    gpus_per_worker: int
    workers: int
    """Of the trial."""
    team_workers: int
    """Of its team, those that sleep while a smaller trial is trained included."""
    watts_per_core: float
    watts_per_gpu: float


def busy_seconds() -> float:
    """CPU seconds that all CPUs of this node have worked since it started, for anybody."""
    times = psutil.cpu_times()
    # Guests' time is in `user` and `nice` already.
    return float(sum(getattr(times, name, 0.0) for name in ("user", "nice", "system", "irq", "softirq")))


@dataclass(frozen=True, slots=True)
class Clocks:
    """Seconds, each from any zero: of the wall, of this process on CPUs, of all CPUs of the node at work."""

    wall: Callable[[], float] = time.monotonic
    own: Callable[[], float] = time.process_time
    busy: Callable[[], float] = busy_seconds


@dataclass(frozen=True, slots=True)
class Readings:
    """All clocks [s] and counters [J] at one moment; None: no such counter, or it could not be read."""

    wall: float
    own: float
    busy: float
    node: float | None
    gpu: float | None


class EpochMeter:
    """One worker's meter for one trial; `read` at the end of every epoch."""

    def __init__(self, holding: Holding, rapl: Rapl | None, nvml: Nvml | None, clocks: Clocks | None = None) -> None:
        self._holding, self._rapl, self._nvml = holding, rapl, nvml
        self._clocks = clocks or Clocks()
        self._last = self._readings()

    def read(self) -> list[float]:
        """This worker's part since the last reading, in the order of `merged`; to be summed over ranks."""
        before, self._last = self._last, self._readings()
        now, holding = self._last, self._holding
        wall = now.wall - before.wall
        core_seconds, gpu_seconds = wall * holding.cpus_per_worker, wall * holding.gpus_per_worker
        node, gpu = gained(before.node, now.node), gained(before.gpu, now.gpu)
        own, busy = now.own - before.own, now.busy - before.busy
        rapl = node * min(own / busy, 1.0) if node is not None and busy > 0 else None
        declared = core_seconds * holding.watts_per_core if rapl is None else 0.0
        declared += gpu_seconds * holding.watts_per_gpu if gpu is None else 0.0
        return [core_seconds, gpu_seconds, rapl or 0.0, gpu or 0.0, declared]

    def _readings(self) -> Readings:
        node = self._rapl.joules() if self._rapl is not None else None
        gpu = self._nvml.joules() if self._nvml is not None else None
        return Readings(self._clocks.wall(), self._clocks.own(), self._clocks.busy(), node, gpu)


def gained(before: float | None, now: float | None) -> float | None:
    """What a counter gained between two readings [J]; None where it was not read, or did not move: then it counts nothing."""
    return None if before is None or now is None or now <= before else now - before


def merged(sums: Sequence[float], holding: Holding) -> Cost:
    """An epoch's cost from its workers' readings, summed."""
    core_seconds, gpu_seconds, rapl, nvml, declared = sums
    return Cost(
        core_seconds=core_seconds,
        reserved_core_seconds=core_seconds * holding.team_workers / holding.workers,
        gpu_seconds=gpu_seconds,
        joules=rapl + nvml + declared,
        rapl_joules=rapl,
        nvml_joules=nvml,
        declared_joules=declared,
    )
