"""Trainings on hosts made on one machine, beside what the cost model says of them: python -m benchmarks.hosts [--study] [--quick].

Full runs are recorded, as those of `benchmarks.run` are: results.json, and the tables of the README beside this file from it.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.harness import Row
from benchmarks.hosts.fabrics import QUICK_ROUNDS, ROUNDS, measured_fabrics
from benchmarks.hosts.measurement import LINKS, QUICK_STEPS, STEPS, measured
from benchmarks.hosts.namespaces import why_not
from benchmarks.hosts.ranks import ranks_on
from benchmarks.hosts.report import Trainings, document_of, rows_of, study_document, study_rows
from benchmarks.hosts.study import run_studies
from benchmarks.hosts.testbed import TestBed
from benchmarks.hosts.training import settings_of
from benchmarks.run import PIPED_WIDTH, RESULTS, THREAD_VARIABLES, circumstances, recorded
from benchmarks.tables import markdown, replaced, rich_table
from gan3d.cli.step_work import step_work

README = Path(__file__).resolve().parent / "README.md"
#: What cases begin with, to a sentence for their table.
TABLES = {
    "link": "Fitted to all-reduces of 1 KiB to 16 MiB between two hosts at rest, 95 % intervals of the fit.",
    "traffic": "What a host sends in a training step by its interface's counters (headers, acknowledgements and the epoch's end included), "
    "median with extremes, beside the gradients of a step in ring all-reduces.",
    "step": "A step of the seed's networks on two hosts of one core, geometric means over rounds. Alone: the two side by side without a "
    "network, which efficiencies are against. The model was calibrated on what is marked; of links it knows what their all-reduces say, or "
    "what they were made as. 95 % intervals; errors are of the measured step.",
    "study": "`gan3d run slow_link.yaml --address` on a Ray cluster of three hosts, over either link; predictions are calibrated "
    "on the study over the bare one. Throughput and efficiency with 95 % intervals over blocks, parts of a step as medians with extremes.",
}
#: Measured rounds of trainings, and of a quick run's: the fewest that have an interval.
TRAINING_ROUNDS, QUICK_TRAINING_ROUNDS = 6, 2
#: Parts of results.json.
TRAININGS_PART, STUDY_PART = "hosts", "hosts_study"


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print, record; 2 where this machine makes no hosts."""
    asked = parsed(arguments)
    if (why := why_not()) is not None:
        print(why, file=sys.stderr)
        return 2
    part, found, document = of_study(quick=asked.quick) if asked.study else of_trainings(asked.rounds, quick=asked.quick)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    for name, rows in by_table(found).items():
        if rows:
            console.print(rich_table(name, rows))
    for sentence in document.get("undetermined", ()):
        console.print(f"Undetermined: {sentence}", highlight=False)
    circumstance = circumstances() | {"quick": asked.quick}
    if asked.json is not None:
        asked.json.write_text(
            json.dumps(circumstance | document | {"rows": [asdict(row) for row in found]}, indent=1) + "\n", encoding="utf-8"
        )
    if not asked.quick:
        record(part, circumstance | {"rows": [asdict(row) for row in found], "undetermined": document.get("undetermined", [])})
    return 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.hosts", description="Trainings on several hosts made on one machine.")
    parser.add_argument("--study", action="store_true", help="instead: weak-scaling studies on a Ray cluster of three hosts")
    parser.add_argument("--rounds", type=int, metavar="N", help=f"rounds of trainings, by default {TRAINING_ROUNDS}; at least 2")
    parser.add_argument("--quick", action="store_true", help="less work; nothing is recorded")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write all that was measured")
    asked = parser.parse_args(arguments)
    if asked.rounds is None:
        asked.rounds = QUICK_TRAINING_ROUNDS if asked.quick else TRAINING_ROUNDS
    elif asked.study:
        parser.error("--rounds is of trainings; blocks of the study are in slow_link.yaml")
    elif asked.rounds < 2:
        parser.error(f"--rounds {asked.rounds}: an interval takes at least 2")
    return asked


def of_trainings(rounds: int, *, quick: bool) -> tuple[str, list[Row], dict[str, Any]]:
    """Links, then trainings over them; tells of each epoch as it comes."""
    steps = QUICK_STEPS if quick else STEPS
    with TestBed(2) as bed, ranks_on(bed.hosts) as ranks:
        fabrics = measured_fabrics(bed, ranks, LINKS, QUICK_ROUNDS if quick else ROUNDS)
        epochs = []
        for epoch in measured(bed, ranks, rounds, steps):
            seconds = sum(epoch.step_seconds) / len(epoch.step_seconds)
            print(f"round {epoch.round + 1}: batch {epoch.batch}, {epoch.link}: {seconds:.3g} s/step", flush=True)
            epochs.append(epoch)
    settings = settings_of(min(steps), steps[min(steps)], 2)
    work = step_work(settings, batch_per_worker=settings.batch_per_worker)
    trainings = Trainings(fabrics, work, epochs)
    return TRAININGS_PART, rows_of(trainings), document_of(trainings)


def of_study(*, quick: bool) -> tuple[str, list[Row], dict[str, Any]]:
    """Studies on a cluster."""
    outcome = run_studies(quick=quick)
    return STUDY_PART, list(study_rows(outcome)), study_document(outcome)


def record(part: str, result: Mapping[str, Any]) -> None:
    """Replace a part of results.json, and the tables of the README beside this file."""
    results = recorded() | {part: result}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    README.write_text(replaced(README.read_text(encoding="utf-8"), recorded_text(results)), encoding="utf-8")


def recorded_text(results: Mapping[str, Mapping[str, Any]]) -> str:
    """What the README says of recorded results: a table by what cases begin with, and what two hosts leave open."""
    tables: dict[str, dict[str, Any]] = {}
    for part in (TRAININGS_PART, STUDY_PART):
        result = results.get(part, {"rows": []})
        found = by_table([Row(**row) for row in result["rows"]])
        tables |= {name: {**result, "rows": [asdict(row) for row in rows]} for name, rows in found.items() if rows}
    left = results.get(TRAININGS_PART, {}).get("undetermined", [])
    sentences = ["## undetermined", "", *(f"- {sentence}" for sentence in left), ""] if left else []
    return "\n".join([markdown(tables, TABLES), *sentences])


def by_table(found: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by what their cases begin with."""
    return {name: [row for row in found if row.case.startswith(f"{name}:")] for name in TABLES}


if __name__ == "__main__":
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    try:
        sys.exit(main())
    except KeyboardInterrupt:
        sys.exit(130)
