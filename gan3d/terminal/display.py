"""The live display: a few lines drawn over again, for wide and for narrow terminals."""

from __future__ import annotations

from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from gan3d.terminal.crossing import crossing_text, target_text
from gan3d.terminal.standing import RunningTrial, Standing
from gan3d.terminal.words import counted, duration_text, excess_text, metric_text, number_text, sample_text, short_names

#: Below, what can be done without is left out; below the second, more of it.
NARROW, NARROWER = 80, 56
#: Widest bar.
BAR = 40


def display(standing: Standing, now: float, width: int) -> RenderableType:
    """Everything, for a terminal of ``width`` columns."""
    lines: list[RenderableType] = [Text(""), _title(standing), _overall(standing, now, width)]
    lines.append(_running(standing, width) if standing.running else Text("no trial is running", style="dim"))
    below = (_best(standing), _target(standing))
    return Group(*lines, *(line for line in below if line is not None))


def _title(standing: Standing) -> Text:
    study = standing.study
    return Text.assemble((study.name, "bold"), "  ", (study.question, "dim"), overflow="ellipsis", no_wrap=True)


def _overall(standing: Standing, now: float, width: int) -> Table:
    total, ended = standing.study.num_trials, standing.num_ended
    failed = sum(record.state == "failed" for record in standing.ended.values())
    bar = [ProgressBar(total=total, completed=ended, width=min(BAR, width - 48))] if width >= NARROWER else []
    row: list[RenderableType] = [Text("trials"), *bar, Text(f"{ended}/{total}", style="bold")]
    if failed:
        row.append(Text(f"{failed} failed", style="red"))
    row += [_labelled("elapsed", duration_text(now - standing.started)), _labelled("left", duration_text(standing.seconds_left(now)))]
    return _row(row)


def _labelled(label: str, value: str) -> Text:
    return Text.assemble((f"{label} ", "dim"), value)


def _row(cells: list[RenderableType]) -> Table:
    grid = Table.grid(padding=(0, 2, 0, 0))
    for _ in cells:
        grid.add_column(no_wrap=True)
    grid.add_row(*cells)
    return grid


def _running(standing: Standing, width: int) -> Table:
    """A row for each running trial, its sample below it."""
    names = short_names(standing.study.search_space.ranges)
    is_wide = width >= NARROW
    table = Table(box=None, pad_edge=False, header_style="dim", padding=(0, 2, 0, 0))
    for name in ("trial", "epoch", "step"):
        table.add_column(name, justify="right", no_wrap=True)
    if is_wide:
        table.add_column("", no_wrap=True)
    metric = metric_text(standing.study.objective.metric)
    if width >= NARROWER:
        table.add_column("showers/s", justify="right", no_wrap=True)
    table.add_column(f"{metric} by epoch" if is_wide else metric, overflow="ellipsis", no_wrap=True)
    for trial in standing.running.values():
        bar = [ProgressBar(total=max(trial.steps, 1), completed=trial.step, width=16)] if is_wide else []
        step = f"{trial.step}/{trial.steps}" if trial.steps else "?"
        speed = [number_text(trial.showers_per_second)] if width >= NARROWER else []
        table.add_row(str(trial.number), f"{trial.epoch}/{trial.epochs}", step, *bar, *speed, _curve(trial))
    samples = [Text(f"{trial.number}: {sample_text(trial.sample, names)}", style="cyan") for trial in standing.running.values()]
    below = Table.grid()
    below.add_row(table)
    for sample in samples:
        below.add_row(sample)
    return below


def _curve(trial: RunningTrial) -> str:
    """The objective of the newest epochs, the last one at the end."""
    values = [number_text(merit.first) for _, merit in sorted(trial.merits.items())]
    return " ".join(values if len(values) <= 5 else ["…", *values[-4:]])


def _best(standing: Standing) -> Text | None:
    best = standing.best
    if best is None:
        return None
    metric = metric_text(standing.study.objective.metric)
    text = sample_text(best.sample, short_names(standing.study.search_space.ranges))
    found = f" {metric} {number_text(best.merit.first)} in trial {best.number}{excess_text(best.merit.excess)}  "
    return Text.assemble(("best", "bold green"), found, (text, "dim"))


def _target(standing: Standing) -> Text | None:
    """How the race for the target stands; nothing without one."""
    objective, crossings = standing.study.objective, standing.crossings
    if objective.target is None:
        return None
    if not crossings:
        return Text(f"{target_text(objective)} not reached yet", style="dim")
    others = f" ({counted(len(crossings), 'trial')} so far)" if len(crossings) > 1 else ""
    return Text.assemble((target_text(objective), "bold green"), f" reached {crossing_text(crossings[0])}{others}")
