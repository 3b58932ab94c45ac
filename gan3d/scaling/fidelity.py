"""What fidelity costs: how good a trial's best epoch was by the core-hours it had spent, and the best that any trial had for as much.

Covered: arithmetic on the frames of ``gan3d.tracking.frames``. Not covered: drawing (``analysis/fidelity_front.py``).
"""

from __future__ import annotations

import pandas as pd

from gan3d.scaling.progress import CORE_SECONDS, Direction

SECONDS_PER_HOUR = 3600.0


def by_core_hours(epochs: pd.DataFrame, metric: str, direction: Direction) -> pd.DataFrame:
    """Every epoch that tells its cost, in order.

    Returns:
        ``trial``, ``epoch``, ``core_hours`` of its trial until its end, ``best`` of its trial until then.
    """
    rows = epochs.dropna(subset=[CORE_SECONDS]).sort_values(["trial", "epoch"], ignore_index=True)
    groups = rows.groupby("trial")
    running = groups[metric].cummin() if direction == "minimize" else groups[metric].cummax()
    found = rows[["trial", "epoch"]].assign(core_hours=groups[CORE_SECONDS].cumsum() / SECONDS_PER_HOUR, best=running)
    return found.dropna(subset=["best"])


def front(costs: pd.DataFrame, direction: Direction) -> pd.DataFrame:
    """The rows of :func:`by_core_hours` than which no trial was better for as little; cheapest first, each better than the one before."""
    sign = 1.0 if direction == "minimize" else -1.0
    ordered = costs.assign(loss=sign * costs["best"]).sort_values(["core_hours", "loss"], kind="stable")
    is_better = ordered["loss"] < ordered["loss"].cummin().shift(fill_value=float("inf"))
    return ordered[is_better].drop(columns="loss").reset_index(drop=True)
