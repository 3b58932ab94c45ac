"""Where an epoch's wall time goes: exclusive phases that add up, and the DDP hook that sees exposed communication.

Covered: host clocks; on a GPU every phase ends with a device synchronisation, so kernels are charged to the phase that
launched them, and communication stays inside the backward pass that hides it (``exposed_communication`` reads 0 there).
Not covered: CUDA events (untested here: no GPU).
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch
import torch.distributed as dist

from gan3d.records import PHASES
from gan3d.training.ranks import Ranks


class PhaseClock:
    """Charges wall time to exactly one phase at a time; an inner phase pauses the outer one."""

    __slots__ = ("_now", "_synchronise", "seconds", "started")

    def __init__(self, device: torch.device | None = None, now: Callable[[], float] = time.perf_counter) -> None:
        """Start the epoch's clock. ``now`` is a monotonic clock [s]."""
        on_gpu = device is not None and device.type == "cuda"
        self._now = now
        self._synchronise: Callable[[], None] = torch.cuda.synchronize if on_gpu else lambda: None
        self.seconds = dict.fromkeys(PHASES, 0.0)
        self.started = now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the block's time to ``name``, less what inner phases take."""
        begin = self._now()
        inner_before = self._total()
        try:
            yield
        finally:
            self._synchronise()
            inner = self._total() - inner_before
            self.seconds[name] += self._now() - begin - inner

    @property
    def epoch_seconds(self) -> float:
        """Wall seconds since the clock was made."""
        return self._now() - self.started

    def _total(self) -> float:
        return sum(self.seconds.values())


class TimedAllReduce:
    """DDP communication hook: averages gradients and times what no computation hides.

    Early buckets are reduced while the backward pass goes on. When the last one is ready there is nothing left to hide
    behind: a barrier splits waiting for slower ranks from moving bytes. The barrier costs about a millisecond a step.
    """

    def __init__(self, ranks: Ranks) -> None:
        """``clock`` is set anew by every epoch."""
        self.ranks = ranks
        self.clock: PhaseClock | None = None

    # No annotations: DDP compares them with classes, and here they would be strings.
    def reduce(self, _state, bucket):  # type: ignore[no-untyped-def]
        """Reduce one ``dist.GradBucket``; the future holds the averaged gradients."""
        gradients = bucket.buffer().div_(self.ranks.world_size)
        if self.clock is None or not bucket.is_last() or gradients.is_cuda:
            work = dist.all_reduce(gradients, group=self.ranks.group, async_op=True)
            assert work is not None
            return work.get_future().then(lambda future: future.value()[0])
        with self.clock.phase("straggler_wait"):
            self.ranks.barrier()
        with self.clock.phase("exposed_communication"):
            self.ranks.sum(gradients)
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(gradients)
        return done
