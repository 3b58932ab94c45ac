"""What a study is going to cost, from the epochs that an earlier run of it finished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gan3d.config.study import Study
from gan3d.cost.ledger import Ledger, Spent
from gan3d.cost.prices import SECONDS_PER_HOUR, Bill, bill


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of all trials trained to their last epoch; a scheduler that stops some makes it less.

    Epochs cost what they cost on average; Ray's start, the forming of teams and epochs that were never finished come once, as they did.
    """

    bill: Bill
    wall_hours: float
    epochs_planned: int
    epochs_known: int
    """Finished epochs that the rate is from."""
    source: str
    """Where they are."""


def estimate(results: Path, study: Study, epochs_planned: int) -> Estimate | None:
    """From the ledger in a results folder; None where no epoch was finished, or there is no ledger.

    Raises:
        ConfigError: there is a broken one.
    """
    ledger = Ledger.open(results, study.cost)
    known = ledger.epochs
    if not known:
        return None
    inside, seconds = ledger.in_epochs()
    more = epochs_planned / known - 1.0
    priced = bill(ledger.total() + _times(inside, more), study.cost, reserved=True)
    wall_seconds = max(ledger.wall_seconds + seconds * more / study.trials.concurrent, 0.0)
    return Estimate(priced, wall_seconds / SECONDS_PER_HOUR, epochs_planned, known, str(results))


def _times(spent: Spent, factor: float) -> Spent:
    return replace(spent, **{name: getattr(spent, name) * factor for name in Spent.__slots__})
