"""`gan3d benchmark generation`: milliseconds per shower of generators, beside what Monte Carlo takes."""

from __future__ import annotations

import errno
import json
import os
import platform
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

import typer
from rich.markup import escape
from rich.table import Table

from gan3d.cli.generation import best_of
from gan3d.errors import ConfigError, DataError
from gan3d.generation.monte_carlo_time import MonteCarloTime, monte_carlo_time
from gan3d.generation.timing import BATCHES, ENERGY_GEV, Timed, time_generators
from gan3d.terminal.console import console_for
from gan3d.terminal.words import short_paths
from gan3d.writing import write_atomically, write_text

#: The seed's, of the machine that both ran on: Geant4 for a shower, and its 3DGAN with that batch on all cores [s].
SEED = {
    "geant4_seconds": 17.0,
    "3dgan_seconds": 7e-3,
    "batch": 128,
    "cores": 56,
    "machine": "two Intel Xeon Platinum 8180",
    "energy_gev": [10.0, 500.0],
}


@dataclass(frozen=True, slots=True)
class Asked:
    """The options of `gan3d benchmark generation`."""

    models: tuple[Path, ...]
    batches: tuple[int, ...]
    threads: tuple[int, ...]
    device: str
    repeats: int
    monte_carlo: Path | None
    monte_carlo_machine: str | None
    output: Path | None


def benchmark_and_show(asked: Asked, *, as_json: bool) -> None:
    """Time, print, and keep as JSON where that is asked for.

    Raises:
        ConfigError: there is no such model, or a machine is named without a Monte Carlo file.
        DataError: a model cannot be loaded, the Monte Carlo file says no times, or the output cannot be written.
    """
    if asked.output is not None:
        _see_that_it_can_be_written(asked.output)
    theirs = _monte_carlo(asked)
    models, console = [best_of(model) for model in asked.models], console_for(stderr=True)
    found = time_generators(
        models,
        batches=asked.batches or BATCHES,
        threads=asked.threads or (1,),
        device=asked.device,
        repeats=asked.repeats,
        progress=lambda batch: console.print(f"batch {batch} done"),
    )
    document = as_document(found, theirs, asked.device)
    # Shown before it is kept: what was measured is not lost with a disk.
    if as_json:
        typer.echo(json.dumps(document, allow_nan=False))
    else:
        show(document)
    if asked.output is not None:
        _keep(document, asked.output)


def _monte_carlo(asked: Asked) -> MonteCarloTime | None:
    if asked.monte_carlo is not None:
        return monte_carlo_time(asked.monte_carlo, sum(ENERGY_GEV) / 2, asked.monte_carlo_machine)
    if asked.monte_carlo_machine:
        message = "it is that of the file of --monte-carlo, which is missing"
        raise ConfigError(message, key="--monte-carlo-machine")
    return None


def _see_that_it_can_be_written(output: Path) -> None:
    """Before anything is timed."""
    try:
        if output.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        with TemporaryFile(dir=output.parent):
            pass
    except OSError as problem:
        message = f"cannot be written: {problem.strerror}. Nothing was timed"
        raise DataError(message, file=str(output)) from problem


def _keep(document: dict[str, Any], output: Path) -> None:
    text = json.dumps(document, indent=1, allow_nan=False) + "\n"
    try:
        write_atomically(output, lambda file: write_text(file, text))
    except OSError as problem:
        message = f"cannot be written: {problem.strerror}. What was measured stands above"
        raise DataError(message, file=str(output)) from problem


def as_document(found: list[Timed], monte_carlo: MonteCarloTime | None, device: str = "cpu") -> dict[str, Any]:
    """With the machines, and what the numbers are to be held against."""
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
            "speed_up": None if monte_carlo is None else monte_carlo.seconds / one.mean,
        }
        for one in found
    ]
    return {
        "machine": {"processor": _processor(), "cores": len(os.sched_getaffinity(0)), "system": platform.platform()},
        "device": device,
        "energy_gev": list(ENERGY_GEV),
        "monte_carlo_seconds": None if monte_carlo is None else monte_carlo.seconds,
        "monte_carlo_machine": None if monte_carlo is None else monte_carlo.machine,
        "seed": SEED,
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
    names = short_paths(row["model"] for row in document["rows"])
    for row in document["rows"]:
        cells = [escape(names[row["model"]]), f"{row['format']}, {row['precision']}", str(row["threads"]), str(row["batch"])]
        cells += [f"{row['mean_ms']:.2f} ± {row['spread_ms']:.2f}", f"{row['median_ms']:.2f}", f"{row['peak_memory_mb']:.0f}"]
        table.add_row(*cells, *(() if theirs is None else (f"{row['speed_up']:.0f}",)))
    console.print(table)
    machine, (low, high) = document["machine"], document["energy_gev"]
    device = "" if document["device"] == "cpu" else f", device {document['device']}"
    text = f"{machine['processor']}, {machine['cores']} cores{device}; {low:g} to {high:g} GeV"
    text += ", with noise, inverse transform, threshold, copy."
    if theirs is not None:
        text += f" Monte Carlo: {theirs:.2g} s per shower of {(low + high) / 2:g} GeV on one core of"
        text += f" {document['monte_carlo_machine'] or 'a machine that its file does not name (--monte-carlo-machine)'}."
    console.print(text, soft_wrap=True, markup=False)
    seed, (low, high) = document["seed"], document["seed"]["energy_gev"]
    console.print(
        f"The seed, on {seed['machine']}, {low:g} to {high:g} GeV: Geant4 {seed['geant4_seconds']:g} s, its 3DGAN"
        f" {1e3 * seed['3dgan_seconds']:g} ms with batch {seed['batch']} on {seed['cores']} cores.",
        soft_wrap=True,
        markup=False,
    )
