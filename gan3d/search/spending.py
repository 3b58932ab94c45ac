"""Ends trials when the study's budget is spent, or when it is asked to stop. Runs in the driver's process.

Then the searcher proposes nothing more and every running trial ends with its epoch, as one that the scheduler stops
would; nothing is killed, and `gan3d.tracking.outcome` tells the two apart.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray import tune

from gan3d.cost.account import Account
from gan3d.tracking.outcome import EPOCH, FAILED, STOPPED


class SpentBudget(tune.Stopper):
    """Asked by Tune about every result, before anybody else hears of it."""

    def __init__(self, account: Account, asked: Callable[[], str] = lambda: "") -> None:
        """``asked`` says why the study is to stop, if somebody wants it to."""
        self._account, self._asked = account, asked

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its stoppers with its own state and we never read them back."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Tune's signature
        """Whether the trial ends with this epoch; then the result says why."""
        number, known = (result["config"][name] for name in ("number", "known_epochs"))
        if result[FAILED] or not self._account.end_epoch(number, result[EPOCH], result) or result[EPOCH] < known:
            return False  # a trial taken up tells its epochs again: stopped before the last, it would look shorter than it is
        reason = self._account.exhausted or self._asked()
        if reason:
            result[STOPPED] = reason
        return bool(reason)

    def stop_all(self) -> bool:
        """Never: that would end trials in the middle of an epoch."""
        return False
