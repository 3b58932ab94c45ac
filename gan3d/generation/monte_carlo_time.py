"""What Monte Carlo takes for a shower, and on which machine, as the file of its showers says."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import h5py
import numpy as np
from numpy.typing import NDArray

from gan3d.data.shower_file import DAMAGE, open_shower_file
from gan3d.errors import DataError

#: Data set of a file: what each of its showers took [s], on one core.
SECONDS = "cpu_s"
#: Attribute of a file: the machine that made it.
MACHINE = "machine"


@dataclass(frozen=True, slots=True)
class MonteCarloTime:
    """For one shower on one core."""

    seconds: float
    energy_gev: float
    """Incident energy of that shower."""
    machine: str | None
    """That made the file; None: nobody says."""


def monte_carlo_time(path: Path, energy_gev: float, machine: str | None = None) -> MonteCarloTime:
    """For a shower of that incident energy: the file's seconds over its energies [GeV], times it.

    Args:
        path: showers in any layout, with their `cpu_s`.
        energy_gev: incident energy [GeV].
        machine: that made the file, in place of what its attribute `machine` says.

    Raises:
        DataError: it is no file of showers, or does not say for each of them what it took.
    """
    energy = open_shower_file(path).layout.incident_energy.astype(float).ravel()
    seconds, told = _recorded(path)
    if len(seconds) != len(energy) or not len(seconds):
        message = f"it does not say what its showers took: {SECONDS} has {len(seconds)} numbers for {len(energy)} showers"
        raise DataError(message, file=str(path))
    for name, unit, values in ((SECONDS, "s", seconds), ("incident energy", "GeV", energy)):
        wrong = np.flatnonzero(~(np.isfinite(values) & (values > 0)))
        if len(wrong):
            message = f"{name} is {values[wrong[0]]:g} {unit}, and must be finite and above 0 ({len(wrong)} of {len(values)} are not)"
            raise DataError(message, file=str(path), index=int(wrong[0]))
    return MonteCarloTime(float(seconds.sum() / energy.sum() * energy_gev), energy_gev, machine or told)


def _recorded(path: Path) -> tuple[NDArray[np.float64], str | None]:
    """Seconds of all showers, and the machine."""
    try:
        with h5py.File(path, "r", locking="best-effort") as file:
            machine = file.attrs.get(MACHINE)
            stored = file.get(SECONDS)
            if not isinstance(stored, h5py.Dataset):
                message = f"it does not say what its showers took: there must be a data set {SECONDS} [s], a number for each"
                raise DataError(message, file=str(path))
            seconds = np.ravel(stored[()]).astype(float)
    except (*DAMAGE, TypeError, ValueError) as problem:
        message = f"its {SECONDS} cannot be read as numbers: {problem}"
        raise DataError(message, file=str(path)) from problem
    if isinstance(machine, bytes):
        machine = machine.decode(errors="replace")
    return seconds, str(machine) if machine is not None and str(machine) else None
