"""Run benchmarks, print their tables, record them: python -m benchmarks.run [NAME ...] [--quick].

Recorded are full runs only: results.json per benchmark, and the tables of README.md from it. A benchmark that fails keeps what was
recorded of it before; the others run all the same.
"""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.harness import Row
from benchmarks.tables import markdown, replaced, rich_table

FOLDER = Path(__file__).resolve().parent
RESULTS, README = FOLDER / "results.json", FOLDER / "README.md"

#: Modules of this folder in the order in which they run, each with a sentence for its table.
BENCHMARKS = {
    "training_step": "One training step on one thread, CPU time. GFLOP/s count the plain formulation's multiply-adds, whoever makes fewer.",
    "layers": "Convolutions of the seed's networks on one thread, batch 8, CPU time; `plain` is channels first.",
    "inference": "Showers from a trained state on one thread.",
    "data_path": "From files to batches.",
    "orchestration": "What the framework takes beside the training itself.",
    "overhead": "Trials of about a minute in a study, and the very same epochs by a bare loop, in turn. Wall time.",
    "memory": "Peak resident memory of a process that trains three steps.",
    "allocation": "Training steps with freed memory kept in the process, as trials do, or given back to the system; CPU time, one thread.",
    "threads": "Two cores: one worker with two threads, or two workers with one each; wall time.",
    "weak_scaling": "One worker, two apart, two together, a core each: epochs of trials. Percentages with 95 % intervals over blocks.",
}
#: Columns of a table that goes to a file.
PIPED_WIDTH = 140
#: Where a thread count is read before torch is asked.
THREAD_VARIABLES = ("OMP_NUM_THREADS", "MKL_NUM_THREADS")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run what is asked for; 1 if a benchmark failed."""
    asked = parsed(arguments)
    console = Console(width=None if sys.stdout.isatty() else PIPED_WIDTH)
    failed = []
    for name in asked.names or BENCHMARKS:
        console.print(f"[bold]{name}[/bold] ...")
        start = time.perf_counter()
        try:
            rows = measured(name, quick=asked.quick)
        except Exception:  # noqa: BLE001 - whatever it is, it is shown, and the next benchmark runs
            console.print_exception()
            failed.append(name)
            continue
        console.print(rich_table(f"{name}, {time.perf_counter() - start:.0f} s", rows))
        if not asked.quick:
            record(name, rows)
    if failed:
        console.print(f"[red]failed: {', '.join(failed)}[/red]")
    return 1 if failed else 0


def parsed(arguments: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.run", description="Run benchmarks, print their tables, record them.")
    parser.add_argument("names", nargs="*", metavar="NAME", help=f"all by default: {', '.join(BENCHMARKS)}")
    parser.add_argument("--quick", action="store_true", help="less work; results are printed, not recorded")
    asked = parser.parse_args(arguments)
    if unknown := set(asked.names) - set(BENCHMARKS):
        parser.error(f"no such benchmark: {', '.join(sorted(unknown))}; there are {', '.join(BENCHMARKS)}")
    return asked


def measured(name: str, *, quick: bool) -> list[Row]:
    """The benchmark's rows. It starts on one thread; one whose subject is threads asks for more itself."""
    import torch

    torch.set_num_threads(1)
    return list(importlib.import_module(f"benchmarks.{name}").rows(quick))


def record(name: str, rows: Iterable[Row]) -> None:
    """Replace the benchmark's part of results.json, and write README.md's tables anew."""
    results = recorded()
    results[name] = circumstances() | {"rows": [asdict(row) for row in rows]}
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    README.write_text(replaced(README.read_text(encoding="utf-8"), markdown(results, BENCHMARKS)), encoding="utf-8")


def recorded() -> dict[str, Any]:
    """What results.json holds."""
    return dict(json.loads(RESULTS.read_text(encoding="utf-8"))) if RESULTS.is_file() else {}


def circumstances() -> dict[str, Any]:
    """Machine, date and commit, with + where files differ from it."""
    import torch

    from gan3d.tracking.provenance import commit, hardware

    versions = {"python": platform.python_version(), "torch": torch.__version__, "capability": torch.backends.cpu.get_cpu_capability()}
    checkout = commit(FOLDER.parent / "gan3d")
    at = checkout.get("commit", "unknown")[:10] + ("+" if checkout.get("dirty") == "yes" else "")
    return {"machine": hardware() | versions, "date": datetime.now(UTC).date().isoformat(), "commit": at}


if __name__ == "__main__":
    os.environ |= dict.fromkeys(THREAD_VARIABLES, "1")
    sys.exit(main())
