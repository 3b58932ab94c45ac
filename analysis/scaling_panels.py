"""Panels of a scaling study: speed-up, efficiency, serial fraction, phases. Each takes axes and frames of ``gan3d.scaling.speedup``."""

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
from gan3d.scaling.speedup import OVERLAPPED, ScalingKind

PHASE_COLOURS = dict(zip(PHASES, (GREY, BLUE, SKY, GREEN, RED, ORANGE, PINK, YELLOW), strict=True))
#: Colour, marker and label of each rate; the second is drawn a little to the right of the first.
RATE_STYLES = {"training": (BLUE, "o", "training"), "whole_epoch": (ORANGE, "s", "whole epoch")}
#: In parts of the axis.
SHIFT = {"blocks": -0.02, "training": 0.0, "whole_epoch": 0.02}
NAMES = {"strong": "speed-up", "weak": "scaled speed-up"}


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
        _points(axes, curve, "speedup", rate)
    drawing.worker_ticks(axes, list(training["world_size"]))
    drawing.doubling_axis(axes)
    axes.set(title=f"{kind.capitalize()} scaling: {NAMES[kind]}", ylabel=f"throughput, {_base(training)} = 1")
    axes.legend(loc="upper left")


def draw_efficiency(axes: Axes, kind: ScalingKind, curves: Mapping[str, pd.DataFrame]) -> None:
    """Speed-up over the ideal one; the vertical axis need not begin at 0."""
    training = curves["training"]
    axes.axhline(1.0, color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    for rate, curve in curves.items():
        _points(axes, curve, "efficiency", rate)
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
    axes.set(title=f"{kind.capitalize()} scaling: parallel efficiency", ylabel=f"efficiency, {_base(training)} = 100 %")
    axes.legend(loc="lower left")


def draw_serial_fraction(axes: Axes, kind: ScalingKind, curves: Mapping[str, pd.DataFrame]) -> None:
    """Karp-Flatt: constant for a serial part, rising with workers where overhead grows with them."""
    measured = {rate: curve[curve["ideal"] > 1] for rate, curve in curves.items()}
    for rate, curve in measured.items():
        _points(axes, curve, "serial_fraction", rate)
    sizes = list(measured["training"]["world_size"])
    drawing.worker_ticks(axes, sizes)
    axes.set_xlim(min(sizes) / 1.3, max(sizes) * 1.3)
    axes.axhline(0.0, color=BLACK, linestyle="--", linewidth=1.2)
    axes.set(title=f"{kind.capitalize()} scaling: serial fraction (Karp-Flatt)", ylabel="(1/S - 1/n) / (1 - 1/n)")


def draw_phases(axes: Axes, kind: ScalingKind, seconds_by_phase: pd.DataFrame) -> None:
    """Stacked bars of an epoch's phases, validation and checkpoint included; hidden communication beside them.

    The bars are equally high where scaling is ideal: in strong scaling they are seconds of all workers together.
    """
    phases = seconds_by_phase.mul(seconds_by_phase.index.to_numpy(), axis="index") if kind == "strong" else seconds_by_phase
    places = np.arange(len(phases))
    bottom = np.zeros(len(phases))
    for phase in PHASES:
        seconds = phases[phase].to_numpy()
        axes.bar(places, seconds, 0.6, bottom, color=PHASE_COLOURS[phase], label=phase.replace("_", " "), edgecolor="white", linewidth=0.5)
        bottom = bottom + seconds
    if OVERLAPPED in phases and (phases[OVERLAPPED] > 0).any():
        label = "overlapped communication (hidden: not in the sum)"
        axes.bar(places + 0.38, phases[OVERLAPPED], 0.12, label=label, facecolor="none", edgecolor=RED, hatch="////", linewidth=0.8)
    axes.axhline(bottom[0], color=BLACK, linestyle="--", linewidth=1.2)
    axes.set_xticks(places, [str(size) for size in phases.index])
    axes.grid(visible=False, axis="x")
    unit = "worker-seconds per epoch" if kind == "strong" else "seconds per epoch, mean over ranks"
    axes.set(title=f"{kind.capitalize()} scaling: where an epoch's time goes", xlabel="workers (world size)", ylabel=unit)


def shifted(places: Sequence[float] | pd.Series, what: str, world_sizes: pd.Series) -> NDArray[np.float64]:
    """World sizes moved along their logarithmic axis, so that what belongs to one of them does not cover each other."""
    width = max(float(np.log2(world_sizes.max() / world_sizes.min())), 1.0)
    factor = 2.0 ** (SHIFT[what] * width)
    return np.array([place * factor for place in places])


def _points(axes: Axes, curve: pd.DataFrame, name: str, rate: str) -> None:
    """Estimates with their intervals where there are any."""
    colour, marker, label = RATE_STYLES[rate]
    value = curve[name]
    below = (value - curve[f"{name}_low"]).clip(lower=0.0).fillna(0.0)
    above = (curve[f"{name}_high"] - value).clip(lower=0.0).fillna(0.0)
    places, errors = shifted(curve["world_size"], rate, curve["world_size"]), np.vstack([below, above])
    axes.errorbar(places, value, errors, color=colour, marker=marker, markersize=5, linewidth=1.4, capsize=3, zorder=3, label=label)


def _base(curve: pd.DataFrame) -> str:
    base = int(curve["base"].iloc[0])
    return f"{base} worker{'s' if base > 1 else ''}"
