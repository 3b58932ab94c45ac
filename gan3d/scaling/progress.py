"""Progress of a search: the best objective found so far, against trials, wall time, worker time and core-seconds.

Covered: arithmetic on the frames of ``gan3d.tracking.frames``. Not covered: drawing (``analysis/search_progress.py``).
"""

from __future__ import annotations

import pandas as pd

from gan3d.config.objective import Direction
from gan3d.errors import ConfigError

CORE_SECONDS = "cost.core_seconds"


def best_by_trial(trials: pd.DataFrame, direction: Direction) -> pd.DataFrame:
    """Best objective after each trial, by trial number; trials without one (failed at once) repeat the best before them.

    Returns:
        ``trial``, ``state``, ``best_objective`` of the trial, ``best`` so far, ``worker_seconds`` spent so far on all workers.
    """
    rows = trials.sort_values("trial", ignore_index=True)[["trial", "state", "best_objective"]].copy()
    rows["best"] = _best_so_far(rows["best_objective"], direction)
    ordered = trials.sort_values("trial", ignore_index=True)
    rows["worker_seconds"] = (ordered["seconds"] * ordered["world_size"].astype(float)).fillna(0.0).cumsum()
    return rows


def best_by_time(epochs: pd.DataFrame, metric: str, direction: Direction) -> pd.DataFrame:
    """Best objective after each epoch of any trial, by wall time since the study's first trial started.

    Time between an interruption and its resume counts, as it did for whoever waited.

    Returns:
        ``seconds``, ``trial``, ``epoch``, ``value``, ``best`` so far.
    """
    rows = epochs.sort_values("logged_at", kind="stable", ignore_index=True)
    start = rows["started"].min()
    return pd.DataFrame(
        {
            "seconds": (rows["logged_at"] - start).dt.total_seconds(),
            "trial": rows["trial"],
            "epoch": rows["epoch"],
            "value": rows[metric],
            "best": _best_so_far(rows[metric], direction),
        }
    )


def best_by_core_seconds(epochs: pd.DataFrame, metric: str, direction: Direction) -> pd.DataFrame | None:
    """Best objective after each epoch of any trial, by what all epochs logged until then cost together, whatever ran beside what.

    Only finished epochs have a cost (``gan3d.cost.epochs``). Rows are those of :func:`best_by_time`, in the same order.

    Returns:
        ``core_seconds``, ``trial``, ``epoch``, ``value``, ``best`` so far; None if an epoch tells no cost, as those of older versions:
        a sum without it would flatter what came after it.
    """
    if CORE_SECONDS not in epochs or epochs[CORE_SECONDS].isna().any():
        return None
    rows = epochs.sort_values("logged_at", kind="stable", ignore_index=True)
    progress = best_by_time(epochs, metric, direction).drop(columns="seconds")
    progress.insert(0, "core_seconds", rows[CORE_SECONDS].cumsum())
    return progress


def in_order(epochs: pd.DataFrame) -> pd.DataFrame:
    """The epochs by trial and number.

    Raises:
        ConfigError: One is missing before another of its trial, so that a sum over them would flatter what came after it.
    """
    ordered = epochs.sort_values(["trial", "epoch"], ignore_index=True)
    gaps = ordered["epoch"] != ordered.groupby("trial").cumcount() + 1
    if gaps.any():
        trial, epoch = ordered.loc[gaps, ["trial", "epoch"]].iloc[0].astype(int)
        message = f"trial {trial} has no record of an epoch before {epoch}, so nobody knows what it cost. Resume the study."
        raise ConfigError(message, key="tracking")
    return ordered


def spent_core_seconds(ordered: pd.DataFrame) -> pd.Series:
    """What each trial had cost when each of its epochs ended: NaN from its first epoch on that tells no cost.

    Args:
        ordered: As :func:`in_order` returns.
    """
    return ordered.groupby("trial")[CORE_SECONDS].cumsum(skipna=False)


def reached(progress: pd.DataFrame, target: float, direction: Direction) -> pd.Series | None:
    """The first row of a progress frame whose ``best`` is at least as good as ``target``; None if none is."""
    good = progress["best"] <= target if direction == "minimize" else progress["best"] >= target
    return progress[good].iloc[0] if good.any() else None


def _best_so_far(values: pd.Series, direction: Direction) -> pd.Series:
    """Running minimum or maximum; NaN values leave it as it was."""
    running = values.cummin() if direction == "minimize" else values.cummax()
    return running.ffill()
