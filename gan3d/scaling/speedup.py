"""Throughput, speed-up, efficiency and serial fraction of a scaling study, with intervals over repeats.

Definitions. Throughput X(N): showers really trained on over the training time of steady epochs. Base: the smallest world size b;
n = N / b. Strong scaling (global batch fixed): speed-up S = X(N) / X(b), parallel efficiency S / n, Karp-Flatt serial fraction
(1/S - 1/n) / (1 - 1/n). Weak scaling (batch per worker fixed): the same ratio, efficiency X(N) / (n X(b)).

Intervals are Student's t on the logarithms of ratios, paired by repeat: exact if timings scatter log-normally, and with three
repeats they cover their nominal share, where a percentile bootstrap of three repeats covers only 73 % instead of 95 %.

Covered: arithmetic on the frame of ``gan3d.tracking.frames.epochs``. Not covered: laws fitted to the curves (``fits``).
"""

from __future__ import annotations

from typing import Literal

import numpy as np
import pandas as pd
from scipy import stats

from gan3d.errors import ConfigError
from gan3d.records import METRICS, PHASES

ScalingKind = Literal["strong", "weak"]

CONFIDENCE = 0.95
SEED_KEY = "training.seed"
#: What may differ between the trials of a scaling study besides the seed.
_SCALED = {"workers.per_trial", "training.global_batch", "training.batch_per_worker", SEED_KEY}


def throughput(epochs: pd.DataFrame, warmup_epochs: int = 1) -> pd.DataFrame:
    """One row per trial: its throughput over the epochs after its warm-up epochs.

    Args:
        epochs: One row per trial epoch.
        warmup_epochs: First epochs of each trial that are left out.

    Returns:
        ``world_size``, ``repeat`` (the seed, or the trial's place among those of its world size), ``trial``, ``global_batch``,
        ``batch_per_worker``, ``epochs`` counted, ``showers_per_second`` over training time and ``showers_per_second_whole_epoch``
        with validation and checkpoint; sorted by world size and repeat.

    Raises:
        ConfigError: No trial has an epoch after its warm-up epochs.
    """
    steady = steady_epochs(epochs, warmup_epochs)
    showers = steady["timing.num_showers"]
    sums = pd.DataFrame(
        {
            "trial": steady["trial"],
            "epochs": 1,
            "showers": showers,
            "training_seconds": showers / steady["timing.showers_per_second"],
            "epoch_seconds": steady["timing.epoch_seconds"],
        }
    )
    totals = sums.groupby("trial").sum()
    trials = steady.drop_duplicates("trial").set_index("trial")
    rows = pd.DataFrame(
        {
            "world_size": trials["world_size"].astype(int),
            "repeat": _repeat(trials),
            "global_batch": trials["global_batch"].astype(int),
            "batch_per_worker": trials["batch_per_worker"].astype(int),
            "epochs": totals["epochs"],
            "showers_per_second": totals["showers"] / totals["training_seconds"],
            "showers_per_second_whole_epoch": totals["showers"] / totals["epoch_seconds"],
        }
    )
    return rows.reset_index().sort_values(["world_size", "repeat"], ignore_index=True)


def steady_epochs(epochs: pd.DataFrame, warmup_epochs: int = 1) -> pd.DataFrame:
    """Epochs after the warm-up epochs, of trials that did not fail.

    Raises:
        ConfigError: None is left.
    """
    steady = epochs[(epochs["epoch"] > warmup_epochs) & (epochs["state"] != "failed")]
    if steady.empty:
        longest = int(epochs["epoch"].max()) if len(epochs) else 0
        message = f"no epoch after {warmup_epochs} warm-up epochs: the longest trial has {longest}. Raise training.epochs, or drop fewer."
        raise ConfigError(message, key="training.epochs")
    return steady


def scaling_kind(epochs: pd.DataFrame) -> ScalingKind:
    """``strong`` if the global batch is the same for all world sizes, ``weak`` if the batch per worker is.

    Raises:
        ConfigError: One world size only, neither batch is fixed, or something else was sampled too.
    """
    if len(epochs["world_size"].unique()) < 2:
        sizes = ", ".join(str(size) for size in epochs["world_size"].unique())
        message = f"a scaling curve needs two world sizes; there are: {sizes or 'none'}. Sample workers.per_trial."
        raise ConfigError(message, key="workers.per_trial")
    sampled = [name for name in epochs.columns if "." in name and name not in METRICS and name not in _SCALED]
    varied = [name for name in sampled if len(epochs[name].unique()) > 1]
    if varied:
        message = f"trials differ in {', '.join(varied)}, so their times cannot be compared. Fix them, or choose the trials by hand."
        raise ConfigError(message, key=varied[0])
    if len(epochs["global_batch"].unique()) == 1:
        return "strong"
    if len(epochs["batch_per_worker"].unique()) == 1:
        return "weak"
    message = "global batch and batch per worker both differ between trials. Fix training.global_batch or training.batch_per_worker."
    raise ConfigError(message, key="training.global_batch")


def scaling_curve(rates: pd.DataFrame, confidence: float = CONFIDENCE, column: str = "showers_per_second") -> pd.DataFrame:
    """One row per world size with intervals; the base is the smallest world size.

    Args:
        rates: As :func:`throughput` returns.
        confidence: Of every interval.
        column: Which throughput to use.

    Returns:
        ``world_size``, ``base``, ``repeats`` (paired with the base), ``ideal`` (n), and with ``_low`` and ``_high``: ``throughput``,
        ``speedup``, ``efficiency``, ``serial_fraction``. Intervals are NaN for a single repeat, the serial fraction is NaN at the base.
    """
    base = int(rates["world_size"].min())
    logs = rates.assign(log_rate=np.log(rates[column])).set_index(["world_size", "repeat"])["log_rate"]
    at_base = logs.loc[base]
    rows = []
    for world_size in sorted(rates["world_size"].unique()):
        here = logs.loc[world_size]
        ratios = (here - at_base).dropna()
        rows.append(
            {"world_size": int(world_size), "base": base, "repeats": len(ratios), "ideal": world_size / base}
            | _interval("throughput", here.to_numpy(), confidence)
            | _interval("speedup", ratios.to_numpy(), confidence)
        )
    return _with_derived(pd.DataFrame(rows))


def serial_fraction(speedup: pd.Series, workers: pd.Series) -> pd.Series:
    """Karp and Flatt, Comm. ACM 33 (1990) 539: (1/S - 1/n) / (1 - 1/n); NaN for one worker."""
    inverse = 1.0 / workers
    return (1.0 / speedup - inverse) / (1.0 - inverse).replace(0.0, np.nan)


def phase_seconds(epochs: pd.DataFrame, warmup_epochs: int = 1) -> pd.DataFrame:
    """Mean seconds per epoch of every phase (mean over ranks, steady epochs and repeats), one row per world size."""
    steady = steady_epochs(epochs, warmup_epochs)
    names = {f"timing.{phase}_seconds_mean": phase for phase in PHASES}
    by_trial = steady.groupby(["world_size", "trial"])[list(names)].mean()
    return by_trial.groupby(level="world_size").mean().rename(columns=names)


def _repeat(trials: pd.DataFrame) -> pd.Series:
    """What tells repeats of a world size apart: the seed, or their order where it does not."""
    if SEED_KEY in trials and not trials.duplicated(["world_size", SEED_KEY]).any():
        return trials[SEED_KEY]
    return trials.sort_index().groupby("world_size").cumcount()


def _interval(name: str, logs: np.ndarray, confidence: float) -> dict[str, float]:
    """Geometric mean and t-interval of values given by their logarithms, of shape (repeats,)."""
    mean = float(np.mean(logs)) if len(logs) else float("nan")
    half = float("nan")
    if len(logs) > 1:
        quantile = float(stats.t.ppf(0.5 + confidence / 2, len(logs) - 1))
        half = quantile * float(np.std(logs, ddof=1)) / float(np.sqrt(len(logs)))
    return {name: float(np.exp(mean)), f"{name}_low": float(np.exp(mean - half)), f"{name}_high": float(np.exp(mean + half))}


def _with_derived(curve: pd.DataFrame) -> pd.DataFrame:
    """Efficiency and serial fraction: monotone in the speed-up, so their intervals are the speed-up's, mapped."""
    for end in ("", "_low", "_high"):
        curve[f"efficiency{end}"] = curve[f"speedup{end}"] / curve["ideal"]
    for end, of in (("", ""), ("_low", "_high"), ("_high", "_low")):
        curve[f"serial_fraction{end}"] = serial_fraction(curve[f"speedup{of}"], curve["ideal"])
    return curve
