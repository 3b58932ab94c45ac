"""What the cost model says of teams that nobody has formed yet, with what was measured drawn on it; for ``scaling_curves``."""

from __future__ import annotations

import argparse
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, ORANGE, RED
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import MultipleLocator
from scaling_panels import errors

from gan3d.cli.predict import Question, cluster_of
from gan3d.cli.step_work import step_work
from gan3d.config.load import read_study
from gan3d.errors import ConfigError
from gan3d.scaling.draws import Estimate
from gan3d.scaling.fabrics import Fabric
from gan3d.scaling.forecast import Forecast, forecast
from gan3d.scaling.prediction import LEVELS, WORLD_SIZES
from gan3d.scaling.speedup import ScalingKind
from gan3d.tracking import frames

#: Parts of a predicted step, from below, with the colours of the phases they are made of.
PARTS = {"computing": BLUE, "straggler": ORANGE, "communication": RED}
PART_LABELS = {"computing": "computing, data and optimiser", "straggler": "straggler wait", "communication": "exposed communication"}
#: By level of efficiency: a marker, and the same as a letter.
MARKERS = dict(zip(LEVELS, ("D", "s"), strict=True))
SYMBOLS = dict(zip(LEVELS, ("\u25c6", "\u25a0"), strict=True))


@dataclass(frozen=True, slots=True)
class Prediction:
    """Of one kind of scaling."""

    forecast: Forecast
    measured: pd.DataFrame
    """The study's own curve of training, as `scaling_curve` returns."""

    @property
    def title(self) -> str:
        """Begins every panel's."""
        return f"{self.forecast.kind.capitalize()} scaling"

    @property
    def most(self) -> int:
        """The largest team that was looked at: over larger ones a global batch cannot be split, or nobody asked."""
        work, last = self.forecast.work, int(self.forecast.curve["world_size"].max())
        return max(size for size in range(1, max(WORLD_SIZES[-1], last) + 1) if work.can_be_split(size))

    @property
    def on_curve(self) -> pd.DataFrame:
        """What was measured, as efficiency against one worker: a study without one begins on the predicted curve."""
        base = int(self.measured["base"].iloc[0])
        curve = self.forecast.curve
        at_base = float(curve.loc[curve["world_size"] == base, "efficiency"].iloc[0]) if base > 1 else 1.0
        return self.measured.assign(**{name: self.measured[name] * at_base for name in ("efficiency", "efficiency_low", "efficiency_high")})


def add_options(parser: argparse.ArgumentParser) -> None:
    """Where the team would work, in the words of `gan3d predict`."""
    parser.add_argument("--fabric", default=None, metavar="NAME|FILE.json", help="predict teams on a network: declared, or measured")
    parser.add_argument("--software", type=Path, default=None, metavar="FILE.json", help="all-reduces measured within a node")
    parser.add_argument("--workers-per-node", type=int, default=1, metavar="N", help="workers that share a node and its link")
    parser.add_argument("--algorithm", choices=("ring", "tree", "hierarchical"), default="ring", help="how gradients are reduced")


def predictions(
    arguments: argparse.Namespace, study: frames.StudyInfo, epochs: pd.DataFrame, curves: Mapping[ScalingKind, pd.DataFrame], block_key: str
) -> list[Prediction]:
    """One for each kind of scaling: with the batch that the study fixed, and the buckets of its own networks.

    Raises:
        ConfigError: The fabric is not known, or the study's trials do not tell what the cost model needs.
    """
    asked = Question(
        Path(study.name), arguments.fabric, arguments.workers_per_node, algorithm=arguments.algorithm, software=arguments.software
    )
    cluster = cluster_of(asked)
    as_run = read_study(study.yaml_text, f"study {study.name} as run")
    sample = as_run.default_sample
    if sample is None:
        message = f"the settings of study {study.name} as written are no valid trial, so there is no network to predict for."
        raise ConfigError(message, key="search_space")
    settings = as_run.trial_settings(sample)
    found = []
    for kind, curve in curves.items():
        fixed = int(curve["fixed"].iloc[0])
        work = step_work(settings, **{"global_batch" if kind == "strong" else "batch_per_worker": fixed})
        sizes = sorted({*WORLD_SIZES, *curve["world_size"].astype(int)})
        told = forecast(epochs, work, cluster, warmup_epochs=arguments.timing_warmup_epochs, block_key=block_key, world_sizes=sizes)
        found.append(Prediction(told, curve))
    return found


def draw(arguments: argparse.Namespace, study: frames.StudyInfo, found: Sequence[Prediction]) -> None:
    """The figure with its table."""
    figure = prediction_figure(found)
    cluster = found[0].forecast.cluster
    network = cluster.wire.name if cluster.wire is not None else f"a measured network ({cluster.software.name if cluster.software else ''})"
    drawing.heading(figure, f"{study.name}: predicted on {network}", note(found))
    tables = [one.forecast.curve.assign(kind=one.forecast.kind, network=network) for one in found]
    drawing.publish(arguments, "scaling_prediction", figure, pd.concat(tables, ignore_index=True), facts(study, found))


def note(found: Sequence[Prediction]) -> str:
    """What a reader must know of the numbers."""
    cluster, calibration = found[0].forecast.cluster, found[0].forecast.calibration
    fabrics = " and through ".join(fabric_text(fabric) for fabric in (cluster.wire, cluster.software) if fabric is not None)
    sizes = ", ".join(str(size) for size in sorted({int(size) for one in found for size in one.measured["world_size"]}))
    per_node = f", {cluster.workers_per_node} workers per node" if cluster.workers_per_node > 1 else ""
    assumed = " ".join(f"{text[0].upper()}{text[1:]}." for text in calibration.notes)
    return (
        f"Cost model calibrated on this study: {sizes} workers, {calibration.blocks} blocks. {cluster.algorithm.capitalize()} all-reduces "
        f"over {fabrics}{per_node}. Black: measured, on the study's own network. Grey: larger than any team measured. {assumed}"
    )


def fabric_text(fabric: Fabric) -> str:
    """`25GbE (declared: 20 us, 2.94 GB/s)`."""
    latency, rate = fabric.latency_seconds.value, fabric.bytes_per_second.value
    return f"{fabric.name} ({fabric.origin}: {1e6 * latency:.3g} us, {1e-9 * rate:.3g} GB/s)"


def facts(study: frames.StudyInfo, found: Sequence[Prediction]) -> dict[str, Any]:
    """The same for a program, and all that was assumed."""
    cluster = found[0].forecast.cluster
    fabrics = {"wire": cluster.wire, "software": cluster.software}
    largest = [
        {"kind": one.forecast.kind, "efficiency": level, **_known(estimate), "looked_up_to": one.most}
        for one in found
        for level, estimate in one.forecast.largest.items()
    ]
    return {
        "study": study.name,
        "question": study.question,
        "run_id": study.run_id,
        "provenance": study.provenance,
        **{name: None if fabric is None else _fabric_facts(fabric) for name, fabric in fabrics.items()},
        "algorithm": cluster.algorithm,
        "workers_per_node": cluster.workers_per_node,
        "assumed": {one.forecast.kind: one.forecast.assumed for one in found},
        "largest_teams": largest,
        "measured": json.loads(pd.concat([one.on_curve for one in found]).to_json(orient="records", double_precision=15)),
    }


def _fabric_facts(fabric: Fabric) -> dict[str, Any]:
    known = {name: _known(getattr(fabric, name)) for name in ("latency_seconds", "bytes_per_second")}
    return {"name": fabric.name, "origin": fabric.origin, "source": fabric.source, **known}


def _known(estimate: Estimate) -> dict[str, float | None]:
    return {name: float(value) if np.isfinite(value) else None for name, value in estimate._asdict().items()}


def prediction_figure(found: Sequence[Prediction]) -> Figure:
    """Efficiency and split side by side; of both kinds, in a column each."""
    figure, grid = plt.subplots(*((1, 2) if len(found) == 1 else (2, 2)), figsize=(11.0, 5.4 if len(found) == 1 else 9.2), squeeze=False)
    pairs = [grid[0]] if len(found) == 1 else [grid[:, column] for column in range(2)]
    for one, (efficiency, split) in zip(found, pairs, strict=True):
        draw_efficiency(efficiency, one)
        draw_split(split, one)
    entries = [entry for axes in pairs[0] for entry in zip(*axes.get_legend_handles_labels(), strict=True)]
    figure.legend(*zip(*entries, strict=True), loc="outside lower center", ncols=4, columnspacing=1.6, handlelength=1.6)
    return figure


def draw_efficiency(axes: Axes, one: Prediction) -> None:
    """The predicted curve in its band, measured points on it, and the largest teams of both levels."""
    table, measured = one.forecast.curve, one.on_curve
    sizes = table["world_size"]
    axes.axhline(1.0, color=BLACK, linestyle="--", linewidth=1.2, label="ideal")
    axes.fill_between(sizes, table["efficiency_low"], table["efficiency_high"], color=BLUE, alpha=0.2, linewidth=0, label="95 % band")
    axes.plot(sizes, table["efficiency"], color=BLUE, linewidth=1.6, label="predicted")
    bars = errors(measured, "efficiency")
    style: dict[str, Any] = {"color": BLACK, "marker": "o", "markersize": 4.5, "capsize": 3, "linestyle": "none"}
    axes.errorbar(measured["world_size"], measured["efficiency"], bars, **style, label="measured", zorder=4)
    for level, estimate in one.forecast.largest.items():
        draw_largest(axes, level, estimate)
    drawing.worker_ticks(axes, list(sizes))
    axes.set_xlim(sizes.min() / 1.25, sizes.max() * 1.25)
    axes.axvspan(measured["world_size"].max() * 2**0.5, sizes.max() * 1.25, color=GREY, alpha=0.12, linewidth=0, zorder=0)
    highest = np.nanmax([1.0, *table["efficiency_high"], *(measured["efficiency"] + bars[1])])
    axes.set_ylim(0.0, min(1.1 * float(highest), 1.6))
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.set_title(f"{one.title}: parallel efficiency", pad=20)
    axes.set_ylabel("efficiency, 1 worker = 100 %")
    teams = ";  ".join(
        f"{SYMBOLS[level]} {100 * level:.0f} % up to {team_text(estimate, one)}" for level, estimate in one.forecast.largest.items()
    )
    axes.annotate(teams, (0.0, 1.0), (0, 6), xycoords="axes fraction", textcoords="offset points", fontsize=9, color=RED)


def draw_largest(axes: Axes, level: float, estimate: Estimate) -> None:
    """How far the curve stays above a level: a bar for the interval, a symbol for the best value, both on the level's line."""
    axes.axhline(level, color=GREY, linestyle=":", linewidth=1.2)
    if np.isfinite(estimate.low):
        axes.plot([estimate.low, estimate.high], [level, level], color=RED, linewidth=3.5, alpha=0.6, solid_capstyle="butt", zorder=3)
    axes.plot([estimate.value], [level], color=RED, marker=MARKERS[level], markersize=5, linestyle="none", zorder=3.5)


def team_text(estimate: Estimate, one: Prediction) -> str:
    """`12 [9, 16] workers`; where larger ones were not looked at `256 or more workers`; or `64 workers, one shower each`."""
    batch = one.forecast.work.global_batch
    value, low, high = (f"{size:.0f}{' or more' if size >= one.most and size != batch else ''}" for size in estimate)
    interval = f" [{low}, {high}]" if estimate.low < estimate.high else ""
    each = ", one shower each" if estimate.value == batch else ""
    return f"{value}{interval} worker{'' if value == '1' and not interval else 's'}{each}"


def draw_split(axes: Axes, one: Prediction) -> None:
    """What a predicted step is made of, in parts of itself, with its length above each bar."""
    table = one.forecast.curve
    places = np.arange(len(table))
    bottom = np.zeros(len(table))
    for part, colour in PARTS.items():
        shares = (table[f"{part}_seconds"] / table["step_seconds"]).to_numpy(float)
        axes.bar(places, shares, 0.7, bottom, color=colour, label=PART_LABELS[part], edgecolor="white", linewidth=0.5)
        bottom = bottom + shares
    for place, milliseconds in zip(places, 1e3 * table["step_seconds"], strict=True):
        text = f"{milliseconds:,.0f}" if milliseconds >= 100 else f"{milliseconds:.3g}"
        axes.annotate(text, (place, 1.0), (0, 2), textcoords="offset points", ha="center", fontsize=8.5)
    axes.set_xticks(places, [str(size) for size in table["world_size"]])
    axes.set_ylim(0.0, 1.1)
    axes.yaxis.set_major_locator(MultipleLocator(0.2))
    axes.yaxis.set_major_formatter(lambda value, _: f"{100 * value:.3g} %")
    axes.grid(visible=False, axis="x")
    title = f"{one.title}: a step's parts, and its length [ms]"
    axes.set(title=title, xlabel="workers (world size)", ylabel="share of the step")
