"""How a study scales with workers: throughput, speed-up or weak efficiency, serial fraction, and where an epoch's time goes.

    python analysis/scaling_curves.py STUDY [--results DIR] [--output DIR] [--timing-warmup-epochs N] [--confidence C] [--log]

Writes scaling_curves.png/.csv. Definitions and intervals: ``gan3d.scaling.speedup``.
"""

from __future__ import annotations

import argparse
import sys

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, RED, SKY, YELLOW
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.typing import HashableList

from gan3d.records import PHASES
from gan3d.scaling.speedup import CONFIDENCE, ScalingKind, phase_seconds, scaling_curve, scaling_kind, throughput
from gan3d.tracking import frames

PHASE_COLOURS = dict(zip(PHASES, (GREY, BLUE, SKY, GREEN, RED, ORANGE, PINK, YELLOW), strict=True))
#: Panels by rows.
LAYOUTS: dict[ScalingKind, list[HashableList[str]]] = {
    "strong": [["throughput", "speedup"], ["serial_fraction", "phases"]],
    "weak": [["throughput", "efficiency"], ["phases", "phases"]],
}


def main() -> int:
    """Draw; 2 if the study has no scaling curve."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--timing-warmup-epochs", type=int, default=1, help="first epochs of each trial that are left out")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="of every interval")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study, epochs = frames.study(*source), frames.epochs(*source)
    kind = scaling_kind(epochs)
    rates = throughput(epochs, arguments.timing_warmup_epochs)
    curve = scaling_curve(rates, arguments.confidence)
    phases = phase_seconds(epochs, arguments.timing_warmup_epochs)
    figure = curves_figure(kind, rates, curve, phases)
    drawing.heading(figure, f"{study.name}: {study.question}", note(kind, rates, curve, arguments))
    drawing.save(arguments, "scaling_curves", figure, curve.merge(phases.add_suffix("_seconds"), on="world_size"))
    return study.run_id


def note(kind: ScalingKind, rates: pd.DataFrame, curve: pd.DataFrame, arguments: argparse.Namespace) -> str:
    """What a reader must know of the numbers: what is fixed, the base, repeats, intervals, what was left out."""
    fixed = f"global batch {rates['global_batch'].iloc[0]}" if kind == "strong" else f"batch per worker {rates['batch_per_worker'].iloc[0]}"
    repeats = int(curve["repeats"].min())
    spread = f"{arguments.confidence:.0%} t-intervals on log ratios over {repeats} repeats" if repeats > 1 else "One repeat: no intervals"
    warmup = f"Left out: warm-up epochs, {arguments.timing_warmup_epochs} per trial"
    return (
        f"{kind.capitalize()} scaling at {fixed}. Base: {_base(curve)} (ratio 1 by definition). {spread}; grey dots are repeats. "
        f"{warmup}. Rates count training time, without validation and checkpoint."
    )


def curves_figure(kind: ScalingKind, rates: pd.DataFrame, curve: pd.DataFrame, phases: pd.DataFrame) -> Figure:
    """All panels of one kind of scaling."""
    figure, panels = plt.subplot_mosaic(LAYOUTS[kind], figsize=(11.5, 8.4))
    draw_throughput(panels["throughput"], rates, curve)
    if kind == "strong":
        draw_speedup(panels["speedup"], curve)
        draw_serial_fraction(panels["serial_fraction"], curve)
    else:
        draw_efficiency(panels["efficiency"], curve)
    draw_phases(panels["phases"], phases)
    drawing.legend_below(figure, panels["phases"])
    return figure


def draw_throughput(axes: Axes, rates: pd.DataFrame, curve: pd.DataFrame) -> None:
    """Showers per second with the ideal line through the base."""
    axes.scatter(rates["world_size"], rates["showers_per_second"], s=12, color=GREY, zorder=2)
    axes.plot(curve["world_size"], curve["throughput"].iloc[0] * curve["ideal"], color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    _points(axes, curve, "throughput")
    drawing.worker_ticks(axes, list(curve["world_size"]))
    drawing.plain_log(axes)
    axes.set(title="Throughput", ylabel="showers per second")
    axes.legend(loc="upper left")


def draw_speedup(axes: Axes, curve: pd.DataFrame) -> None:
    """Speed-up with the ideal line."""
    axes.plot(curve["world_size"], curve["ideal"], color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    _points(axes, curve, "speedup")
    drawing.worker_ticks(axes, list(curve["world_size"]))
    drawing.plain_log(axes)
    for _, row in curve[curve["ideal"] > 1].iterrows():
        place = (row["world_size"], row["speedup"])
        axes.annotate(f"{row['efficiency']:.0%}", place, xytext=(6, -12), textcoords="offset points", fontsize=8.5, color=BLUE)
    axes.set(title="Speed-up (percent: parallel efficiency)", ylabel=f"throughput, {_base(curve)} = 1")
    axes.margins(x=0.09)
    axes.legend(loc="upper left")


def draw_efficiency(axes: Axes, curve: pd.DataFrame) -> None:
    """Weak efficiency with the ideal line."""
    axes.axhline(1.0, color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    _points(axes, curve, "efficiency")
    drawing.worker_ticks(axes, list(curve["world_size"]))
    top = max(1.1, 1.05 * float(np.nanmax(curve[["efficiency", "efficiency_high"]])))
    axes.set(title="Weak efficiency", ylabel=f"throughput per worker, {_base(curve)} = 1", ylim=(0, top))
    axes.legend(loc="lower left")


def draw_serial_fraction(axes: Axes, curve: pd.DataFrame) -> None:
    """Karp-Flatt: constant for a serial part, rising with workers where overhead grows with them."""
    measured = curve[curve["ideal"] > 1]
    _points(axes, measured, "serial_fraction")
    drawing.worker_ticks(axes, list(measured["world_size"]))
    values = measured[["serial_fraction", "serial_fraction_low", "serial_fraction_high"]].to_numpy()
    axes.set(title="Serial fraction (Karp-Flatt)", ylabel="(1/S - 1/n) / (1 - 1/n)")
    axes.set_ylim(min(0.0, 1.1 * float(np.nanmin(values))), 1.15 * float(np.nanmax(values)))
    axes.axhline(0.0, color=BLACK, linestyle="--", linewidth=1.2)


def draw_phases(axes: Axes, phases: pd.DataFrame) -> None:
    """Stacked bars of an epoch's phases, validation and checkpoint included."""
    places = np.arange(len(phases))
    bottom = np.zeros(len(phases))
    for phase in PHASES:
        seconds = phases[phase].to_numpy()
        axes.bar(places, seconds, 0.65, bottom, color=PHASE_COLOURS[phase], label=phase.replace("_", " "), edgecolor="white", linewidth=0.5)
        bottom = bottom + seconds
    axes.set_xticks(places, [str(size) for size in phases.index])
    axes.grid(visible=False, axis="x")
    axes.set(title="Where an epoch's time goes", xlabel="workers (world size)", ylabel="seconds per epoch, mean over ranks")


def _points(axes: Axes, curve: pd.DataFrame, name: str) -> None:
    """Estimates with their intervals where there are any."""
    value = curve[name]
    below = (value - curve[f"{name}_low"]).clip(lower=0.0).fillna(0.0)
    above = (curve[f"{name}_high"] - value).clip(lower=0.0).fillna(0.0)
    errors = np.vstack([below, above])
    axes.errorbar(
        curve["world_size"], value, errors, color=BLUE, marker="o", markersize=5, linewidth=1.6, capsize=3, zorder=3, label="measured"
    )


def _base(curve: pd.DataFrame) -> str:
    base = int(curve["base"].iloc[0])
    return f"{base} worker{'s' if base > 1 else ''}"


if __name__ == "__main__":
    sys.exit(main())
