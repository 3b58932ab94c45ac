"""Trials that take turns: each makes way for those that wait once it is a `trials.turn` older than when its turn began.

What is told of a study in the middle of it is then told of all its samples: on a machine that is free for two hours a day, three seeds of
each recipe have come equally far after every sitting, where trials one after the other would leave one whole and five unseen.

A trial whose turn is over ends as one that a spent budget stops (`gan3d.tracking.outcome`): nothing of it is lost, Optuna has it RUNNING,
and its user attribute ``turn`` has the age at which its next turn begins.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from optuna.trial import FrozenTrial
from ray import tune
from ray.tune.stopper import CombinedStopper

from gan3d.tracking.outcome import AGE, EPOCH, FAILED, STOPPED, TURN_OVER

TURN_ATTRIBUTE = "turn"


def turn_began(trial: FrozenTrial) -> float:
    """The age at which its turn began, or will begin, in the unit of `scheduler.rungs_in`; 0 of one that has made way for nobody."""
    return float(trial.user_attrs.get(TURN_ATTRIBUTE, 0.0))


def is_turn_over(result: Mapping[str, Any]) -> bool:
    """Whether a trial's last result says that it made way, and nothing else stopped it."""
    return result.get(STOPPED) == TURN_OVER


def with_turns(stopper: tune.Stopper, turn: float | None, youngest_waiting: Callable[[], float | None]) -> tune.Stopper:
    """What ends trials, asked first, and their turns where there are any."""
    return stopper if turn is None else CombinedStopper(stopper, Turns(turn, youngest_waiting))


class Turns(tune.Stopper):
    """Asked by Tune about every result that nobody else ended a trial with."""

    def __init__(self, turn: float, youngest_waiting: Callable[[], float | None]) -> None:
        """A turn is so long; ``youngest_waiting`` tells at what age the next trial in line would begin, None where none waits."""
        self._turn, self._youngest_waiting = turn, youngest_waiting

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its stoppers with its own state and we never read them back."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Tune's signature
        """Whether the trial makes way with this epoch; then the result says so."""
        config = result["config"]
        if result[FAILED] or result["done"] or result[EPOCH] <= config["known_epochs"]:
            return False  # a trial taken up tells its epochs again, which it made in earlier turns
        if result[AGE] < config["turn_began"] + self._turn:
            return False
        youngest = self._youngest_waiting()
        if youngest is None or youngest > result[AGE]:
            return False
        result[STOPPED] = TURN_OVER
        return True

    def stop_all(self) -> bool:
        """Never."""
        return False
