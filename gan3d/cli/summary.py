"""What a study came to: the table of trials, the best sample, and where everything is."""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console, RenderableType
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from gan3d.cli.cost_lines import cost_as_dict, cost_lines, trial_cost
from gan3d.cli.findings import Findings
from gan3d.config.study import Study
from gan3d.config.study_checks import is_of_speed
from gan3d.records import METRICS, TrialRecord
from gan3d.search.place import place_of, shell_text
from gan3d.terminal.crossing import Crossing, Race, crossing_text
from gan3d.terminal.terminal import STYLES
from gan3d.terminal.words import counted, duration_text, excess_text, metric_text, number_text, sample_text, short_names, value_text

MLFLOW_PORT, DASHBOARD_PORT = 5000, 8080
#: States of a study that another session can go on with.
GOES_ON = ("interrupted", "stopped")


def summary(result: Findings, study: Study, go_on: str) -> dict[str, Any]:
    """The result as plain values, ready for JSON."""
    best = result.best
    found = None
    if best is not None:
        checkpoint = best_checkpoint(result)
        found = asdict(best) | {"floor": best_floor(result, study), "checkpoint": None if checkpoint is None else str(checkpoint)}
    return {
        "study": result.study,
        "state": result.state,
        "objective": study.objective.model_dump(mode="json"),
        "reached": [asdict(crossing) for crossing in crossings_of(result, study)],
        "trials": [asdict(trial) | {"cost": trial_cost(result, trial.number)} for trial in result.trials],
        "best": found,
        "front": list(result.front),
        "results": str(result.results),
        "tracking_uri": result.tracking_uri,
        "optuna_storage": str(place_of(result.results)),
        "figures": [str(figure) for figure in result.figures],
        "seconds": result.seconds,
        "cost": cost_as_dict(result),
        "budget": study.budget.limits,
        "budget_spent": result.budget_spent,
        "go_on": go_on if result.state in GOES_ON else None,
    }


def print_summary(result: Findings, study: Study, go_on: str, console: Console) -> None:
    """Print it for a person."""
    if result.trials:
        console.print(trials_table(result.trials, study, console), highlight=False)
    for line in closing_lines(result, study, go_on):
        console.print(line, soft_wrap=True, highlight=False)


def trials_table(trials: tuple[TrialRecord, ...], study: Study, console: Console) -> Table:
    """One row per trial; a column per sampled key where there is room, else one column for the whole sample."""
    wide = _table(trials, study, spread=True)
    return (
        wide
        if Measurement.get(console, console.options.update(max_width=10_000), wide).maximum <= console.width
        else _table(trials, study, spread=False)
    )


def _table(trials: tuple[TrialRecord, ...], study: Study, *, spread: bool) -> Table:
    names = short_names(study.search_space.ranges)
    table = Table(box=None, pad_edge=False, header_style="bold", padding=(0, 2, 0, 0))
    for name in ("trial", "state"):
        table.add_column(name, no_wrap=True)
    for name in names.values() if spread else ["sample"]:
        table.add_column(name, justify="right" if spread else "left", no_wrap=spread, overflow="fold")
    limited = ["excess"] if study.objective.constraints else []
    for name in ("epochs", *(metric_text(goal.metric) for goal in study.objective.goals), *limited, "time"):
        table.add_column(name, justify="right", no_wrap=True)
    if any(trial.reason for trial in trials):
        table.add_column("reason", overflow="fold", min_width=12)
    for trial in trials:
        sample = [value_text(trial.sample.get(key)) for key in names] if spread else [sample_text(trial.sample, names)]
        measured = [number_text(value) for value in _values(trial, study)]
        measured += ["" if trial.objective is None else f"{trial.excess:+.1%}" for _ in limited]
        row = [str(trial.number), trial.state, *sample, str(trial.epochs), *measured, duration_text(trial.seconds)]
        cells = [Text(cell) for cell in [*row, trial.reason][: len(table.columns)]]
        cells[1].stylize(STYLES.get(trial.state, ""))
        table.add_row(*cells)
    return table


def _values(trial: TrialRecord, study: Study) -> tuple[float | None, ...]:
    """The objective and the trade-offs of a trial; None where it has none."""
    missing = (None,) * (len(study.objective.trade_offs) - len(trial.trade_offs))
    return (trial.objective, *trial.trade_offs, *missing)


def closing_lines(result: Findings, study: Study, go_on: str) -> Iterator[RenderableType]:
    """The best sample, the files, and what to type next."""
    yield Text("")
    yield from _best_lines(result, study)
    yield from _target_lines(result, study)
    yield from fact_lines(cost_lines(result, study))
    for figure in result.figures:
        yield _fact("figure", str(figure))
    yield _fact("results", str(result.results))
    program = Path(sys.executable).parent / "mlflow"
    words = [str(program), "ui", "--backend-store-uri", result.tracking_uri, "--host", "127.0.0.1", "--port", str(MLFLOW_PORT)]
    yield _fact("MLflow", result.tracking_uri if result.tracking_uri.startswith("http") else shlex.join(words))
    yield _fact("Optuna", optuna_command(result))
    if result.state in GOES_ON:
        yield _fact("go on", go_on, "bold yellow")
    elif is_search(study) and result.best is not None and result.best.sample != study.default_sample:
        yield _fact("confirm", f"{confirm_command(result)}  (the best sample beside the default one, with fresh seeds)")
    elif result.state == "failed":
        yield Text("No trial has an objective: see the reasons above.", style="red")


def _best_lines(result: Findings, study: Study) -> Iterator[RenderableType]:
    best = result.best
    if best is None:
        return
    floor = best_floor(result, study)
    beside = "" if floor is None else f" (Monte Carlo against Monte Carlo: {number_text(floor)})"
    excess = excess_text(best.excess)
    objective = f"{study.objective.metric} {number_text(best.objective)}{beside} in trial {best.number}{excess}"
    yield _fact("best", objective, "bold yellow" if excess else "bold green")
    yield _fact("", sample_text(best.sample, short_names(study.search_space.ranges)) or "the settings as written")
    checkpoint = best_checkpoint(result)
    if checkpoint is not None:
        yield _fact("checkpoint", str(checkpoint))
    if study.objective.trade_offs:
        traded = ", ".join(metric_text(goal.metric) for goal in study.objective.goals)
        numbers = ", ".join(map(str, result.front)) or "no complete trial that keeps the constraints"
        yield _fact("front", f"{numbers}  (none is beaten in all of {traded})", "bold green" if result.front else "bold yellow")


def _target_lines(result: Findings, study: Study) -> Iterator[RenderableType]:
    """How many trials reached the target, and which was the quickest."""
    if study.objective.target is None or not result.trials:
        return
    found = crossings_of(result, study)
    count = f"{study.objective.target:g} reached by {len(found)} of {counted(len(result.trials), 'trial')}"
    yield _fact("target", f"{count}, soonest {crossing_text(found[0])}" if found else count, "bold green" if found else "bold yellow")


def fact_lines(facts: Iterable[tuple[str, str, str]]) -> Iterator[Text]:
    """Lines of labels in the left column, texts and the labels' styles."""
    for label, text, style in facts:
        yield _fact(label, text, style)


def _fact(label: str, value: str, style: str = "bold") -> Text:
    return Text.assemble((f"{label:<11}", style), value)


def optuna_command(result: Findings) -> str:
    """How to look at Optuna's own trials, while the study runs too: in its dashboard, if that is installed, or as a list."""
    place, programs = place_of(result.results), Path(sys.executable).parent
    if (dashboard := programs / "optuna-dashboard").exists():
        return shell_text([str(dashboard), str(place), "--host", "127.0.0.1", "--port", str(DASHBOARD_PORT)])
    kind = ["--storage-class", "JournalFileBackend"] if isinstance(place, Path) else []
    return shell_text([str(programs / "optuna"), "--storage", str(place), *kind, "trials", "--study-name", result.study])


def is_search(study: Study) -> bool:
    """Whether its best trial is a choice among many by physics; a grid reports all its trials, and times are the machine's."""
    return study.sampler.name != "grid" and not is_of_speed(study.objective.metric)


def confirm_command(result: Findings) -> str:
    """How to train the best sample again."""
    is_usual = result.results == (Path("results") / result.study).absolute()
    return shlex.join(["gan3d", "confirm", result.study if is_usual else str(result.results)])


def best_checkpoint(result: Findings) -> Path | None:
    """The state at the best objective, if it can be seen from here."""
    from gan3d.training.checkpoint import TrialFolder

    if result.best is None:
        return None
    path = TrialFolder(result.results / "trials" / f"{result.best.number:04d}").best
    return path if path.exists() else None


def crossings_of(result: Findings, study: Study) -> list[Crossing]:
    """The trials that reached the target, quickest first: from their records where these can be seen from here."""
    from gan3d.training.checkpoint import TrialFolder

    if study.objective.target is None:
        return []
    race = Race(study.objective)
    for trial in result.trials:
        for row in TrialFolder(result.results / "trials" / f"{trial.number:04d}").records():
            race.end_epoch(trial.number, row["epoch"], row["metrics"])
        race.end(trial)
    return sorted(race.crossings.values(), key=lambda one: float("inf") if one.seconds is None else one.seconds)


def best_floor(result: Findings, study: Study) -> float | None:
    """The floor of the objective in the best trial, where the metric has one and its records can be seen from here."""
    from gan3d.training.checkpoint import TrialFolder

    name = f"{study.objective.metric}_floor"
    if result.best is None or name not in METRICS:
        return None
    rows = TrialFolder(result.results / "trials" / f"{result.best.number:04d}").records()
    return float(rows[-1]["metrics"][name]) if rows else None
