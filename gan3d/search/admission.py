"""Which trial may begin: the next one in line, once all of its workers have room beside those of the trials that run.

Tune alone would start the trial and let it wait for its workers, holding a place that others could use; and two trials that wait for each
other's workers wait for ever. Here a trial asks for everything at once, before it begins, and none overtakes another.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any


class Admission:
    """Keeps count of the workers of running trials."""

    def __init__(self, rooms: Callable[[], Sequence[int]], cpus_per_worker: int, *, one_node: bool, say: Callable[[str], None]) -> None:
        """Nothing runs yet.

        Args:
            rooms: workers that have room on each node, asked again for each trial: nodes come and go.
            cpus_per_worker: for the explanation.
            one_node: whether a trial's workers must share a node.
            say: told once why a trial waits.
        """
        self._rooms, self._cpus, self._one_node, self._say = rooms, cpus_per_worker, one_node, say
        self._held: dict[int, int] = {}
        self._waiting: int | None = None

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its searcher with its own state and we never read it back."""
        return {}

    def admits(self, number: int, workers: int) -> bool:
        """Whether trial ``number`` may begin with so many workers; if not, who holds what it waits for is said."""
        if not self._held or have_room(self._rooms(), [*self._held.values(), workers], one_node=self._one_node):
            return True
        if self._waiting != number:
            self._waiting = number
            holders = ", ".join(map(str, sorted(self._held)))
            self._say(f"trial {number} waits for {workers * self._cpus} CPUs held by trial{'s' if len(self._held) > 1 else ''} {holders}")
        return False

    def begin(self, number: int, workers: int) -> None:
        """A trial has its workers from now on."""
        self._held[number] = workers

    def end(self, number: int) -> None:
        """A trial gives them back."""
        self._held.pop(number, None)


def have_room(rooms: Sequence[int], trials: Sequence[int], *, one_node: bool) -> bool:
    """Whether trials of so many workers have room together: on any nodes, or each on one (the largest first, where it fits first)."""
    if not one_node:
        return sum(trials) <= sum(rooms)
    left = sorted(rooms, reverse=True)
    for workers in sorted(trials, reverse=True):
        place = next((place for place, room in enumerate(left) if room >= workers), None)
        if place is None:
            return False
        left[place] -= workers
    return True
