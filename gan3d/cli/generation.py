"""`gan3d generate`: a trained generator's showers as a shower file, with a progress bar."""

from __future__ import annotations

import json
import math
import os
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import typer
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gan3d.cli.outputs import refuse_taken
from gan3d.errors import ConfigError
from gan3d.generation.conditions import Conditions, Drawn, Listed
from gan3d.generation.executors import processes, ray_tasks
from gan3d.generation.formats.catalog import format_of
from gan3d.generation.production import Production, produce
from gan3d.generation.registry import SCHEME, downloaded
from gan3d.generation.trained import TRIALS, trial_folder
from gan3d.terminal.console import console_for, is_live
from gan3d.training.checkpoint import TrialFolder

DEFAULT_SHOWERS = 1000
DEFAULT_ENERGY_GEV = (10.0, 100.0)


@dataclass(frozen=True, slots=True)
class Wanted:
    """The options that say which showers: energies in GeV, angles in degrees."""

    num_showers: int | None
    energy_gev: tuple[float, float] | None
    angle_degrees: tuple[float, float] | None
    spectrum: Literal["uniform", "log_uniform"] | None
    like: Path | None
    seed: int

    def conditions(self) -> Conditions:
        """Drawn, or those of a file.

        Raises:
            ConfigError: a range that nothing can be drawn from, more than a file has, or ranges beside it.
            DataError: the file cannot be read.
        """
        if self.like is not None:
            energies = (("energy", "energies", self.energy_gev), ("spectrum", "energies", self.spectrum))
            for key, what, given in (("angle", "angles", self.angle_degrees), *energies):
                if given is not None:
                    message = f"--{key} and --like {self.like} both say at which {what}. Give one."
                    raise ConfigError(message, key=key)
            return Listed.of_file(self.like, self.num_showers)
        angle = None if self.angle_degrees is None else (math.radians(self.angle_degrees[0]), math.radians(self.angle_degrees[1]))
        number, energy = self.num_showers or DEFAULT_SHOWERS, self.energy_gev or DEFAULT_ENERGY_GEV
        return Drawn(number, energy, angle, self.spectrum or "uniform", self.seed)


@dataclass(frozen=True, slots=True)
class How:
    """The options that do not change a shower."""

    processes: int | None
    address: str | None
    is_fresh: bool
    may_replace: bool
    tracking_uri: str | None = None
    device: str = "cpu"
    """Decides the last digits of cells."""


def best_of(model: Path, tracking_uri: str | None = None) -> Path:
    """The folder of the best trial of a study's name, file or results; the file of a registered model; else the path as it is.

    Raises:
        ConfigError: the study has no trial with an objective, or there is no such registered model.
    """
    if str(model).startswith(SCHEME):
        return downloaded(str(model), tracking_uri)
    if format_of(model) or (model.is_file() and model.suffix == ".pt"):
        return model
    if TrialFolder(model).best.is_file():
        return model
    if model.suffix == ".pt" or model.parent.name == TRIALS:
        what = "state" if model.suffix == ".pt" else "trial, or it has finished no epoch"
        message = f"there is no such {what}. gan3d status STUDY lists a study's trials; its name alone means the best one."
        raise ConfigError(message, where=str(model))
    from gan3d.cli.resuming import results_of
    from gan3d.cli.status import status_of

    folder = results_of(model)
    best = status_of(folder)[1].best
    if best is None:
        message = "no trial of this study has an objective yet: nothing to generate with."
        raise ConfigError(message, where=str(folder))
    return trial_folder(folder, best.number).path


def generate_showers(model: Path, output: Path, wanted: Wanted, how: How, *, as_json: bool) -> None:
    """Generate, and say where the showers are.

    Raises:
        ConfigError: a folder is there, or a file that may not be replaced, or the model cannot make such showers.
        DataError: the model or a file cannot be read, or nothing can be written.
    """
    refuse_taken(output, may_replace=how.may_replace)
    asked = Production(best_of(model, how.tracking_uri), wanted.conditions(), wanted.seed, how.device.lower())
    if how.address is not None and how.processes is not None:
        message = "--processes are of this machine, --address is of a cluster. Give one."
        raise ConfigError(message, key="processes")
    number = len(os.sched_getaffinity(0)) if asked.device == "cpu" else 1
    executor = processes(how.processes or number) if how.address is None else ray_tasks(how.address)
    console = console_for(stderr=as_json)
    columns = (TextColumn("Generating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    start = time.monotonic()
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("", total=asked.conditions.num_showers)
        made_before = produce(asked, output, executor=executor, is_fresh=how.is_fresh, progress=lambda done: progress.advance(task, done))
    seconds = time.monotonic() - start
    made = asked.conditions.num_showers - made_before
    if as_json:
        told = {"file": str(output), "num_showers": asked.conditions.num_showers, "made_before": made_before, "seconds": round(seconds, 3)}
        typer.echo(json.dumps(told))
        return
    kept = f"; {made_before} of an earlier run" if made_before else ""
    rate = f"{made / seconds:.0f} showers/s with loading and writing"
    text = f"{asked.conditions.num_showers} showers in {output} ({output.stat().st_size / 1e6:.1f} MB), {rate}{kept}"
    console.print(text, soft_wrap=True, markup=False, highlight=False)
