"""Time-to-quality of a scaling study: its efficiency beside that of throughput, and what the target took; for ``scaling_curves``.

A block that never reached its target is no missing point: it is drawn beyond a line that says so, and counted.
"""

from __future__ import annotations

import argparse
import json
from dataclasses import dataclass
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, RED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import LogLocator, MaxNLocator
from scaling_panels import base_text, errors, shifted

from gan3d.errors import ConfigError
from gan3d.records import METRICS
from gan3d.scaling.quality import Target, quality_efficiency, quality_note, time_to_quality
from gan3d.scaling.speedup import KIND_KEY, MIN_BLOCKS, SEED_KEY, ScalingKind, by_kind
from gan3d.tracking import frames

#: Columns of a trial's row in the JSON.
TRIAL_COLUMNS = [
    "trial",
    "world_size",
    "repeat",
    "outcome",
    "crossing",
    "epochs",
    "seconds",
    "seconds_whole",
    "updates",
    "showers",
    "core_hours",
]

#: Ticks in each decade of a logarithmic axis; more where it holds less than one.
TICKS = {False: (1.0, 2.0, 5.0), True: (1.0, 1.5, 2.0, 3.0, 4.0, 5.0, 7.0)}


@dataclass(frozen=True, slots=True)
class Quality:
    """What is drawn: time to a target, by world size and by trial, both with ``kind``."""

    target: Target
    table: pd.DataFrame
    """As `quality_efficiency` returns, with the throughput's ``throughput_efficiency``, ``_low`` and ``_high`` beside it."""
    trials: pd.DataFrame
    """As `time_to_quality` returns."""
    confidence: float

    @property
    def kinds(self) -> list[ScalingKind]:
        """Of scaling, strong first."""
        return list(self.table["kind"].unique())


def add_options(parser: argparse.ArgumentParser) -> None:
    """What counts as reached."""
    text = "metric and its value that counts as reached; without: the study's objective.target, if that is of physics"
    parser.add_argument("--target", nargs=2, metavar=("METRIC", "VALUE"), default=None, help=text)
    parser.add_argument("--hold", type=int, default=2, help="epochs in a row that have to be at the target")


def target_of(arguments: argparse.Namespace, study: frames.StudyInfo) -> Target | None:
    """What is to be reached, as asked here or by the study; None where nobody asks.

    Raises:
        ConfigError: What is asked for is no target.
    """
    if arguments.target is None:
        if study.objective_target is None or not study.objective_metric.startswith("physics."):
            return None
        return Target(study.objective_metric, study.objective_target, study.objective_direction, arguments.hold)
    metric, text = arguments.target
    try:
        value = float(text)
    except ValueError:
        message = f"{text!r} is no number. Give a metric and its value: --target physics.shower_distance 0.15."
        raise ConfigError(message, key="--target") from None
    better = METRICS[metric].better if metric in METRICS else "neither"
    return Target(metric, value, "maximize" if better == "higher" else "minimize", arguments.hold)


def measured(
    epochs: pd.DataFrame, trials: pd.DataFrame, throughput: pd.DataFrame, target: Target, block_key: str, confidence: float
) -> Quality:
    """Put together what a target took.

    Args:
        epochs: Of the study.
        trials: Of the study: those that ended without an epoch are misses.
        throughput: As ``scaling_table`` returns.
        target: What is to be reached.
        block_key: Sampled key whose values are blocks: repeats are paired by it.
        confidence: Of every interval.

    Raises:
        ConfigError: As ``time_to_quality``.
    """
    tables, of_trials = [], []
    for kind, rows in by_kind(epochs, block_key).items():
        ended = trials[trials[KIND_KEY] == kind] if KIND_KEY in trials else trials
        own_rows, own_trials = (_paired_by(frame, block_key) for frame in (rows, ended))
        tables.append(quality_efficiency(own_rows, target, confidence=confidence, trials=own_trials).assign(kind=kind))
        of_trials.append(time_to_quality(own_rows, target, trials=own_trials).assign(kind=kind))
    training = throughput[throughput["rate"] == "training"]
    names = {f"efficiency{end}": f"throughput_efficiency{end}" for end in ("", "_low", "_high")}
    beside = training[["kind", "world_size", *names]].rename(columns=names)
    table = pd.concat(tables).merge(beside, on=["kind", "world_size"], how="left")
    return Quality(target, table, pd.concat(of_trials, ignore_index=True), confidence)


def _paired_by(frame: pd.DataFrame, block_key: str) -> pd.DataFrame:
    """Repeats of ``gan3d.scaling.quality`` are told apart by seeds: where blocks are of another key, that one stands for the seed."""
    return frame if block_key == SEED_KEY or block_key not in frame else frame.assign(**{SEED_KEY: frame[block_key]})


def draw(arguments: argparse.Namespace, study: frames.StudyInfo, quality: Quality) -> None:
    """The figure with its table."""
    figure = quality_figure(quality)
    drawing.heading(figure, f"{study.name}: does it get good sooner with more workers?", note(quality))
    drawing.publish(arguments, "scaling_quality", figure, with_never(quality.table), facts(study, quality))


def note(quality: Quality) -> str:
    """What a reader must know of the numbers."""
    most = int(quality.table["run"].max())
    spread = (
        f"{quality.confidence:.0%} t-intervals on log ratios of blocks where both reached it" if most > 1 else "one block: no intervals"
    )
    few = f" FEWER THAN {MIN_BLOCKS} BLOCKS." if most < MIN_BLOCKS else ""
    running = int(quality.table["running"].sum())
    left_out = f" Not counted: {running} trials that still run." if running else ""
    return (
        f"{quality_note(quality.target)} Counted to the end of the epoch that reached it, first epochs included. Efficiency: the base's "
        f"time over n times the team's; {spread}.{few} Fractions: blocks that reached the target of those run; open markers: only some "
        f"did, and the efficiency is of these alone. Dots: blocks; bars: medians, with never as the longest.{left_out}"
    )


def facts(study: frames.StudyInfo, quality: Quality) -> dict[str, Any]:
    """The same for a program, and what each trial took."""
    target = quality.target
    trials = with_never(quality.trials[["kind", *TRIAL_COLUMNS]])
    return {
        "study": study.name,
        "question": study.question,
        "run_id": study.run_id,
        "provenance": study.provenance,
        "target": {"metric": target.metric, "value": target.value, "direction": target.direction, "hold": target.hold},
        "clock": "training seconds; it stands still in validation and checkpoint",
        "confidence": quality.confidence,
        "trials": json.loads(trials.to_json(orient="records", double_precision=15)),
    }


def with_never(table: pd.DataFrame) -> pd.DataFrame:
    """Infinite costs in words, which JSON can tell from what is not known."""
    infinite = {str(name): np.isinf(table[name]) for name in table.select_dtypes("number")}
    return table.assign(**{name: table[name].astype(object).mask(places, "never") for name, places in infinite.items() if places.any()})


def quality_figure(quality: Quality) -> Figure:
    """Efficiency and times side by side; of both kinds, in a column each."""
    kinds = quality.kinds
    figure, grid = plt.subplots(*((1, 2) if len(kinds) == 1 else (2, 2)), figsize=(11.0, 5.2 if len(kinds) == 1 else 9.0), squeeze=False)
    pairs = [grid[0]] if len(kinds) == 1 else [grid[:, column] for column in range(2)]
    scale, top = time_scale(quality), _top(quality.table)
    for kind, (efficiency, times) in zip(kinds, pairs, strict=True):
        table = quality.table[quality.table["kind"] == kind]
        draw_efficiencies(efficiency, kind, table)
        efficiency.set_ylim(0.0, top)
        draw_times(times, kind, table, quality.trials[quality.trials["kind"] == kind], scale)
    drawing.legend_below(figure, pairs[0][0])
    return figure


def draw_efficiencies(axes: Axes, kind: ScalingKind, table: pd.DataFrame) -> None:
    """Of throughput and of time-to-quality in one panel; counts of blocks under them."""
    sizes = table["world_size"]
    axes.axhline(1.0, color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    bars = errors(table, "throughput_efficiency")
    axes.errorbar(
        sizes, table["throughput_efficiency"], bars, color=BLUE, marker="o", markersize=5, linewidth=1.4, capsize=3, label="throughput"
    )
    places = pd.Series(shifted(sizes, "whole_epoch", sizes), table.index)
    known = table[table["efficiency"].notna()]
    axes.plot(places[known.index], known["efficiency"], color=RED, linewidth=1.4, zorder=3)
    all_reached = known["reached"] == known["run"]
    common: dict[str, Any] = {"color": RED, "marker": "D", "markersize": 5.5, "capsize": 3, "linestyle": "none", "zorder": 3.1}
    for rows, style in ((known[all_reached], {"label": "time-to-quality"}), (known[~all_reached], {"markerfacecolor": "white"})):
        axes.errorbar(places[rows.index], rows["efficiency"], errors(rows, "efficiency"), **(common | style))
    for _, row in table.iterrows():
        count = f"{row['reached']}/{row['run']}"
        word = count if row["reached"] or not row["run"] else f"never\n{count}"
        axes.annotate(word, (row["world_size"], 0.0), (0, 4), textcoords="offset points", ha="center", fontsize=8.5, color=RED)
    drawing.worker_ticks(axes, list(sizes))
    axes.margins(x=0.1)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.set(title=f"{kind.capitalize()} scaling: parallel efficiency", ylabel=f"efficiency, {base_text(table)} = 100 %")


def _top(table: pd.DataFrame) -> float:
    """The vertical axis's end: above every estimate, and above the ends of intervals unless these tell nothing."""
    estimates = table[["efficiency", "throughput_efficiency"]].to_numpy(float)
    ends = table[["efficiency_high", "throughput_efficiency_high"]].to_numpy(float)
    most = float(np.max(estimates, initial=1.0, where=np.isfinite(estimates)))
    return 1.12 * min(float(np.max(ends, initial=most, where=np.isfinite(ends))), 2 * most)


@dataclass(frozen=True, slots=True)
class TimeScale:
    """The vertical axis of times, the same for both kinds."""

    unit: float
    """Seconds."""
    symbol: str
    low: float
    high: float
    line: float
    """Beyond it is never."""
    never: float
    """Where never is drawn."""


def time_scale(quality: Quality) -> TimeScale:
    """From all that is drawn: times of trials, and ideal ones."""
    times = quality.trials.loc[quality.trials["outcome"] == "reached", "seconds"]
    first = quality.table.groupby("kind")["seconds_median"].transform("first")
    ideal = first[np.isfinite(first)] / quality.table["ideal"]
    shown = pd.concat([times, ideal.dropna()])
    if shown.empty:
        return TimeScale(1.0, "s", 0.5, 10.0, 2.0, 4.0)
    unit, symbol = drawing.time_unit(shown)
    least, most = float(shown.min()) / unit, float(shown.max()) / unit
    span = max(most / least, 4.0)
    high = most * span ** (0.34 if (quality.trials["outcome"] == "never").any() else 0.11)
    return TimeScale(unit, symbol, least / span**0.08, high, most * span**0.11, most * span**0.22)


def draw_times(axes: Axes, kind: ScalingKind, table: pd.DataFrame, trials: pd.DataFrame, scale: TimeScale) -> None:
    """Training time to the target of every block, medians, and the ideal line; what never got there stands above a line."""
    sizes = table["world_size"]
    axes.set_yscale("log")
    axes.set_ylim(scale.low, scale.high)
    ticks = {tick: f"{tick:g}" for tick in LogLocator(base=10, subs=TICKS[scale.line < 10 * scale.low]).tick_values(scale.low, scale.line)}
    ticks = {tick: text for tick, text in ticks.items() if scale.low < tick <= scale.line}
    first = table["seconds_median"].iloc[0]
    if np.isfinite(first):
        axes.plot(sizes, first / table["ideal"] / scale.unit, color=BLACK, linestyle="--", linewidth=1.2)
    for _, row in trials[trials["outcome"] != "running"].iterrows():
        height = row["seconds"] / scale.unit if row["outcome"] == "reached" else scale.never
        axes.scatter(shifted([row["world_size"]], "blocks", sizes), [height], s=14, color=GREY, zorder=2)
    for _, row in table[table["seconds_median"].notna()].iterrows():
        height = row["seconds_median"] / scale.unit if np.isfinite(row["seconds_median"]) else scale.never
        axes.scatter([row["world_size"]], [height], s=260, color=RED, marker="_", linewidth=2, zorder=3)
    if (trials["outcome"] == "never").any():
        axes.axhline(scale.line, color=BLACK, linewidth=0.8)
        ticks[scale.never] = "never"
    axes.set_yticks(list(ticks), list(ticks.values()))
    drawing.worker_ticks(axes, list(sizes))
    axes.margins(x=0.1)
    axes.set(title=f"{kind.capitalize()} scaling: time to the target", ylabel=f"training time [{scale.symbol}]")
