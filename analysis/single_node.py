"""What each setting of a node does to the training throughput, and all together: a staircase as a waterfall, beside the seed's 8x.

    python analysis/single_node.py STUDY [--results DIR] [--output DIR] [--timing-warmup-epochs N] [--confidence C] [--log]

Writes single_node.png/.svg/.csv/.json. Definitions and intervals: ``gan3d.scaling.staircase``.
"""

from __future__ import annotations

import argparse
import json
import sys
import textwrap
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREY, ORANGE
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch

from gan3d.config.load import read_study
from gan3d.config.stairs import STAIRS
from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.models.work import gigaflop_per_shower
from gan3d.scaling.draws import CONFIDENCE
from gan3d.scaling.speedup import MIN_BLOCKS, SEED_KEY
from gan3d.scaling.staircase import SEED_FACTOR, stair_rates, staircase
from gan3d.terminal.words import sample_text, short_names
from gan3d.tracking import frames

#: Of a bar, in units of the distance between two stairs.
BAR_WIDTH = 0.62
#: Shares of a vertical axis kept free above and below bars and intervals, for their labels.
ROOM_ABOVE, ROOM_BELOW = 0.12, 0.19
#: To a line of a stair's name, and of what it changes.
MOST_OF_NAME, MOST_OF_CHANGE = 13, 26
#: Width of a stair, and least width of a figure [inches].
STAIR_WIDTH, LEAST_WIDTH = 1.6, 11.5
#: Text centred under the horizontal axis, below a stair.
UNDER: dict[str, Any] = {"xycoords": ("data", "axes fraction"), "textcoords": "offset points", "ha": "center", "annotation_clip": False}
#: Labels hide the lines they lie on.
OPAQUE = {"facecolor": "white", "edgecolor": "none", "pad": 0.6}


def main() -> int:
    """Draw; 2 if the study has no staircase."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--timing-warmup-epochs", type=int, default=1, help="first epochs of each trial, and after a restart, left out")
    parser.add_argument("--confidence", type=float, default=CONFIDENCE, help="of every interval")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of the study; returns its run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    info, epochs = frames.study(*source), frames.epochs(*source)
    study = read_study(info.yaml_text, f"study {info.name}")
    if study.search_space.stairs is None:
        message = "the study has no staircase. Give its search space one: stairs."
        raise ConfigError(message, key=STAIRS)
    names, blocks = tuple(study.search_space.stairs.changes), study.sampler.blocks or SEED_KEY
    rates = stair_rates(epochs, names, arguments.timing_warmup_epochs, blocks)
    table = staircase(rates, {name: gigaflop_per_shower(study.trial_settings({STAIRS: name})) for name in names}, arguments.confidence)
    table.insert(1, "change", changes(study))
    figure = waterfalls(table, rates)
    drawing.heading(figure, f"{info.name}: {info.question}", note(table, study, blocks, arguments))
    drawing.publish(arguments, "single_node", figure, table, facts(info, rates, blocks, arguments))
    return info.run_id


def changes(study: Study) -> list[str]:
    """What each stair changes, in short names."""
    assert study.search_space.stairs is not None
    names = short_names(study.search_space.stairs.keys)
    return [sample_text(change, names) for change in study.search_space.stairs.changes.values()]


def note(table: pd.DataFrame, study: Study, blocks: str, arguments: argparse.Namespace) -> str:
    """What a reader must know of the numbers: the start, blocks, intervals, what was left out, and what the 8x of 2018 is."""
    first, number = table.iloc[0], int(table["blocks"].min())
    spread = f"{arguments.confidence:.0%} t-intervals on log ratios over {number} blocks paired by {blocks}; grey dots are blocks."
    few = f" FEWER THAN {MIN_BLOCKS} BLOCKS: intervals are wide and lean on log-normal scatter." if 1 < number < MIN_BLOCKS else ""
    workers = study.max_world_size * study.workers.cpus_per_worker
    return (
        f"Start: {first['change']}; {first['showers_per_second']:.3g} showers/s on {workers} cores. Each stair keeps all that those before "
        f"it changed. {spread if number > 1 else 'One block: no intervals.'}{few} Left out: timing warm-up epochs, "
        f"{arguments.timing_warmup_epochs} per trial, validation and checkpoint. Work: multiply-adds of the plain formulation, two "
        f"operations each. Dashed: {SEED_FACTOR:g}x, published in 2018 for Eigen to MKL-DNN, filters to multiples of 16 and 1 to 4 workers "
        "on a two-socket node of that year (LNCS 11203; of showers or of work, it does not say)."
    )


def facts(info: frames.StudyInfo, rates: pd.DataFrame, blocks: str, arguments: argparse.Namespace) -> dict[str, Any]:
    """The same for a program, and what each trial measured."""
    return {
        "study": info.name,
        "question": info.question,
        "run_id": info.run_id,
        "provenance": info.provenance,
        "block_key": blocks,
        "blocks": len(rates),
        "confidence": arguments.confidence,
        "timing_warmup_epochs": arguments.timing_warmup_epochs,
        "seed_factor": SEED_FACTOR,
        "showers_per_second_by_block": json.loads(rates.to_json(orient="index")),
    }


def waterfalls(table: pd.DataFrame, rates: pd.DataFrame) -> Figure:
    """Showers per second above, work per second below, on the same stairs."""
    figure, (above, below) = plt.subplots(2, 1, figsize=(max(STAIR_WIDTH * len(table), LEAST_WIDTH), 9.2), sharex=True)
    dots = rates.div(rates.iloc[:, 0], axis="index")
    work = dots.mul((table["gigaflop_per_shower"] / table["gigaflop_per_shower"].iloc[0]).to_numpy(), axis="columns")
    draw_waterfall(above, table, "", dots)
    draw_waterfall(below, table, "work_", work)
    start = table.iloc[0]
    above.set(title="Showers per second", ylabel=f"start = 1 ({start['showers_per_second']:.3g} showers/s)")
    below.set(title="Work per second", ylabel=f"start = 1 ({start['gigaflop_per_second']:.3g} GFLOP/s)")
    below.set_xticks(range(len(table)), [wrapped_name(name) for name in table["stair"]], fontweight="bold")
    lines = max(label.get_text().count("\n") for label in below.get_xticklabels())
    for place, change in enumerate(table["change"]):
        below.annotate(one_a_line(change), (place, 0), (0, -21 - 12 * lines), **UNDER, va="top", fontsize=7.5, linespacing=1.2)
    legend(figure, above)
    return figure


def draw_waterfall(axes: Axes, table: pd.DataFrame, prefix: str, dots: pd.DataFrame) -> None:
    """A bar per stair from the level before to its own, on a logarithmic axis, with both factors."""
    levels, low, high = (table[f"{prefix}cumulative{end}"].to_numpy() for end in ("", "_low", "_high"))
    for place in range(len(table)):
        before = levels[place - 1] if place else 1.0
        colour = GREY if place == 0 else BLUE if levels[place] >= before else ORANGE
        bottom, top = sorted((before, levels[place]))
        if place:
            axes.bar(place, top - bottom, bottom=bottom, width=BAR_WIDTH, color=colour, zorder=2)
            axes.plot([place - 1, place], [before, before], color=GREY, linewidth=0.8, zorder=1)
        axes.plot([place - BAR_WIDTH / 2, place + BAR_WIDTH / 2], [levels[place]] * 2, color=BLACK, linewidth=1.6, zorder=3)
        _labels(axes, table.iloc[place], prefix, place, max(top, _finite(high[place], top)), min(bottom, _finite(low[place], bottom)))
    offsets = np.linspace(-0.16, 0.16, len(dots)) if len(dots) > 1 else np.zeros(1)
    for offset, (_, row) in zip(offsets, dots.iterrows(), strict=True):
        axes.scatter(np.arange(1, len(row)) + offset, row.to_numpy()[1:], s=9, color="#555555", zorder=4, linewidth=0)
    reach = np.vstack([levels - low, high - levels])
    axes.errorbar(range(1, len(table)), levels[1:], yerr=reach[:, 1:], fmt="none", ecolor=BLACK, capsize=4, zorder=5)
    axes.axhline(SEED_FACTOR, color=BLACK, linestyle="--", linewidth=1.1, zorder=1)
    axes.annotate(f"2018: {SEED_FACTOR:g}x", (-0.45, SEED_FACTOR), xytext=(0, 3), textcoords="offset points", fontsize=9)
    drawing.plain_log(axes)
    drawn = np.concatenate([levels, low[np.isfinite(low)], high[np.isfinite(high)], [1.0, SEED_FACTOR]])
    length = np.log(drawn.max() / drawn.min()) / (1 - ROOM_ABOVE - ROOM_BELOW)
    axes.set_ylim(drawn.min() * np.exp(-ROOM_BELOW * length), drawn.max() * np.exp(ROOM_ABOVE * length))
    axes.set_xlim(-0.5, len(table) - 0.5)
    axes.grid(axis="x", visible=False)


def _labels(axes: Axes, row: pd.Series, prefix: str, place: int, top: float, bottom: float) -> None:
    """The cumulative factor above a bar, the stair's own below it."""
    middle: dict[str, Any] = {"ha": "center", "textcoords": "offset points", "bbox": OPAQUE, "zorder": 2.5}
    total = "1" if place == 0 else digits(row[f"{prefix}cumulative"])
    axes.annotate(total, (place, top), xytext=(0, 4), va="bottom", fontsize=10, fontweight="bold", **middle)
    if place:
        own = f"×{digits(row[f'{prefix}factor'])}\n{_interval(row, f'{prefix}factor')}".rstrip()
        axes.annotate(own, (place, bottom), xytext=(0, -5), va="top", fontsize=8, linespacing=1.15, **middle)


def _interval(row: pd.Series, name: str) -> str:
    low, high = row[f"{name}_low"], row[f"{name}_high"]
    return "" if np.isnan(low) else f"{digits(low)} to {digits(high)}"


def _finite(value: float, otherwise: float) -> float:
    return value if np.isfinite(value) else otherwise


def digits(value: float) -> str:
    """Three digits, of a large number all before the point."""
    return f"{value:,.0f}" if value >= 100 else f"{value:#.3g}"


def one_a_line(change: str) -> str:
    """Knobs under each other, the value of a long one on a line of its own."""
    return "\n".join(knob if len(knob) <= MOST_OF_CHANGE else knob.replace("=", "=\n") for knob in change.split(" "))


def wrapped_name(name: str) -> str:
    """A stair's name in lines short enough for its place."""
    return "\n".join(textwrap.wrap(name, MOST_OF_NAME))


def legend(figure: Figure, axes: Axes) -> None:
    """What colours and marks are, under the whole figure."""
    axes.scatter([], [], s=9, color="#555555", label="a block")
    axes.errorbar([], [], yerr=[], fmt="none", ecolor=BLACK, capsize=4, label="interval of all up to here")
    handles, labels = axes.get_legend_handles_labels()
    bars = [Patch(color=BLUE, label="faster than the stair before"), Patch(color=ORANGE, label="slower")]
    figure.legend(handles=[*bars, *handles], labels=[*(bar.get_label() for bar in bars), *labels], loc="outside lower center", ncols=4)


if __name__ == "__main__":
    sys.exit(main())
