"""The all-reduce of gradients under DDP, with its time: what computation hid, and what it did not."""

from __future__ import annotations

from dataclasses import dataclass

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gan3d.training.clock import Moment, PhaseClock
from gan3d.training.ranks import Ranks


@dataclass(slots=True)
class Buckets:
    """Of one network: DDP rebuilds them once, in the forward pass after their first reduction."""

    num_reductions: int = 0
    have_met: bool = False


class Reduction:
    """One bucket on its way: averaged gradients to come, and when it was launched and finished."""

    __slots__ = ("_clock", "finished", "future", "launched")

    def __init__(self, gradients: torch.Tensor, ranks: Ranks, clock: PhaseClock) -> None:
        """Launch it; ``gradients`` are averaged in place."""
        self._clock = clock
        self.launched: Moment = clock.moment()
        self.finished: Moment = None
        self.future = averaged(gradients, ranks).then(self._finish)

    def _finish(self, future: torch.futures.Future[torch.Tensor]) -> torch.Tensor:
        # Called when the bytes are there; with CUDA tensors on a stream that waits for them, so that an event recorded here does, too
        # (`torch.futures.Future.then`).
        self.finished = self._clock.moment()
        return future.value()


def averaged(gradients: torch.Tensor, ranks: Ranks) -> torch.futures.Future[torch.Tensor]:
    """The mean over ranks to come, in place."""
    work = dist.all_reduce(gradients.div_(ranks.world_size), group=ranks.group, async_op=True)
    assert work is not None
    mean: torch.futures.Future[torch.Tensor] = work.get_future().then(lambda future: future.value()[0])
    return mean


class TimedAllReduce:
    """DDP communication hook of both networks.

    Early buckets are reduced while the backward pass goes on; that time is overlapped communication, which includes waiting for
    slower ranks. When the last bucket is ready there is nothing left to hide behind: from then until all are reduced is exposed
    communication and straggler wait, which the clock tells apart. On a GPU it is the stream that waits in both cases, not the host.
    """

    def __init__(self, ranks: Ranks) -> None:
        """``clock`` is set anew by every epoch; without one nothing is timed."""
        self.ranks = ranks
        self.clock: PhaseClock | None = None
        self._early: list[Reduction] = []

    def attach(self, network: DistributedDataParallel) -> None:
        """Reduce this network's gradients."""
        buckets = Buckets()
        network.register_comm_hook(buckets, self.reduce)
        network.register_forward_pre_hook(lambda *_: self._meet_before_rebuilding(buckets))

    # No annotations: DDP compares them with classes, and here they would be strings.
    def reduce(self, buckets, bucket):  # type: ignore[no-untyped-def]
        """Reduce one ``dist.GradBucket``; the future holds the averaged gradients."""
        if self.clock is None:
            return averaged(bucket.buffer(), self.ranks)
        if not bucket.is_last():
            self._early.append(Reduction(bucket.buffer(), self.ranks, self.clock))
            return self._early[-1].future
        with self.clock.collective() as computed:
            last = averaged(bucket.buffer(), self.ranks)
            for future in [early.future for early in self._early] + [last]:
                future.wait()
        self.clock.hide([(early.launched, early.finished) for early in self._early], computed)
        self._early = []
        buckets.num_reductions += 1
        return last

    def _meet_before_rebuilding(self, buckets: Buckets) -> None:
        """Let DDP's next forward pass, which asks rank 0 for new buckets, find it there: the wait would count as computing."""
        if buckets.num_reductions == 1 and not buckets.have_met and self.clock is not None and torch.is_grad_enabled():
            buckets.have_met = True
            with self.clock.collective():
                self.ranks.barrier()
