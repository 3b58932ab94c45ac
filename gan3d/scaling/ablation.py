"""The large-batch ablation: what learning-rate rules, learning-rate warm-up and the order of showers do as ranks are added.

A *recipe* is an order, a rule and a warm-up; each is trained at several numbers of (virtual) ranks and seeds. Where the global batch is
the reference batch of the rules all recipes with a rule, and those without rule and warm-up, are the same training: one of them stands
for all (`shared`).

Final distances are means of a trial's last epochs (``quality.LAST_EPOCHS``), of trials that completed. Contrasts are differences paired
by seed, all else equal, with Student's t-interval.

Covered: arithmetic on the frames of ``gan3d.tracking.frames``. Not covered: costs of a target (``quality``), drawing.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from gan3d.scaling.draws import CONFIDENCE, t_interval
from gan3d.scaling.speedup import SEED_KEY

ORDER, RULE = "data.order", "training.learning_rate_rule"
WARMUP, RANKS = "training.learning_rate_warmup_epochs", "training.virtual_ranks"
REFERENCE = "training.learning_rate_reference_batch"
RECIPE = [ORDER, RULE, WARMUP]
GRID = [*RECIPE, RANKS]
#: Order of the values in tables and figures.
PLACES = {value: place for place, value in enumerate(("shuffled", "seed", "none", "sqrt", "linear"))}
NETWORKS = ("generator", "discriminator")
#: Epochs over which signal and noise of gradients are averaged before their ratio is taken: the signal scatters around small values.
NOISE_EPOCHS = 3


def with_settings(frame: pd.DataFrame, settings: Mapping[str, Any]) -> pd.DataFrame:
    """The frame with a column for every key of the grid and the seed: where it was not sampled, the study's own value.

    Args:
        frame: Of trials or epochs.
        settings: Dotted key → value, of at least the keys that were not sampled.
    """
    absent = {key: settings[key] for key in (*GRID, REFERENCE, SEED_KEY) if key not in frame}
    return frame.assign(**absent)


def shared(frame: pd.DataFrame) -> pd.DataFrame:
    """The frame with rows for recipes that were trained under another name (`shared` is true there), in the grid's order.

    At the reference batch the rule's factor is 1, so rules coincide, and a warm-up has nothing to rise to; without a rule it rises from 0.
    """
    is_same = (frame["global_batch"] == frame[REFERENCE]) & ((frame[RULE] != "none") | (frame[WARMUP] == 0))
    recipes = frame[(frame[RULE] != "none") | (frame[WARMUP] == 0)][[RULE, WARMUP]].drop_duplicates()
    copies = []
    # A trial that ended well stands for others before one that did not.
    donors = frame[is_same].sort_values("state", key=lambda states: states != "complete", kind="stable")
    for _, group in donors.groupby([ORDER, RANKS, SEED_KEY]):
        donor = group[group["trial"] == group["trial"].iloc[0]]
        there = set(map(tuple, group[[RULE, WARMUP]].to_numpy()))
        copies += [donor.assign(**{RULE: rule, WARMUP: warmup}) for rule, warmup in recipes.to_numpy() if (rule, warmup) not in there]
    found = pd.concat([frame.assign(shared=False), *(copy.assign(shared=True) for copy in copies)], ignore_index=True)
    return in_grid_order(found, [*GRID, SEED_KEY, *(["epoch"] if "epoch" in found else [])])


def missing_trials(trials: pd.DataFrame, planned: Sequence[Mapping[str, Any]] = ()) -> pd.DataFrame:
    """Combinations of the grid and the seeds that no trial has completed, with `state` (absent, running, failed, pruned).

    Args:
        trials: As :func:`shared` returns.
        planned: Samples of the whole study; without them, every combination of the values that trials have.
    """
    keys = [*GRID, SEED_KEY]
    values = [list(dict.fromkeys([*trials[key], *(sample[key] for sample in planned if key in sample)])) for key in keys]
    states = trials.set_index(keys)["state"].groupby(level=keys).agg(lambda group: min(group, key=lambda state: state != "complete"))
    rows = [dict(zip(keys, cell, strict=True)) | {"state": states.get(cell, "absent")} for cell in itertools.product(*values)]
    return pd.DataFrame([row for row in rows if row["state"] != "complete"], columns=[*keys, "state"])


def curves(epochs: pd.DataFrame, metrics: Sequence[str]) -> pd.DataFrame:
    """Mean, least and most over seeds of metrics, by epoch.

    Args:
        epochs: As :func:`shared` returns, one row per trial epoch.
        metrics: Names.

    Returns:
        The grid's keys, ``epoch``, ``seeds``, ``updates`` and ``showers`` until then, and ``<metric>``, ``<metric>.min``, ``.max``.
    """
    in_order = epochs.sort_values("epoch")
    by_trial = in_order.groupby([*GRID, SEED_KEY], sort=False)
    spent = {"updates": by_trial["timing.num_steps"].cumsum(), "showers": by_trial["timing.num_showers"].cumsum()}
    cells = in_order.assign(**spent).groupby([*GRID, "epoch"], sort=False)
    columns = {"seeds": (SEED_KEY, "nunique"), "updates": ("updates", "mean"), "showers": ("showers", "mean")}
    for name in metrics:
        columns |= {name: (name, "mean"), f"{name}.min": (name, "min"), f"{name}.max": (name, "max")}
    return in_grid_order(cells.agg(**columns).reset_index(), [*GRID, "epoch"])


def contrast(trials: pd.DataFrame, key: str, value: Any, base: Any, quantities: Mapping[str, pd.Series]) -> pd.DataFrame:
    """How much ``value`` of a key of the grid adds to quantities, against ``base``, by what else is in the grid.

    A pair whose sides are one shared training is left out.

    Args:
        trials: As :func:`shared` returns, with the columns of ``quantities``.
        key: Of the grid.
        value: Of the key.
        base: Of the key.
        quantities: Name → one number per trial, by the index of ``trials``.

    Returns:
        The other keys of the grid, ``quantity``, ``pairs`` of seeds, ``difference`` with ``_low`` and ``_high`` (NaN with one pair).
    """
    others = [name for name in GRID if name != key]
    complete = trials[trials["state"] == "complete"]
    rows = []
    for place, cell in complete.groupby(others, sort=False):
        for name, numbers in quantities.items():
            sides = [_by_seed(cell[cell[key] == one], numbers) for one in (value, base)]
            pairs = sides[0].merge(sides[1], left_index=True, right_index=True, suffixes=("_value", "_base"))
            pairs = pairs[pairs["trial_value"] != pairs["trial_base"]]
            differences = (pairs["number_value"] - pairs["number_base"]).dropna().to_numpy(float)
            if len(differences):
                rows.append(dict(zip(others, place, strict=True)) | {"quantity": name} | mean_interval(differences))
    frame = pd.DataFrame(rows, columns=[*others, "quantity", "pairs", "difference", "difference_low", "difference_high"])
    return in_grid_order(frame, others)


def pooled_contrast(trials: pd.DataFrame, key: str, value: Any, base: Any, quantities: Mapping[str, pd.Series]) -> pd.DataFrame:
    """As :func:`contrast`, but all recipes that differ in nothing else put together, by number of ranks.

    Recipes of one seed begin with the same weights, so they are no repeats of each other: differences are averaged over the recipes of a
    seed first, and the interval is over seeds. Of pairs of the same two trainings one counts.
    """
    same = [*(name for name in GRID if name not in {key, RANKS}), SEED_KEY]
    complete = trials[trials["state"] == "complete"]
    rows = []
    for ranks, cell in complete.groupby(RANKS, sort=True):
        for name, numbers in quantities.items():
            sides = [cell[cell[key] == one].assign(number=numbers)[[*same, "trial", "number"]] for one in (value, base)]
            pairs = sides[0].merge(sides[1], on=same, suffixes=("_value", "_base")).dropna(subset=["number_value", "number_base"])
            pairs = pairs[pairs["trial_value"] != pairs["trial_base"]].drop_duplicates(["trial_value", "trial_base"])
            if len(pairs):
                of_seeds = (pairs["number_value"] - pairs["number_base"]).groupby(pairs[SEED_KEY]).mean().to_numpy(float)
                rows.append({RANKS: ranks, "quantity": name, "recipes": len(pairs)} | mean_interval(of_seeds))
    columns = [RANKS, "quantity", "recipes", "pairs", "difference", "difference_low", "difference_high"]
    return pd.DataFrame(rows, columns=columns)


def mean_interval(differences: np.ndarray, confidence: float = CONFIDENCE) -> dict[str, float]:
    """``pairs``, and ``difference`` with ``_low`` and ``_high``: mean and t-interval of shape (pairs,)."""
    mean, low, high = t_interval(differences, confidence)
    return {"pairs": len(differences), "difference": mean, "difference_low": low, "difference_high": high}


def noise_scales(epochs: pd.DataFrame) -> pd.DataFrame:
    """Gradient noise scale of both networks by epoch: noise over signal, each a mean over seeds and ``NOISE_EPOCHS`` epochs.

    Args:
        epochs: As :func:`shared` returns; rows without gradients of several ranks are left out.

    Returns:
        The grid's keys, ``epoch``, ``showers`` until then, ``generator`` and ``discriminator`` [showers]; NaN where the mean signal is
        not above zero: a batch of any size would still be noise. Empty if nothing was measured.
    """
    parts = [f"noise_scale.{network}_{part}" for network in NETWORKS for part in ("noise", "signal")]
    if any(name not in epochs for name in parts):
        return pd.DataFrame(columns=[*GRID, "epoch", "showers", *NETWORKS])
    means = curves(epochs[epochs[parts].notna().all(axis="columns")], parts)
    for network in NETWORKS:
        smooth = [
            means.groupby(GRID, sort=False)[f"noise_scale.{network}_{part}"].transform(lambda one: one.rolling(NOISE_EPOCHS, 1).mean())
            for part in ("noise", "signal")
        ]
        means[network] = (smooth[0].clip(lower=0.0) / smooth[1]).where(smooth[1] > 0)
    return means[[*GRID, "epoch", "showers", *NETWORKS]]


def in_grid_order(frame: pd.DataFrame, by: Sequence[str] = GRID) -> pd.DataFrame:
    """Rows sorted by keys of the grid, words in the order of :data:`PLACES`."""

    def places(column: pd.Series) -> pd.Series:
        return column.map(lambda value: PLACES.get(value, value))

    return frame.sort_values(list(by), key=places, ignore_index=True, kind="stable")


def _by_seed(trials: pd.DataFrame, numbers: pd.Series) -> pd.DataFrame:
    """``number`` and ``trial`` by seed."""
    return trials.assign(number=numbers).drop_duplicates(SEED_KEY).set_index(SEED_KEY)[["number", "trial"]]
