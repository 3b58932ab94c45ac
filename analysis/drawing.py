"""What the scripts of this folder share: arguments, palette, axes, saving. No arithmetic: that is ``gan3d.scaling``."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import matplotlib as mpl

mpl.use("Agg")

import matplotlib.pyplot as plt
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.ticker import FuncFormatter, LogLocator, MaxNLocator, NullFormatter

from gan3d.config.load import read_study
from gan3d.config.study import Study
from gan3d.errors import ConfigError, Gan3dError
from gan3d.records import METRICS
from gan3d.tracking import frames
from gan3d.tracking.additions import add_to_study
from gan3d.tracking.store import default_tracking_uri
from gan3d.writing import finite

if TYPE_CHECKING:
    from gan3d.generation.trained import Trained

#: Okabe and Ito's colours, told apart by colour-blind readers (jfly.uni-koeln.de/color).
BLUE, ORANGE, GREEN, RED, SKY, PINK, YELLOW, BLACK = "#0072B2", "#E69F00", "#009E73", "#D55E00", "#56B4E9", "#CC79A7", "#F0E442", "#000000"
GREY = "#9A9A9A"
#: Colour and marker of a trial's state.
STATES = {"complete": (BLUE, "o"), "pruned": (ORANGE, "X"), "failed": (RED, "v"), "running": (GREEN, ">"), "stopped": (PINK, "s")}
#: Range of values, largest over smallest, from which a logarithmic axis reads better.
LOG_RATIO = 8.0
#: Up to so many different whole numbers are each a tick.
MOST_CHOICES = 6

plt.rcParams.update(
    {
        "figure.constrained_layout.use": True,
        "savefig.dpi": 150,
        "font.size": 10,
        "axes.grid": True,
        "grid.alpha": 0.25,
        "axes.axisbelow": True,
        "axes.spines.top": False,
        "axes.spines.right": False,
        "axes.titlesize": 10.5,
        "axes.titleweight": "bold",
        "axes.titlelocation": "left",
        "legend.frameon": False,
        "legend.fontsize": 9,
    }
)


def parser(description: str) -> argparse.ArgumentParser:
    """Arguments every script takes."""
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.ArgumentDefaultsHelpFormatter)
    arguments.add_argument("study", help="the study's name")
    arguments.add_argument("--results", type=Path, default=None, help="the study's folder; without: results/STUDY")
    arguments.add_argument("--tracking-uri", default=None, help="MLflow tracking URI; without: RESULTS/tracking.db")
    arguments.add_argument("--output", type=Path, default=None, help="folder of figures and tables; without: RESULTS/figures")
    arguments.add_argument("--run-id", default=None, help="parent run of the launch to draw; without: the newest")
    arguments.add_argument("--log", action="store_true", help="add figures and tables to the study's artefacts")
    return arguments


def run(arguments: argparse.Namespace, draw: Callable[[argparse.Namespace], str]) -> int:
    """Fill in defaults, draw, print what was written; ``draw`` returns the study's run id and fills ``arguments.written``."""
    arguments.results = arguments.results or Path("results") / arguments.study
    arguments.tracking_uri = arguments.tracking_uri or default_tracking_uri(arguments.results)
    arguments.output = arguments.output or arguments.results / "figures"
    arguments.written = []
    try:
        run_id = draw(arguments)
        if arguments.log:
            add_to_study(arguments.tracking_uri, run_id, arguments.written, "figures")
    except Gan3dError as error:
        print(error, file=sys.stderr)
        return 2
    print(*arguments.written, sep="\n")
    return 0


def chosen_trial(arguments: argparse.Namespace, study: frames.StudyInfo) -> tuple[int, Trained]:
    """Number and trained generator of the trial asked for with ``--trial``, or of the best."""
    from gan3d.generation.trained import best_trial, load_trained, trial_folder  # torch: not every script needs it

    number = arguments.trial
    if number is None:
        trials = frames.trials(arguments.tracking_uri, arguments.study, arguments.run_id)
        number = best_trial(trials, study.name, study.objective_direction)
    return number, load_trained(trial_folder(arguments.results, number))


def study_as_run(info: frames.StudyInfo) -> Study:
    """The study that a launch was of.

    Raises:
        ConfigError: Its text is not there, or is none that this version reads.
    """
    if not info.yaml_text:
        message = f"the text of study {info.name!r} is not with its records."
        raise ConfigError(message)
    return read_study(info.yaml_text, f"study {info.name}")


def save(arguments: argparse.Namespace, name: str, figure: Figure, table: pd.DataFrame) -> None:
    """Write ``name.png`` and ``name.csv`` into the output folder and note them in ``arguments.written``."""
    arguments.output.mkdir(parents=True, exist_ok=True)
    png, csv = arguments.output / f"{name}.png", arguments.output / f"{name}.csv"
    figure.savefig(png)
    plt.close(figure)
    table.to_csv(csv, index=False)
    arguments.written += [png, csv]


def publish(arguments: argparse.Namespace, name: str, figure: Figure, table: pd.DataFrame, facts: Mapping[str, Any]) -> None:
    """Write what a paper needs: ``name.png``, ``.svg``, ``.csv`` and ``.json``; the JSON holds ``facts`` and the table's rows.

    The same numbers give the same bytes, so that a figure under version control changes only when they do. What is not finite becomes null.
    """
    arguments.output.mkdir(parents=True, exist_ok=True)
    svg, json_file = arguments.output / f"{name}.svg", arguments.output / f"{name}.json"
    with plt.rc_context({"svg.hashsalt": name, "svg.fonttype": "none"}):
        figure.savefig(svg, metadata={"Date": None})
    save(arguments, name, figure, table)
    rows = json.loads(table.to_json(orient="records", double_precision=15))
    text = json.dumps(finite({**facts, "rows": rows}), indent=1, ensure_ascii=False, allow_nan=False)
    json_file.write_text(text + "\n", encoding="utf-8")
    arguments.written += [svg, json_file]


def heading(figure: Figure, title: str, note: str) -> None:
    """A bold title and a note in small print under it, wrapped to the figure's width; the axes make room for both."""
    width, height = figure.get_size_inches()
    top = 0.08
    bold: dict[str, Any] = {"fontweight": "bold", "fontsize": 12}
    small: dict[str, Any] = {"fontsize": 9, "color": "#444444"}
    for text, line_height, style in ((title, 0.21, bold), (note, 0.16, small)):
        lines = wrapped(figure, text, width - 0.16, style)
        figure.text(0.08 / width, 1 - top / height, "\n".join(lines), ha="left", va="top", **style)
        top += 0.06 + line_height * len(lines)
    engine = figure.get_layout_engine()
    assert isinstance(engine, ConstrainedLayoutEngine)
    engine.set(rect=(0, 0, 1, 1 - top / height))


def wrapped(figure: Figure, text: str, width: float, style: dict[str, Any]) -> list[str]:
    """Lines of ``text`` of at most ``width`` inches as drawn: letters differ in width, and bold ones are wider."""
    ruler = figure.text(0, 0, "", **style)
    lines = [""]
    for word in text.split():
        longer = f"{lines[-1]} {word}".strip()
        ruler.set_text(longer)
        if lines[-1] and ruler.get_window_extent().width > width * figure.dpi:
            lines.append(word)
        else:
            lines[-1] = longer
    ruler.remove()
    return lines


def metric_label(name: str) -> str:
    """A metric's name with its unit and better direction."""
    metric = METRICS.get(name)
    if metric is None:
        return name
    better = {"lower": "lower is better", "higher": "higher is better", "neither": ""}[metric.better]
    notes = ", ".join(text for text in (metric.unit, better) if text)
    return f"{name} ({notes})" if notes else name


def log_scale_helps(values: pd.Series) -> bool:
    """Whether positive values span so much that a logarithmic axis reads better."""
    finite = values[values.abs() < float("inf")].dropna()
    return len(finite) > 1 and bool(finite.min() > 0) and bool(finite.max() / finite.min() > LOG_RATIO)


def legend_below(figure: Figure, axes: Axes, columns: int | None = None) -> None:
    """The legend of some axes under the whole figure, where it covers no data; in one row, or in so many columns."""
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(
        handles, labels, loc="outside lower center", ncols=columns or len(labels), columnspacing=1.3, handlelength=1.4, handletextpad=0.5
    )


def plain_log(axes: Axes, name: Literal["x", "y"] = "y") -> None:
    """A logarithmic axis, by default the vertical one, with plain numbers."""
    axes.set(**{f"{name}scale": "log"})
    axis = axes.xaxis if name == "x" else axes.yaxis
    axis.set_major_locator(LogLocator(base=10, subs=(1.0, 2.0, 5.0)))
    axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axis.set_minor_formatter(NullFormatter())


def doubling_axis(axes: Axes) -> None:
    """A vertical axis on which each doubling is as long: beside `worker_ticks` the ideal speed-up is a straight line."""
    axes.set_yscale("log", base=2)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def whole_numbers(axes: Axes) -> None:
    """Ticks of the horizontal axis at whole numbers only."""
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))


def number_ticks(axes: Axes, values: pd.Series) -> None:
    """A horizontal axis of sampled numbers: logarithmic if that reads better; a few whole numbers are ticks themselves, few ticks else."""
    places = sorted(values.dropna().unique())
    is_choice = len(places) <= MOST_CHOICES and pd.api.types.is_integer_dtype(values)
    if log_scale_helps(values.astype(float)):
        is_short = places[-1] / places[0] < 100.0
        axes.set_xscale("log")
        axes.xaxis.set_major_locator(LogLocator(base=10, subs=(1.0, 3.0) if is_short else (1.0,), numticks=5))
    else:
        axes.xaxis.set_major_locator(MaxNLocator(nbins=4))
    if is_choice:
        axes.set_xticks(places)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.12)


def time_unit(seconds: pd.Series) -> tuple[float, str]:
    """Seconds per unit and the unit's symbol in which the longest of these times reads well."""
    longest = float(seconds.max())
    for size, symbol in ((86400.0, "d"), (3600.0, "h"), (60.0, "min")):
        if longest > 3 * size:
            return size, symbol
    return 1.0, "s"


def state_markers(axes: Axes, x: pd.Series, y: pd.Series, states: pd.Series) -> None:
    """One marker per trial, by its state; states without a trial have no legend entry."""
    for state, (colour, marker) in STATES.items():
        chosen = (states == state) & y.notna()
        if chosen.any():
            axes.scatter(x[chosen], y[chosen], color=colour, marker=marker, s=34, label=state, zorder=3, edgecolor="white", linewidth=0.6)


def worker_ticks(axes: Axes, world_sizes: Sequence[int]) -> None:
    """A logarithmic axis of world sizes that shows exactly those measured."""
    axes.set_xscale("log", base=2)
    axes.set_xticks(list(world_sizes), [str(size) for size in world_sizes])
    axes.minorticks_off()
    axes.set_xlabel("workers (world size)")
