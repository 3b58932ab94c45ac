"""Ends trials when the study's budget is spent, when it is asked to stop, or when a disk is full. Runs in the driver's process.

Then the searcher proposes nothing more and every running trial ends with its epoch, as one that the scheduler stops
would; nothing is killed, and `gan3d.tracking.outcome` tells the two apart.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ray import tune

from gan3d.cost.account import Account
from gan3d.search.disk_room import why_no_room
from gan3d.search.stopping import StopRequest
from gan3d.tracking.outcome import EPOCH, FAILED, STOPPED


class SpentBudget(tune.Stopper):
    """Asked by Tune about every result, before anybody else hears of it."""

    def __init__(self, account: Account, request: StopRequest | None = None, at_once: int = 1) -> None:
        """``request`` says why the study is to stop, and is told; ``at_once`` trials run at the same time, at most."""
        self._account, self._request, self._at_once = account, request, at_once

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its stoppers with its own state and we never read them back."""
        return {}

    def __call__(self, trial_id: str, result: dict[str, Any]) -> bool:  # noqa: ARG002 - Tune's signature
        """Whether the trial ends with this epoch; then the result says why."""
        if reason := result.get(STOPPED, ""):
            self._stop(reason)
            return True
        config = result["config"]
        number, known = config["number"], config["known_epochs"]
        if result[FAILED] or not self._account.end_epoch(number, result[EPOCH], result) or result[EPOCH] < known:
            return False  # a trial taken up tells its epochs again: stopped before the last, it would look shorter than it is
        if no_room := why_no_room(Path(config["assignment"]["folder"]), self._at_once):
            self._stop(no_room)
        reason = self._account.exhausted or (self._request.reason if self._request is not None else "")
        if reason:
            result[STOPPED] = reason
        return bool(reason)

    def _stop(self, reason: str) -> None:
        if self._request is not None:
            self._request.stop(reason)

    def stop_all(self) -> bool:
        """Never: that would end trials in the middle of an epoch."""
        return False
