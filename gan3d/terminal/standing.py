"""What the terminal knows of a running study: trials that run, trials that ended, the best so far, the time left."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from gan3d.config.study import Study
from gan3d.records import TrialRecord
from gan3d.terminal.crossing import Crossing, Race
from gan3d.training.merit import Judge, Merit, merit_of_record, order

THROUGHPUT = "timing.showers_per_second"


@dataclass(slots=True)
class RunningTrial:
    """A trial between its start and its end."""

    number: int
    sample: dict[str, Any]
    epochs: int
    started: float
    known_epochs: int = 0
    """That it had when it was taken up; it tells them again."""
    held: float = 0.0
    """Seconds that it had its workers before."""
    epoch: int = 1
    step: int = 0
    steps: int = 0
    showers_per_second: float | None = None
    merits: dict[int, Merit] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Best:
    """The best objective so far; of a running trial too."""

    number: int
    merit: Merit
    sample: dict[str, Any]


class Standing:
    """Changed by events, read by the display; the caller keeps the two apart. Times are seconds of one steady clock."""

    def __init__(self, study: Study, now: float) -> None:
        self.study = study
        self.started = now
        self.running: dict[int, RunningTrial] = {}
        self.ended: dict[int, TrialRecord] = {}
        self._earlier: set[int] = set()
        self._race = Race(study.objective)
        self._judges: dict[int, Judge] = {}

    @property
    def crossings(self) -> list[Crossing]:
        """Trials that reached the objective's target, in the order in which they did."""
        return list(self._race.crossings.values())

    @property
    def num_ended(self) -> int:
        """Ended trials, those of earlier sessions too; without those that will go on."""
        return sum(record.state != "stopped" for record in self.ended.values())

    def earlier_trials(self, records: Iterable[TrialRecord]) -> None:
        """Trials that ended before this session, for good or until they go on."""
        for record in records:
            self._earlier.add(record.number)
            self.end(record)

    def start(self, number: int, sample: dict[str, Any], now: float, known_epochs: int = 0) -> None:
        """A trial starts, or is taken up again behind so many epochs."""
        earlier = self.ended.pop(number, None)
        self._earlier.discard(number)
        held = 0.0 if earlier is None else earlier.seconds
        self.running[number] = RunningTrial(number, dict(sample), self.study.epochs_of(sample), now, known_epochs, held)
        self._judges[number] = Judge(self.study.objective)

    def step(self, number: int, epoch: int, step: int, steps: int) -> None:
        """A trial's epoch has come so far; late news of an ended trial is no news."""
        trial = self.running.get(number)
        if trial is not None and epoch >= trial.epoch:
            trial.epoch, trial.step, trial.steps = epoch, step, steps

    def end_epoch(self, number: int, epoch: int, metrics: dict[str, float]) -> Crossing | None:
        """A trial reported an epoch; returned is its crossing, if it reached the target by this one."""
        trial = self.running.get(number)
        if trial is None:
            return None
        trial.merits[epoch] = self._judges[number].judge(metrics)
        trial.showers_per_second = metrics.get(THROUGHPUT)
        trial.epoch, trial.step = min(epoch + 1, trial.epochs), 0 if epoch < trial.epochs else trial.steps
        return self._race.end_epoch(number, epoch, metrics)

    def end(self, record: TrialRecord) -> None:
        """A trial ended."""
        self.running.pop(record.number, None)
        self.ended[record.number] = record
        self._race.end(record)

    @property
    def best(self) -> Best | None:
        """The best objective of ended and running trials; a failed trial has none."""
        ended = [(record, merit) for record in self.ended.values() if (merit := merit_of_record(record)) is not None]
        found = [Best(record.number, merit, record.sample) for record, merit in ended]
        found += [Best(one.number, merit, one.sample) for one in self.running.values() for merit in one.merits.values()]
        finite = (one for one in found if one.merit.is_finite)
        return min(finite, key=lambda one: order(one.merit, self.study.objective), default=None)

    def seconds_left(self, now: float) -> float | None:
        """From the mean time of the trials that ended in this session; None before the first."""
        whole = [record for number, record in self.ended.items() if number not in self._earlier and record.state != "stopped"]
        seconds = [record.seconds for record in whole if record.seconds > 0]
        if not seconds:
            return None
        mean = sum(seconds) / len(seconds)
        begun = [trial.held + now - trial.started for trial in self.running.values()]
        begun += [record.seconds for record in self.ended.values() if record.state == "stopped"]
        to_come = max(self.study.num_trials - self.num_ended - len(begun), 0)
        return (sum(max(mean - seconds, 0.0) for seconds in begun) + to_come * mean) / self.study.trials.concurrent
