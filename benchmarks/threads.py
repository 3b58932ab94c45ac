"""Two cores: one worker with two threads, or two workers with one thread each, at the same global batch; wall time.

Workers are processes of a gloo group that step through the same code as a trial's ranks: `gan3d.training` with DDP and its timed
all-reduce. Both arrangements live side by side and step in turn; who is not asked sleeps on a pipe. The machine must have nothing
else to do: threads that wait for each other at every layer suffer most from a neighbour.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from functools import partial
from multiprocessing.connection import Connection
from pathlib import Path

import torch
import torch.distributed as dist

from benchmarks.harness import Row, interleaved, rates
from benchmarks.training_step import gan3d_step, study_settings
from gan3d.training.ranks import Ranks

#: Study whose networks are trained, its global batch, and steps to a measurement.
CASES = (("seed_baseline", 16, 1), ("quickstart", 16, 4))
#: World size, threads per worker, and whether each worker is bound to a core of its own, by name.
ARRANGEMENTS = {"1 worker x 2 threads": (1, 2, False), "2 workers x 1 thread": (2, 1, False), "2 workers x 1 thread, bound": (2, 1, True)}
#: A worker that does not answer for so long has failed [s].
MOST_SECONDS = 300


def rows(quick: bool) -> Iterator[Row]:
    """Both arrangements for each study."""
    for study, batch, steps in CASES:
        with ExitStack() as stack:
            calls: dict[str, Callable[[], object]] = {}
            for name, (world_size, threads, is_bound) in ARRANGEMENTS.items():
                make_step = partial(steps_of_a_study, study, batch // world_size, steps, threads)
                calls[name] = stack.enter_context(workers(bound(make_step) if is_bound else make_step, world_size, threads))
            seconds = interleaved(calls, 2 if quick else 5)
        for name, taken in seconds.items():
            yield Row.of(("threads", f"{study}, global batch {batch}", name), rates(batch * steps, taken), "showers/s")


def steps_of_a_study(study: str, batch: int, steps: int, threads: int, ranks: Ranks) -> Callable[[], None]:
    """A call makes ``steps`` steps with ``batch`` showers each on this rank."""
    step = gan3d_step(study_settings(study), batch, ranks, threads)

    def call() -> None:
        for _ in range(steps):
            step()

    return call


def bound(make_step: Callable[[Ranks], Callable[[], None]]) -> Callable[[Ranks], Callable[[], None]]:
    """The same on a core of the rank's own."""
    return partial(_bound, make_step)


def _bound(make_step: Callable[[Ranks], Callable[[], None]], ranks: Ranks) -> Callable[[], None]:
    cores = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(0, {cores[ranks.rank % len(cores)]})
    return make_step(ranks)


@contextmanager
def workers(make_step: Callable[[Ranks], Callable[[], None]], world_size: int, threads: int) -> Iterator[Callable[[], None]]:
    """Processes for as long as the block lasts; a call of what it gives is a call, on all of them, of what they made."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(world_size)]
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        tasks = [(theirs, make_step, (rank, world_size, threads), store) for rank, (_, theirs) in enumerate(pipes)]
        processes = [context.Process(target=_serve, args=task, daemon=True) for task in tasks]
        try:
            for process, (_, theirs) in zip(processes, pipes, strict=True):
                process.start()
                theirs.close()
            connections = [ours for ours, _ in pipes]
            yield lambda: _ask(connections)
        finally:
            for ours, _ in pipes:
                ours.close()  # a worker that waits sees the end and leaves
            for process in processes:
                process.join(timeout=10)
                process.kill()


def _ask(connections: Sequence[Connection]) -> None:
    for connection in connections:
        connection.send(None)
    for connection in connections:
        if not connection.poll(MOST_SECONDS):
            message = f"a worker made no step within {MOST_SECONDS} s"
            raise TimeoutError(message)
        try:
            connection.recv()
        except (EOFError, ConnectionResetError) as error:
            message = "a worker died; why, it says above"
            raise RuntimeError(message) from error


def _serve(connection: Connection, make_step: Callable[[Ranks], Callable[[], None]], place: tuple[int, int, int], store: str) -> None:
    """A worker's life."""
    rank, world_size, threads = place
    torch.set_num_threads(threads)
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    step = make_step(Ranks(rank, world_size, group=dist.group.WORLD if world_size > 1 else None))
    while True:
        try:
            connection.recv()
        except EOFError:
            break
        step()
        connection.send(None)
    if world_size > 1:
        dist.destroy_process_group()
