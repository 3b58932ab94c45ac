"""`gan3d doctor`: examine a cluster, show what was found."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import typer
from rich.markup import escape
from rich.table import Table

from gan3d.cli.token import show_token
from gan3d.config.load import load_study
from gan3d.errors import DataError
from gan3d.terminal.console import console_for

if TYPE_CHECKING:
    from gan3d.doctor.examination import Report, Wanted


@dataclass(frozen=True, slots=True)
class Asked:
    """The command line."""

    study: Path | None
    overrides: Sequence[str]
    address: str | None
    results: Path | None
    tracking_uri: str | None
    optuna_storage: str | None


def examine_and_show(asked: Asked, *, as_json: bool) -> bool:
    """Examine; returns whether nothing is wrong.

    Raises:
        ConfigError: the study cannot be used.
        ResourceError: there is no Ray cluster at the address.
    """
    wanted = wanted_by(asked)
    if asked.address is not None:
        show_token()
    from gan3d.doctor.examination import examine
    from gan3d.search.cluster import connected

    console = console_for(stderr=True)

    def say(text: str) -> None:
        console.print(f"{text} ...", style="dim", highlight=False)

    with connected(asked.address, verbose=False, say=say):
        report = examine(wanted, say)
    if as_json:
        typer.echo(json.dumps(report.as_dict(), indent=2, ensure_ascii=False))
    else:
        show(report)
    return not report.problems


def wanted_by(asked: Asked) -> Wanted:
    """What the study, or a study in the results folder, needs."""
    from gan3d.data.paths import anchored, located
    from gan3d.doctor.examination import Wanted

    if asked.study is None:
        return Wanted((asked.results or Path("results")).absolute(), {}, asked.tracking_uri, asked.optuna_storage)
    study = load_study(asked.study, asked.overrides).study
    base = asked.study.absolute().parent
    files = {}
    for pattern in (*study.data.train, *study.data.validation, *(study.data.pretrain or ())):
        written = anchored(pattern, base)
        try:
            files[written] = located(pattern, base)
        except DataError:  # a variable that only nodes have
            files[written] = written
    results = (asked.results or Path("results") / study.name).absolute()
    backend = "nccl" if study.workers.gpus_per_worker else "gloo"
    return Wanted(results, files, asked.tracking_uri, asked.optuna_storage, backend, study.workers.interface)


def show(report: Report) -> None:
    """Nodes, the network between them, and what was found."""
    console = console_for()
    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("node", "address", "CPUs", "GPUs", "cores", "NUMA nodes", "clock", "free"):
        table.add_column(heading, justify="left" if heading in {"node", "address"} else "right")
    for node in report.nodes:
        facts = node.facts
        told = ["does not answer", "", "", ""]
        if facts:
            free = min(facts["free_bytes"].values())
            told = [str(facts["cores"]), str(len(facts["numa"])), f"{node.clock_offset:+.2f} s", f"{free / 1e9:.0f} GB"]
        table.add_row(escape(node.name), node.address, str(node.cpus), str(node.gpus), *told)
    console.print(table)
    if not math.isnan(report.latency):
        speed = f"{1e3 * report.latency:.2f} ms for 1 KiB, {1e-6 * report.bandwidth:.0f} MB/s for 4 MiB"
        console.print(f"All-reduce over {len(report.nodes)} nodes: {speed}", highlight=False)
    for one in report.findings:
        style = {"problem": "bold red", "warning": "yellow"}[one.level]
        where = f" {escape(', '.join(one.nodes))}:" if one.nodes else ""
        console.print(f"[{style}]{one.level}[/] {one.check}:{where} {escape(one.what)}", highlight=False, soft_wrap=True)
        console.print(f"    {escape(one.way_out)}", highlight=False, soft_wrap=True)
    number = len(report.problems)
    verdict = "Nothing is wrong." if not number else f"{number} problem{'s' if number > 1 else ''}: a study would fail."
    console.print(verdict, style="bold")
