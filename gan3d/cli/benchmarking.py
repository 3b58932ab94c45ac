"""`gan3d benchmark generation`: milliseconds per shower of generators, beside what Monte Carlo takes."""

from __future__ import annotations

import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer
from rich.table import Table

from gan3d.cli.generation import best_of
from gan3d.generation.timing import BATCHES, ENERGY_GEV, Timed, monte_carlo_seconds, time_generators
from gan3d.terminal.console import console_for
from gan3d.writing import write_atomically, write_text

#: The seed's, for electrons of 10 to 500 GeV on two Xeon Platinum 8180: Geant4, and its 3DGAN with batch 128 on 56 cores [s].
SEED_GEANT4, SEED_3DGAN = 17.0, 7e-3


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `gan3d benchmark generation`."""

    models: tuple[Path, ...]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    repeats: int
    monte_carlo: Path | None
    output: Path | None


def benchmark_and_show(asked: Asked, *, as_json: bool) -> None:
    """Time, print, and keep as JSON where that is asked for.

    Raises:
        ConfigError: there is no such model.
        DataError: one cannot be loaded, or the Monte Carlo file says no times.
    """
    theirs = None if asked.monte_carlo is None else monte_carlo_seconds(asked.monte_carlo)
    models, console = [best_of(model) for model in asked.models], console_for(stderr=True)
    found = time_generators(
        models,
        batches=asked.batches or BATCHES,
        threads=asked.threads or (1,),
        repeats=asked.repeats,
        progress=lambda batch: console.print(f"batch {batch} done"),
    )
    document = as_document(found, theirs)
    if asked.output is not None:
        text = json.dumps(document, indent=1) + "\n"
        write_atomically(asked.output, lambda file: write_text(file, text))
    if as_json:
        typer.echo(json.dumps(document))
        return
    show(document)


def as_document(found: list[Timed], monte_carlo: float | None) -> dict[str, Any]:
    """With the machine, and what the numbers are to be held against."""
    rows = [
        {
            "model": one.model,
            "format": one.format,
            "precision": one.precision,
            "threads": one.threads,
            "batch": one.batch,
            "mean_ms": 1e3 * one.mean,
            "spread_ms": 1e3 * one.spread,
            "median_ms": 1e3 * one.median,
            "repeats": len(one.seconds_per_shower),
            "peak_memory_mb": one.peak_memory_mb,
            "speed_up": None if monte_carlo is None else monte_carlo / one.mean,
        }
        for one in found
    ]
    return {
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "energy_gev": list(ENERGY_GEV),
        "monte_carlo_seconds": monte_carlo,
        "seed": {"geant4_seconds": SEED_GEANT4, "3dgan_seconds": SEED_3DGAN, "batch": 128, "cores": 56},
        "rows": rows,
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        return platform.processor()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.processor())


def show(document: dict[str, Any]) -> None:
    """A table, and what stands beside it."""
    theirs, console = document["monte_carlo_seconds"], console_for()
    columns = ["model", "format", "threads", "batch", "ms per shower", "median", "peak memory [MB]"]
    table = Table(*columns, *(() if theirs is None else ("Monte Carlo over this",)))
    for row in document["rows"]:
        cells = [Path(row["model"]).name, f"{row['format']}, {row['precision']}", str(row["threads"]), str(row["batch"])]
        cells += [f"{row['mean_ms']:.2f} ± {row['spread_ms']:.2f}", f"{row['median_ms']:.2f}", f"{row['peak_memory_mb']:.0f}"]
        table.add_row(*cells, *(() if theirs is None else (f"{row['speed_up']:.0f}",)))
    console.print(table)
    machine, (low, high) = document["machine"], document["energy_gev"]
    text = f"{machine['processor']}, {machine['cores']} cores; {low:g} to {high:g} GeV, with noise, inverse transform, threshold, copy."
    if theirs is not None:
        text += f" Monte Carlo: {theirs:.2f} s per shower on one core, as its file says, of the machine that made it."
    console.print(text, soft_wrap=True)
    console.print(
        f"The seed, elsewhere: Geant4 {SEED_GEANT4:g} s, its 3DGAN {1e3 * SEED_3DGAN:g} ms with batch 128 on 56 cores.", soft_wrap=True
    )
