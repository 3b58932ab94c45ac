"""How a search went: every trial by epoch, the best so far by trial, time and core-seconds, sampled values, and the machine's utilisation.

    python analysis/search_progress.py STUDY [--results DIR] [--output DIR] [--log]

Writes search_progress.png/.csv, search_utilisation.png/.svg/.csv/.json and, if anything was sampled, search_samples.png/.csv.
"""

from __future__ import annotations

import argparse
import sys

import drawing
import matplotlib.pyplot as plt
import pandas as pd
import search_utilisation
from drawing import BLACK, BLUE, GREY, STATES
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan3d.config.objective import Direction
from gan3d.errors import ConfigError
from gan3d.scaling.progress import CORE_SECONDS, best_by_core_seconds, best_by_time, best_by_trial
from gan3d.scaling.utilisation import EPOCH_SECONDS
from gan3d.tracking import frames

DISTANCE = "physics.shower_distance"
FLOOR = "physics.shower_distance_floor"


def main() -> int:
    """Draw; 2 if the study cannot be drawn."""
    return drawing.run(drawing.parser(__doc__.splitlines()[0] if __doc__ else "").parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """All figures of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study, trials = frames.study(*source), frames.trials(*source)
    metric = study.objective_metric
    epochs = frames.epochs(*source, metrics=[metric, FLOOR, CORE_SECONDS, EPOCH_SECONDS])
    if epochs.empty:
        message = f"study {study.name!r} has {len(trials)} trials and no epoch yet: nothing to draw."
        raise ConfigError(message)
    direction = study.objective_direction
    progress, costs = best_by_time(epochs, metric, direction), best_by_core_seconds(epochs, metric, direction)
    table = progress if costs is None else progress.assign(core_seconds=costs["core_seconds"])
    drawing.save(arguments, "search_progress", progress_figure(study, trials, epochs), table)
    sampled = sampled_keys(trials)
    if sampled:
        drawing.save(arguments, "search_samples", samples_figure(study, trials, sampled), trials)
    search_utilisation.draw(arguments, study, trials, epochs)
    return study.run_id


def progress_figure(study: frames.StudyInfo, trials: pd.DataFrame, epochs: pd.DataFrame) -> Figure:
    """Objective by epoch; best so far by trial, by wall time and, if every epoch tells its cost, by core-seconds."""
    metric, direction = study.objective_metric, study.objective_direction
    costs = best_by_core_seconds(epochs, metric, direction)
    if costs is None:
        figure, panels = plt.subplot_mosaic([["epochs", "trials"], ["epochs", "seconds"]], figsize=(11, 6.6), width_ratios=[1.25, 1])
    else:
        figure, panels = plt.subplot_mosaic([["epochs", "trials"], ["seconds", "core_seconds"]], figsize=(11, 7.4))
        draw_best_by_core_seconds(panels["core_seconds"], costs)
    draw_epochs(panels["epochs"], epochs, metric, direction)
    draw_best_by_trial(panels["trials"], trials, direction)
    draw_best_by_time(panels["seconds"], best_by_time(epochs, metric, direction))
    if metric == DISTANCE and epochs[FLOOR].notna().any():
        for axes in panels.values():
            draw_floor(axes, float(epochs[FLOOR].mean()))
    if drawing.log_scale_helps(epochs[metric]):
        for axes in panels.values():
            drawing.plain_log(axes)
    drawing.legend_below(figure, panels["epochs"])
    counts = ", ".join(f"{number} {state}" for state, number in trials["state"].value_counts().items())
    without = " Epochs without a cost, of an older version: nothing by core-seconds." if costs is None else ""
    drawing.heading(
        figure, f"{study.name}: {study.question}", f"{len(trials)} trials ({counts}). Objective: {direction} {metric}.{without}"
    )
    return figure


def draw_epochs(axes: Axes, epochs: pd.DataFrame, metric: str, direction: Direction) -> None:
    """A line per trial, its end marked by how it ended, the best trial on top."""
    for _, curve in epochs.groupby("trial"):
        axes.plot(curve["epoch"], curve[metric], color=GREY, linewidth=0.9, alpha=0.7)
    ends = epochs.groupby("trial").tail(1)
    drawing.state_markers(axes, ends["epoch"], ends[metric], ends["state"])
    ordered = epochs.dropna(subset=[metric]).sort_values(metric, ascending=direction == "minimize", kind="stable")
    for winner in ordered["trial"].head(1):
        curve = epochs[epochs["trial"] == winner]
        axes.plot(curve["epoch"], curve[metric], color=BLUE, linewidth=2.2, label=f"best: trial {winner}")
    axes.set(title="Every trial, epoch by epoch", xlabel="epoch", ylabel=drawing.metric_label(metric))
    drawing.whole_numbers(axes)


def draw_best_by_trial(axes: Axes, trials: pd.DataFrame, direction: Direction) -> None:
    """Each trial's best value, and the best so far."""
    progress = best_by_trial(trials, direction)
    axes.step(progress["trial"], progress["best"], where="post", color=BLACK, linewidth=1.6)
    drawing.state_markers(axes, progress["trial"], progress["best_objective"], progress["state"])
    without = progress[progress["best_objective"].isna()]
    colour, marker = STATES["failed"]
    top = [1.0] * len(without)
    axes.scatter(without["trial"], top, color=colour, marker=marker, s=34, transform=axes.get_xaxis_transform(), clip_on=False)
    axes.set(title="Best so far, by trial", xlabel="trial", ylabel="objective")
    drawing.whole_numbers(axes)


def draw_best_by_time(axes: Axes, progress: pd.DataFrame) -> None:
    """Best so far against wall time."""
    size, symbol = drawing.time_unit(progress["seconds"])
    axes.step(progress["seconds"] / size, progress["best"], where="post", color=BLACK, linewidth=1.6)
    axes.scatter(progress["seconds"] / size, progress["value"], s=9, color=GREY, alpha=0.6)
    axes.set(title="Best so far, by wall time", xlabel=f"wall time since the first trial started [{symbol}]", ylabel="objective")
    axes.set_xlim(left=0)


def draw_best_by_core_seconds(axes: Axes, costs: pd.DataFrame) -> None:
    """Best so far against what all trials cost together."""
    size, symbol = drawing.time_unit(costs["core_seconds"])
    axes.step(costs["core_seconds"] / size, costs["best"], where="post", color=BLACK, linewidth=1.6)
    axes.scatter(costs["core_seconds"] / size, costs["value"], s=9, color=GREY, alpha=0.6)
    axes.set(title="Best so far, by what it cost", xlabel=f"core time of all trials' workers [core-{symbol}]", ylabel="objective")
    axes.set_xlim(left=0)


def draw_floor(axes: Axes, floor: float) -> None:
    """Monte Carlo against Monte Carlo: what no generator can go below but by luck."""
    axes.axhline(floor, color=BLACK, linestyle=":", linewidth=1.3, label="Monte Carlo floor")


def samples_figure(study: frames.StudyInfo, trials: pd.DataFrame, keys: list[str]) -> Figure:
    """Small multiples: each sampled value against the trial's best objective."""
    columns = min(len(keys), 3)
    rows = -(-len(keys) // columns)
    figure, grid = plt.subplots(rows, columns, figsize=(max(3.6 * columns, 6), 2.9 * rows + 0.9), sharey=True, squeeze=False)
    log = drawing.log_scale_helps(trials["best_objective"])
    for axes, key in zip(grid.flat, keys, strict=False):
        draw_sampled(axes, trials, key)
        if log:
            drawing.plain_log(axes)
    for axes in grid.flat[len(keys) :]:
        axes.set_visible(False)
    for axes in grid[:, 0]:
        axes.set_ylabel("best objective")
    drawing.legend_below(figure, grid[0, 0])
    drawing.heading(figure, f"{study.name}: sampled values", f"Best {drawing.metric_label(study.objective_metric)} of each trial.")
    return figure


def draw_sampled(axes: Axes, trials: pd.DataFrame, key: str) -> None:
    """One key; numbers on a number line, anything else by name."""
    values = trials[key]
    if is_number(values):
        drawing.number_ticks(axes, values)
    else:
        names = sorted(values.dropna().astype(str).unique())
        values = values.astype(str).map({name: place for place, name in enumerate(names)})
        axes.set_xticks(range(len(names)), names)
        axes.set_xlim(-0.5, len(names) - 0.5)
    drawing.state_markers(axes, values, trials["best_objective"], trials["state"])
    axes.set_xlabel(key.removeprefix("training."))


def sampled_keys(trials: pd.DataFrame) -> list[str]:
    """Sampled keys with more than one value; `best.<metric>` is what came of them."""
    asked = [key for key in trials.columns if "." in key and not key.startswith("best.")]
    return [key for key in asked if len(trials[key].dropna().unique()) > 1]


def is_number(values: pd.Series) -> bool:
    """Numbers but not truth values."""
    return bool(pd.api.types.is_numeric_dtype(values)) and not pd.api.types.is_bool_dtype(values)


if __name__ == "__main__":
    sys.exit(main())
