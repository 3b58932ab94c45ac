"""Throughput, speed-up, efficiency and serial fraction of a scaling study, with intervals over blocks.

Definitions. Throughput X(N): showers really trained on over the training time of steady epochs. Base: the smallest world size b;
n = N / b. Strong scaling (global batch fixed): speed-up S = X(N) / X(b), parallel efficiency S / n, Karp-Flatt serial fraction
(1/S - 1/n) / (1 - 1/n). Weak scaling (batch per worker fixed): the same of the scaled speed-up X(N) / X(b).

Steady epochs: a trial's first epochs are timing warm-up (memory is allocated, files are read for the first time), and so are the first
ones after a resume or a restart, when other processes go on with it. Both are left out.

Intervals are Student's t on the logarithms of ratios, paired by block (one seed, say: trials near each other in time, see
`sampler.blocks`). They are exact if timings scatter log-normally around a drift that is common to a block. With three blocks they cover
their nominal share, where a percentile bootstrap of three covers only 73 % instead of 95 %; a reader still asks for five.

Covered: arithmetic on the frame of ``gan3d.tracking.frames.epochs``. Not covered: laws fitted to the curves.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

import numpy as np
import pandas as pd

from gan3d.errors import ConfigError
from gan3d.records import METRICS, PHASES
from gan3d.scaling.draws import CONFIDENCE, geometric_mean

ScalingKind = Literal["strong", "weak"]

#: Fewer paired blocks than this are marked in every output (`few_blocks`).
MIN_BLOCKS = 5
SEED_KEY = "training.seed"
KIND_KEY = "training.scaling"
#: What may differ between the trials of a scaling study besides the block.
_SCALED = {"workers.per_trial", "training.global_batch", "training.batch_per_worker", KIND_KEY, SEED_KEY}
#: Communication that computation hid: beside the phases, not one of them.
OVERLAPPED = "overlapped_communication"
#: Throughput by what its seconds are: training alone, or the whole epoch with validation and checkpoint.
RATES = {"training": "showers_per_second", "whole_epoch": "showers_per_second_whole_epoch"}


def scaling_table(
    epochs: pd.DataFrame, warmup_epochs: int = 1, confidence: float = CONFIDENCE, block_key: str | None = SEED_KEY
) -> pd.DataFrame:
    """All curves of a study in one frame: :func:`scaling_curve` of each kind and of each rate.

    Returns:
        ``kind`` (strong, weak), ``rate`` (training; whole_epoch: with validation and checkpoint), ``fixed`` (the batch that all world
        sizes have in common), and the columns of :func:`scaling_curve`.

    Raises:
        ConfigError: As :func:`by_kind` and :func:`throughput`.
    """
    curves = []
    for kind, of_kind in by_kind(epochs, block_key).items():
        rates = throughput(of_kind, warmup_epochs, block_key)
        fixed = rates["global_batch" if kind == "strong" else "batch_per_worker"].iloc[0]
        for rate, column in RATES.items():
            curve = scaling_curve(rates, confidence, column)
            curves.append(curve.assign(kind=kind, rate=rate, fixed=int(fixed)))
    table = pd.concat(curves, ignore_index=True)
    first = ["kind", "rate", "fixed"]
    return table[[*first, *table.columns.drop(first)]]


def by_kind(epochs: pd.DataFrame, block_key: str | None = SEED_KEY) -> dict[ScalingKind, pd.DataFrame]:
    """The study's epochs by the kind of scaling, each fit for a curve: one kind mostly, both where `training.scaling` was sampled.

    Raises:
        ConfigError: As :func:`scaling_kind`.
    """
    if KIND_KEY not in epochs or epochs[KIND_KEY].nunique() < 2:
        return {scaling_kind(epochs, block_key): epochs}
    found: dict[ScalingKind, pd.DataFrame] = {}
    for kind in get_args(ScalingKind):
        rows = epochs[epochs[KIND_KEY] == kind]
        scaling_kind(rows, block_key)
        found[kind] = rows
    return found


def scaling_kind(epochs: pd.DataFrame, block_key: str | None = SEED_KEY) -> ScalingKind:
    """``strong`` if the global batch is the same for all world sizes, ``weak`` if the batch per worker is.

    Raises:
        ConfigError: One world size only, neither batch is fixed, or something else was sampled too.
    """
    if len(epochs["world_size"].unique()) < 2:
        sizes = ", ".join(str(size) for size in epochs["world_size"].unique())
        message = f"a scaling curve needs two world sizes; there are: {sizes or 'none'}. Sample workers.per_trial."
        raise ConfigError(message, key="workers.per_trial")
    sampled = [name for name in epochs.columns if "." in name and name not in METRICS and name not in {*_SCALED, block_key}]
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


def throughput(epochs: pd.DataFrame, warmup_epochs: int = 1, block_key: str | None = SEED_KEY) -> pd.DataFrame:
    """One row per trial of one kind of scaling: its throughput over its steady epochs.

    Args:
        epochs: One row per trial epoch.
        warmup_epochs: First epochs that are left out, of each trial and after each restart.
        block_key: Sampled key whose values are blocks.

    Returns:
        ``world_size``, ``block`` (the key's value, or the trial's place among those of its world size), ``trial``, ``global_batch``,
        ``batch_per_worker``, ``epochs`` counted, ``showers_per_second`` over training time and ``showers_per_second_whole_epoch``
        with validation and checkpoint; sorted by world size and block.

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
            "block": blocks_of(trials, ["world_size"], block_key),
            "global_batch": trials["global_batch"].astype(int),
            "batch_per_worker": trials["batch_per_worker"].astype(int),
            "epochs": totals["epochs"],
            "showers_per_second": totals["showers"] / totals["training_seconds"],
            "showers_per_second_whole_epoch": totals["showers"] / totals["epoch_seconds"],
        }
    )
    return rows.reset_index().sort_values(["world_size", "block"], ignore_index=True)


def steady_epochs(epochs: pd.DataFrame, warmup_epochs: int = 1) -> pd.DataFrame:
    """Epochs after the warm-up epochs, of trials that did not fail. Older records do not tell of restarts.

    Raises:
        ConfigError: None is left.
    """
    place = epochs["epoch"].astype(float)
    if "timing.epochs_since_start" in epochs:
        place = epochs["timing.epochs_since_start"].fillna(place)
    steady = epochs[(place > warmup_epochs) & (epochs["state"] != "failed")]
    if steady.empty:
        longest = int(epochs["epoch"].max()) if len(epochs) else 0
        message = f"no epoch after {warmup_epochs} warm-up epochs: the longest trial has {longest}. Raise training.epochs, or drop fewer."
        raise ConfigError(message, key="training.epochs")
    return steady


def blocks_of(trials: pd.DataFrame, alike: Sequence[str], block_key: str | None = SEED_KEY) -> pd.Series:
    """What tells trials apart that have these columns in common: the block, or their order where it does not.

    Args:
        trials: One row per trial, by trial number.
        alike: Columns.
        block_key: Sampled key whose values are blocks.
    """
    if block_key in trials and not trials.duplicated([*alike, block_key]).any():
        return trials[block_key]
    return trials.sort_index().groupby(list(alike)).cumcount()


def scaling_curve(rates: pd.DataFrame, confidence: float = CONFIDENCE, column: str = RATES["training"]) -> pd.DataFrame:
    """One row per world size with intervals; the base is the smallest world size.

    Args:
        rates: As :func:`throughput` returns.
        confidence: Of every interval.
        column: Which throughput to use.

    Returns:
        ``world_size``, ``base``, ``blocks`` (paired with the base), ``few_blocks`` (fewer than ``MIN_BLOCKS``), ``ideal`` (n), and with
        ``_low`` and ``_high``: ``throughput``, ``speedup``, ``efficiency``, ``serial_fraction``. Intervals are NaN for a single block,
        the serial fraction is NaN at the base.
    """
    logs = rates.assign(log=np.log(rates[column])).pivot(index="block", columns="world_size", values="log")  # noqa: PD010 - a pivot table would average two trials
    base = int(logs.columns.min())
    ratios = logs.sub(logs[base], axis="index")
    curve = pd.DataFrame({"base": base, "blocks": ratios.count(), "few_blocks": ratios.count() < MIN_BLOCKS, "ideal": logs.columns / base})
    for name, values in (("throughput", logs), ("speedup", ratios)):
        for end, of in geometric_interval(values, confidence).items():
            curve[f"{name}{end}"] = of
    curve.index = curve.index.astype(int)
    return _with_derived(curve.reset_index())


def geometric_interval(logs: pd.DataFrame, confidence: float = CONFIDENCE) -> dict[str, pd.Series]:
    """Geometric mean and Student's t-interval of values given by their logarithms.

    Args:
        logs: One row per block, one column per quantity; missing blocks are NaN.
        confidence: Of every interval.

    Returns:
        By ending of a name: ``""`` the mean, ``_low`` and ``_high``; each by column. A single block has no interval: NaN.
    """
    estimates = np.array([geometric_mean(column, confidence) for column in logs.to_numpy(float).T])
    return {end: pd.Series(values, index=logs.columns) for end, values in zip(("", "_low", "_high"), estimates.T, strict=True)}


def serial_fraction(speedup: pd.Series, workers: pd.Series) -> pd.Series:
    """Karp and Flatt, Comm. ACM 33 (1990) 539: (1/S - 1/n) / (1 - 1/n); NaN for one worker."""
    inverse = 1.0 / workers
    return (1.0 / speedup - inverse) / (1.0 - inverse).replace(0.0, np.nan)


def phase_seconds(epochs: pd.DataFrame, warmup_epochs: int = 1) -> pd.DataFrame:
    """Mean seconds per epoch of every phase (mean over ranks, steady epochs and blocks), one row per world size.

    Last, where the records tell: ``overlapped_communication``, which is no phase, for computation hid it.
    """
    steady = steady_epochs(epochs, warmup_epochs)
    names = {f"timing.{phase}_seconds_mean": phase for phase in (*PHASES, OVERLAPPED)}
    names = {name: phase for name, phase in names.items() if phase in PHASES or name in steady}
    by_trial = steady.groupby(["world_size", "trial"])[list(names)].mean()
    return by_trial.groupby(level="world_size").mean().rename(columns=names)


def _with_derived(curve: pd.DataFrame) -> pd.DataFrame:
    """Efficiency and serial fraction: monotone in the speed-up, so their intervals are the speed-up's, mapped."""
    for end in ("", "_low", "_high"):
        curve[f"efficiency{end}"] = curve[f"speedup{end}"] / curve["ideal"]
    for end, of in (("", ""), ("_low", "_high"), ("_high", "_low")):
        curve[f"serial_fraction{end}"] = serial_fraction(curve[f"speedup{of}"], curve["ideal"])
    return curve
