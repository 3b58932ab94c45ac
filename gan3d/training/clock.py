"""Where an epoch's wall time goes: exclusive phases that add up, per rank.

A rank that calls a collective waits for two things: for ranks that are not there yet, and for bytes. No rank can tell them apart,
but all together can: the last rank to arrive waits for bytes only. So every collective is one ``collective()`` of the clock, and at
the epoch's end the shortest wait over ranks is that collective's communication; what a rank waited beyond it is straggler wait.
That takes one all-reduce per epoch, where a barrier before each collective would take one per collective.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, Protocol

import torch

from gan3d.records import PHASES
from gan3d.training.cuda_moments import CudaMoments
from gan3d.training.ranks import Ranks

#: Charges that are kept as moments before they become seconds: on a GPU that waits for the device.
MOST_CHARGES = 10_000

#: A point in time, which only its maker understands.
Moment = Any


class Moments(Protocol):
    """Points in time of what computes."""

    def now(self) -> Moment:
        """This moment; from any thread."""

    def seconds(self, begin: Moment, end: Moment) -> float:
        """Between two moments that have come."""

    def settle(self) -> None:
        """Wait until all moments so far have come."""


class HostMoments:
    """Of a CPU: they have come when they are made."""

    __slots__ = ("now",)

    def __init__(self, now: Callable[[], float]) -> None:
        self.now = now

    def seconds(self, begin: float, end: float) -> float:
        """Seconds between readings."""
        return end - begin

    def settle(self) -> None:
        """Nothing to wait for."""


class PhaseClock:
    """Charges wall time to exactly one phase at a time; an inner phase pauses the outer one."""

    __slots__ = (
        "_charges",
        "_has_others",
        "_hidden",
        "_moments",
        "_now",
        "_phase",
        "_seconds",
        "_since",
        "_started",
        "_wait_seconds",
        "_waits",
    )

    def __init__(
        self, device: torch.device | None = None, now: Callable[[], float] = time.perf_counter, *, has_others: bool = True
    ) -> None:
        """Start the epoch's clock.

        Args:
            device: What computes; phases on a GPU are timed by its events.
            now: The host's monotonic clock [s].
            has_others: Whether there are other ranks. Without any a collective is no communication, and its time stays with its phase.
        """
        self._has_others = has_others
        on_gpu = device is not None and device.type == "cuda"
        self._moments: Moments = CudaMoments() if on_gpu else HostMoments(now)
        self._now = now
        self._seconds = dict.fromkeys((*PHASES, "overlapped_communication"), 0.0)
        self._phase: str | None = None
        self._since: Moment = None
        self._charges: list[tuple[str, Moment, Moment]] = []
        self._waits: list[tuple[Moment, Moment]] = []
        self._wait_seconds: list[float] = []
        self._hidden: list[tuple[Sequence[tuple[Moment, Moment]], Moment]] = []
        self._started = now()

    @contextmanager
    def phase(self, name: str) -> Iterator[None]:
        """Charge the block's time to ``name``, less what inner phases take."""
        assert name in PHASES, name
        before = self._enter(name)
        try:
            yield
        finally:
            self._enter(before)

    @contextmanager
    def collective(self) -> Iterator[Moment]:
        """A block that waits for other ranks; every rank has the same of them in the same order. Gives the moment it begins."""
        if not self._has_others:
            yield self._moments.now()
            return
        before = self._enter("exposed_communication")
        begin = self._since
        try:
            yield begin
        finally:
            self._enter(before)
            self._waits.append((begin, self._since))

    def moment(self) -> Moment:
        """This moment, for ``hide``; from any thread."""
        return self._moments.now()

    def hide(self, reductions: Sequence[tuple[Moment, Moment]], computed: Moment) -> None:
        """Count as overlapped what of ``reductions`` (launched, finished; in the order of their launch) was before ``computed``."""
        if reductions:
            self._hidden.append((reductions, computed))

    @property
    def seconds(self) -> dict[str, float]:
        """Of each phase, and of communication that computation hid, which is beside the sum."""
        self._settle()
        return self._seconds

    @property
    def epoch_seconds(self) -> float:
        """Wall seconds since the clock was made."""
        self._moments.settle()
        return self._now() - self._started

    def split_waits(self, ranks: Ranks) -> None:
        """Charge what this rank waited for slower ones as straggler wait; collective, once, when the epoch is over."""
        self._settle()
        waits = torch.tensor(self._wait_seconds, dtype=torch.float64, device=ranks.device)
        for_others = float((waits - ranks.min(waits.clone())).sum())
        self._seconds["straggler_wait"] += for_others
        self._seconds["exposed_communication"] -= for_others

    def _enter(self, phase: str | None) -> str | None:
        """Change phases; returns the one that was left."""
        before, moment = self._phase, self._moments.now()
        if before is not None:
            self._charges.append((before, self._since, moment))
        if len(self._charges) >= MOST_CHARGES:
            self._settle()
        self._phase, self._since = phase, moment
        return before

    def _settle(self) -> None:
        """Make seconds of moments."""
        self._moments.settle()
        between = self._moments.seconds
        for phase, begin, end in self._charges:
            self._seconds[phase] += between(begin, end)
        self._wait_seconds += [between(begin, end) for begin, end in self._waits]
        self._seconds["overlapped_communication"] += sum(covered(reductions, computed, between) for reductions, computed in self._hidden)
        self._charges, self._waits, self._hidden = [], [], []


def covered(
    reductions: Sequence[tuple[Moment, Moment]], end: Moment, between: Callable[[Moment, Moment], float] = lambda begin, end: end - begin
) -> float:
    """Seconds before ``end`` in which at least one reduction was under way; they are in the order of their launch."""
    origin, seconds, reached = reductions[0][0], 0.0, 0.0
    limit = between(origin, end)
    for launched, finished in reductions:
        begin, until = max(between(origin, launched), reached), min(between(origin, finished), limit)
        seconds += max(0.0, until - begin)
        reached = max(reached, until)
    return seconds
