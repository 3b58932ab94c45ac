"""Panels of a search with trade-offs: each trade-off beside the objective, and the hypervolume. Drawn by `pareto_front.py`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, ORANGE, SKY, STATES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from gan3d.config.objective import Objective
from gan3d.search.fronts import front_of_pair
from gan3d.terminal.words import metric_text, number_text
from gan3d.tracking import frames

#: Of a panel [inches].
PANEL_WIDTH, PANEL_HEIGHT = 5.3, 4.6
#: Of markers [points squared], and how faint a trial is that did not come to its last epoch.
SIZE, FRONT_SIZE, DEFAULT_SIZE, FAINT = 36, 62, 210, 0.4
#: A floor that is further from the trials than so many times their range is told, not drawn.
FAR = 1.5
#: With more trials on the front than this, numbers would hide it.
MOST_NUMBERS = 15


@dataclass(frozen=True, slots=True)
class Search:
    """What is drawn."""

    info: frames.StudyInfo
    trials: pd.DataFrame
    standing: pd.DataFrame
    """Of `fronts.values_of`."""
    progress: pd.DataFrame
    """Of `fronts.hypervolume_progress`."""
    reference: tuple[float, ...]
    floors: dict[str, float]
    """Monte Carlo against Monte Carlo, by the metric that has one."""
    default: int | None
    """The trial of the settings as written."""

    @property
    def objective(self) -> Objective:
        """Of the study."""
        return self.info.objective


def front_figure(search: Search) -> Figure:
    """A panel for each trade-off beside the objective, and one of the hypervolume."""
    number = len(search.objective.trade_offs) + 1
    columns = min(number, 3) if number != 4 else 2
    rows = -(-number // columns)
    size = (max(PANEL_WIDTH * columns, 10.6), PANEL_HEIGHT * rows + 1.5)
    figure, grid = plt.subplots(rows, columns, figsize=size, squeeze=False)
    panels = list(grid.flat)
    for axes, goal, corner in zip(panels, search.objective.trade_offs, search.reference[1:] or [None] * number, strict=False):
        draw_pair(axes, search, goal.metric, corner)
    draw_hypervolume(panels[number - 1], search)
    for axes in panels[number:]:
        axes.set_visible(False)
    entries = handles(search)
    figure.legend(handles=entries, loc="outside lower center", ncols=min(len(entries), 5), columnspacing=1.3, handletextpad=0.5)
    return figure


def draw_pair(axes: Axes, search: Search, metric: str, corner: float | None) -> None:
    """Trials by a trade-off and the objective, and the front of these two."""
    values, objective = search.standing, search.objective
    x, y = values[metric], values[objective.metric]
    draw_trials(axes, x, y, values)
    is_default = values["trial"] == search.default
    axes.scatter(x[is_default], y[is_default], s=DEFAULT_SIZE, **RING)
    if corner is not None:
        axes.scatter([corner], [search.reference[0]], marker="+", s=90, color=BLACK, linewidth=1.4, zorder=2)
    if drawing.log_scale_helps(x):
        drawing.plain_log(axes, "x")
    if drawing.log_scale_helps(y):
        drawing.plain_log(axes)
    axes.margins(0.08)
    draw_floor(axes, "x", x, search.floors.get(metric))
    draw_floor(axes, "y", y, search.floors.get(objective.metric))
    direction = next(goal.direction for goal in objective.trade_offs if goal.metric == metric)
    draw_staircase(axes, front_of_pair(values, objective, metric), metric, objective, direction)
    number_front(axes, values, metric, objective.metric)
    axes.set(title=f"{metric_text(objective.metric)} against {metric_text(metric)}", xlabel=drawing.metric_label(metric))
    axes.set_ylabel(drawing.metric_label(objective.metric))


def draw_floor(axes: Axes, name: Literal["x", "y"], values: pd.Series, floor: float | None) -> None:
    """Monte Carlo against Monte Carlo: a line, or, where that would squeeze the trials together, a word at the edge beyond which it is."""
    if floor is None:
        return
    if is_near(values, floor):
        line = axes.axvline if name == "x" else axes.axhline
        line(floor, color=BLACK, linestyle=":", linewidth=1.3, zorder=1)
        return
    text = f"Monte Carlo floor {number_text(floor)}"
    edge: dict[str, Any] = {"fontsize": 8.5, "color": BLACK, "zorder": 6, "transform": axes.transAxes}
    edge |= {"bbox": {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 1.5}}
    if name == "y":
        axes.text(0.985, 0.015, f"{text} ↓", ha="right", va="bottom", **edge)
    else:
        axes.text(0.015, 0.985, f"← {text}", ha="left", va="top", **edge)


#: Around the default sample.
RING: dict[str, Any] = {"facecolor": "none", "edgecolor": ORANGE, "linewidth": 2.0, "zorder": 2.5}


def draw_trials(axes: Axes, x: pd.Series, y: pd.Series, values: pd.DataFrame) -> None:
    """A marker per trial: its shape is its state; hollow: it breaks a constraint; faint: it did not come to its last epoch."""
    for state, (_, marker) in STATES.items():
        for is_kept in (False, True):
            chosen = (values["state"] == state) & (values["is_kept"] == is_kept) & ~values["is_front"]
            if chosen.any():
                axes.scatter(x[chosen], y[chosen], s=SIZE, marker=marker, **style(state, is_kept=is_kept))
    front = values["is_front"]
    axes.scatter(x[front], y[front], s=FRONT_SIZE, color=BLUE, edgecolor=BLACK, linewidth=0.9, zorder=4)


def style(state: str, *, is_kept: bool) -> dict[str, Any]:
    """Of a trial that is not on the front."""
    colour = SKY if state == "complete" else STATES[state][0]
    alpha = 0.95 if state == "complete" else FAINT
    faces: dict[str, Any] = {"facecolor": colour, "edgecolor": "white", "linewidth": 0.5}
    hollow: dict[str, Any] = {"facecolor": "none", "edgecolor": GREY if state == "complete" else colour, "linewidth": 1.2}
    return {**(faces if is_kept else hollow), "alpha": alpha, "zorder": 3}


def is_near(values: pd.Series, floor: float) -> bool:
    """Whether a floor can be drawn beside these values."""
    return float(values.min()) - floor <= FAR * float(np.ptp(values))


def draw_staircase(axes: Axes, front: pd.DataFrame, metric: str, objective: Objective, direction: str) -> None:
    """The border of what the front beats, up to the worse sides of the panel, which stay where they are."""
    if front.empty:
        return
    (left, right), (bottom, top) = axes.get_xlim(), axes.get_ylim()
    worst_x, worst_y = (right if direction == "minimize" else left), (top if objective.direction == "minimize" else bottom)
    x, y = front[metric].to_list(), front[objective.metric].to_list()
    # The best by the objective first: its step ends where the panel does.
    xs, ys = np.repeat([worst_x, *x], 2)[1:], np.repeat([*y, worst_y], 2)[:-1]
    axes.plot(xs, ys, color=BLUE, linewidth=1.8, zorder=2)
    axes.fill_between(xs, ys, worst_y, color=SKY, alpha=0.12, linewidth=0, zorder=0)
    axes.set(xlim=(left, right), ylim=(bottom, top))


def number_front(axes: Axes, values: pd.DataFrame, x: str, y: str) -> None:
    """The numbers of the front's trials beside them."""
    front = values[values["is_front"]]
    if len(front) > MOST_NUMBERS:
        return
    for number, one_x, one_y in zip(front["trial"], front[x], front[y], strict=True):
        axes.annotate(
            str(number), (one_x, one_y), xytext=(-5, -5), textcoords="offset points", fontsize=8.5, ha="right", va="top", zorder=6
        )


def draw_hypervolume(axes: Axes, search: Search) -> None:
    """The front's hypervolume by what all trials had cost until then; by their number where an epoch tells no cost."""
    progress = search.progress
    axes.set(title="Hypervolume of the front, by what it cost", ylabel="hypervolume, share of the box")
    if progress.empty or not (progress["hypervolume"] > 0).any():
        axes.text(0.5, 0.5, "no complete trial before\nthe reference point yet", transform=axes.transAxes, ha="center", va="center")
        axes.set(xticks=[], yticks=[])
        return
    spent = progress["core_seconds"]
    if spent.isna().any():
        axes.set_title("Hypervolume of the front, by trials")
        spent, size = progress["ended"].astype(float), 1.0
        axes.set_xlabel("trials that had ended")
        drawing.whole_numbers(axes)
    else:
        size, symbol = drawing.time_unit(spent)
        axes.set_xlabel(f"core time of all trials' workers [core-{symbol}]")
    places, share = spent / size, progress["share"]
    axes.step([0, *places], [0, *share], where="post", color=BLACK, linewidth=1.6, zorder=2)
    gained = progress["hypervolume"].diff().fillna(progress["hypervolume"]) > 0
    axes.scatter(places[~gained], share[~gained], s=14, color=GREY, zorder=3)
    on_front = progress["trial"].isin(search.standing.loc[search.standing["is_front"], "trial"])
    for chosen, colour in ((gained & ~on_front, SKY), (gained & on_front, BLUE)):
        axes.scatter(places[chosen], share[chosen], s=FRONT_SIZE, color=colour, edgecolor=BLACK, linewidth=0.9, zorder=4)
    if gained.sum() <= MOST_NUMBERS:
        for number, x, y in zip(progress["trial"][gained], places[gained], share[gained], strict=True):
            axes.annotate(str(number), (x, y), xytext=(-5, 5), textcoords="offset points", fontsize=8.5, ha="right", zorder=6)
    axes.set_xlim(left=0)
    axes.set_ylim(bottom=0)


def handles(search: Search) -> list[Line2D]:
    """Entries of the legend: only what is there."""
    values = search.standing
    marker: dict[str, Any] = {"linestyle": "none", "markersize": 7}
    found = [Line2D([], [], color=BLUE, marker="o", markeredgecolor=BLACK, linewidth=1.8, label="on the front")]
    for state in values.loc[~values["is_front"], "state"].unique():
        one = style(str(state), is_kept=True)
        label = "complete, not on the front" if state == "complete" else str(state)
        found.append(Line2D([], [], color=one["facecolor"], alpha=one["alpha"], marker=STATES[str(state)][1], label=label, **marker))
    if not values["is_kept"].all():
        found.append(
            Line2D([], [], markeredgecolor=GREY, markerfacecolor="none", marker="o", label="hollow: breaks a constraint", **marker)
        )
    if search.default in set(values["trial"]):
        ring: dict[str, Any] = {
            "markeredgecolor": ORANGE,
            "markerfacecolor": "none",
            "markeredgewidth": 2.0,
            "linestyle": "none",
            "markersize": 11,
        }
        found.append(Line2D([], [], marker="o", label=f"settings as written: trial {search.default}", **ring))
    if search.reference:
        found.append(Line2D([], [], color=BLACK, marker="+", label="reference point", **marker))
    if any(is_near(values[metric], floor) for metric, floor in search.floors.items()):
        found.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=1.3, label="Monte Carlo floor"))
    return found
