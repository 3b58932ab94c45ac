"""`gan3d status`: how a study stands, for a person or as JSON."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from gan3d.cli.cost_lines import budget_used_text, trial_cost
from gan3d.cli.resuming import results_of
from gan3d.cli.status import OpenTrial, Status, status_of
from gan3d.cli.summary import closing_lines, fact_lines, summary, trials_table
from gan3d.config.study import Study
from gan3d.search.figures import SCRIPTS
from gan3d.terminal.console import console_for
from gan3d.terminal.display import NARROW
from gan3d.terminal.words import counted, duration_text, metric_text, number_text, sample_text, short_names
from gan3d.writing import finite

#: Of the line that tells the state; what is not here is yellow.
STYLES = {"running": "bold", "complete": "bold green", "failed": "bold red"}
SECONDS_BETWEEN_LOOKS = 10


def show_status(asked: Path, results: Path | None, *, as_json: bool) -> None:
    """Print how a study stands.

    Args:
        asked: A results folder, a study's name, or its file.
        results: Its results folder, where it is not results/NAME.
        as_json: As one JSON document, not for a person.

    Raises:
        ConfigError: there is no such study, or it cannot be read.
    """
    folder = results or results_of(asked)
    study, status = status_of(folder)
    go_on = shlex.join(["gan3d", "resume", str(results or asked)])
    watch = shlex.join(["gan3d", "status", str(asked), *([] if results is None else ["--results", str(results)])])
    watch = f"watch -n {SECONDS_BETWEEN_LOOKS} {watch}"
    if as_json:
        typer.echo(json.dumps(finite(status_as_dict(status, study, go_on, watch)), indent=2, ensure_ascii=False, allow_nan=False))
        return
    print_status(status, study, go_on, watch, console_for())


def status_as_dict(status: Status, study: Study, go_on: str, watch: str) -> dict[str, Any]:
    """The status as plain values: what a study's summary has, and what only a study that goes on has."""
    return summary(status, study, go_on) | {
        "question": study.question,
        "driver": None if status.driver is None else asdict(status.driver),
        "counts": status.counts,
        "known": status.num_known,
        "open": [_open_as_dict(one, status) for one in status.open_trials],
        "budget_used": {name: (status.spending.used or {}).get(name, 0.0) for name in study.budget.limits},
        "watch": watch if status.state == "running" else None,
    }


def _open_as_dict(one: OpenTrial, status: Status) -> dict[str, Any]:
    return asdict(one.record) | {
        "state": state_of(one),
        "epochs_planned": one.epochs_planned,
        "newest": one.newest,
        "showers_per_second": one.showers_per_second,
        "cost": trial_cost(status, one.record.number),
    }


def print_status(status: Status, study: Study, go_on: str, watch: str, console: Console) -> None:
    """Print it for a person."""
    console.print(Text.assemble((study.name, "bold"), "  ", (study.question, "dim")), soft_wrap=True, highlight=False)
    for line in fact_lines(_standing(status, study)):
        console.print(line, soft_wrap=True, highlight=False)
    if status.trials:
        console.print()
        console.print(trials_table(status.trials, study, console), highlight=False)
    if status.open_trials:
        console.print()
        console.print(open_table(status, study, console.width), highlight=False)
    for part in (*closing_lines(status, study, go_on), *fact_lines(_next(status, watch))):
        console.print(part, soft_wrap=True, highlight=False)


def state_of(one: OpenTrial) -> str:
    """`running` or `interrupted`."""
    return "running" if one.is_running else "interrupted"


def open_table(status: Status, study: Study, width: int) -> Table:
    """One row per trial that has begun and not ended: how far it is, and below all of them their samples."""
    names = short_names(study.search_space.ranges)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("trial", "state"):
        table.add_column(name, no_wrap=True)
    more = ["best", "showers/s"] if width >= NARROW else []
    for name in ("epochs", metric_text(study.objective.metric), *more, "time"):
        table.add_column(name, justify="right", no_wrap=True)
    for one in status.open_trials:
        record = one.record
        values = (one.newest, record.objective, one.showers_per_second)[: 1 + len(more)]
        row = (str(record.number), state_of(one), f"{record.epochs}/{one.epochs_planned}", *map(number_text, values))
        table.add_row(*map(Text, (*row, duration_text(record.seconds))))
    below = Table.grid()
    below.add_row(table)
    for one in status.open_trials:
        below.add_row(Text(f"{one.record.number}: {sample_text(one.record.sample, names)}", style="cyan", overflow="fold"))
    return below


def _standing(status: Status, study: Study) -> Iterator[tuple[str, str, str]]:
    """The study's state, how many trials are in which, what is used up."""
    yield "state", f"{status.state}: {_about_the_state(status)}", STYLES.get(status.state, "bold yellow")
    yield "trials", trials_text(status.counts), "bold"
    if status.num_known:
        yield "known", f"{counted(status.num_known, 'trial')} of earlier studies", "bold"
    if status.seconds is not None:
        yield "time", duration_text(status.seconds), "bold"
    if study.budget.limits and status.spending.used is not None:
        yield "budget", budget_used_text(status.spending.used, study.budget.limits, study.cost.currency), "bold"


def _about_the_state(status: Status) -> str:
    if status.driver is not None:
        over = status.counts["to_come"] + status.counts["stopped"] + len(status.open_trials) == 0
        return f"{status.driver.text}{'; all trials have ended, it is about to end' if over else ''}"
    return {
        "complete": "all trials have ended",
        "failed": "all trials have ended, none with an objective",
        "stopped": "the budget is spent",
    }.get(status.state, "nothing is running; finished epochs are kept")


def trials_text(counts: dict[str, int]) -> str:
    """`3 of 12 ended: 2 complete, 1 failed; 1 running, 8 to come`."""
    ended = {name: counts[name] for name in ("complete", "pruned", "failed") if counts[name]}
    rest = {name: counts[name] for name in ("running", "interrupted", "stopped", "to_come") if counts[name]}
    text = f"{sum(ended.values())} of {counts['trials']} ended"
    if ended:
        text += ": " + ", ".join(f"{number} {name}" for name, number in ended.items())
    if rest:
        text += "; " + ", ".join(f"{number} {name.replace('_', ' ')}" for name, number in rest.items())
    return text


def _next(status: Status, watch: str) -> Iterator[tuple[str, str, str]]:
    """What to type next, besides how to go on."""
    script = SCRIPTS / "search_progress.py"
    if status.best is not None and not status.figures and script.exists():
        words = [sys.executable, str(script), status.study, "--results", str(status.results), "--tracking-uri", status.tracking_uri]
        yield "draw", shlex.join(words), "bold"
    if status.state == "running":
        yield "watch", watch, "bold"
