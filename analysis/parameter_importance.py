"""Which sampled keys mattered for the objective, with intervals and beside what luck gives; and every sample as a line to its objective.

    python analysis/parameter_importance.py STUDY [--results DIR] [--output DIR] [--confidence C] [--seed N] [--draws N] [--log]

Writes parameter_importance.png/.svg/.csv/.json; of a hundred trials in a minute. Definitions: ``gan3d.search.importance``.
"""

from __future__ import annotations

import argparse
import sys
import textwrap
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import PercentFormatter
from parallel_coordinates import draw_coordinates

from gan3d.config.space import SearchSpace
from gan3d.errors import ConfigError
from gan3d.scaling.draws import CONFIDENCE
from gan3d.search.importance import FEWEST_TRIALS, RANDOM, Effort, Importances, importances
from gan3d.terminal.words import short_names
from gan3d.tracking import frames

#: Of intervals, and of luck.
DRAWS = 100
#: With fewer trials readers are warned.
FEW_TRIALS = 20
#: Of a bar, and of the grey one behind it, in units of the distance between two keys.
BAR, LUCK_BAR = 0.42, 0.74
#: Of an axis of the coordinates, of the panel of bars, and of the figure at least [inches].
AXIS_WIDTH, BARS_WIDTH, LEAST_WIDTH = 1.35, 4.9, 11.0
LIGHT_GREY = "#DDDDDD"


def main() -> int:
    """Draw; 2 if the study sampled nothing or has no trial."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="of intervals and of what luck gives")
    parser.add_argument("--seed", type=int, default=1, help="of resampled and shuffled trials")
    parser.add_argument("--draws", type=int, default=DRAWS, help="resampled, and shuffled, searches; time goes with them")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    info, trials = frames.study(*source), frames.trials(*source)
    if trials.empty:
        message = f"study {info.name!r} has no trial yet: nothing to draw."
        raise ConfigError(message)
    space = drawing.study_as_run(info).search_space
    if not space.ranges:
        message = f"study {info.name!r} samples nothing. Give it a search space."
        raise ConfigError(message, key="search_space")
    effort = Effort(arguments.draws, arguments.draws)
    found = importances(trials, space, confidence=arguments.confidence, seed=arguments.seed, effort=effort)
    figure = importance_figure(info, trials, space, found)
    drawing.heading(figure, f"{info.name}: {info.question}", note(found, trials, space, arguments))
    drawing.publish(arguments, "parameter_importance", figure, found.table, facts(info, found, arguments))
    return info.run_id


def importance_figure(info: frames.StudyInfo, trials: pd.DataFrame, space: SearchSpace, found: Importances) -> Figure:
    """Bars of importance, and parallel coordinates in the same order of keys, the most important beside the objective."""
    keys = [key for key in found.table["key"] if key != RANDOM]
    coordinates = AXIS_WIDTH * (len(keys) + 2)
    size = (max(BARS_WIDTH + coordinates, LEAST_WIDTH), max(5.8, 0.5 * len(keys) + 2.9))
    figure, (bars, lines) = plt.subplots(1, 2, figsize=size, width_ratios=[BARS_WIDTH, size[0] - BARS_WIDTH])
    draw_bars(bars, found)
    draw_coordinates(lines, trials, space, keys[::-1], info.objective_direction, info.objective_metric)
    lines.set_title("Every trial's sample, the best on top", pad=44)
    return figure


def draw_bars(axes: Axes, found: Importances) -> None:
    """Importance of each key with its interval, over what luck gives; or why nothing can be said."""
    table, places = found.table, range(len(found.table))
    axes.set_yticks(places, labels(found))
    axes.set_ylim(len(table) - 0.4, -0.6)
    axes.set_xlim(0, 1)
    axes.xaxis.set_major_formatter(PercentFormatter(1.0))
    axes.yaxis.grid(visible=False)
    axes.set_xlabel("share of the objective's variance")
    if found.doubt:
        axes.set_title("Nothing can be said of importance")
        said = "\n".join(textwrap.wrap(found.doubt, 30))
        axes.text(0.5, 0.5, said, transform=axes.transAxes, ha="center", va="center", fontsize=11, color=BLACK)
        return
    axes.set_title("What the objective depends on")
    axes.barh(places, table["luck"], height=LUCK_BAR, color=LIGHT_GREY, label="luck: shuffled objectives")
    axes.barh(places, table["importance"], height=BAR, color=[BLUE if above else GREY for above in table["above_luck"]])
    errors = np.array([table["importance"] - table["low"], table["high"] - table["importance"]])
    axes.errorbar(table["importance"], places, xerr=errors, fmt="none", ecolor=BLACK, elinewidth=1.2, capsize=3)
    for place in np.flatnonzero(table["importance"].isna()):
        axes.text(0.02, float(place), f"in fewer than {FEWEST_TRIALS} trials", va="center", style="italic", fontsize=9)
    entries = [Patch(color=BLUE, label="above luck"), Patch(color=GREY, label="not told from luck")]
    entries.append(Patch(color=LIGHT_GREY, label="luck: objectives shuffled"))
    axes.legend(handles=entries, loc="upper center", bbox_to_anchor=(0.4, -0.14))


def labels(found: Importances) -> list[str]:
    """Short names of keys; of those that not all trials have with the number of trials."""
    keys, trials = found.table["key"], found.table["trials"]
    names = short_names(key for key in keys if key != RANDOM)
    notes = ["" if number == found.trials else f"\n(of {number} trials)" for number in trials]
    return [names.get(key, key) + note for key, note in zip(keys, notes, strict=True)]


def note(found: Importances, trials: pd.DataFrame, space: SearchSpace, arguments: argparse.Namespace) -> str:
    """What a reader must know of the numbers."""
    counts = ", ".join(f"{number} {state}" for state, number in trials["state"].value_counts().items())
    who = f"{len(trials)} trials ({counts}); {found.trials} of them count, a pruned one by its best epoch until then."
    if found.doubt:
        return f"{who} No importance: {found.doubt}."
    few = f" FEWER THAN {FEW_TRIALS} TRIALS: forests see little, which no interval knows." if found.trials < FEW_TRIALS else ""
    absent = " A key with conditions is measured among the trials that have it." if space.is_conditional else ""
    share = f"{arguments.confidence:.0%}"
    return (
        f"{who}{few} Importance: functional ANOVA, of the variance over the search space the share that a key explains alone; the rest is "
        f"that of several together.{absent} Whiskers: {share} bootstrap intervals over trials ({arguments.draws} resamples). Luck: what a "
        f"key stays below in {share} of {arguments.draws} searches with shuffled objectives; random column: what no effect gets here. Of "
        "weak keys tens of trials show too little."
    )


def facts(info: frames.StudyInfo, found: Importances, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same for a program."""
    return {
        "study": info.name,
        "question": info.question,
        "run_id": info.run_id,
        "provenance": info.provenance,
        "objective_metric": info.objective_metric,
        "objective_direction": info.objective_direction,
        "trials": found.trials,
        "doubt": found.doubt,
        "confidence": arguments.confidence,
        "seed": arguments.seed,
        "draws": arguments.draws,
    }


if __name__ == "__main__":
    sys.exit(main())
