"""The best sample of a search beside its default one and its references, with fresh seeds and equal core-seconds (`gan3d confirm`).

    python analysis/confirmation.py STUDY_confirmation [--results DIR] [--output DIR] [--core-seconds S] [--log]

Writes confirmation.png/.svg/.csv/.json: curves of every trial by what it had cost, what each came to with the geometric mean of
its contender, and each contender's ratio to the default sample (or, without it, to the first of the references), both with their intervals.
"""

from __future__ import annotations

import argparse
import sys

import drawing
import matplotlib.pyplot as plt
import pandas as pd
from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan3d.config.stairs import STAIRS
from gan3d.config.stairs_checks import CONTENDERS
from gan3d.errors import ConfigError
from gan3d.records import METRICS
from gan3d.scaling import contest
from gan3d.scaling.progress import CORE_SECONDS
from gan3d.scaling.speedup import SEED_KEY
from gan3d.terminal.words import counted
from gan3d.tracking import frames

DEFAULT, BEST = CONTENDERS
COLOURS = {DEFAULT: GREY, BEST: BLUE}
#: Of references, in their order.
MORE_COLOURS = (ORANGE, GREEN, PINK, SKY, RED)


def main() -> int:
    """Draw; 2 if the study cannot be drawn."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--core-seconds", type=float, default=None, help="of each trial; without: what the cheapest one has cost")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure; returns the study's run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study = frames.study(*source)
    floor = f"{study.objective_metric}_floor"
    known = [name for name in (floor, CORE_SECONDS) if name in METRICS]
    epochs = frames.epochs(*source, metrics=[*study.objective.metrics, *known])
    refuse_other_studies(study, epochs)
    every_epoch, epochs = epochs, contest.within(epochs, arguments.core_seconds)
    of_trials = contest.outcomes(epochs, study.objective)
    base = base_of(of_trials)
    place = {base: 0, BEST: 2}
    table = contest.standings(of_trials, base).sort_values(
        "contender", key=lambda names: names.map(lambda name: place.get(name, 1)), kind="stable", ignore_index=True
    )
    is_lower = study.objective_direction == "minimize"
    table["verdict"] = ["" if row["contender"] == base else contest.verdict(row, lower_is_better=is_lower) for _, row in table.iterrows()]
    left_out = contest.left_out(every_epoch, epochs)
    facts = {
        "study": study.name,
        "metric": study.objective_metric,
        "core_seconds": float(epochs["spent"].max()),
        "floor": float(epochs[floor].mean()) if floor in epochs else None,
        "trials": of_trials.to_dict("records"),
        "left_out": left_out,
    }
    drawing.publish(arguments, "confirmation", figure_of(study, epochs, of_trials, table, len(left_out)), table, facts)
    return study.run_id


def base_of(of_trials: pd.DataFrame) -> str:
    """The contender that ratios are to: the default sample, or, where it was left out, the first of the others."""
    names = [name for name in of_trials["contender"].unique() if name != BEST]
    return DEFAULT if DEFAULT in names or not names else min(names)


def refuse_other_studies(study: frames.StudyInfo, epochs: pd.DataFrame) -> None:
    """Raise where there are no contenders.

    Raises:
        ConfigError: with the way out.
    """
    if not {STAIRS, SEED_KEY} <= set(epochs.columns) or BEST not in set(epochs[STAIRS]):
        message = f"study {study.name!r} has no contenders, or none has an epoch yet: let gan3d confirm make the study and run it."
        raise ConfigError(message)
    if epochs[CORE_SECONDS].isna().any():
        message = f"study {study.name!r} has epochs without a cost: nothing to compare by."
        raise ConfigError(message)


def figure_of(study: frames.StudyInfo, epochs: pd.DataFrame, of_trials: pd.DataFrame, table: pd.DataFrame, left_out: int) -> Figure:
    """Curves by cost, outcomes by contender, ratios to the first."""
    figure, (curves, ends, ratios) = plt.subplots(1, 3, figsize=(12, 4.6), width_ratios=[1.5, 1, 1])
    names = list(table["contender"])
    more = iter(MORE_COLOURS * len(names))
    colours = {name: COLOURS.get(name) or next(more) for name in names}
    draw_curves(curves, epochs, study.objective_metric, colours)
    draw_outcomes(ends, of_trials, table, colours)
    draw_ratios(ratios, table, colours)
    floor = f"{study.objective_metric}_floor"
    if floor in epochs and epochs[floor].notna().any():
        for axes in (curves, ends):
            axes.axhline(float(epochs[floor].mean()), color=BLACK, linestyle=":", linewidth=1.3, label="Monte Carlo floor")
    curves.set_ylabel(drawing.metric_label(study.objective_metric))
    drawing.legend_below(figure, curves)
    seconds, seeds = float(epochs["spent"].max()), of_trials["seed"].nunique()
    note = (
        f"{counted(seeds, 'seed')} that the search has not used; {seconds:.0f} core-seconds a trial, later epochs left out. "
        "Geometric means; intervals: 95 %, Student's t on logarithms, ratios paired by seed."
    )
    if left_out:
        note += f" Left out, having had no epoch by then: {left_out} trial" + ("s." if left_out > 1 else ".")
    drawing.heading(figure, f"{study.name}: {study.question}", note)
    return figure


def draw_curves(axes: Axes, epochs: pd.DataFrame, metric: str, colours: dict[str, str]) -> None:
    """A line per trial."""
    size, symbol = drawing.time_unit(epochs["spent"])
    said: set[str] = set()
    for _, curve in epochs.groupby("trial"):
        name = curve[STAIRS].iloc[0]
        label = None if name in said else name
        said.add(name)
        axes.plot(curve["spent"] / size, curve[metric], color=colours[name], linewidth=1.4, marker=".", markersize=5, label=label)
    axes.set(title="Every trial, by what it had cost", xlabel=f"core time [core-{symbol}]")
    axes.set_xlim(left=0)
    if drawing.log_scale_helps(epochs[metric]):
        drawing.plain_log(axes)


def draw_outcomes(axes: Axes, of_trials: pd.DataFrame, table: pd.DataFrame, colours: dict[str, str]) -> None:
    """A point per trial, the geometric mean with its interval beside."""
    for place, row in enumerate(table.to_dict("records")):
        mine = of_trials[of_trials["contender"] == row["contender"]]
        colour = colours[row["contender"]]
        axes.scatter([place - 0.15] * len(mine), mine["value"], color=colour, s=22, alpha=0.8)
        mean = row["value"]
        ends = [[mean - row["value_low"]], [row["value_high"] - mean]]
        axes.errorbar([place + 0.1], [mean], yerr=ends, color=colour, marker="o", capsize=4, linewidth=1.6)
    axes.set_xticks(range(len(table)), table["contender"])
    axes.set_xlim(-0.6, len(table) - 0.4)
    axes.set_title("What each came to")


def draw_ratios(axes: Axes, table: pd.DataFrame, colours: dict[str, str]) -> None:
    """The ratio of each contender to the first one, with its verdict."""
    base, others = table["contender"].iloc[0], table[1:].reset_index(drop=True)
    axes.axvline(1.0, color=GREY, linewidth=1.2)
    for place, row in enumerate(others.to_dict("records")):
        ends = [[row["ratio"] - row["ratio_low"]], [row["ratio_high"] - row["ratio"]]]
        axes.errorbar([row["ratio"]], [place], xerr=ends, color=colours[row["contender"]], marker="o", capsize=4, linewidth=1.8)
        interval = "" if pd.isna(row["ratio_low"]) else f" ({row['ratio_low']:.3f} to {row['ratio_high']:.3f})"
        text = f"{row['ratio']:.3f}{interval}: {row['verdict']}"
        # In the middle of the panel: beside a point near its edge it would reach beyond.
        at = axes.get_yaxis_transform()
        axes.annotate(text, (0.5, place), xycoords=at, xytext=(0, 9), textcoords="offset points", ha="center", fontsize=9)
    axes.set_yticks(range(len(others)), others["contender"])
    axes.set_ylim(-0.6, len(others) - 0.2)
    axes.margins(x=0.25)
    axes.set(title=f"Ratio to {base}", xlabel="ratio of the objective")


if __name__ == "__main__":
    sys.exit(main())
