"""Figures of the large-batch ablation: small multiples by order of showers (rows) and by rule and warm-up (columns). No arithmetic."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, ORANGE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import LogLocator, NullFormatter

from gan3d.scaling.ablation import GRID, NETWORKS, ORDER, RANKS, RECIPE, RULE, WARMUP
from gan3d.scaling.quality import Target

#: By place in the list of numbers of ranks: apart in lightness, too.
RANK_STYLES = ((ORANGE, "o"), (BLUE, "s"), (BLACK, "^"), (GREY, "D"))
ORDER_STYLES = {"shuffled": (BLUE, "o"), "seed": (ORANGE, "s")}
ORDER_WORDS = {"shuffled": "shuffled and sharded", "seed": "the seed's order"}
AXES = {"showers": "showers trained on", "updates": "updates (optimiser steps)"}
#: Panels of costs: column, label, units of the column in one of the label.
COST_PANELS = (
    ("updates", "updates", 1.0),
    ("showers", "showers", 1.0),
    ("seconds", "training time without validation [min]", 60.0),
    ("core_hours", "core-hours", 1.0),
)


def recipe_title(rule: str, warmup: float) -> str:
    """Two short lines over a column."""
    return f"rule: {rule}\nlearning-rate warm-up: {warmup:g}"


def rank_styles(ranks: pd.Series) -> dict[Any, tuple[str, str]]:
    """Colour and marker by number of ranks."""
    return {number: RANK_STYLES[min(place, len(RANK_STYLES) - 1)] for place, number in enumerate(sorted(ranks.unique()))}


def multiples(frame: pd.DataFrame, rows: Sequence[Any], **options: Any) -> tuple[Figure, np.ndarray, list[tuple[str, float]]]:
    """A panel for each of ``rows`` and each rule with its warm-up, titled."""
    recipes = list(frame[[RULE, WARMUP]].drop_duplicates().itertuples(index=False, name=None))
    size = (max(2.45 * len(recipes), 7.0), 2.5 * len(rows) + 1.9)
    figure, grid = plt.subplots(len(rows), len(recipes), figsize=size, squeeze=False, **options)
    for axes, (rule, warmup) in zip(grid[0], recipes, strict=True):
        axes.set_title(recipe_title(rule, warmup), fontsize=9.5)
    return figure, grid, recipes


def curves_figure(lines: pd.DataFrame, axis: str, target: Target, floors: Mapping[str, float]) -> Figure:
    """The target's metric against showers or updates, a line for each number of ranks."""
    orders = list(lines[ORDER].unique())
    figure, grid, recipes = multiples(lines, orders, sharex=True, sharey=True)
    styles = rank_styles(lines[RANKS])
    for row, order in zip(grid, orders, strict=True):
        for axes, (rule, warmup) in zip(row, recipes, strict=True):
            panel = lines[(lines[ORDER] == order) & (lines[RULE] == rule) & (lines[WARMUP] == warmup)]
            draw_lines(axes, panel, axis, target.metric, styles)
            draw_levels(axes, target.value, floors.get(target.metric))
            if panel.empty:
                axes.text(0.5, 0.5, "missing", transform=axes.transAxes, ha="center", color=GREY)
        row[0].set_ylabel(f"{ORDER_WORDS[order]}\n\n{target.metric.rpartition('.')[2]}")
    for axes in grid[-1]:
        axes.set_xlabel(AXES[axis])
        short_numbers(axes)
    if axis == "updates":
        grid[0, 0].set_xscale("log")
    if drawing.log_scale_helps(lines[target.metric]) or lines[target.metric].max() > 3 * lines[target.metric].min():
        drawing.plain_log(grid[0, 0])
    handles = rank_handles(styles)
    handles.append(Line2D([], [], color=BLACK, linestyle="--", linewidth=1, label="target"))
    handles.append(Line2D([], [], color=BLACK, linestyle=":", linewidth=1, label="Monte Carlo floor"))
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw_lines(axes: Axes, panel: pd.DataFrame, axis: str, metric: str, styles: Mapping[Any, tuple[str, str]]) -> None:
    """Mean over seeds, the band from the least to the most."""
    for ranks, line in panel.groupby(RANKS):
        colour, marker = styles[ranks]
        every = max(len(line) // 6, 1)
        axes.fill_between(line[axis], line[f"{metric}.min"], line[f"{metric}.max"], color=colour, alpha=0.18, linewidth=0)
        axes.plot(line[axis], line[metric], color=colour, marker=marker, markersize=3.5, markevery=every, linewidth=1.4)


def draw_levels(axes: Axes, target: float, floor: float | None) -> None:
    """Target and floor."""
    axes.axhline(target, color=BLACK, linestyle="--", linewidth=0.9)
    if floor is not None:
        axes.axhline(floor, color=BLACK, linestyle=":", linewidth=0.9)


def rank_handles(styles: Mapping[Any, tuple[str, str]]) -> list[Line2D]:
    """Entries of a legend."""
    words = {number: f"{number} virtual rank{'s' if number > 1 else ''}" for number in styles}
    return [Line2D([], [], color=colour, marker=marker, label=words[number]) for number, (colour, marker) in styles.items()]


def target_figure(trials: pd.DataFrame, summary: pd.DataFrame) -> Figure:
    """What the target cost: a row for each recipe, a panel for each cost; never stands at the right end."""
    recipes = list(summary[RECIPE].drop_duplicates().itertuples(index=False, name=None))
    styles = rank_styles(summary[RANKS])
    figure, row = plt.subplots(1, len(COST_PANELS), figsize=(13.5, 0.52 * len(recipes) + 2.4), sharey=True)
    for axes, (cost, label, unit) in zip(row, COST_PANELS, strict=True):
        draw_costs(axes, trials, summary, cost, unit, styles)
        axes.set_xlabel(label)
    row[0].set_yticks(range(len(recipes)), [f"{order}, {rule}, warm-up {warmup:g}" for order, rule, warmup in recipes])
    row[0].invert_yaxis()
    row[0].set_ylabel("order, learning-rate rule, learning-rate warm-up")
    figure.legend(handles=rank_handles(styles), loc="outside lower center", ncols=len(styles))
    return figure


def draw_costs(
    axes: Axes, trials: pd.DataFrame, summary: pd.DataFrame, cost: str, unit: float, styles: Mapping[Any, tuple[str, str]]
) -> None:
    """Seeds small, medians large with a count where not all reached, misses beyond a line."""
    finite = trials.loc[np.isfinite(trials[cost]), cost] / unit
    axes.set_xscale("log")
    axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0), numticks=6))
    axes.xaxis.set_minor_formatter(NullFormatter())
    short_numbers(axes)
    least, most = (finite.min(), finite.max()) if len(finite) else (1.0, 10.0)
    span = max(most / least, 3.0)
    never, right = most * span**0.18, most * span**0.34
    axes.set_xlim(least / span**0.08, right)
    axes.axvline(most * span**0.09, color=BLACK, linewidth=0.8)
    axes.text(never, 1.0, "never", transform=axes.get_xaxis_transform(), ha="center", va="bottom", fontsize=8)
    places = {recipe: place for place, recipe in enumerate(summary[RECIPE].drop_duplicates().itertuples(index=False, name=None))}
    shift = {number: 0.24 * (place - (len(styles) - 1) / 2) for place, number in enumerate(styles)}
    for frame, column, size, alpha in ((trials, cost, 9, 0.45), (summary, f"{cost}_median", 40, 1.0)):
        for _, one in frame[frame[column].notna()].iterrows():
            y = places[tuple(one[RECIPE])] + shift[one[RANKS]]
            colour, marker = styles[one[RANKS]]
            x = one[column] / unit if np.isfinite(one[column]) else never
            axes.scatter([x], [y], s=size, color=colour, marker=marker, alpha=alpha, linewidth=0, zorder=3)
            if column != cost and one["reached"] < one["run"]:
                axes.annotate(f"{one['reached']}/{one['run']}", (x, y), (5, 0), textcoords="offset points", fontsize=6.5, va="center")
    for line in range(len(places) - 1):
        axes.axhline(line + 0.5, color=GREY, linewidth=0.4)
    axes.yaxis.grid(visible=False)


def energies_figure(trials: pd.DataFrame, metrics: Sequence[str], floors: Mapping[str, float]) -> tuple[Figure, pd.DataFrame]:
    """Final distances by number of ranks, a row of panels for each metric, the two orders beside each other; and their table."""
    complete = trials[trials["state"] == "complete"]
    figure, grid, recipes = multiples(trials, metrics, sharex=True, sharey="row")
    ranks = {number: place for place, number in enumerate(sorted(trials[RANKS].unique()))}
    for row, metric in zip(grid, metrics, strict=True):
        for axes, (rule, warmup) in zip(row, recipes, strict=True):
            panel = complete[(complete[RULE] == rule) & (complete[WARMUP] == warmup)]
            draw_finals(axes, panel, f"{metric}.last", ranks)
            if metric in floors:
                axes.axhline(floors[metric], color=BLACK, linestyle=":", linewidth=1)
            axes.set_xticks(list(ranks.values()), [str(number) for number in ranks])
            axes.set_xlim(-0.4, len(ranks) - 0.6)
        row[0].set_ylabel(metric.rpartition(".")[2].replace("shower_distance", "distance").replace("_", " "))
        if drawing.log_scale_helps(complete[f"{metric}.last"]):
            drawing.plain_log(row[0])
    for axes in grid[-1]:
        axes.set_xlabel("virtual ranks")
    handles = [Line2D([], [], color=colour, marker=marker, label=ORDER_WORDS[order]) for order, (colour, marker) in ORDER_STYLES.items()]
    figure.legend(handles=handles, loc="outside lower center", ncols=2)
    names = [f"{metric}.last" for metric in metrics]
    table = complete.groupby(GRID, sort=False)[names].agg(["mean", "std", "count"])
    table.columns = [".".join(parts) for parts in table.columns]
    return figure, table.reset_index()


def draw_finals(axes: Axes, panel: pd.DataFrame, column: str, ranks: Mapping[Any, int]) -> None:
    """Seeds and their mean by number of ranks, a line for each order."""
    for shift, (order, (colour, marker)) in zip((-0.08, 0.08), ORDER_STYLES.items(), strict=True):
        of_order = panel[panel[ORDER] == order]
        axes.scatter(of_order[RANKS].map(ranks) + shift, of_order[column], s=9, color=colour, marker=marker, alpha=0.45, linewidth=0)
        means = of_order.groupby(RANKS)[column].mean()
        axes.plot([ranks[number] + shift for number in means.index], means, color=colour, marker=marker, markersize=6, linewidth=1.3)


def noise_figure(scales: pd.DataFrame, trials: pd.DataFrame) -> Figure:
    """Gradient noise scale over training: networks are rows, orders columns; a thin line for each recipe, a thick one for all."""
    orders = list(scales[ORDER].unique())
    figure, grid = plt.subplots(2, len(orders), figsize=(5.6 * len(orders) + 0.4, 7.0), squeeze=False, sharex=True, sharey="row")
    styles = rank_styles(trials[RANKS])
    batches = trials.drop_duplicates(RANKS).set_index(RANKS)["global_batch"]
    for row, network in zip(grid, NETWORKS, strict=True):
        for axes, order in zip(row, orders, strict=True):
            draw_scales(axes, scales[scales[ORDER] == order], network, styles)
            for number in scales[RANKS].unique():
                axes.axhline(float(batches[number]), color=styles[number][0], linestyle="--", linewidth=0.9)
            drawing.plain_log(axes)
            axes.set_title(f"{network}, {ORDER_WORDS[order]}")
        row[0].set_ylabel("gradient noise scale [showers]")
    for axes in grid[-1]:
        axes.set_xlabel(AXES["showers"])
        short_numbers(axes)
    handles = rank_handles({number: styles[number] for number in sorted(scales[RANKS].unique())})
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def draw_scales(axes: Axes, scales: pd.DataFrame, network: str, styles: Mapping[Any, tuple[str, str]]) -> None:
    """One network's; where there is no signal, the line has a gap."""
    for (_, _, number), line in scales.groupby([RULE, WARMUP, RANKS], sort=False):
        axes.plot(line["showers"], line[network], color=styles[number][0], linewidth=0.7, alpha=0.5)
    positive = scales[scales[network] > 0]
    for number, of_ranks in positive.groupby(RANKS):
        pooled = of_ranks.assign(log=np.log(of_ranks[network].astype(float))).groupby("epoch")[["showers", "log"]].mean()
        colour, marker = styles[number]
        every = max(len(pooled) // 6, 1)
        axes.plot(pooled["showers"], np.exp(pooled["log"]), color=colour, marker=marker, markevery=every, markersize=4, linewidth=2.2)


def short_numbers(axes: Axes) -> None:
    """20k for 20000 on a horizontal axis."""
    axes.xaxis.set_major_formatter(lambda value, _: f"{value / 1000:g}k" if value >= 1000 else f"{value:g}")
