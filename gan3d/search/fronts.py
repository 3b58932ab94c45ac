"""How a search with trade-offs went: which trials no other one beats, and how much of the goals' space they have won, at what cost.

A trial stands for its best epoch (`gan3d.training.merit`). On the front is what `gan3d.search.ranking.front_of` says: of complete trials
that keep all constraints those that none of them beats in every goal. Hypervolume is the part of that space which the front beats, up to a
reference point (Zitzler and Thiele 1998, doi.org/10.1007/BFb0056872): of two fronts measured up to the same point, the one that has more
is the better one. Its share is of the box between the reference point and the best that was seen of each goal alone; 1 would be one trial
that is best in all.

Without any other reference point it lies a little behind the worst of the complete trials that keep the constraints, so that both ends of
a front count (Ishibuchi et al. 2018, doi.org/10.1162/evco_a_00226). It depends on the trials: to compare two searches, give both the same.
"""

from __future__ import annotations

from collections.abc import Sequence

import moocore
import numpy as np
import numpy.typing as npt
import pandas as pd

from gan3d.config.objective import Objective
from gan3d.search.ranking import front
from gan3d.training.merit import Merit

CORE_SECONDS = "cost.core_seconds"
#: Of the range of the complete trials' values: so far behind the worst is the reference point.
BEHIND = 0.1


def values_of(trials: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """Where each trial stands, by number: those that have come to an epoch in which every goal is finite, but for failed ones.

    Args:
        trials: As ``frames.trials`` returns.
        objective: Of the study.

    Returns:
        ``trial``, ``state``, a column per goal's metric, the ``excess`` over constraints, ``is_kept`` (all of them are) and ``is_front``.
    """
    columns = {"best_objective": objective.metric, **{f"best.{goal.metric}": goal.metric for goal in objective.trade_offs}}
    metrics = list(columns.values())
    rows = trials[["trial", "state", *columns, "excess"]].rename(columns=columns).sort_values("trial")
    rows = rows.astype(dict.fromkeys([*metrics, "excess"], float))
    is_finite = np.isfinite(rows[metrics].to_numpy()).all(axis=1)
    rows = rows[is_finite & (rows["state"] != "failed").to_numpy()].reset_index(drop=True)
    rows["is_kept"] = rows["excess"] <= 0.0
    found: pd.DataFrame = rows.assign(is_front=_is_front(rows, objective))
    return found


def front_of_pair(values: pd.DataFrame, objective: Objective, metric: str) -> pd.DataFrame:
    """The rows of trials that none beats in the objective and this trade-off, whatever the others are; the best by the objective first."""
    pair = objective.model_copy(update={"trade_offs": tuple(goal for goal in objective.trade_offs if goal.metric == metric)})
    found = values[_is_front(values, pair)]
    return found.sort_values(objective.metric, ascending=objective.direction == "minimize", kind="stable")


def reference_point(values: pd.DataFrame, objective: Objective) -> tuple[float, ...]:
    """A tenth of their range behind the worst of the complete trials that keep the constraints, by goal; empty without any."""
    rows = _counting(values)
    if rows.empty:
        return ()
    found = []
    for goal in objective.goals:
        low, high = float(rows[goal.metric].min()), float(rows[goal.metric].max())
        margin = BEHIND * ((high - low) or abs(high) or 1.0)
        found.append(high + margin if goal.direction == "minimize" else low - margin)
    return tuple(found)


def hypervolume_progress(values: pd.DataFrame, epochs: pd.DataFrame, objective: Objective, reference: Sequence[float]) -> pd.DataFrame:
    """The front's hypervolume after each trial that ended with values, in the order of their ends.

    Args:
        values: As `values_of` returns.
        epochs: As ``frames.epochs`` returns; every epoch that any trial finished until then was paid for.
        objective: Of the study.
        reference: A value per goal.

    Returns:
        ``trial``, ``ended`` (how many of them had), ``core_seconds`` spent by then (NaN if an epoch tells no cost), ``hypervolume`` (in the
        product of the metrics' units) and its ``share``.
    """
    finished = epochs.sort_values("logged_at", kind="stable", ignore_index=True)
    knows_costs = CORE_SECONDS in finished and bool(finished[CORE_SECONDS].notna().all())
    spent = finished[CORE_SECONDS].cumsum() if knows_costs else pd.Series(np.nan, index=finished.index)
    last = finished[["trial"]].assign(core_seconds=spent).groupby("trial").tail(1)
    ended = last.merge(values[values["state"] != "running"], on="trial", how="inner")
    ended["is_counting"] = ended["is_kept"] & (ended["state"] == "complete")
    points, corner = _losses(ended, objective), _signs(objective) * np.asarray(reference, dtype=np.float64)
    counting = ended["is_counting"].to_numpy(dtype=bool)
    volumes = np.array([hypervolume(points[: place + 1][counting[: place + 1]], corner) for place in range(len(ended))])
    ideal = points[counting].min(axis=0) if counting.any() else corner
    box = float(np.prod(np.maximum(corner - ideal, 0.0)))
    return pd.DataFrame(
        {
            "trial": ended["trial"],
            "ended": np.arange(1, len(ended) + 1),
            "core_seconds": ended["core_seconds"],
            "hypervolume": volumes,
            "share": volumes / box if box > 0 else np.zeros(len(ended)),
        }
    )


def hypervolume(points: npt.NDArray[np.float64], corner: npt.NDArray[np.float64]) -> float:
    """What points of losses, one a row, beat of the space before a corner."""
    before = points[(points < corner).all(axis=1)]
    return float(moocore.hypervolume(before, ref=corner)) if len(before) else 0.0


def _counting(values: pd.DataFrame) -> pd.DataFrame:
    return values[values["is_kept"] & (values["state"] == "complete")]


def _is_front(values: pd.DataFrame, objective: Objective) -> pd.Series:
    """Whether each row is on the front; as ranking has it, of complete trials only."""
    rows = values[values["state"] == "complete"]
    merits = [Merit(excess, tuple(one)) for excess, one in zip(rows["excess"], rows[_metrics(objective)].to_numpy(), strict=True)]
    return pd.Series(values.index.isin(rows.index[front(merits, objective)]), index=values.index)


def _metrics(objective: Objective) -> list[str]:
    return [goal.metric for goal in objective.goals]


def _signs(objective: Objective) -> npt.NDArray[np.float64]:
    return np.array([1.0 if goal.direction == "minimize" else -1.0 for goal in objective.goals])


def _losses(values: pd.DataFrame, objective: Objective) -> npt.NDArray[np.float64]:
    """A row per trial, a column per goal, lower is better."""
    return values[_metrics(objective)].to_numpy(dtype=np.float64) * _signs(objective)
