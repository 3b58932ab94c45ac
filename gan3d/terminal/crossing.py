"""The race for ``objective.target``: which trials reached it, after how much training, and how that is said.

A crossing here is the first epoch at the target. Of a metric that scatters it is the earliest of many tries, so optimistic;
``gan3d.scaling.quality`` has the crossing that holds, and intervals.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from gan3d.config.objective import Objective
from gan3d.records import TrialRecord, training_seconds
from gan3d.terminal.words import counted, duration_text

SHOWERS, THROUGHPUT, STEPS = "timing.num_showers", "timing.showers_per_second", "timing.num_steps"


@dataclass(frozen=True, slots=True)
class Crossing:
    """A trial's first epoch at the target. None: not known, for an earlier session trained (part of) it."""

    number: int
    epoch: int | None = None
    seconds: float | None = None
    """Of training, validation and checkpoint not counted."""
    updates: int | None = None
    """Steps of the optimiser (discriminator updates)."""


class Race:
    """Hears of epochs and ends of trials; keeps the crossings in the order in which it heard of them."""

    def __init__(self, objective: Objective) -> None:
        self._objective = objective
        self._epochs: dict[int, dict[int, Mapping[str, float]]] = {}
        self.crossings: dict[int, Crossing] = {}

    def end_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> Crossing | None:
        """A trial reported an epoch; returned is its crossing, if this is the first at the target."""
        if self._objective.target is None or number in self.crossings:
            return None
        epochs = self._epochs.setdefault(number, {})
        epochs[epoch] = {name: metrics[name] for name in (SHOWERS, THROUGHPUT, STEPS) if name in metrics}
        if not self._objective.is_reached(metrics[self._objective.metric]):
            return None
        rows = [epochs.get(earlier, {}) for earlier in range(1, epoch + 1)]
        is_known = all(len(row) == 3 and row[THROUGHPUT] > 0 for row in rows)
        seconds = sum(training_seconds(row) for row in rows) if is_known else None
        updates = round(sum(row[STEPS] for row in rows)) if is_known else None
        self.crossings[number] = Crossing(number, epoch, seconds, updates)
        return self.crossings[number]

    def end(self, record: TrialRecord) -> None:
        """A trial ended, perhaps in an earlier session, whose epochs nobody told."""
        self._epochs.pop(record.number, None)
        if record.number not in self.crossings and record.objective is not None and self._objective.is_reached(record.objective):
            self.crossings[record.number] = Crossing(record.number)


def target_text(objective: Objective) -> str:
    """`target 0.15`; empty without one."""
    return "" if objective.target is None else f"target {objective.target:g}"


def crossing_text(crossing: Crossing) -> str:
    """`in trial 3 after 4 epochs: 180 updates, 2:13 of training`."""
    text = f"in trial {crossing.number}"
    if crossing.epoch is not None:
        text += f" after {counted(crossing.epoch, 'epoch')}"
    if crossing.seconds is not None and crossing.updates is not None:
        text += f": {counted(crossing.updates, 'update')}, {duration_text(crossing.seconds)} of training"
    return text
