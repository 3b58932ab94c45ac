"""What a study is going to cost, from the epochs that an earlier run of it finished."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gan3d.config.study import Study
from gan3d.cost.ledger import Ledger, Spent
from gan3d.cost.prices import SECONDS_PER_HOUR, Bill, bill


@dataclass(frozen=True, slots=True)
class Estimate:
    """Of all trials trained to their last epoch; a scheduler that stops some makes it less."""

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
    wall_seconds, known = ledger.wall_seconds, ledger.epochs
    if not known:
        return None
    factor = epochs_planned / known
    priced = bill(_times(ledger.total(), factor), study.cost, reserved=True)
    return Estimate(priced, wall_seconds * factor / SECONDS_PER_HOUR, epochs_planned, known, str(results))


def _times(spent: Spent, factor: float) -> Spent:
    return replace(spent, **{name: getattr(spent, name) * factor for name in Spent.__slots__})
