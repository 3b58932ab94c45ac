"""A trial's epochs as the answer reads them: what each had cost by its end, and which one the trial stands for."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gan3d.config.objective import Objective
from gan3d.scaling.progress import CORE_SECONDS
from gan3d.training.merit import Judge
from gan3d.verdict.evidence import DISTANCE, EPOCH_SECONDS, Records


def judged_epochs(records: Records) -> pd.DataFrame:
    """The study's, by trial and epoch, with what was spent until their ends and whether they were the best.

    Returns:
        Beside the frame's columns ``seconds`` and ``core_seconds`` of the trial until the end of the epoch, and ``is_best``: no earlier
        epoch of the trial is better by the study's objective, so that the trial's `best.pt` was this epoch's when it ended.
    """
    spent = spent_until(records.epochs)
    found = [_is_best(rows, records.study.objective) for _, rows in spent.groupby("trial", sort=False)]
    return spent.assign(is_best=np.concatenate(found) if found else np.zeros(0, dtype=bool))


def best_of_trials(judged: pd.DataFrame) -> pd.DataFrame:
    """The row of each trial's best epoch, by trial, without trials whose best epoch was not held against Monte Carlo.

    Args:
        judged: as `judged_epochs` returns.
    """
    best = judged[judged["is_best"]].groupby("trial").tail(1)
    found: pd.DataFrame = best[np.isfinite(best[DISTANCE].astype(float))].set_index("trial", drop=False).rename_axis(None)
    return found


def first_within(judged: pd.DataFrame, target: float) -> pd.DataFrame:
    """The row of each trial's first epoch that was its best until then and at the target: a trial stopped there has such a `best.pt`."""
    rows = judged[judged["is_best"] & (judged[DISTANCE] <= target)]
    found: pd.DataFrame = rows.groupby("trial").head(1).set_index("trial", drop=False).rename_axis(None)
    return found


def spent_until(epochs: pd.DataFrame) -> pd.DataFrame:
    """Beside the frame's columns ``seconds`` and ``core_seconds`` of the trial until the end of each epoch."""
    ordered = epochs.sort_values(["trial", "epoch"], ignore_index=True)
    groups = ordered.groupby("trial")
    cores = ordered[CORE_SECONDS] if CORE_SECONDS in ordered else ordered[EPOCH_SECONDS] * ordered["reserved_cpus"]
    return ordered.assign(
        seconds=groups[EPOCH_SECONDS].cumsum(), core_seconds=cores.fillna(ordered[EPOCH_SECONDS]).groupby(ordered["trial"]).cumsum()
    )


def _is_best(rows: pd.DataFrame, objective: Objective) -> list[bool]:
    """Of one trial's epochs, in their order."""
    judge = Judge(objective)
    metrics: list[Any] = rows[[name for name in objective.metrics if name in rows]].to_dict("records")
    return [judge.judge(one) is judge.best for one in metrics]
