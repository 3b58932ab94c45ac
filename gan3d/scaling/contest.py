"""Contenders trained with the same seeds, compared at equal core-seconds: what each came to, and its ratio to one of them, seed by seed.

Covered: arithmetic on the frames of ``gan3d.tracking.frames``. Not covered: drawing (``analysis/confirmation.py``).
"""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd

from gan3d.config.objective import Objective
from gan3d.config.stairs import STAIRS
from gan3d.errors import ConfigError
from gan3d.scaling.draws import CONFIDENCE
from gan3d.scaling.progress import in_order, spent_core_seconds
from gan3d.scaling.speedup import SEED_KEY, geometric_interval
from gan3d.training.merit import best_epoch, judged


def within(epochs: pd.DataFrame, core_seconds: float | None = None) -> pd.DataFrame:
    """The epochs that every trial had reached when it had cost the same.

    Args:
        epochs: of all trials, with their costs.
        core_seconds: of each trial; by default what the cheapest has cost in all.

    Returns:
        The same rows as far as they lie within, with ``spent``: core-seconds from the start of the trial to the end of the epoch. From
        the first epoch on that tells no cost, nothing of a trial is within.

    Raises:
        ConfigError: As :func:`gan3d.scaling.progress.in_order`.
    """
    rows = in_order(epochs)
    rows["spent"] = spent_core_seconds(rows)
    limit = rows.groupby("trial")["spent"].max().min() if core_seconds is None else core_seconds
    return rows[rows["spent"] <= limit]


def left_out(epochs: pd.DataFrame, kept: pd.DataFrame) -> list[dict[str, Any]]:
    """The trials whose first epoch had cost more than they were to cost in all, or tells no cost: contender and seed.

    Args:
        epochs: of all trials.
        kept: those of :func:`within`.
    """
    missing = epochs[~epochs["trial"].isin(kept["trial"])].drop_duplicates("trial")
    return [{"contender": row[STAIRS], "seed": row[SEED_KEY]} for row in missing.to_dict("records")]


def outcomes(epochs: pd.DataFrame, objective: Objective) -> pd.DataFrame:
    """One row per trial: its contender, its seed, and the best epoch among these.

    Args:
        epochs: as :func:`within` returns them.
        objective: by which the best epoch is chosen.

    Returns:
        ``contender``, ``seed``, ``trial``, ``epochs``, ``core_seconds`` (those within), ``best_epoch``, ``value`` and ``excess`` there.
    """
    found = []
    for trial, rows in epochs.groupby("trial"):
        metrics: list[Any] = rows.to_dict("records")
        epoch, best = best_epoch(judged(zip(rows["epoch"], metrics, strict=True), objective), objective) or (None, None)
        first = rows.iloc[0]
        row = {"contender": first[STAIRS], "seed": first[SEED_KEY], "trial": trial}
        row |= {"epochs": len(rows), "core_seconds": rows["spent"].max()}
        value, excess = (np.nan, np.nan) if best is None else (best.first, best.excess)
        found.append(row | {"best_epoch": epoch, "value": value, "excess": excess})
    return pd.DataFrame(found)


def standings(of_trials: pd.DataFrame, base: str, confidence: float = CONFIDENCE) -> pd.DataFrame:
    """One row per contender: geometric mean and spread over seeds, and its ratio to ``base``, paired by seed.

    Args:
        of_trials: as :func:`outcomes` returns them.
        base: the contender to compare with.
        confidence: of the intervals: Student's t on logarithms.

    Returns:
        ``contender``, ``seeds``, ``value``, ``value_low``, ``value_high``, ``ratio``, ``ratio_low``, ``ratio_high`` (geometric means),
        ``spread`` (standard deviation of the values), ``pairs``, ``core_seconds``, ``epochs`` (means).

    Raises:
        ConfigError: a value is not above 0, so that it has no ratios, or ``base`` is not there.
    """
    wide = of_trials.pivot_table(index="seed", columns="contender", values="value", sort=False)
    if base not in wide:
        message = f"the contender {base!r} has no epoch yet: nothing to compare with."
        raise ConfigError(message)
    if (wide <= 0).any(axis=None):
        message = "ratios need an objective above 0, and a trial has one that is not."
        raise ConfigError(message)
    logs = pd.DataFrame(np.log(wide))
    ratios = logs.sub(logs[base], axis=0)
    grouped = of_trials.groupby("contender", sort=False)
    table = pd.DataFrame({"seeds": grouped["value"].count()})
    for name, of in (("value", logs), ("ratio", ratios)):
        for end, column in geometric_interval(of, confidence).items():
            table[f"{name}{end}"] = column
    table["spread"], table["pairs"] = grouped["value"].std(ddof=1), ratios.count()
    for name in ("core_seconds", "epochs"):
        table[name] = grouped[name].mean()
    table.loc[base, ["ratio", "ratio_low", "ratio_high"]] = 1.0
    return table.rename_axis("contender").reset_index()


def verdict(row: pd.Series, *, lower_is_better: bool) -> str:
    """Whether a contender is better than the one it is compared with, in words, by the interval of its ratio."""
    if np.isnan(row["ratio_low"]):
        return "one seed tells nothing"
    below, above = row["ratio_high"] < 1.0, row["ratio_low"] > 1.0
    if not (below or above):
        return "not told apart"
    return "better" if below == lower_is_better else "worse"
