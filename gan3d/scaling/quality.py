"""Time to quality: how much training each trial needed to reach a value of a metric, and how that scales with workers.

The clock counts training and stands still in validation and checkpoint (AlgoPerf, arXiv:2306.07179); beside it are the seconds with
both, updates (steps of the optimiser), showers, and core-hours: CPUs reserved for the trial's workers times training seconds.

A crossing is the last of ``hold`` epochs in a row at the target. With ``hold`` 1 it is the first touch, which of a metric that scatters
is the earliest of many tries and so optimistic; with 2 or more a lucky epoch does not count, and an observer could have stopped there.

Never is a result: infinite here, "never" in tables. Of repeats: how many reached of how many ended; the median with misses as infinite
(AlgoPerf); and where all reached, the geometric mean with Student's t on logarithms. Ratios are paired by seed where both reached, so
they say nothing of misses: read them beside the counts. A trial that failed or was pruned before it reached is a miss; one that still
runs and has not reached is not counted.

Covered: arithmetic on the frame of ``gan3d.tracking.frames.epochs``. Not covered: drawing (``analysis/large_batch.py``).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gan3d.config.objective import Direction
from gan3d.cost.prices import SECONDS_PER_HOUR
from gan3d.errors import ConfigError
from gan3d.records import METRICS, training_seconds
from gan3d.scaling.draws import CONFIDENCE, Estimate, geometric_mean
from gan3d.scaling.progress import in_order
from gan3d.scaling.speedup import SEED_KEY

#: What a target costs, by column: its unit and meaning.
COSTS = {
    "seconds": "s of training",
    "seconds_whole": "s with validation and checkpoint",
    "updates": "steps of the optimiser",
    "showers": "showers trained on",
    "core_hours": "core-hours of training",
}
#: A trial's last value is a mean over so many epochs: one alone scatters.
LAST_EPOCHS = 3
_ENDED = ("complete", "pruned", "failed")


@dataclass(frozen=True, slots=True)
class Target:
    """A value of a metric that counts as reached once ``hold`` epochs in a row are as good."""

    metric: str
    value: float
    direction: Direction = "minimize"
    hold: int = 1

    def __post_init__(self) -> None:
        """Raise ConfigError for what nobody can reach or measure."""
        metric = METRICS.get(self.metric)
        if metric is None or metric.better == "neither":
            message = f"{self.metric} is no metric that is better when lower or when higher: it has no target."
            raise ConfigError(message, key="objective.metric")
        if not np.isfinite(self.value) or self.hold < 1:
            message = f"a target is a finite number, held for at least one epoch; given: {self.value}, held for {self.hold}."
            raise ConfigError(message, key="objective.target")

    @property
    def text(self) -> str:
        """`physics.shower_distance <= 0.15, held for 2 epochs`."""
        held = f", held for {self.hold} epochs" if self.hold > 1 else ""
        return f"{self.metric} {'<=' if self.direction == 'minimize' else '>='} {self.value:g}{held}"


def quality_note(target: Target) -> str:
    """A sentence for figures."""
    return f"Time-to-quality: training seconds (the clock stands still in validation and checkpoint) to {target.text}."


def time_to_quality(epochs: pd.DataFrame, target: Target, others: Sequence[str] = (), trials: pd.DataFrame | None = None) -> pd.DataFrame:
    """One row per trial: whether it reached the target, and what that cost.

    Args:
        epochs: One row per trial epoch, all epochs of each trial.
        target: What is to be reached.
        others: Further metrics to be told at the crossing and at the end.
        trials: As of ``frames.trials``: those that ended before their first epoch did are misses, too.

    Returns:
        The trial's own columns (``trial``, ``state``, ``world_size``, sampled keys, ...), ``repeat`` (the seed; its place among trials of
        one sample where no seed was sampled), ``epochs`` trained, ``outcome`` (reached, never, or running: not yet), ``crossing``
        (epoch), each of :data:`COSTS` (inf where never, NaN where running), and of the target's metric and ``others``
        ``<metric>.crossing`` and ``<metric>.last``, the mean of the last 3 epochs.

    Raises:
        ConfigError: The metric is missing, or epochs of a trial are.
    """
    missing = [name for name in (target.metric, *others) if name not in epochs.columns]
    if missing:
        message = f"the epochs hold no {', '.join(missing)}."
        raise ConfigError(message, key="objective.metric")
    metrics = (target.metric, *others)
    own = epochs.columns.difference([*METRICS, "epoch", "logged_at"], sort=False)
    rows = [
        of_trial.iloc[0][own].to_dict() | _trial_row(of_trial, target, metrics)
        for _, of_trial in _spent(epochs).groupby("trial", sort=True)
    ]
    if trials is not None:
        at_once = trials[trials["state"].isin(_ENDED) & ~trials["trial"].isin(epochs["trial"])]
        rows += [row[own].to_dict() | _trial_row(epochs.head(0), target, metrics, row["state"]) for _, row in at_once.iterrows()]
    found = pd.DataFrame(rows).sort_values("trial", ignore_index=True)
    sample = [name for name in own if "." in name] or ["world_size"]
    found["repeat"] = found[SEED_KEY] if SEED_KEY in found else found.groupby(sample, dropna=False).cumcount()
    return found


def _spent(epochs: pd.DataFrame) -> pd.DataFrame:
    """The epochs in order with what each trial had spent at the end of each, by column of :data:`COSTS`."""
    ordered = in_order(epochs)
    # Databases of earlier versions do not tell the CPUs: one per worker is the default.
    cpus = ordered["reserved_cpus"].fillna(ordered["world_size"]) if "reserved_cpus" in ordered else ordered["world_size"]
    seconds = training_seconds(ordered)
    spent = {
        "seconds": seconds,
        "seconds_whole": ordered["timing.epoch_seconds"],
        "updates": ordered["timing.num_steps"],
        "showers": ordered["timing.num_showers"],
        "core_hours": seconds * cpus.astype(float) / SECONDS_PER_HOUR,
    }
    return ordered.assign(**{name: column.astype(float).groupby(ordered["trial"]).cumsum() for name, column in spent.items()})


def _trial_row(epochs: pd.DataFrame, target: Target, metrics: Sequence[str], state: str = "") -> dict[str, Any]:
    """One trial from its epochs in order, costs summed up to each; its ``state`` where it has none."""
    values = epochs[target.metric]
    is_good = values <= target.value if target.direction == "minimize" else values >= target.value
    held = is_good.astype(int).rolling(target.hold).sum() == target.hold
    is_over = (state or epochs["state"].iloc[0]) in _ENDED
    crossing = epochs[held].head(1)
    row: dict[str, Any] = {"epochs": len(epochs), "outcome": "reached", "crossing": np.nan}
    if crossing.empty:
        row["outcome"] = "never" if is_over else "running"
        row |= dict.fromkeys(COSTS, np.inf if is_over else np.nan)
    else:
        row |= {"crossing": int(crossing["epoch"].iloc[0])} | {cost: float(crossing[cost].iloc[0]) for cost in COSTS}
    for name in metrics:
        row[f"{name}.crossing"] = np.nan if crossing.empty else float(crossing[name].iloc[0])
        row[f"{name}.last"] = float(epochs[name].astype(float).tail(LAST_EPOCHS).mean())
    return row


def quality_summary(trials: pd.DataFrame, by: Sequence[str], confidence: float = CONFIDENCE) -> pd.DataFrame:
    """Repeats put together: one row per combination of ``by``.

    Args:
        trials: As :func:`time_to_quality` returns.
        by: Columns that tell combinations apart.
        confidence: Of every interval.

    Returns:
        ``by``, ``run`` (ended, or reached while running), ``reached``, ``running`` (not reached yet), and of each of :data:`COSTS`
        ``<cost>_median`` with misses as infinite, and ``<cost>_mean``, ``<cost>_mean_low``, ``<cost>_mean_high``: geometric, NaN where
        not all reached.
    """
    rows = []
    for values, group in trials.groupby(list(by), sort=True, dropna=False):
        decided = group[group["outcome"] != "running"]
        reached = int((decided["outcome"] == "reached").sum())
        row = dict(zip(by, values, strict=True)) | {"run": len(decided), "reached": reached, "running": len(group) - len(decided)}
        for cost in COSTS:
            row[f"{cost}_median"] = float(np.median(decided[cost])) if len(decided) else np.nan
            logs = np.log(decided[cost].to_numpy(float)) if reached == len(decided) else np.empty(0)
            row |= _named(f"{cost}_mean", geometric_mean(logs, confidence))
        rows.append(row)
    return pd.DataFrame(rows)


def paired_ratio(trials: pd.DataFrame, base: pd.DataFrame, cost: str = "seconds", confidence: float = CONFIDENCE) -> dict[str, float]:
    """What a target costs in some trials over what it costs in others, paired by repeat where both reached.

    Returns:
        ``pairs``, and ``ratio``, ``ratio_low``, ``ratio_high``: geometric mean and t-interval; NaN without a pair, the interval with one.

    Raises:
        ConfigError: Two trials of one side have the same repeat, so that nobody knows which belongs to which.
    """
    costs = []
    for side in (trials, base):
        if side["repeat"].duplicated().any():
            message = f"trials {', '.join(map(str, side['trial']))} share a seed: they differ in more than what is compared."
            raise ConfigError(message, key=SEED_KEY)
        costs.append(side.set_index("repeat")[cost].replace(np.inf, np.nan))
    ratios = (costs[0] / costs[1]).dropna()
    logs = np.log(ratios.to_numpy(float))
    return {"pairs": len(logs)} | _named("ratio", geometric_mean(logs, confidence))


def quality_efficiency(
    epochs: pd.DataFrame,
    target: Target,
    by: Sequence[str] = (),
    confidence: float = CONFIDENCE,
    trials: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """Efficiency in time to quality, TTQ(base) / (n TTQ(N)) with n = N / base; the base is the smallest world size.

    Args:
        epochs: One row per trial epoch, warm-up epochs too: they are part of the way.
        target: What is to be reached.
        by: Columns of separate curves, such as ``training.scaling``.
        confidence: Of the intervals.
        trials: As of :func:`time_to_quality`.

    Returns:
        One row per ``by`` and ``world_size``: ``base``, ``ideal`` (n), ``run``, ``reached``, ``pairs``, ``seconds_median``,
        ``efficiency``, ``efficiency_low``, ``efficiency_high`` of repeats where both reached (NaN where none did), and
        ``efficiency_of_medians``, with misses as infinite: 0 where the larger team's median never gets there.

    Raises:
        ConfigError: As :func:`time_to_quality` and :func:`paired_ratio`.
    """
    found = time_to_quality(epochs, target, trials=trials)
    curves = [found] if not by else [curve for _, curve in found.groupby(list(by), sort=True, dropna=False)]
    return pd.concat([_efficiency(curve, by, confidence) for curve in curves], ignore_index=True)


def _efficiency(trials: pd.DataFrame, by: Sequence[str], confidence: float) -> pd.DataFrame:
    """One curve."""
    curve = quality_summary(trials, [*by, "world_size"], confidence)[[*by, "world_size", "run", "reached", "running", "seconds_median"]]
    curve["world_size"] = curve["world_size"].astype(int)
    base = curve["world_size"].iloc[0]
    curve["base"], curve["ideal"] = base, curve["world_size"] / base
    of_size = {size: trials[trials["world_size"] == size] for size in curve["world_size"]}
    slower = pd.DataFrame([paired_ratio(of_size[size], of_size[base], confidence=confidence) for size in curve["world_size"]])
    curve["pairs"] = slower["pairs"].astype(int)
    for end, of in (("", ""), ("_low", "_high"), ("_high", "_low")):
        curve[f"efficiency{end}"] = 1.0 / (curve["ideal"] * slower[f"ratio{of}"])
    # The base against itself is 1 by definition, also in its interval and with one pair, wherever it reached at all.
    curve.loc[(curve["world_size"] == base) & (curve["pairs"] > 0), ["efficiency", "efficiency_low", "efficiency_high"]] = 1.0
    median = curve["seconds_median"].iloc[0]
    curve["efficiency_of_medians"] = median / (curve["ideal"] * curve["seconds_median"]) if np.isfinite(median) else np.nan
    return curve


def _named(name: str, interval: Estimate) -> dict[str, float]:
    return dict(zip((name, f"{name}_low", f"{name}_high"), interval, strict=True))
