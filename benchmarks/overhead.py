"""What a trial of a minute takes more in a study than in a bare loop, and where the seconds go.

A study of one worker per trial and a bare loop over `training.loop.epochs`, which trains the same trials one after the other in one
process, take turns. Every loss and physics distance of every epoch must be the same number in both. A trial goes here from the last
epoch of the one before to its own last epoch, so that the change of trials is in it; the first trial, whose start is the study's, is
counted apart.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import zip_longest
from typing import NamedTuple

from benchmarks.harness import Row
from benchmarks.orchestration import SEEDS, SmallStudy, Timeline, study

NAME = "overhead"
#: Length of a trial that is aimed at [s], and steps of one of its epochs.
TRIAL_SECONDS, STEPS = 60.0, 15
#: Epochs and steps of a trial if ``quick``, and of the one that tells how long an epoch takes here.
FEW = {"epochs": 2, "max_steps_per_epoch": 4}
#: Trials of a study; pairs of a study and a bare loop.
TRIALS, QUICK_TRIALS = 2, 2
ROUNDS, QUICK_ROUNDS = 6, 1

#: An epoch's metrics that must not depend on who trains.
Numbers = dict[str, float]


class Pair(NamedTuple):
    """The same trials, trained by both."""

    bare: Timeline
    study: Timeline


@dataclass(frozen=True, slots=True)
class Parts:
    """Where a trial's seconds went, from the last epoch of the one before; they add up to its length."""

    change: float
    """Until whoever trains it had its settings."""
    build: float
    """Showers and networks."""
    start: float
    """Where the generator starts, and what else comes before the first step."""
    epochs: float
    """By their own clocks."""
    gaps: float
    """Between epochs."""
    checkpoints: float
    """Of the epochs: states on disk, which a bare loop does not keep."""

    @classmethod
    def of(cls, timeline: Timeline, trial: int) -> Parts:
        """Of any trial but the first."""
        marks, key = timeline.marks, str(trial)
        taken, built = marks["taken"][key], marks["built"][key]
        return cls(
            change=taken - timeline.last_epoch(trial - 1),
            build=built - taken,
            start=timeline.first_step(trial) - built,
            epochs=sum(seconds for _, seconds in marks["epochs"][key]),
            gaps=sum(timeline.gaps(trial)),
            checkpoints=sum(marks["checkpoints"][key]),
        )

    @property
    def outside(self) -> float:
        """Seconds that no epoch's clock has seen."""
        return self.change + self.build + self.start + self.gaps

    @property
    def whole(self) -> float:
        """The trial's length."""
        return self.outside + self.epochs


def rows(quick: bool) -> Iterator[Row]:
    """The verdict first, then where it comes from."""
    pairs = measured(quick)
    yield from trial_rows(pairs)
    yield from part_rows(pairs)
    yield from call_rows(pairs)
    yield from study_rows(pairs)


def measured(quick: bool) -> list[Pair]:
    """Pairs of a bare loop and a study, each first in turn.

    Raises:
        ValueError: they did not train the same.
    """
    seeds = {"choice": list(range(1, 1 + (QUICK_TRIALS if quick else TRIALS)))}
    training = FEW if quick else {"epochs": epochs_of_a_trial(), "max_steps_per_epoch": STEPS}
    pairs = []
    with study({"training.seed": seeds}, training, per_trial=1, convolutions="plain") as small:
        for number in range(QUICK_ROUNDS if quick else ROUNDS):
            pair = in_turn(small, bare_first=number % 2 == 0)
            refuse_different(pair)
            pairs.append(pair)
    return pairs


def epochs_of_a_trial() -> int:
    """With which it takes about a minute on this machine."""
    pilot = {"epochs": 2, "max_steps_per_epoch": STEPS}
    with study({"training.seed": SEEDS}, pilot, per_trial=1, only_first=True, convolutions="plain") as small:
        shortest: float = min(seconds for _, seconds in small.bare().marks["epochs"]["0"])
    return max(round(TRIAL_SECONDS / shortest), 2)


def in_turn(small: SmallStudy, *, bare_first: bool) -> Pair:
    """Both, one after the other."""
    if bare_first:
        return Pair(bare=small.bare(), study=small.run())
    whole = small.run()
    return Pair(bare=small.bare(), study=whole)


def refuse_different(pair: Pair) -> None:
    """Raise where an epoch's losses or physics distances are not the same numbers in both."""
    bare, whole = (each.marks["numbers"] for each in pair)
    nothing: Numbers = {}
    for trial in sorted(bare | whole):
        for epoch, both in enumerate(zip_longest(bare.get(trial, []), whole.get(trial, []), fillvalue=nothing), start=1):
            refuse_different_epoch(f"trial {trial}, epoch {epoch}", *both)


def refuse_different_epoch(where: str, bare: Numbers, whole: Numbers) -> None:
    """As `refuse_different`, for one epoch."""
    for name in sorted(bare | whole):
        if bare.get(name) != whole.get(name):
            message = f"{where}: {name} is {bare.get(name)} in the bare loop, {whole.get(name)} in the study"
            raise ValueError(message)


def followers(pair: Pair) -> list[tuple[Parts, Parts]]:
    """Trials but the first, by the bare loop and in the study."""
    return [(Parts.of(pair.bare, trial), Parts.of(pair.study, trial)) for trial in range(1, len(pair.bare.marks["epochs"]))]


def trial_rows(pairs: list[Pair]) -> Iterator[Row]:
    """The lengths of a trial, and what the study takes more: by the clock on the wall, and by what is not training.

    The second leaves out how much faster or slower the machine was from one epoch to the same one an age later.
    """
    trials = [both for pair in pairs for both in followers(pair)]
    case = "a trial inside a study"
    yield Row.of((NAME, case, "bare loop"), [bare.whole for bare, _ in trials], "s")
    yield Row.of((NAME, case, "study"), [whole.whole for _, whole in trials], "s")
    yield Row.of((NAME, case, "study over bare loop, wall"), [100 * (whole.whole / bare.whole - 1) for bare, whole in trials], "% more")
    added = [100 * (whole.outside + whole.checkpoints - bare.outside - bare.checkpoints) / bare.whole for bare, whole in trials]
    yield Row.of((NAME, case, "study over bare loop, what is not training"), added, "% more")


def part_rows(pairs: list[Pair]) -> Iterator[Row]:
    """Of such a trial."""
    names = {
        "change": "last epoch to the next trial's settings",
        "build": "showers and networks",
        "start": "where the generator starts",
        "epochs": "epochs by their own clocks",
        "checkpoints": "of that, states on disk",
        "gaps": "between epochs",
    }
    trials = [both for pair in pairs for both in followers(pair)]
    for part, name in names.items():
        for place, who in enumerate(("bare loop", "study")):
            yield Row.of((NAME, f"of it: {name}", who), [getattr(both[place], part) for both in trials], "s")


def call_rows(pairs: list[Pair]) -> Iterator[Row]:
    """Calls of the study's driver, each; the rest of a gap is Tune, the board, the best state's copy and the permission."""
    names = list(pairs[0].study.marks["spent"])
    for name in names:
        yield Row.of((NAME, "the driver's calls", name), [seconds for pair in pairs for seconds in pair.study.marks["spent"][name]], "s")
    gaps = [gap for pair in pairs for trial in range(len(pair.study.marks["epochs"])) for gap in pair.study.gaps(trial)]
    yield Row.of((NAME, "the driver's calls", "for comparison: between two epochs"), gaps, "s")


def study_rows(pairs: list[Pair]) -> Iterator[Row]:
    """From the call to the first trial's first step, its milestones; and from the last epoch to the command's end."""
    lengths: dict[str, list[float]] = {}
    for pair in pairs:
        before = pair.study.called
        for name, when in pair.study.milestones()[1:]:
            lengths.setdefault(name, []).append(when - before)
            before = when
    for name, seconds in lengths.items():
        yield Row.of((NAME, "start of a study", name), seconds, "s")
    last = len(pairs[0].bare.marks["epochs"]) - 1
    for who in Pair._fields:
        timelines: list[Timeline] = [getattr(pair, who) for pair in pairs]
        name = "study" if who == "study" else "bare loop"
        yield Row.of((NAME, "call to first step", name), [each.first_step(0) - each.called for each in timelines], "s")
        yield Row.of((NAME, "last epoch to end", name), [each.gone - each.last_epoch(last) for each in timelines], "s")
