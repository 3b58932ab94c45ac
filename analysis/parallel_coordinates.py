"""Parallel coordinates: every trial as a line through its sampled values to its objective. Drawn by `parameter_importance.py`."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, GREY, STATES
from matplotlib.axes import Axes
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Colormap, ListedColormap, LogNorm, Normalize
from matplotlib.lines import Line2D
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gan3d.config.ranges import Between, Range
from gan3d.config.space import SearchSpace
from gan3d.search.importance import JUDGED, judged
from gan3d.search.sample_rows import sample_of
from gan3d.terminal.words import short_names, value_text

#: Where a line passes a key that its trial does not have; axes reach from 0 to 1.
ABSENT = -0.13
#: Lines through one value of few lie beside each other within this much.
RIBBON = 0.05
#: More values than this on an axis are shown by ticks between its ends.
MOST_TICKS = 7
#: Of the colours the part that is seen on white; dark is good.
DARKEST, LIGHTEST = 0.0, 0.9
DASHES: dict[str, Any] = {"complete": "-", "pruned": (0, (4, 1.5)), "failed": (0, (1, 1.5))}
#: Labels of ticks stand before the lines.
LABEL = {"facecolor": "white", "edgecolor": "none", "alpha": 0.75, "pad": 0.8}


@dataclass(frozen=True, slots=True)
class Scale:
    """One axis: places of values, and its ticks by place."""

    place: Callable[[Any], float]
    ticks: Mapping[float, str]
    is_discrete: bool


def scale_of(one: Range) -> Scale:
    """The axis of a range: choices and few numbers evenly by name, else numbers on a line, logarithmic if they are sampled so."""
    values: Sequence[Any] | None = one.values  # noqa: PD011 - a range's, not a frame's
    if values is not None and (len(values) <= MOST_TICKS or not isinstance(one, Between)):
        are_numbers = all(isinstance(value, int | float) and not isinstance(value, bool) for value in values)
        places = dict(zip(sorted(values) if are_numbers else values, np.linspace(0, 1, len(values)).tolist(), strict=True))
        return Scale(lambda value: places[value], {place: value_text(value) for value, place in places.items()}, is_discrete=True)
    assert isinstance(one, Between)
    return line_scale(float(one.min), float(one.max), log=one.log)


def line_scale(low: float, high: float, *, log: bool, descending: bool = False) -> Scale:
    """An axis of numbers; descending: the lowest on top."""

    def place(value: float) -> float:
        share = np.log(value / low) / np.log(high / low) if log else (value - low) / (high - low)
        return float(1 - share if descending else share)

    subs = (1.0,) if log and high / low > 100 else (1.0, 2.0, 5.0)
    found = LogLocator(base=10, subs=subs).tick_values(low, high) if log else MaxNLocator(nbins=5).tick_values(low, high)
    margin = 1e-9 * (high - low)
    return Scale(place, {place(value): f"{value:.6g}" for value in found if low - margin <= value <= high + margin}, is_discrete=False)


def objective_scale(values: pd.Series, direction: str) -> Scale:
    """The axis of the objective, better on top; one value of all lies in its middle."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    if finite.empty:
        return Scale(lambda _: ABSENT, {}, is_discrete=False)
    low, high = float(finite.min()), float(finite.max())
    if low == high:
        return Scale(lambda _: 0.5, {0.5: f"{low:.4g}"}, is_discrete=True)
    return line_scale(low, high, log=drawing.log_scale_helps(finite), descending=direction == "minimize")


def places_of(trials: pd.DataFrame, space: SearchSpace, keys: Sequence[str], objective: Scale) -> pd.DataFrame:
    """Where each trial's line is on each axis, in the order of the trials; ``objective`` is last. Absent values are below the axes."""
    samples = [sample_of(row, space) for row in trials.to_dict("records")]
    scales = {key: scale_of(space.ranges[key]) for key in keys}
    places = pd.DataFrame(index=trials.index)
    for key, scale in scales.items():
        column = pd.Series([scale.place(sample[key]) if key in sample else ABSENT for sample in samples], index=trials.index, dtype=float)
        places[key] = ribbons(column) if scale.is_discrete else column
    worth = trials["best_objective"].astype(float)
    places["objective"] = [objective.place(value) if np.isfinite(value) else ABSENT for value in worth]
    return places


def ribbons(places: pd.Series) -> pd.Series:
    """Equal places beside each other, in the order of the rows, so that lines through one value do not hide each other."""
    rank = places.groupby(places).cumcount()
    size = places.groupby(places).transform("size")
    return places + RIBBON * ((rank + 0.5) / size - 0.5)


def draw_coordinates(axes: Axes, trials: pd.DataFrame, space: SearchSpace, keys: Sequence[str], direction: str, metric: str) -> None:
    """Lines, worst first, so that the best is on top; axes with their ticks; a colour bar."""
    latest_first = trials.iloc[::-1]  # of equals the earliest is the best
    ordered = latest_first.sort_values("best_objective", ascending=direction != "minimize", na_position="first", kind="stable")
    ordered = ordered.reset_index(drop=True)
    scale = objective_scale(ordered["best_objective"], direction)
    places = places_of(ordered, space, keys, scale)
    counting = judged(ordered).index
    draw_lines(axes, ordered, places, counting, colouring(ordered["best_objective"], direction))
    scales = [*(scale_of(space.ranges[key]) for key in keys), scale]
    draw_axes(axes, scales, [*wrapped_names(keys), f"best\n{metric.rpartition('.')[2]}"], (places < ABSENT + RIBBON).any().tolist())
    winner = int(ordered["trial"][counting[-1]]) if len(counting) else None
    columns = 2 if len(keys) < 3 else 6
    axes.legend(handles=handles(ordered["state"], winner), loc="upper center", bbox_to_anchor=(0.5, -0.03), ncols=columns, handlelength=2.6)
    if ordered["best_objective"].min() < ordered["best_objective"].max():
        draw_colour_bar(axes, colouring(ordered["best_objective"], direction), metric, direction)


def draw_lines(axes: Axes, ordered: pd.DataFrame, places: pd.DataFrame, counting: pd.Index, colours: tuple[Normalize, Colormap]) -> None:
    """A line for each trial, the best one thick; by colour what it was worth, or that it does not count."""
    norm, shades = colours
    for row, (state, worth) in enumerate(zip(ordered["state"], ordered["best_objective"], strict=True)):
        colour = shades(norm(worth)) if row in counting else STATES.get(state, (GREY, ""))[0]
        width, alpha = (3.0, 1.0) if row == counting.max() else (1.3, 0.85)
        line = places.iloc[row].to_numpy()
        axes.plot(line, color=colour, linestyle=DASHES.get(state, "-"), linewidth=width, alpha=alpha, solid_capstyle="round")


def draw_colour_bar(axes: Axes, colours: tuple[Normalize, Colormap], metric: str, direction: str) -> None:
    """What a line's colour means; better on top."""
    norm, shades = colours
    bar = axes.figure.colorbar(ScalarMappable(norm, shades), ax=axes, pad=0.09, fraction=0.03)
    bar.set_label(drawing.metric_label(metric))
    if isinstance(norm, LogNorm):
        bar.ax.yaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
        bar.ax.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
        bar.ax.yaxis.set_minor_formatter(NullFormatter())
    if direction == "minimize":
        bar.ax.invert_yaxis()


def draw_axes(axes: Axes, scales: Sequence[Scale], names: Sequence[str], has_absent: Sequence[bool]) -> None:
    """Vertical lines with ticks and their names on top; where some trials pass below an axis, that is said."""
    for x, (scale, name, absent) in enumerate(zip(scales, names, has_absent, strict=True)):
        axes.vlines(x, 0, 1, color=BLACK, linewidth=1.0, zorder=5)
        is_last = x == len(scales) - 1
        side: dict[str, Any] = {"ha": "left" if is_last else "right", "va": "center", "fontsize": 8, "zorder": 6, "bbox": LABEL}
        shift = 0.05 if is_last else -0.05
        for place, text in scale.ticks.items():
            axes.plot([x - 0.02, x + 0.02], [place, place], color=BLACK, linewidth=1.0, zorder=5)
            axes.text(x + shift, place, text, **side)
        if absent:
            axes.text(x + shift, ABSENT, "none" if is_last else "absent", style="italic", **side)
        axes.text(x, 1.06, name, ha="center", va="bottom", fontsize=9)
    axes.set_xlim(-0.55, len(scales) - 0.45)
    axes.set_ylim(ABSENT - 0.05 if any(has_absent) else -0.05, 1.05)
    axes.grid(visible=False)
    axes.axis("off")


def colouring(values: pd.Series, direction: str) -> tuple[Normalize, Colormap]:
    """Colours by objective, told apart by colour-blind readers and in grey: dark is good."""
    finite = values[np.isfinite(values.astype(float))].astype(float)
    low, high = (float(finite.min()), float(finite.max())) if len(finite) else (0.0, 1.0)
    norm = LogNorm(low, high) if drawing.log_scale_helps(finite) else Normalize(low, high)
    shades = np.linspace(DARKEST, LIGHTEST, 256)
    return norm, ListedColormap(plt.get_cmap("viridis")(shades if direction == "minimize" else shades[::-1]))


def wrapped_names(keys: Sequence[str]) -> list[str]:
    """Short names, a line for each part but positions."""
    names = short_names(keys)
    return [names[key].replace(".", ".\n", names[key].count(".") - (names[key].rpartition(".")[2].isdecimal())) for key in keys]


def handles(states: pd.Series, winner: int | None) -> list[Line2D]:
    """Entries of a legend: the best trial, and how all ended."""
    shade = plt.get_cmap("viridis")
    found = [] if winner is None else [Line2D([], [], color=shade(DARKEST), linewidth=3.0, label=f"best: trial {winner}")]
    for state, number in states.value_counts().items():
        colour = shade(0.35) if state in JUDGED else STATES.get(str(state), (GREY, ""))[0]
        found.append(Line2D([], [], color=colour, linestyle=DASHES.get(str(state), "-"), linewidth=1.5, label=f"{number} {state}"))
    return found
