"""Tune's scheduler, which only asks the searcher: what decides is in Optuna's storage."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ray.tune.schedulers import FIFOScheduler


class EarlyStopping(FIFOScheduler):
    """Runs trials in their order, and ends those that shall not go on."""

    def __init__(self, goes_on: Callable[[str, dict[str, Any]], bool]) -> None:
        """``goes_on``: of Tune's trial id and an epoch's result."""
        super().__init__()  # type: ignore[no-untyped-call]
        self._goes_on = goes_on

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its scheduler with its own state and we never read it back."""
        return {}

    def on_trial_result(self, tune_controller: Any, trial: Any, result: dict[str, Any]) -> str:  # noqa: ARG002 - Tune's signature
        """Tune's word for whether the trial goes on."""
        return str(self.CONTINUE if self._goes_on(trial.trial_id, result) else self.STOP)
