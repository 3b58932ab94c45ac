"""Simulated showers by the batch: in memory, or by any number of processes into a file that does not depend on that number.

Showers come in chunks of a fixed size, each with its own random stream, made from the seed and the chunk's number alone.
"""

from __future__ import annotations

import multiprocessing
from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from gan3d.data.shower_writer import ShowerWriter
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.readout import PolarCells
from gan3d.simulation.spots import shower_cells

#: Part of the definition of a seed's showers: another number here makes other showers.
SHOWERS_PER_CHUNK = 32
#: The published formulas were fitted from 1 GeV on; beyond these angles most of a shower leaves the window.
LOWEST_ENERGY_GEV = 1.0
POLAR_ANGLES_RAD = (np.pi / 4, 3 * np.pi / 4)


class LogUniform(NamedTuple):
    """A range of energies [GeV] with as many showers below its geometric mean as above (CaloChallenge: 1 to 1000)."""

    low: float
    high: float


class SimulatedShowers(NamedTuple):
    """``cells`` (B, X, Y, L) float32 deposited energy [GeV]; incident energy (B,) [GeV] and polar angle (B,) [rad], float32."""

    cells: np.ndarray
    incident_energy: np.ndarray
    polar_angle: np.ndarray


@dataclass(frozen=True, slots=True)
class _Beam:
    """What is shot at the calorimeter: electrons of energies [GeV] and polar angles [rad] between two."""

    calorimeter: Calorimeter
    energy: tuple[float, float]
    polar_angle: tuple[float, float]
    seed: int


def shower_batch(
    calorimeter: Calorimeter,
    *,
    num_showers: int,
    incident_energy_gev: tuple[float, float],
    polar_angle_rad: tuple[float, float] | None = None,
    seed: int = 1,
) -> SimulatedShowers:
    """The showers ``simulate`` would write, in memory.

    Raises:
        ConfigError: if the range of energies or angles, or the number of showers, cannot be simulated.
    """
    beam = _beam(calorimeter, num_showers, incident_energy_gev, polar_angle_rad, seed)
    parts = [_chunk(beam, number, size) for number, size in enumerate(_chunk_sizes(num_showers))]
    return SimulatedShowers(*(np.concatenate(values) for values in zip(*parts, strict=True)))


def simulate(
    path: Path,
    *,
    calorimeter: Calorimeter,
    num_showers: int,
    incident_energy_gev: tuple[float, float],
    polar_angle_rad: tuple[float, float] | None = None,
    seed: int = 1,
    processes: int = 1,
    progress: Callable[[int], None] | None = None,
) -> None:
    """Write electron showers to ``path``, which appears when all are there; memory does not grow with their number.

    Args:
        path: HDF5 file in the layout of ``gan3d.data.shower_writer``; an existing one is replaced.
        calorimeter: what is hit; its window is the file's grid.
        num_showers: how many.
        incident_energy_gev: uniform between these, or uniform in the logarithm where they are ``LogUniform``.
        polar_angle_rad: uniform between these, in the x-z plane; normal incidence where none is given.
        seed: same seed, same showers, whatever ``processes``.
        processes: started afresh, so the caller's main module must be importable without side effects; 1 starts none.
        progress: called with the number of showers written since its last call.

    Raises:
        ConfigError: if the range of energies or angles, or a number, cannot be simulated.
        DataError: if nothing can be written at ``path``.
        OSError: the disk is full.
    """
    beam = _beam(calorimeter, num_showers, incident_energy_gev, polar_angle_rad, seed)
    if processes < 1:
        msg = f"processes = {processes} must be at least 1"
        raise ConfigError(msg, key="processes")
    is_polar = isinstance(calorimeter.cells, PolarCells)
    with ShowerWriter(path, calorimeter.grid, is_polar=is_polar, has_polar_angle=polar_angle_rad is not None) as writer:
        for showers in _chunks(beam, num_showers, processes):
            writer.append(*showers)
            if progress is not None:
                progress(len(showers.incident_energy))


def _beam(
    calorimeter: Calorimeter,
    num_showers: int,
    energy: tuple[float, float],
    polar_angle: tuple[float, float] | None,
    seed: int,
) -> _Beam:
    if num_showers < 1:
        msg = f"num_showers = {num_showers} must be at least 1"
        raise ConfigError(msg, key="num_showers")
    if seed < 0:
        msg = f"seed = {seed} must be at least 0"
        raise ConfigError(msg, key="seed")
    _check_range("incident_energy_gev", energy, (LOWEST_ENERGY_GEV, np.inf), "GeV")
    if polar_angle is not None and isinstance(calorimeter.cells, PolarCells):
        msg = f"polar_angle_rad has no meaning for {calorimeter.name}, whose cells lie on rings around the shower's axis"
        raise ConfigError(msg, key="polar_angle_rad")
    if polar_angle is not None:
        _check_range("polar_angle_rad", _in_degrees(polar_angle), _in_degrees(POLAR_ANGLES_RAD), "degrees")
    return _Beam(calorimeter, energy, polar_angle or (np.pi / 2, np.pi / 2), seed)


def _check_range(key: str, found: tuple[float, float], allowed: tuple[float, float], unit: str) -> None:
    low, high = found
    if not low <= high:
        msg = f"{key} = {low:g} to {high:g} {unit} must rise. Write the lower end first."
        raise ConfigError(msg, key=key)
    if low < allowed[0] or high > allowed[1] or not np.isfinite(high):
        within = f"lie within {allowed[0]:.4g} to {allowed[1]:.4g} {unit}"
        rule = f"be at least {allowed[0]:g} {unit}, and finite" if np.isinf(allowed[1]) else within
        msg = f"{key} = {low:g} to {high:g} {unit} must {rule}"
        raise ConfigError(msg, key=key)


def _in_degrees(angles_rad: tuple[float, float]) -> tuple[float, float]:
    return float(np.degrees(angles_rad[0])), float(np.degrees(angles_rad[1]))


def _chunk_sizes(num_showers: int) -> list[int]:
    full, rest = divmod(num_showers, SHOWERS_PER_CHUNK)
    return [SHOWERS_PER_CHUNK] * full + [rest] * (rest > 0)


def _chunk(beam: _Beam, number: int, size: int) -> SimulatedShowers:
    """Chunk ``number`` of the beam's showers."""
    generator = np.random.default_rng([beam.seed, number])
    low, high = beam.energy
    is_logarithmic = isinstance(beam.energy, LogUniform)
    energy = np.exp(generator.uniform(np.log(low), np.log(high), size)) if is_logarithmic else generator.uniform(low, high, size)
    polar_angle = generator.uniform(*beam.polar_angle, size)
    cells = shower_cells(energy, polar_angle, generator, beam.calorimeter)
    return SimulatedShowers(cells, energy.astype(np.float32), polar_angle.astype(np.float32))


def _chunks(beam: _Beam, num_showers: int, processes: int) -> Iterator[SimulatedShowers]:
    """All chunks in order, with at most a few waiting to be written."""
    sizes = _chunk_sizes(num_showers)
    if processes == 1:
        yield from (_chunk(beam, number, size) for number, size in enumerate(sizes))
        return
    with ProcessPoolExecutor(min(processes, len(sizes)), mp_context=multiprocessing.get_context("spawn")) as pool:
        waiting: deque[Future[SimulatedShowers]] = deque()
        try:
            for number, size in enumerate(sizes):
                waiting.append(pool.submit(_chunk, beam, number, size))
                if len(waiting) > 2 * processes:
                    yield waiting.popleft().result()
            while waiting:
                yield waiting.popleft().result()
        finally:
            for future in waiting:
                future.cancel()
