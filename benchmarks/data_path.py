"""From shower files to batches: reading speed by compression and chunk, the node's cache, and what a training step waits.

The showers are those of `samples/`, repeated. "Stall" is the share of wall time that a step waits for its batch, beside a stand-in
for training: matrix products that take one thread a fixed CPU time per step. "loader" is the CPU time of the reading thread over
that of the training thread: what reading costs where both share one core.
"""

from __future__ import annotations

import itertools
import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import h5py
import numpy as np
import psutil
import torch

from benchmarks.harness import Row, interleaved, rates
from gan3d.data.dataset import ShowerSet
from gan3d.data.loader import MEGABYTE, Loader, Share

NAME = "data_path"
SAMPLE = Path(__file__).parent.parent / "samples" / "geant4" / "clic_10_100_train.h5"
COPIES = 3
"""Of the sample's 720 showers in a file: 135 MB decoded."""
CHUNKS = (1, 16, 128, 1000)
BATCH = 16
FASTEST, SLOWER = 300, 60
"""Showers a second of one core: the quickstart's small networks after all that makes them fast, and larger ones."""
FEW_STEPS = 16
"""Of a stall that is not measured over a whole epoch."""
LARGE_COPIES = 93
"""Of a file in the set that is larger than memory: 200,880 showers, 12.6 GB decoded."""


def rows(quick: bool) -> Iterator[Row]:
    """Reading, filling, stalls; ``quick``: one round, fewer steps."""
    rounds = 1 if quick else 3
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        files = _files(folder)
        yield from _reading(files, folder, rounds)
        yield from _memory(files["gzip, 16"], rounds)
        yield from _node_cache(files["gzip, 16"], folder, rounds)
        yield from _stalls(files, folder, quick=quick)
        yield from _beyond_memory(files["none, contiguous"], folder)


def _files(folder: Path) -> dict[str, Path]:
    """The same showers in every storage."""
    with h5py.File(SAMPLE) as sample:
        cells = np.concatenate([sample["ECAL"][()]] * COPIES)
        target = np.concatenate([sample["target"][()]] * COPIES)
    stored: list[tuple[str | None, int | None]] = [*itertools.product(("gzip", "lzf", None), CHUNKS), (None, None)]
    files = {}
    for compression, chunk in stored:
        path = files[f"{compression or 'none'}, {chunk or 'contiguous'}"] = folder / f"{compression}_{chunk}.h5"
        with h5py.File(path, "w") as file:
            chunks = (chunk, *cells.shape[1:]) if chunk else None
            file.create_dataset("ECAL", data=cells, chunks=chunks, compression=compression, shuffle=compression is not None)
            file["target"] = target
    return files


def _loader(showers: ShowerSet, cache_megabytes: int, num_steps: int | None = None) -> Loader:
    share = Share(batch_per_worker=BATCH, rank=0, world_size=1, seed=1)
    return Loader(showers, share, cache_megabytes=cache_megabytes, read_ahead_batches=4, num_steps=num_steps)


def _opened(path: Path, node_cache: Path | None = None) -> ShowerSet:
    return ShowerSet.open([str(path)], node_cache=None if node_cache is None else str(node_cache)).scan()


def _epoch(loader: Loader, number: int = 0) -> None:
    for _ in loader.epoch(number):
        pass


def _speeds(case: str, variant: str, showers: ShowerSet, seconds: list[float]) -> Iterator[Row]:
    values = rates(len(showers), seconds)
    yield Row.of((NAME, case, variant), values, "showers/s")
    yield Row.of((NAME, f"{case}, decoded", variant), [value * showers.shower_bytes / MEGABYTE for value in values], "MB/s")


def _reading(files: dict[str, Path], folder: Path, rounds: int) -> Iterator[Row]:
    """Whole epochs that stream, as fast as they come; files in the page cache, and not."""
    sets = {name: _opened(path) for name, path in files.items()} | {"node cache": _opened(files["gzip, 1000"], folder / "cache")}
    readers = {name: partial(_epoch, _loader(showers, 0)) for name, showers in sets.items()}
    for name, seconds in interleaved(readers, rounds).items():
        yield from _speeds("stream, files in the page cache", name, sets[name], seconds)
    for name in ("gzip, 16", "none, 16", "node cache"):
        decoded = sets[name].files[0].decoded
        path = files.get(name, decoded.path if decoded else SAMPLE)

        from_disk = partial(_from_disk, path, readers[name])
        yield from _speeds("stream, files on the disk", name, sets[name], interleaved({name: from_disk}, rounds)[name])


def _from_disk(path: Path, read: Callable[[], object]) -> None:
    """Drop the file from the page cache, then read."""
    with path.open("rb") as file:
        os.fsync(file.fileno())
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)
    read()


def _memory(path: Path, rounds: int) -> Iterator[Row]:
    """The first epoch of a set that is kept in memory, and the later ones."""
    seconds: dict[str, list[float]] = {"first epoch": [], "later epochs": []}
    for _ in range(rounds):
        showers = _opened(path)
        loader = _loader(showers, 512)
        for number, name in enumerate(seconds):
            start = time.perf_counter()
            _epoch(loader, number)
            seconds[name].append(time.perf_counter() - start)
    for name, measured in seconds.items():
        yield from _speeds("kept in memory", name, showers, measured)


def _node_cache(path: Path, folder: Path, rounds: int) -> Iterator[Row]:
    """Opening a file and looking at all its showers: without a cache, filling it, and using it."""
    count = itertools.count()
    openings: dict[str, Callable[[], object]] = {
        "no cache": lambda: _opened(path),
        "fills it": lambda: _opened(path, folder / f"new_{next(count)}"),
        "uses it": lambda: _opened(path, folder / "new_0"),
    }
    showers = _opened(path)
    for name, seconds in interleaved(openings, rounds).items():
        yield Row.of((NAME, "open and scan", name), rates(len(showers), seconds), "showers/s")


def _stalls(files: dict[str, Path], folder: Path, *, quick: bool) -> Iterator[Row]:
    """Whole epochs at the fastest speed, on one core and on all; some steps at a slower one."""
    streamed = {
        "gzip, 16": _opened(files["gzip, 16"]),
        "gzip, 1000": _opened(files["gzip, 1000"]),
        "node cache": _opened(files["gzip, 1000"], folder / "cache"),
    }
    for speed, cores, rounds, steps in ((FASTEST, 1, 2, None), (FASTEST, None, 1, None), (SLOWER, None, 1, FEW_STEPS)):
        found: dict[str, list[Stall]] = {name: [] for name in ("in memory, warm", *streamed)}
        num_steps = FEW_STEPS if quick else steps
        with _on(cores):
            for _ in range(1 if quick else rounds):
                in_memory = _loader(streamed["gzip, 16"], 512, num_steps)
                for number in range(3):
                    _epoch(in_memory, number)
                found["in memory, warm"].append(_stall(in_memory, BATCH / speed))
                for name, showers in streamed.items():
                    found[name].append(_stall(_loader(showers, 0, num_steps), BATCH / speed))
        yield from _stall_rows(f"{speed} showers/s, {'one core' if cores else 'all cores'}", found)


@dataclass(frozen=True, slots=True)
class Stall:
    """What an epoch waited for the first batch [ms], each later step [%], and the loader's CPU time over that of training [%]."""

    first: float
    later: float
    loader: float


def _stall_rows(where: str, found: dict[str, list[Stall]]) -> Iterator[Row]:
    for name, measured in found.items():
        yield Row.of((NAME, f"first batch, {where}", name), [one.first for one in measured], "ms")
        yield Row.of((NAME, f"stall per step, {where}", name), [one.later for one in measured], "%")
        yield Row.of((NAME, f"loader, {where}", name), [one.loader for one in measured], "%")


def _stall(loader: Loader, step_seconds: float, num_steps: int | None = None) -> Stall:
    """Of one epoch, or its first steps, which take a thread ``step_seconds`` of CPU time each."""
    # A few tenths of a millisecond, and it lets go of the interpreter's lock, as training does.
    matrix = torch.rand(256, 256)
    waits, batches, begin = [], loader.epoch(0), time.perf_counter()
    all_threads, training = time.process_time(), time.thread_time()
    for _ in range(num_steps or loader.num_steps):
        asked = time.perf_counter()
        next(batches)
        waits.append(time.perf_counter() - asked)
        done = time.thread_time() + step_seconds
        while time.thread_time() < done:
            torch.mm(matrix, matrix)
    wall = time.perf_counter() - begin
    training = time.thread_time() - training
    others = time.process_time() - all_threads - training
    batches.close()
    return Stall(1e3 * waits[0], 100 * sum(waits[1:]) / (wall - waits[0]), 100 * others / training)


@contextmanager
def _on(cores: int | None) -> Iterator[None]:
    """This process on so many cores."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, sorted(before)[-cores:] if cores else before)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


def _beyond_memory(path: Path, folder: Path) -> Iterator[Row]:
    """A set that streams in a window: what is resident after the look at all showers and some steps, over what was before."""
    large = folder / "large.h5"
    with h5py.File(path) as one, h5py.File(large, "w") as file:
        for name in ("ECAL", "target"):
            num, shape = len(one[name]), one[name].shape
            layout = h5py.VirtualLayout((num * LARGE_COPIES, *shape[1:]), dtype="f4")
            for copy in range(LARGE_COPIES):
                layout[copy * num : (copy + 1) * num] = h5py.VirtualSource(path, name, shape=shape)
            file.create_virtual_dataset(name, layout)
    before = psutil.Process().memory_info().rss
    showers = _opened(large)
    stall = _stall(_loader(showers, 512), BATCH / FASTEST, 4 * FEW_STEPS)
    resident = psutil.Process().memory_info().rss - before
    where = f"set of {len(showers) * showers.shower_bytes / 1e9:.1f} GB, {FASTEST} showers/s, all cores"
    yield Row.of((NAME, where, "resident"), [resident / MEGABYTE], "MB")
    yield from _stall_rows(where, {"streamed": [stall]})
