"""Panels of a scaling study: speed-up, efficiency, serial fraction, phases, laws. Each takes axes and what ``gan3d.scaling`` computed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import drawing
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, YELLOW
from matplotlib.axes import Axes
from matplotlib.ticker import MaxNLocator
from numpy.typing import NDArray

from gan3d.records import PHASES
from gan3d.scaling.draws import Estimate
from gan3d.scaling.laws import Fit, Law
from gan3d.scaling.speedup import OVERLAPPED, ScalingKind

PHASE_COLOURS = dict(zip(PHASES, (GREY, BLUE, SKY, GREEN, RED, ORANGE, PINK, YELLOW), strict=True))
#: Colour, marker and label of each rate; the second is drawn a little to the right of the first.
RATE_STYLES = {"training": (BLUE, "o", "training"), "whole_epoch": (ORANGE, "s", "whole epoch")}
#: In parts of the axis.
SHIFT = {"blocks": -0.02, "training": 0.0, "whole_epoch": 0.02}
NAMES = {"strong": "speed-up", "weak": "scaled speed-up"}
#: Colour and line of each law.
LAW_STYLES: dict[Law, tuple[str, str]] = {"amdahl": (GREEN, "-."), "gustafson": (GREEN, "-."), "universal": (PINK, ":")}
#: Below this chance of lying so far off a law that is true, a figure says that the points are off it.
OFF_LAW = 0.05


def draw_speedup(axes: Axes, kind: ScalingKind, curves: Mapping[str, pd.DataFrame], rates: pd.DataFrame) -> None:
    """Throughput over that of the base, both axes logarithmic, with the ideal line and each block's ratio."""
    training = curves["training"]
    sizes = training["world_size"]
    axes.plot(training["world_size"], training["ideal"], color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    by_block = rates.pivot_table(index="block", columns="world_size", values="showers_per_second")
    ratios = by_block.div(by_block[training["base"].iloc[0]], axis="index").drop(columns=training["base"].iloc[0])
    for size, of_blocks in ratios.items():
        axes.scatter(shifted([size] * len(of_blocks), "blocks", sizes), of_blocks, s=11, color=GREY, zorder=2)
    for rate, curve in curves.items():
        draw_points(axes, curve, "speedup", rate)
    drawing.worker_ticks(axes, list(training["world_size"]))
    drawing.doubling_axis(axes)
    axes.set(title=f"{kind.capitalize()} scaling: {NAMES[kind]}", ylabel=f"throughput, {base_text(training)} = 1")
    axes.legend(loc="upper left")


def draw_efficiency(axes: Axes, kind: ScalingKind, curves: Mapping[str, pd.DataFrame]) -> None:
    """Speed-up over the ideal one; the vertical axis need not begin at 0."""
    training = curves["training"]
    axes.axhline(1.0, color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    for rate, curve in curves.items():
        draw_points(axes, curve, "efficiency", rate)
    for _, row in training[training["ideal"] > 1].iterrows():
        top = np.nanmax([row["efficiency"], row["efficiency_high"]])
        words, place = f"{100 * row['efficiency']:.1f} %", (row["world_size"], top)
        label = axes.annotate(words, place, (0, 4), textcoords="offset points", ha="center", fontsize=9, color=BLUE, zorder=4)
        label.set_bbox({"facecolor": "white", "alpha": 0.85, "linewidth": 0.0, "pad": 0.5})
    drawing.worker_ticks(axes, list(training["world_size"]))
    names = ["efficiency", "efficiency_low", "efficiency_high"]
    values = np.concatenate([curve[names].to_numpy().ravel() for curve in curves.values()])
    lowest, highest = float(np.nanmin(values)), max(1.0, float(np.nanmax(values)))
    margin = 0.15 * max(highest - lowest, 0.1)
    axes.set_ylim(max(0.0, lowest - margin), highest + margin)
    axes.yaxis.set_major_locator(MaxNLocator(6, steps=[1, 2, 5, 10]))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.margins(x=0.08)
    axes.set(title=f"{kind.capitalize()} scaling: parallel efficiency", ylabel=f"efficiency, {base_text(training)} = 100 %")
    axes.legend(loc="lower left")


def draw_serial_fraction(axes: Axes, kind: ScalingKind, curves: Mapping[str, pd.DataFrame]) -> None:
    """Karp-Flatt: constant for a serial part, rising with workers where overhead grows with them."""
    measured = {rate: curve[curve["ideal"] > 1] for rate, curve in curves.items()}
    for rate, curve in measured.items():
        draw_points(axes, curve, "serial_fraction", rate)
    sizes = list(measured["training"]["world_size"])
    drawing.worker_ticks(axes, sizes)
    axes.set_xlim(min(sizes) / 1.3, max(sizes) * 1.3)
    axes.axhline(0.0, color=BLACK, linestyle="--", linewidth=1.2)
    axes.set(title=f"{kind.capitalize()} scaling: serial fraction (Karp-Flatt)", ylabel="(1/S - 1/n) / (1 - 1/n)")


def draw_phases(axes: Axes, kind: ScalingKind, seconds_by_phase: pd.DataFrame, showers: pd.Series) -> None:
    """Stacked bars of what a shower takes, validation and checkpoint of its epoch included; hidden communication beside them.

    In milliseconds of all workers together, so the bars are equally high where scaling is ideal: of either kind, however long an epoch is.

    Args:
        axes: Of the panel.
        kind: Of scaling.
        seconds_by_phase: Per epoch, by world size, as ``phase_seconds`` returns.
        showers: Trained on in an epoch, by world size.
    """
    phases = seconds_by_phase.mul(1e3 * seconds_by_phase.index.to_numpy() / showers.loc[seconds_by_phase.index], axis="index")
    places = np.arange(len(phases))
    bottom = np.zeros(len(phases))
    for phase in PHASES:
        spent = phases[phase].to_numpy()
        axes.bar(places, spent, 0.6, bottom, color=PHASE_COLOURS[phase], label=phase.replace("_", " "), edgecolor="white", linewidth=0.5)
        bottom = bottom + spent
    if OVERLAPPED in phases and (phases[OVERLAPPED] > 0).any():
        label = "overlapped communication (hidden: not in the sum)"
        axes.bar(places + 0.38, phases[OVERLAPPED], 0.12, label=label, facecolor="none", edgecolor=RED, hatch="////", linewidth=0.8)
    axes.axhline(bottom[0], color=BLACK, linestyle="--", linewidth=1.2)
    axes.set_xticks(places, [str(size) for size in phases.index])
    axes.grid(visible=False, axis="x")
    title = f"{kind.capitalize()} scaling: where the time of a shower goes"
    axes.set(title=title, xlabel="workers (world size)", ylabel="worker-milliseconds per shower")


def draw_laws(speedup: Axes, efficiency: Axes, training: pd.DataFrame, fits: Mapping[Law, Fit]) -> None:
    """Curves of the laws that the study determines, with their parameters in a legend of their own; call after the panels are drawn."""
    determined = {law: fit for law, fit in fits.items() if not fit.undetermined}
    if not determined:
        return
    first = training.iloc[0]
    sizes = np.geomspace(first["base"], training["world_size"].max(), 200)
    handles = []
    for law, fit in determined.items():
        colour, line = LAW_STYLES[law]
        ratios = fit.throughput(sizes) / first["throughput"]
        handles += speedup.plot(sizes, ratios, color=colour, linestyle=line, linewidth=1.6, zorder=2.5, label=law_label(fit))
        efficiency.plot(sizes, ratios * first["base"] / sizes, color=colour, linestyle=line, linewidth=1.6, zorder=2.5)
    scale = speedup.get_legend()
    if scale is not None:
        speedup.add_artist(scale)
    speedup.legend(handles=handles, loc="lower right", fontsize=7.5, handlelength=2.2, borderaxespad=0.1)


def law_label(fit: Fit) -> str:
    """A law with its parameters and their intervals; and whether the points lie off it."""
    names = {"sigma": "\u03c3", "kappa": "\u03ba"}
    shown = ", ".join(f"{names[name]} = {percent_interval(estimate)}" for name, estimate in fit.parameters.items())
    off = f" (points lie off it, {p_text(fit.p_value)})" if fit.p_value < OFF_LAW else ""
    return f"{fit.law.capitalize()}{off}:\n{shown}" if off or len(fit.parameters) > 1 else f"{fit.law.capitalize()}: {shown}"


def percent_interval(estimate: Estimate) -> str:
    """`3.1 [2.8, 3.4] %`."""
    value, low, high = (f"{100 * one:.2g}" for one in estimate)
    return f"{value} [{low}, {high}] %"


def p_text(value: float) -> str:
    """`p = 0.012`, `p < 0.001`."""
    return "p < 0.001" if value < 1e-3 else f"p = {value:.2g}"


def shifted(places: Sequence[float] | pd.Series, what: str, world_sizes: pd.Series) -> NDArray[np.float64]:
    """World sizes moved along their logarithmic axis, so that what belongs to one of them does not cover each other."""
    width = max(float(np.log2(world_sizes.max() / world_sizes.min())), 1.0)
    factor = 2.0 ** (SHIFT[what] * width)
    return np.array([place * factor for place in places])


def draw_points(axes: Axes, curve: pd.DataFrame, name: str, rate: str) -> None:
    """Estimates with their intervals where there are any."""
    colour, marker, label = RATE_STYLES[rate]
    places = shifted(curve["world_size"], rate, curve["world_size"])
    bars = errors(curve, name)
    axes.errorbar(places, curve[name], bars, color=colour, marker=marker, markersize=5, linewidth=1.4, capsize=3, zorder=3, label=label)


def errors(curve: pd.DataFrame, name: str) -> NDArray[np.float64]:
    """(2, rows): how far the interval of a column reaches below and above it; 0 where there is none."""
    value = curve[name]
    below, above = value - curve[f"{name}_low"], curve[f"{name}_high"] - value
    return np.vstack([end.clip(lower=0.0).fillna(0.0).to_numpy(float) for end in (below, above)])


def base_text(curve: pd.DataFrame) -> str:
    """`1 worker`."""
    base = int(curve["base"].iloc[0])
    return f"{base} worker{'s' if base > 1 else ''}"
