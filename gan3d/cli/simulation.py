"""`gan3d simulate`: showers without Geant4, with a progress bar."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from gan3d.cli.outputs import refuse_taken
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.simulation.simulate import LogUniform, simulate
from gan3d.terminal.console import console_for, is_live


@dataclass(frozen=True, slots=True)
class Beam:
    """What is asked: energies in GeV, polar angles in degrees."""

    calorimeter: str
    num_showers: int
    energy_gev: tuple[float, float]
    angle_degrees: tuple[float, float] | None
    seed: int
    spectrum: str

    @property
    def angle_rad(self) -> tuple[float, float] | None:
        """Polar angles [rad]."""
        if self.angle_degrees is None:
            return None
        low, high = self.angle_degrees
        return math.radians(low), math.radians(high)


def write_showers(output: Path, beam: Beam, *, processes: int, force: bool) -> None:
    """Simulate and say where the showers are.

    Raises:
        ConfigError: a folder is there, or a file that may not be replaced, or the beam cannot be simulated.
        DataError: nothing can be written there.
    """
    refuse_taken(output, may_replace=force)
    console = console_for()
    columns = (TextColumn("Simulating"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(), TimeRemainingColumn())
    with Progress(*columns, console=console, transient=True, disable=not is_live(console)) as progress:
        task = progress.add_task("", total=beam.num_showers)
        simulate(
            output,
            calorimeter=calorimeter(beam.calorimeter),
            num_showers=beam.num_showers,
            incident_energy_gev=LogUniform(*beam.energy_gev) if beam.spectrum == "log_uniform" else beam.energy_gev,
            polar_angle_rad=beam.angle_rad,
            seed=beam.seed,
            processes=processes,
            progress=lambda written: progress.advance(task, written),
        )
    text = f"{beam.num_showers} showers in {output} ({output.stat().st_size / 1e6:.1f} MB)"
    console.print(text, soft_wrap=True, markup=False, highlight=False)
