"""How long generators take per shower: a call of `Generator.sample`, from energies to cells in GeV in memory of one's own.

Each generator with each number of threads has a process of its own. They take turns, one call each, so that a machine that is slower for a
while is so for all of them. The first calls with a batch are not counted: libraries choose and compile then.
"""

from __future__ import annotations

import multiprocessing
import resource
import statistics
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection
from pathlib import Path

import numpy as np
import torch

from gan3d.errors import DataError, Gan3dError
from gan3d.generation.generator import Generator

BATCHES = (1, 8, 100, 128, 1000)
REPEATS = 10
#: Calls with each batch that are not counted.
WARM_UP = 2
#: Incident energies of the timed showers, uniform [GeV].
ENERGY_GEV = (10.0, 100.0)
#: Polar angle of the timed showers where there is to be one [rad].
ANGLE = 1.4


@dataclass(frozen=True, slots=True)
class Timed:
    """One generator with one batch and one number of threads."""

    model: str
    format: str
    precision: str
    threads: int
    batch: int
    seconds_per_shower: tuple[float, ...]
    """Of each call."""
    peak_memory_mb: float
    """Of the process, until its last call with this batch; in the order of batches, so of no larger one."""

    @property
    def mean(self) -> float:
        """[s]."""
        return statistics.fmean(self.seconds_per_shower)

    @property
    def spread(self) -> float:
        """Standard deviation of the calls [s]; 0 of a single one."""
        return statistics.stdev(self.seconds_per_shower) if len(self.seconds_per_shower) > 1 else 0.0

    @property
    def median(self) -> float:
        """[s]."""
        return statistics.median(self.seconds_per_shower)


def time_generators(
    models: Sequence[Path],
    *,
    batches: Sequence[int] = BATCHES,
    threads: Sequence[int] = (1,),
    device: str = "cpu",
    repeats: int = REPEATS,
    progress: Callable[[int], None] = lambda _batch: None,
) -> list[Timed]:
    """Time all of them by turns.

    Args:
        models: trials, states or exported files.
        batches: showers to a call.
        threads: each of which every generator is timed with.
        device: of `Generator.load`.
        repeats: calls that count, of each batch.
        progress: hears of each batch that is done.

    Raises:
        Gan3dError: a generator cannot be loaded, or its process died.
    """
    kinds = [(model, number) for model in models for number in threads]
    found: list[Timed] = []
    with _processes(kinds, device) as processes:
        cards = [Generator.load(model).card for model, _ in kinds]
        for batch in sorted(batches):
            calls: list[list[float]] = [[] for _ in kinds]
            for turn in range(WARM_UP + repeats):
                for place, process in enumerate(processes):
                    seconds = process.call(batch)
                    if turn >= WARM_UP:
                        calls[place].append(seconds / batch)
            for (model, number), card, seconds_each, process in zip(kinds, cards, calls, processes, strict=True):
                memory = process.call(0)
                found.append(Timed(str(model), card.format, card.precision, number, batch, tuple(seconds_each), memory))
            progress(batch)
    return found


@dataclass(frozen=True, slots=True)
class _Process:
    """Waits for batches."""

    model: Path
    connection: Connection

    def call(self, batch: int) -> float:
        """Seconds of one call; of the batch 0 the process's peak memory [MB].

        Raises:
            Gan3dError: the process could not load the generator, or died.
        """
        try:
            self.connection.send(batch)
            answer = self.connection.recv()
        except (EOFError, OSError) as problem:
            message = "its process died, perhaps for want of memory. Try smaller batches."
            raise DataError(message, file=str(self.model)) from problem
        if isinstance(answer, Gan3dError):
            raise answer
        return float(answer)


@contextmanager
def _processes(kinds: Sequence[tuple[Path, int]], device: str) -> Iterator[list[_Process]]:
    spawn = multiprocessing.get_context("spawn")
    started, found = [], []
    try:
        for model, threads in kinds:
            ours, theirs = spawn.Pipe()
            process = spawn.Process(target=_serve, args=(theirs, model, threads, device), daemon=True)
            process.start()
            theirs.close()
            started.append(process)
            found.append(_Process(model, ours))
        yield found
    finally:
        for process in started:
            process.kill()
            process.join()


def _serve(connection: Connection, model: Path, threads: int, device: str) -> None:
    torch.set_num_threads(threads)
    try:
        generator = Generator.load(model, threads=threads, device=device)
    except Gan3dError as problem:
        connection.recv()
        connection.send(problem)
        return
    random = np.random.default_rng(1)
    while True:
        batch = connection.recv()
        connection.send(timed(generator, batch, random) if batch else peak_memory_mb())


def timed(generator: Generator, batch: int, random: np.random.Generator) -> float:
    """Seconds of one call of `Generator.sample`."""
    energy = random.uniform(*ENERGY_GEV, batch).astype(np.float32)
    angle = np.full(batch, ANGLE, np.float32) if generator.has_polar_angle else None
    seed = int(random.integers(2**31))
    start = time.perf_counter()
    cells = generator.sample(energy, angle, seed=seed)
    seconds = time.perf_counter() - start
    assert cells.shape == (batch, *generator.grid)
    return seconds


def peak_memory_mb() -> float:
    """Largest resident memory of this process so far [MB].

    Not getrusage's where the system counts it itself: on Linux that begins with the memory of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii", errors="replace").splitlines()
        return next(float(line.split()[1]) * 1.024e-3 for line in lines if line.startswith("VmHWM:"))
    except (OSError, StopIteration):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        # Kilobytes, but bytes on macOS.
        return peak / (1e6 if sys.platform == "darwin" else 1e3)
