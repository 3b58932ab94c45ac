"""The machine's utilisation in a search: CPUs that trials held over time, and when each trial held its own. Drawn by `search_progress.py`.

Writes search_utilisation.png/.svg/.csv/.json. Definitions: ``gan3d.scaling.utilisation``.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict

import drawing
import matplotlib.pyplot as plt
import pandas as pd
from drawing import BLACK, BLUE, SKY, STATES
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator

from gan3d.errors import ConfigError
from gan3d.scaling.utilisation import Machine, Utilisation, cpus_in_use, machine_of, spans, utilisation
from gan3d.terminal.words import duration_text
from gan3d.tracking import frames

NAME = "search_utilisation"
#: Of a trial's bar, in units of the distance between two trials.
BAR = 0.8


def draw(arguments: argparse.Namespace, study: frames.StudyInfo, trials: pd.DataFrame, epochs: pd.DataFrame) -> None:
    """The figure and its table: each change of the CPUs in use."""
    held = spans(trials, epochs)
    start, end = trials["started"].min(), max(trials["ended"].max(), epochs["logged_at"].max(), key=lambda time: (pd.notna(time), time))
    steps = cpus_in_use(held, start, end)
    known = machine_of(study.provenance, planned_cpus(study), float(steps["cpus"].max()))
    total = utilisation(steps, known)
    figure = utilisation_figure(held, steps, known, total, start)
    title = f"{study.name}: {total.mean:.0%} of {known.cpus:g} CPUs in use, {total.mean_while_busy:.0%} while any trial was trained"
    drawing.heading(figure, title, note(known, total))
    drawing.publish(arguments, NAME, figure, steps, {"study": study.name, "run_id": study.run_id, **asdict(known), **asdict(total)})


def planned_cpus(study: frames.StudyInfo) -> int:
    """CPUs of as many of the largest trials as may run at once; 0 if the study's text is not read any more."""
    try:
        asked = drawing.study_as_run(study)
    except ConfigError:
        return 0
    return asked.trials.concurrent * asked.max_world_size * asked.workers.cpus_per_worker


def utilisation_figure(held: pd.DataFrame, steps: pd.DataFrame, known: Machine, total: Utilisation, start: pd.Timestamp) -> Figure:
    """CPUs in use over wall time; under it a bar for each time in which a trial held its CPUs."""
    rows = held["trial"].max() + 1 if len(held) else 1
    figure, (above, below) = plt.subplots(2, 1, figsize=(11, 6.2), sharex=True, height_ratios=[1, 1.2 if rows > 4 else 0.7])
    size, symbol = drawing.time_unit(steps["seconds"])
    draw_cpus(above, steps, known, total, size)
    draw_trials(below, held, start, size)
    below.set_xlabel(f"wall time since the first trial started [{symbol}]")
    below.set_xlim(0, max(float(steps["seconds"].max()) / size, 1e-9))
    return figure


def draw_cpus(axes: Axes, steps: pd.DataFrame, known: Machine, total: Utilisation, size: float) -> None:
    """CPUs in use, the CPUs there are, and the mean."""
    seconds = steps["seconds"] / size
    axes.fill_between(seconds, steps["cpus"], step="post", color=SKY, alpha=0.55, linewidth=0)
    axes.step(seconds, steps["cpus"], where="post", color=BLUE, linewidth=1.2)
    axes.axhline(known.cpus, color=BLACK, linestyle="--", linewidth=1.2, label=f"{known.cpus:g} CPUs {known.source}")
    mean = total.mean * known.cpus
    axes.axhline(mean, color=BLACK, linestyle=":", linewidth=1.4, label=f"mean: {mean:.3g} CPUs, {total.mean:.0%}")
    axes.set(title="CPUs that trials' workers held", ylabel="CPUs")
    axes.set_ylim(0, 1.12 * known.cpus)
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=6))
    axes.legend(loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=2)


def draw_trials(axes: Axes, held: pd.DataFrame, start: pd.Timestamp, size: float) -> None:
    """A row for each trial, coloured by how it ended; gaps are interruptions."""
    for state, (colour, _) in STATES.items():
        chosen = held[held["state"] == state]
        left = (chosen["start"] - start).dt.total_seconds() / size
        width = (chosen["end"] - chosen["start"]).dt.total_seconds() / size
        axes.barh(chosen["trial"], width, left=left, height=BAR, color=colour, linewidth=0)
    axes.set(title="When each trial held them", ylabel="trial")
    axes.yaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.invert_yaxis()
    entries = [Patch(color=colour, label=state) for state, (colour, _) in STATES.items() if (held["state"] == state).any()]
    axes.legend(handles=entries, loc="lower right", bbox_to_anchor=(1.0, 1.0), ncols=len(STATES))


def note(known: Machine, total: Utilisation) -> str:
    """The same in words, and what is not counted."""
    return (
        f"{total.core_seconds / 3600:.3g} core-hours in {duration_text(total.wall_seconds)} on {known.cpus:g} CPUs ({known.source}); "
        f"none in use for {duration_text(total.idle_seconds)}. Not counted: forming teams, epochs that an interruption cut off, workers "
        "that sleep while a smaller trial is trained."
    )
