"""What `gan3d validate` says of the trials of a study of contenders or stairs, trained with several seeds: a table, and a figure.

    python analysis/validated_trials.py STUDY --reference FILE [FILE ...] [--calorimeter NAME] [--results DIR] [--output DIR] [--log]

Writes validated_trials.png/.svg/.csv/.json: a row per trial. Each generates as many showers as the reference has, from the best of its
states: half of them for the gate, all for classifiers and Frechet distance. The same classifiers judge all of them and, for the floor, half
of the Monte Carlo against the other; minutes a trial. Interrupted, it goes on behind the last trial it has judged.
"""

from __future__ import annotations

import argparse
import hashlib
import math
import sys
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from functools import partial
from pathlib import Path
from typing import Any

import drawing
import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
from drawing import BLACK, BLUE, GREEN, GREY, ORANGE, PINK, SKY
from kept_rows import KeptRows
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from gan3d import __version__
from gan3d.cli.validation import Validation, validated
from gan3d.config.stairs import STAIRS
from gan3d.errors import ConfigError
from gan3d.generation.production import sha256_of
from gan3d.generation.trained import trial_folder
from gan3d.scaling.speedup import SEED_KEY
from gan3d.tracking import frames
from gan3d.validation.report import Beside, Report

#: Of contenders, in the order of the study.
COLOURS = (GREY, BLUE, ORANGE, GREEN, PINK, SKY)
#: Of the report's numbers those that are tabulated, each with its floor.
DISTANCES = (
    "high_level_auc",
    "high_level_divergence",
    "challenge_auc",
    "challenge_divergence",
    "low_level_auc",
    "low_level_divergence",
    "frechet",
    "coverage",
)
#: Before the names of the ten distances and their mean, as metrics of training are called.
PHYSICS = "physics."
#: A figure's panels: title, columns in percent or as they are, what to aim at.
PANELS: tuple[tuple[str, tuple[str, ...], float], ...] = (
    (
        "shower distance",
        (f"{PHYSICS}shower_distance", f"{PHYSICS}shower_distance_low_energy", f"{PHYSICS}shower_distance_high_energy"),
        1.0,
    ),
    ("classifier, high level: area (0.5: not told apart)", ("high_level_auc",), 1.0),
    ("response in bins of energy, minus 1 [%]", ("response_low", "response_middle", "response_high"), 100.0),
    ("profiles, furthest place, minus 1 [%]", ("profile_x", "profile_y", "profile_depth"), 100.0),
    ("numbers of the gate that are flagged", ("flagged",), 1.0),
)
#: Below a panel's columns, where it is not their last word.
TICKS = {
    f"{PHYSICS}shower_distance": "all energies",
    f"{PHYSICS}shower_distance_low_energy": "low",
    f"{PHYSICS}shower_distance_high_energy": "high",
}


def main() -> int:
    """Validate, print and draw; 2 if the study or the files cannot be used."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument("--reference", type=Path, nargs="+", required=True, help="Monte Carlo that no trial has seen")
    parser.add_argument("--calorimeter", default=None, help="weighs layers by their absorbers; by default all alike")
    parser.add_argument("--most", type=int, default=5000, help="showers to judge, at most")
    parser.add_argument("--seed", type=int, default=1, help="of noise, draws, folds and networks")
    parser.add_argument("--quick", action="store_true", help="the gate, the response, the profiles and the ten distances only")
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """Table and figure of all trials that are complete, or stopped until the study goes on; returns the study's run id."""
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    study = frames.study(*source)
    trials = frames.trials(*source)
    if STAIRS not in trials:
        message = f"study {study.name!r} has no contenders and no stairs. For one trial: gan3d validate TRIAL --reference FILE."
        raise ConfigError(message)
    trials = trials[trials["state"].isin(["complete", "stopped"]) & (trials["epochs"] > 0)]
    if trials.empty:
        message = f"no trial of study {study.name!r} is complete yet, or stopped behind an epoch: nothing to validate."
        raise ConfigError(message)
    rows, warnings, kept = [], dict.fromkeys(unfinished(trials)), KeptRows(arguments.output / "validated_trials.rows.jsonl")
    for place, trial in enumerate(trials.to_dict("records"), start=1):
        asked = asked_of(arguments, int(trial["trial"]))
        who = {"contender": trial[STAIRS], "seed": int(trial[SEED_KEY]), "trial": int(trial["trial"])}
        print(f"trial {who['trial']} ({who['contender']}, seed {who['seed']}), {place} of {len(trials)}", file=sys.stderr)
        found = kept.get(depends_on(asked), partial(found_of, asked))
        warnings |= dict.fromkeys(found["warnings"])
        rows.append(who | found["numbers"])
    table = pd.DataFrame(rows)
    print(*table_lines(table), "", sep="\n")
    # Trials of a study mostly chose their epochs on the same files: each is said once.
    print(*warnings, sep="\n", end="\n" if warnings else "", file=sys.stderr)
    facts = {"study": study.name, "reference": [path.name for path in arguments.reference], "warnings": list(warnings)}
    drawing.publish(arguments, "validated_trials", figure_of(study, table), table, facts)
    kept.forget()
    return study.run_id


def unfinished(trials: pd.DataFrame) -> Iterator[str]:
    """A warning where trials are to go on."""
    stopped = trials[trials["state"] == "stopped"]
    if not stopped.empty:
        told = ", ".join(f"{row.trial} (epoch {row.epochs})" for row in stopped.itertuples())
        yield f"Not trained to their end yet: trials {told}."


def asked_of(arguments: argparse.Namespace, number: int) -> Validation:
    """As `gan3d validate` would be asked."""
    folder = trial_folder(arguments.results, number).path
    return Validation(folder, tuple(arguments.reference), (), arguments.calorimeter, arguments.most, arguments.seed, arguments.quick)


def depends_on(asked: Validation) -> dict[str, str]:
    """What a trial's numbers depend on, as text: its state and the files by their bytes."""
    digests = [sha256_of(asked.what), *(hashlib.sha256(path.read_bytes()).hexdigest() for path in asked.reference if path.exists())]
    return {key: str(value) for key, value in asdict(asked).items()} | {"sha256": " ".join(digests), "gan3d": __version__}


def found_of(asked: Validation) -> dict[str, Any]:
    """Validate."""
    found = validated(asked)
    not_measured = (f"{name} not measured: {why}." for name, why in found.report.not_measured.items())
    return {"numbers": numbers_of(found.report), "warnings": [*found.warnings, *not_measured]}


def numbers_of(report: Report) -> dict[str, Any]:
    """A report's numbers as columns: each with its ``_error`` and its ``_floor`` as far as it has them."""
    flagged = sum(one.is_flagged for one in report.findings)
    found: dict[str, Any] = {"showers": report.num_judged, "flagged": flagged, "flagged_floor": 0, "numbers": len(report.findings)}
    for name, one in zip(("low", "middle", "high"), report.response, strict=False):
        key = f"response_{name}"
        found |= {key: one.difference, f"{key}_error": one.error, f"{key}_floor": one.floor}
    for place in report.profiles:
        key = f"profile_{place.axis}"
        found |= {key: place.deviation, f"{key}_error": place.error, f"{key}_floor": place.floor, f"{key}_place": place.place}
    for name, beside in report.physics.items():
        found |= columns_of(f"{PHYSICS}{name}", beside)
    for key in DISTANCES:
        if key in report.distances:
            found |= columns_of(key, report.distances[key])
    return found


def columns_of(key: str, one: Beside) -> dict[str, float]:
    """A number, its error and its floor, and of how many showers of each kind either is."""
    numbers = {f"{key}_showers": one.num_showers, f"{key}_floor_showers": one.num_floor}
    return {key: one.value, f"{key}_error": one.error, f"{key}_floor": one.floor} | numbers


def table_lines(table: pd.DataFrame) -> list[str]:
    """A line per number, a column per contender: mean and spread over seeds, of sizes where it is a deviation; and the floor."""
    names = list(table["contender"].unique())
    columns = [str(name) for name in table if f"{name}_floor" in table]
    lines = [f"| {table['showers'].iloc[0]} showers against as many | {' | '.join(names)} | floor |", "|---" * (len(names) + 2) + "|"]
    for name in columns:
        sizes = table[name].abs()
        cells = [with_spread(sizes[table["contender"] == one], name) for one in names]
        lines.append(f"| {label_of(name)}{sizes_of(table, name)} | {' | '.join(cells)} | {as_text(table[f'{name}_floor'].mean(), name)} |")
    return lines


def label_of(name: str) -> str:
    """A column as the table calls it."""
    is_size = name.startswith(("response", "profile"))
    return name.replace("_", " ") + (", size of the deviation [%]" if is_size else "")


def sizes_of(table: pd.DataFrame, name: str) -> str:
    """How many showers of each kind a number and its floor are of, where these differ."""
    if f"{name}_showers" not in table:
        return ""
    number, of_floor = (int(table[f"{name}{ending}"].iloc[0]) for ending in ("_showers", "_floor_showers"))
    return "" if number == of_floor else f" ({number} against as many; floor {of_floor})"


def with_spread(values: pd.Series, name: str) -> str:
    """Mean and standard deviation over seeds."""
    spread = f" ± {as_text(values.std(ddof=1), name)}" if len(values) > 1 else ""
    return as_text(values.mean(), name) + spread


def as_text(value: float, name: str) -> str:
    """Percent where it is a relative deviation."""
    if math.isnan(value):
        return "not measured"
    return f"{100 * value:.2f}" if name.startswith(("response", "profile")) else f"{value:.3f}"


def figure_of(study: frames.StudyInfo, table: pd.DataFrame) -> Figure:
    """A panel per kind of number, a dot per trial."""
    panels = [panel for panel in PANELS if panel[1][0] in table]
    figure, grid = plt.subplots(1, len(panels), figsize=(4.2 * len(panels), 4.6), squeeze=False)
    for axes, (title, columns, scale) in zip(grid.flat, panels, strict=True):
        draw_panel(axes, table, columns, scale)
        axes.set_title(title, fontsize=9)
    drawing.legend_below(figure, grid[0, 0])
    note = (
        f"{len(table)} trials, {table['showers'].iloc[0]} showers of each against as many of Monte Carlo. A dot is a trial, its line the "
        "statistical error. Grey bands: within the floor, Monte Carlo against Monte Carlo."
    )
    drawing.heading(figure, f"{study.name}: validated", note)
    return figure


def draw_panel(axes: Axes, table: pd.DataFrame, columns: Sequence[str], scale: float) -> None:
    """Contenders side by side for each of the columns."""
    names = list(table["contender"].unique())
    for place, column in enumerate(columns):
        middle = 0.5 if column.endswith("_auc") else 0.0
        floor = abs(float(table[f"{column}_floor"].mean()) - middle) * scale
        axes.fill_between([place - 0.45, place + 0.45], middle - floor, middle + floor, color=GREY, alpha=0.3, linewidth=0)
        for number, (name, colour) in enumerate(zip(names, COLOURS, strict=False)):
            rows = table[table["contender"] == name]
            at = place + (number - (len(names) - 1) / 2) * 0.6 / len(names) + np.linspace(-0.05, 0.05, len(rows))
            error = rows[f"{column}_error"] * scale if f"{column}_error" in rows else None
            label = name if place == 0 else None
            axes.errorbar(at, rows[column] * scale, error, fmt="o", markersize=4, color=colour, linewidth=1.0, label=label)
    if columns != ("flagged",):
        axes.axhline(0.5 if columns[0].endswith("_auc") else 0.0, color=BLACK, linewidth=0.8)
    axes.set_xticks(range(len(columns)), [TICKS.get(column, column.rpartition("_")[2]) if len(columns) > 1 else "" for column in columns])


if __name__ == "__main__":
    sys.exit(main())
