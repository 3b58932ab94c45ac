"""Compare, print a table, and, unless quick, record it: python -m benchmarks.peer [--quick]."""

from __future__ import annotations

import argparse
import json
import subprocess
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from rich.console import Console

from benchmarks.harness import Row
from benchmarks.peer import rows
from benchmarks.peer.processes import KERAS_PYTHON
from benchmarks.run import RESULTS, circumstances, recorded
from benchmarks.tables import markdown, replaced, rich_table

README = Path(__file__).resolve().parent / "README.md"
#: What cases begin with, to a sentence for their table.
TABLES = {
    "same work": "Passes through convolutions in TensorFlow's graph, exactly as many and as large as those of gan3d's plain formulation.",
    "same function": "Largest relative difference of outputs, and of what one step makes of equal weights, showers and noise.",
    "training step": "Wall time on one core; the ratios are within a round.",
    "normalisation": "The Keras peer with the seed's normalisation, and with the one its authors may have meant.",
    "generation": "Generator alone, evaluation mode.",
}
OF_KERAS = "import importlib.metadata as m, json; print(json.dumps({name: m.version(name) for name in ('tensorflow-cpu', 'keras')}))"


def main() -> None:
    """Print figures as they come, then as a table; record them unless they are quick ones."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.peer", description="Train and generate beside peers, in turn with them.")
    parser.add_argument("--quick", action="store_true", help="less work; results are printed, not recorded")
    quick = parser.parse_args().quick
    found = []
    for row in rows(quick):
        print(f"{row.case}, {row.variant}: {row.value:.3g} {row.unit}", flush=True)
        found.append(row)
    for name, part in by_table(found).items():
        Console().print(rich_table(name, part))
    if not quick:
        record(found)


def record(found: list[Row]) -> None:
    """Replace the part "peer" of results.json, and the table of the README beside this file."""
    circumstance = circumstances()
    circumstance["machine"] |= versions()
    results = recorded() | {"peer": circumstance | {"rows": [asdict(row) for row in found]}}
    tables = {name: circumstance | {"rows": [asdict(row) for row in part]} for name, part in by_table(found).items()}
    text = markdown(tables, TABLES)
    RESULTS.write_text(json.dumps(results, indent=1) + "\n", encoding="utf-8")
    README.write_text(replaced(README.read_text(encoding="utf-8"), text), encoding="utf-8")


def by_table(found: Sequence[Row]) -> dict[str, list[Row]]:
    """Rows by what their cases begin with."""
    return {name: [row for row in found if row.case.startswith(name)] for name in TABLES}


def versions() -> dict[str, Any]:
    """Of what the Keras peer runs on."""
    done = subprocess.run([str(KERAS_PYTHON), "-c", OF_KERAS], capture_output=True, text=True, check=True)
    return dict(json.loads(done.stdout))


if __name__ == "__main__":
    main()
