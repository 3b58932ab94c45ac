"""What fidelity costs: the best of every trial by the core-hours it had spent, the front of all, and another study's contenders beside it.

    python analysis/fidelity_front.py STUDY [--beside CONFIRMATION] [--results DIR] [--output DIR] [--log]

Writes fidelity_front.png/.svg/.csv/.json: one row per point of the front. A point says that one trial had become so good for so much; what
the search has spent on others is not in it (`search_progress` has that). ``--beside`` names the study that `gan3d confirm` made, with the
seed's recipe among its contenders; its trials are drawn by contender and do not count for the front.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

import drawing
import matplotlib.pyplot as plt
import pandas as pd
from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, YELLOW
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan3d.config.objective import Direction
from gan3d.config.stairs import STAIRS
from gan3d.errors import ConfigError
from gan3d.scaling.fidelity import by_core_hours, front
from gan3d.scaling.progress import CORE_SECONDS
from gan3d.tracking import frames
from gan3d.tracking.store import default_tracking_uri

DISTANCE, FLOOR = "physics.shower_distance", "physics.shower_distance_floor"
#: The number of a study's default sample, which is tried first.
DEFAULT = 0


def main() -> int:
    """Draw; 2 if the study cannot be drawn."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--beside", default=None, metavar="STUDY", help="a study of contenders to draw beside it, in results/STUDY")
    parser.add_argument("--beside-uri", default=None, metavar="URI", help="MLflow tracking URI of that one")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study = frames.study(*source)
    metric = study.objective_metric
    epochs = frames.epochs(*source, metrics=[metric, FLOOR, CORE_SECONDS])
    direction = study.objective_direction
    costs = by_core_hours(epochs, metric, direction) if not epochs.empty else pd.DataFrame()
    if costs.empty:
        message = f"study {study.name!r} has no epoch with a cost yet: nothing to draw."
        raise ConfigError(message)
    floor = float(epochs[FLOOR].mean()) if metric == DISTANCE and epochs[FLOOR].notna().any() else None
    best = front(costs, direction)
    figure = front_figure(study, costs, best, contenders(arguments, metric, direction), floor)
    facts = {"study": study.name, "metric": metric, "direction": direction, "floor": floor}
    drawing.publish(arguments, "fidelity_front", figure, best, facts)
    return study.run_id


def contenders(arguments: argparse.Namespace, metric: str, direction: Direction) -> pd.DataFrame:
    """Of the study beside: as ``by_core_hours``, with a column ``contender``; empty without one."""
    if arguments.beside is None:
        return pd.DataFrame({"trial": [], "core_hours": [], "best": [], "contender": []})
    uri = arguments.beside_uri or default_tracking_uri(Path("results") / arguments.beside)
    epochs = frames.epochs(uri, arguments.beside, None, metrics=[metric, CORE_SECONDS])
    if STAIRS not in epochs:
        message = f"study {arguments.beside!r} has no contenders: name the one that `gan3d confirm` made."
        raise ConfigError(message)
    return (
        by_core_hours(epochs, metric, direction)
        .merge(epochs[["trial", STAIRS]].drop_duplicates(), on="trial")
        .rename(columns={STAIRS: "contender"})
    )


def front_figure(study: frames.StudyInfo, costs: pd.DataFrame, best: pd.DataFrame, beside: pd.DataFrame, floor: float | None) -> Figure:
    """Every trial a line, the front thick, contenders coloured."""
    figure, axes = plt.subplots(figsize=(9, 6))
    for number, rows in costs.groupby("trial"):
        draw_trial(axes, rows, *(("default sample", ORANGE) if number == DEFAULT else ("other trials", GREY)))
    for name, colour in zip(beside["contender"].unique(), (RED, GREEN, PINK, SKY, YELLOW), strict=False):
        for _, rows in beside[beside["contender"] == name].groupby("trial"):
            draw_trial(axes, rows, f"{name}, confirmed", colour)
    axes.step(best["core_hours"], best["best"], where="post", color=BLUE, linewidth=2.2, label="front", zorder=4)
    axes.scatter(best["core_hours"], best["best"], color=BLUE, s=18, zorder=5)
    if floor is not None:
        axes.axhline(floor, color=BLACK, linestyle=":", linewidth=1.0, label="Monte Carlo against itself")
    drawing.plain_log(axes, "x")
    if drawing.log_scale_helps(pd.concat([costs["best"], beside["best"]])):
        drawing.plain_log(axes)
    axes.set(xlabel="core-hours of the trial", ylabel=f"best so far: {drawing.metric_label(study.objective_metric)}")
    without_repeats(axes)
    drawing.legend_below(figure, axes, columns=4)
    drawing.heading(figure, f"{study.name}: what fidelity costs", f"{costs['trial'].nunique()} trials, each by what it alone had spent.")
    return figure


def draw_trial(axes: Axes, rows: pd.DataFrame, label: str, colour: str) -> None:
    """One trial's best so far."""
    is_named = colour != GREY
    axes.step(
        rows["core_hours"],
        rows["best"],
        where="post",
        color=colour,
        label=label,
        linewidth=1.8 if is_named else 0.7,
        zorder=3 if is_named else 2,
    )


def without_repeats(axes: Axes) -> None:
    """Each label once in the legend."""
    seen: set[str] = set()
    for line in axes.get_lines():
        label = str(line.get_label())
        if label in seen:
            line.set_label("_")
        seen.add(label)


if __name__ == "__main__":
    sys.exit(main())
