"""The board: where trials (Tune) and teams of workers (Train) meet. One small actor per study.

For each team it holds the assignment of the moment. A trial posts an assignment, permits epoch after epoch and takes events;
the team's workers take assignments, ask permission after each epoch, and report. A newer assignment withdraws all permission of
the older one, so stopping is cooperative and nothing is killed. Answers wait inside the actor until there is something to say.
"""

from __future__ import annotations

import asyncio
from collections import deque
from dataclasses import dataclass, field
from typing import Any

#: A trial whose group of workers was lost more often than this has failed.
MAX_RESTARTS = 2


@dataclass(slots=True)
class Slot:
    """One team's assignment of the moment."""

    sequence: int = 0
    assignment: dict[str, Any] | None = None
    is_dissolved: bool = False
    is_closed: bool = True
    permitted: int = 0
    reported: int = 0
    restarts: int = 0
    groups: int = 0
    note: str = ""
    events: deque[dict[str, Any]] = field(default_factory=deque)
    progress: dict[str, Any] = field(default_factory=dict)
    pids: list[int] = field(default_factory=list)


class Board:
    """Methods whose name is a question wait for the answer; every caller names its team and, where it has one, its assignment."""

    def __init__(self) -> None:
        self._slots: dict[str, Slot] = {}
        self._changed = asyncio.Condition()

    def _slot(self, team: str) -> Slot:
        return self._slots.setdefault(team, Slot())

    async def _notify(self) -> None:
        async with self._changed:
            self._changed.notify_all()

    # The trial's side.

    async def post(self, team: str, assignment: dict[str, Any]) -> int:
        """Give the team its next assignment, which ends the one before; returns the assignment's sequence number."""
        old = self._slot(team)
        slot = Slot(sequence=old.sequence + 1, is_closed=False, permitted=1, groups=old.groups, pids=old.pids)
        slot.assignment = assignment | {"sequence": slot.sequence}
        self._slots[team] = slot
        await self._notify()
        return slot.sequence

    async def permit(self, team: str, sequence: int, epoch: int) -> None:
        """Allow the workers to train up to ``epoch``."""
        slot = self._slot(team)
        if slot.sequence == sequence:
            slot.permitted = max(slot.permitted, epoch)
            await self._notify()

    async def take(self, team: str, sequence: int, seconds: float) -> dict[str, Any] | None:
        """The assignment's next event: ``{"epoch", "metrics"}`` or ``{"failed": reason}``; None if there is none within ``seconds``."""
        slot = self._slot(team)
        assert slot.sequence == sequence, (slot.sequence, sequence)
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: bool(slot.events))
        except TimeoutError:
            return None
        return slot.events.popleft()

    async def dissolve(self, team: str) -> None:
        """Send the team's workers home once their epoch is over."""
        slot = self._slot(team)
        slot.is_dissolved = slot.is_closed = True
        await self._notify()

    # The workers' side.

    async def join(self, team: str, pids: list[int]) -> None:
        """A new group of workers is there (rank 0 says so). If it replaces a lost one in mid-trial, that counts as a restart."""
        slot = self._slot(team)
        slot.groups += 1
        slot.pids = pids
        if slot.groups > 1 and not slot.is_closed:
            slot.restarts += 1
            if slot.restarts > MAX_RESTARTS:
                cause = slot.note or "a worker was killed"
                await self._close(slot, f"workers were lost {slot.restarts} times; the last time: {cause}")

    async def next(self, team: str, seen: int) -> dict[str, Any] | None:
        """The open assignment after number ``seen``; None when the team is dissolved."""

        def is_answerable() -> bool:
            slot = self._slot(team)
            return slot.is_dissolved or (slot.sequence > seen and not slot.is_closed)

        async with self._changed:
            await self._changed.wait_for(is_answerable)
        slot = self._slot(team)
        return None if slot.is_dissolved else slot.assignment

    async def permission(self, team: str, sequence: int, epoch: int) -> bool:
        """Whether to train ``epoch``; waits until Tune has decided."""

        def is_withdrawn() -> bool:
            slot = self._slot(team)
            return slot.sequence != sequence or slot.is_closed

        async with self._changed:
            await self._changed.wait_for(lambda: is_withdrawn() or self._slot(team).permitted >= epoch)
        return not is_withdrawn()

    async def report(self, team: str, sequence: int, epoch: int, metrics: dict[str, float]) -> None:
        """One finished epoch; an epoch reported again, by a resumed group, is ignored."""
        slot = self._slot(team)
        if slot.sequence == sequence and epoch == slot.reported + 1 and not slot.is_closed:
            slot.reported = epoch
            slot.events.append({"epoch": epoch, "metrics": metrics})
            await self._notify()

    async def fail(self, team: str, sequence: int, reason: str) -> None:
        """The trial cannot go on."""
        slot = self._slot(team)
        if slot.sequence == sequence:
            await self._close(slot, reason)

    async def note(self, team: str, sequence: int, message: str) -> None:
        """Last words of a worker that is about to bring its group down."""
        slot = self._slot(team)
        if slot.sequence == sequence:
            slot.note = message

    async def progress(self, team: str, sequence: int, epoch: int, step: int, steps: int) -> None:
        """How far the epoch is."""
        self._slot(team).progress = {"sequence": sequence, "epoch": epoch, "step": step, "steps": steps}

    # The terminal's side.

    async def overview(self) -> list[dict[str, Any]]:
        """Each team's trial number and progress."""
        return [
            {"number": slot.assignment["number"]} | slot.progress
            for slot in self._slots.values()
            if slot.assignment is not None and not slot.is_closed and slot.progress.get("sequence") == slot.sequence
        ]

    async def _close(self, slot: Slot, reason: str) -> None:
        slot.is_closed = True
        slot.events.append({"failed": reason})
        await self._notify()
