"""Who goes on: early stopping by what Optuna's storage holds, so that a resumed study decides as an uninterrupted one would.

Asynchronous successive halving (arXiv:1810.05934): a trial that reaches a rung is compared with those that have reached it, and goes on
if it is among the best of them, one in `reduction_factor`. Tune's and Optuna's own know one objective, no constraints, and ages in one
unit; and Tune's forgets its rungs with its process. Hyperband (arXiv:1603.06560): each trial belongs to one of several brackets, which
begin at higher and higher rungs; few trials are in those that stop late.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Protocol

import numpy as np
import optuna
from optuna.trial import TrialState

from gan3d.config.study import Study
from gan3d.search.optuna_trials import as_attribute, from_attribute
from gan3d.search.ranking import ranked
from gan3d.training.merit import Merit

#: Ended trials before the median means something.
MEDIAN_TRIALS = 4


class Stopping(Protocol):
    """Decides after each epoch."""

    def goes_on(self, opened: optuna.Study, trial: optuna.Trial, age: float, best: Merit) -> bool:
        """Whether a trial shall go on.

        Args:
            opened: Optuna's study; it has all that is known of other trials.
            trial: the one that has ended an epoch, which is in its curve already.
            age: what it has used, in the unit of `scheduler.rungs_in`.
            best: its best merit so far.
        """


def make_stopping(study: Study) -> Stopping:
    """As the study's scheduler says."""
    scheduler = study.scheduler
    if scheduler.has_rungs:
        return Rungs(study)
    if scheduler.name == "median":
        return Median(warm_up=round(scheduler.grace))
    return Never()


class Never:
    """Every trial has all its epochs."""

    def goes_on(self, opened: optuna.Study, trial: optuna.Trial, age: float, best: Merit) -> bool:  # noqa: ARG002 - as the protocol has it
        """True."""
        return True


class Median:
    """Optuna's rule of the median."""

    def __init__(self, *, warm_up: int) -> None:
        self._pruner = optuna.pruners.MedianPruner(n_startup_trials=MEDIAN_TRIALS, n_warmup_steps=warm_up)

    def goes_on(self, opened: optuna.Study, trial: optuna.Trial, age: float, best: Merit) -> bool:  # noqa: ARG002 - as the protocol has it
        """Whether its best is at least as good as the median of the others at this epoch."""
        return not self._pruner.prune(opened, opened.get_trials(deepcopy=False)[trial.number])


class Rungs:
    """Successive halving. A trial's rungs are user attributes of it, ``rung/1``: its merit there and whether it went on."""

    def __init__(self, study: Study) -> None:
        self._objective, self._factor, self._seed = study.objective, study.scheduler.reduction_factor, study.sampler.seed
        self._ages = study.scheduler.rungs(study.training.epochs)
        self._has_brackets = study.scheduler.name == "hyperband"

    def goes_on(self, opened: optuna.Study, trial: optuna.Trial, age: float, best: Merit) -> bool:
        """Whether the trial is among the best at every rung it has reached; each is decided once."""
        own = opened.get_trials(deepcopy=False)[trial.number].user_attrs
        for rung in range(self._first_rung(trial.number), len(self._ages)):
            if age < self._ages[rung]:
                break
            decided = own.get(rung_attribute(rung))
            if decided is None:
                goes_on = self._is_among_best(opened, trial.number, rung, best)
                trial.set_user_attr(rung_attribute(rung), as_attribute(best) | {"goes_on": goes_on})
            else:
                goes_on = decided["goes_on"]
            if not goes_on:
                return False
        return True

    def _is_among_best(self, opened: optuna.Study, number: int, rung: int, merit: Merit) -> bool:
        there = {number: merit} | dict(self._others(opened, number, rung))
        numbers = sorted(there)
        best = [numbers[place] for place in ranked([there[one] for one in numbers], self._objective)]
        return best.index(number) < max(1, len(best) // self._factor)

    def _others(self, opened: optuna.Study, number: int, rung: int) -> Iterator[tuple[int, Merit]]:
        """Merits at a rung of the other trials of the bracket that did not fail."""
        for other in opened.get_trials(deepcopy=False):
            plain: Any = other.user_attrs.get(rung_attribute(rung))
            is_peer = plain is not None and other.number != number and other.state != TrialState.FAIL
            if is_peer and self._first_rung(other.number) == self._first_rung(number):
                yield other.number, from_attribute(plain)

    def _first_rung(self, number: int) -> int:
        """Where the trial's bracket begins; one past the last rung for the bracket that stops nobody."""
        if not self._has_brackets:
            return 0
        weights = bracket_weights(len(self._ages), self._factor)
        return int(np.random.default_rng([self._seed, number]).choice(len(weights), p=weights))


def rung_attribute(rung: int) -> str:
    """Name of the user attribute that has a trial's merit at a rung, the lowest being 0."""
    return f"rung/{rung}"


def bracket_weights(rungs: int, factor: int) -> list[float]:
    """Share of trials in the bracket that begins at each rung, and in the one behind all: Hyperband's, that cost each about the same."""
    numbers = [(rungs + 1) / (left + 1) * factor**left for left in range(rungs, -1, -1)]
    return [number / sum(numbers) for number in numbers]
