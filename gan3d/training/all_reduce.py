"""The all-reduce of gradients under DDP, waited for when the new weights are needed, with its time: what computing hid, and what not."""

from __future__ import annotations

import warnings
from collections.abc import Callable

import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

from gan3d.training.clock import Moment, PhaseClock
from gan3d.training.ranks import Ranks
from gan3d.training.shared_memory import SharedMemory, aligned, shared_memory


class Reduction:
    """One bucket on its way: summed gradients to come, and when it was launched and finished."""

    __slots__ = ("_add_up", "_clock", "_future", "finished", "launched")

    def __init__(self, gradients: torch.Tensor, ranks: Ranks, clock: PhaseClock, memory: SharedMemory | None) -> None:
        """Launch it; ``gradients`` are summed over ranks in place, through ``memory`` where they share it."""
        self._clock = clock
        self._add_up = None if memory is None else memory.write(gradients)
        self.launched: Moment = clock.moment()
        self.finished: Moment = None
        summed = gradients if memory is None else torch.ones(1)  # with memory all that has to be told is that it was written
        work = dist.all_reduce(summed, group=ranks.group, async_op=True)
        assert work is not None
        self._future = work.get_future().then(self._finish)

    def wait(self) -> None:
        """Until the sums are there; on a GPU it is the stream that waits, not the host."""
        self._future.wait()
        if self._add_up is not None:
            self._add_up()

    def _finish(self, future: torch.futures.Future[list[torch.Tensor]]) -> list[torch.Tensor]:
        # Called when the bytes are there; with CUDA tensors on a stream that waits for them, so that an event recorded here does, too
        # (`torch.futures.Future.then`). Returned, because who waits for a future waits for the streams of the tensors in its value only.
        self.finished = self._clock.moment()
        return future.value()


class DeferredAllReduce:
    """The sum of one network's gradients over ranks. A backward pass under DDP launches it bucket by bucket; ``finish`` waits for it.

    Between the two the rank may compute what does not need the network's new weights. What of the reductions is done by then is
    overlapped communication, which includes waiting for slower ranks; the rest is exposed communication and straggler wait, which the
    clock tells apart. DDP itself would wait at the end of the backward pass, when nothing is left to hide the last bucket.
    """

    def __init__(
        self,
        ranks: Ranks,
        see: Callable[[torch.Tensor], None] = lambda _: None,
        *,
        may_share_memory: bool = True,
        bucket_megabytes: float | None = None,
    ) -> None:
        """``clock`` is that of the epoch, set by who begins a pass.

        Args:
            ranks: Over which gradients are summed.
            see: Looks at each bucket of this rank's own gradients.
            may_share_memory: Sum through the host's memory where all ranks see it.
            bucket_megabytes: MiB at which buckets close; None: DDP's own.
        """
        self._ranks = ranks
        self._see = see
        self._may_share_memory, self._bucket_megabytes = may_share_memory, bucket_megabytes
        self._memory: SharedMemory | None = None
        self.clock = PhaseClock()
        self._under_way: list[Reduction] = []
        self._num_reductions = 0
        self._have_met = False

    def distributed(self, network: torch.nn.Module) -> DistributedDataParallel:
        """The network in a DDP that launches these reductions.

        Gradients are views of buckets, so that what is summed in place is what the optimiser sees. No broadcasts of buffers: they
        overwrite running statistics between two forwards (pytorch #175024).
        """
        if self._may_share_memory:
            gradients = (parameter for parameter in network.parameters() if parameter.requires_grad)
            self._memory = shared_memory(self._ranks, sum(aligned(gradient.nbytes) for gradient in gradients))
        # Convolutions with one input or output channel: the stride of a dimension of size one means nothing. The filter knows no sizes,
        # so a layout that really differs, which costs DDP a slower copy, is not told of either.
        warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
        ddp = DistributedDataParallel(
            network,
            process_group=self._ranks.group,
            forward_sync_buffers=False,
            gradient_as_bucket_view=True,
            bucket_cap_mb=self._bucket_megabytes,
        )
        ddp.register_comm_hook(None, self.launch)
        ddp.register_forward_pre_hook(lambda *_: self._meet_before_rebuilding())
        return ddp

    # No annotations: DDP compares them with classes, and here they would be strings.
    def launch(self, _state, bucket):  # type: ignore[no-untyped-def]
        """Communication hook: launch one ``dist.GradBucket``. The future is done at once, so that DDP does not wait."""
        self._see(bucket.buffer())
        if self._memory is not None and not self._under_way:
            self._memory.turn()
        self._under_way.append(Reduction(bucket.buffer(), self._ranks, self.clock, self._memory))
        done: torch.futures.Future[torch.Tensor] = torch.futures.Future()
        done.set_result(bucket.buffer())
        return done

    def finish(self) -> None:
        """Wait until the gradients of the last backward pass are summed; nothing where none was reduced."""
        if not self._under_way:
            return
        under_way, self._under_way = self._under_way, []
        with self.clock.collective() as computed:
            for reduction in under_way:
                reduction.wait()
        self.clock.hide([(reduction.launched, reduction.finished) for reduction in under_way], computed)
        self._num_reductions += 1

    def _meet_before_rebuilding(self) -> None:
        """Let DDP's next forward pass, which asks rank 0 for new buckets, find it there: the wait would count as computing.

        DDP rebuilds buckets once, in the forward pass after their first reduction.
        """
        if self._num_reductions == 1 and not self._have_met and torch.is_grad_enabled():
            self._have_met = True
            with self.clock.collective():
                self._ranks.barrier()
