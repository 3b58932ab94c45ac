"""Points in time of a GPU: CUDA events. Untested (no GPU here), written after PyTorch's documentation.

The host runs ahead of the device, so its clock says when work was asked for and not when it was done. An event is recorded on the
current stream behind all work asked for so far, without waiting, and keeps the device's time (`torch.cuda.Event`). Seconds between
two events are known when both have come, which `torch.cuda.synchronize` waits for: once an epoch, not once a phase.

What that gives: a phase is the time its kernels take, and what the device idles meanwhile. Waiting for data counts where the device
really waits for it. A collective on device tensors makes the current stream wait (`torch.distributed`, "Synchronous and asynchronous
collective operations"), not the host, so the events around it are as far apart as the stream has waited. Elapsed times have a
resolution of about half a microsecond.
"""

from __future__ import annotations

import torch


class CudaMoments:
    """Of the current device."""

    __slots__ = ()

    def now(self) -> torch.cuda.Event:
        """The end of all work asked for so far on the current stream."""
        event: torch.cuda.Event = torch.cuda.Event(enable_timing=True)  # type: ignore[no-untyped-call]
        event.record()
        return event

    def seconds(self, begin: torch.cuda.Event, end: torch.cuda.Event) -> float:
        """The device's time from one to the other; CUDA tells milliseconds."""
        return float(begin.elapsed_time(end)) / 1e3

    def settle(self) -> None:
        """Wait for the device."""
        torch.cuda.synchronize()
