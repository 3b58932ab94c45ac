"""What fidelity costs: how good a trial's best epoch was by the core-hours it had spent, and the best that any trial had for as much.

Covered: arithmetic on the frames of ``gan3d.tracking.frames``. Not covered: drawing (``analysis/fidelity_front.py``).
"""

from __future__ import annotations

import pandas as pd

from gan3d.config.objective import Direction
from gan3d.cost.prices import SECONDS_PER_HOUR
from gan3d.scaling.progress import in_order, spent_core_seconds


def by_core_hours(epochs: pd.DataFrame, metric: str, direction: Direction) -> pd.DataFrame:
    """Every epoch, in order, of a trial up to its first one that tells no cost: a sum without it would flatter what came after it.

    Returns:
        ``trial``, ``epoch``, ``core_hours`` of its trial until its end, ``best`` of its trial until then.

    Raises:
        ConfigError: As :func:`gan3d.scaling.progress.in_order`.
    """
    rows = in_order(epochs)
    groups = rows.groupby("trial")
    running = groups[metric].cummin() if direction == "minimize" else groups[metric].cummax()
    found = rows[["trial", "epoch"]].assign(core_hours=spent_core_seconds(rows) / SECONDS_PER_HOUR, best=running)
    return found.dropna(subset=["core_hours", "best"])


def front(costs: pd.DataFrame, direction: Direction) -> pd.DataFrame:
    """The rows of :func:`by_core_hours` than which no trial was better for as little; cheapest first, each better than the one before."""
    sign = 1.0 if direction == "minimize" else -1.0
    ordered = costs.assign(loss=sign * costs["best"]).sort_values(["core_hours", "loss"], kind="stable")
    is_better = ordered["loss"] < ordered["loss"].cummin().shift(fill_value=float("inf"))
    return ordered[is_better].drop(columns="loss").reset_index(drop=True)
