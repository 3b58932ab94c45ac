"""The board: where trials (Tune) and teams of workers (Train) meet. One small actor per study.

For each team it holds the assignment of the moment. A trial posts an assignment, permits epoch after epoch and takes events;
the team's workers take assignments, ask permission after each epoch, and report. A newer assignment withdraws all permission of
the older one, so stopping is cooperative and nothing is killed. Answers wait inside the actor until there is something to say.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, get_args

from gan3d.records import Fate

#: A trial whose group of workers was lost more often than this has failed.
MAX_RESTARTS = 2
#: From the one that asks for least.
FATES = get_args(Fate)


@dataclass(slots=True)
class Slot:
    """One team's assignment of the moment."""

    sequence: int = 0
    assignment: dict[str, Any] | None = None
    posted: float = 0.0
    """When, by the board's clock."""
    is_dissolved: bool = False
    is_closed: bool = True
    permitted: int = 0
    reported: int = 0
    restarts: int = 0
    groups: int = 0
    size: int = 0
    """Workers of the newest group."""
    note: str = ""
    is_echo: bool = False
    """The note only says that another worker has more to say."""
    fate: Fate = "again"
    events: deque[dict[str, Any]] = field(default_factory=deque)
    progress: dict[str, Any] = field(default_factory=dict)
    placement_group: Any = None


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

    async def post(self, team: str, assignment: dict[str, Any]) -> tuple[int, list[Any]]:
        """Give the team its next assignment, which ends the one before.

        Returns:
            The assignment's sequence number, and the placement groups of teams that had this trial before and lost their trial
            actor: nobody else is left to remove them.
        """
        old = self._slot(team)
        slot = Slot(sequence=old.sequence + 1, is_closed=False, permitted=1)
        slot.groups, slot.size, slot.placement_group = old.groups, old.size, old.placement_group  # the team's, whatever it trains
        slot.assignment = assignment | {"sequence": slot.sequence}
        slot.posted = time.monotonic()
        slot.restarts, left_behind = self._take_from_others(team, assignment["number"])
        self._slots[team] = slot
        await self._notify()
        return slot.sequence, left_behind

    async def abandon(self, number: int) -> list[Any]:
        """No team works on the trial any more; returns placement groups as `post` does."""
        _, left_behind = self._take_from_others("", number)
        await self._notify()
        return left_behind

    async def abandon_all_but(self, numbers: set[int]) -> list[Any]:
        """No team works on any other trial than these; returns placement groups as `post` does."""
        others = {slot.assignment["number"] for slot in self._slots.values() if slot.assignment is not None} - numbers
        return [group for number in others for group in await self.abandon(number)]

    def _take_from_others(self, team: str, number: int) -> tuple[int, list[Any]]:
        """End other teams' work on a trial; returns its restarts (one more, unless they went home) and their placement groups."""
        restarts, left_behind = 0, []
        for name, lost in self._slots.items():
            if name != team and lost.assignment is not None and lost.assignment["number"] == number:
                restarts = restarts if lost.is_dissolved else max(restarts, lost.restarts + 1)
                left_behind.append(lost.placement_group)
                lost.assignment = lost.placement_group = None
                lost.is_dissolved = lost.is_closed = True
        return restarts, [group for group in left_behind if group is not None]

    async def permit(self, team: str, sequence: int, epoch: int) -> None:
        """Allow the workers to train up to ``epoch``."""
        slot = self._slot(team)
        if slot.sequence == sequence:
            slot.permitted = max(slot.permitted, epoch)
            await self._notify()

    async def take(self, team: str, sequence: int, seconds: float) -> dict[str, Any] | None:
        """The assignment's next event, with ``restarts`` until now: an ``epoch`` and ``metrics``, or why it ``failed`` or is ``stopped``.

        Returns:
            None if there is no event within ``seconds``.
        """
        slot = self._slot(team)
        assert slot.sequence == sequence, (slot.sequence, sequence)
        try:
            async with asyncio.timeout(seconds), self._changed:
                await self._changed.wait_for(lambda: bool(slot.events))
        except TimeoutError:
            return None
        return slot.events.popleft() | {"restarts": slot.restarts}

    async def dissolve(self, team: str) -> None:
        """Send the team's workers home once their epoch is over."""
        slot = self._slot(team)
        slot.is_dissolved = slot.is_closed = True
        await self._notify()

    # The workers' side.

    async def join(self, team: str, placement_group: Any, size: int = 0) -> None:
        """A new group of ``size`` workers is there (rank 0 says so). If it replaces a lost one in mid-trial, that counts as a restart.

        Not one of another size: an elastic team has it because nodes come and go, not because its trial kills its workers.
        """
        slot = self._slot(team)
        has_other_size, slot.size = slot.size not in {0, size}, size
        slot.groups += 1
        slot.placement_group = placement_group
        if slot.groups == 1 or slot.is_closed:
            return
        if slot.fate != "again":
            await self._close(slot, slot.note, stops=slot.fate == "stops")
            return
        if has_other_size:
            slot.note = ""
            return
        slot.restarts += 1
        if slot.restarts > MAX_RESTARTS:
            cause = slot.note or "a worker was killed"
            await self._close(slot, f"workers were lost {slot.restarts} times; the last time: {cause}")
        slot.note = ""

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

    async def note(self, team: str, sequence: int, message: str, fate: Fate, is_echo: bool) -> None:
        """Last words of a worker that is about to bring its group down; the first ones of the worst fate count, others follow from them.

        Args:
            team: the worker's.
            sequence: of the assignment it worked on.
            message: what happened.
            fate: whether a new group shall try; the worst that any worker says.
            is_echo: the worker only heard of another one's error, which may be noted later and says more.
        """
        slot = self._slot(team)
        if slot.sequence != sequence:
            return
        is_worse = FATES.index(fate) > FATES.index(slot.fate)
        if not slot.note or is_worse or (slot.is_echo and not is_echo):
            slot.note, slot.is_echo = message, is_echo
        slot.fate = fate if is_worse else slot.fate

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

    async def unmanned(self, seconds: float) -> list[int]:
        """Numbers of trials that were posted so long ago to a team that has never had workers."""
        before = time.monotonic() - seconds
        slots = (slot for slot in self._slots.values() if slot.assignment is not None and not slot.is_closed)
        return [slot.assignment["number"] for slot in slots if slot.assignment and slot.groups == 0 and slot.posted <= before]

    async def _close(self, slot: Slot, reason: str, *, stops: bool = False) -> None:
        slot.is_closed = True
        slot.events.append({"stopped" if stops else "failed": reason})
        await self._notify()
