"""Workers of a benchmark: processes of one gloo group that outlive a measurement, and make what they are asked for when they are asked.

Who is not asked sleeps on a pipe.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gan3d.training.ranks import Ranks

#: A worker that does not answer for so long has failed [s].
MOST_SECONDS = 300

#: What a worker can be asked for, by name.
Calls = Mapping[str, Callable[[], Any]]


class WorkerProcesses:
    """The parent's side."""

    def __init__(self, connections: Sequence[Connection]) -> None:
        self._connections = connections

    def ask(self, name: str, ranks: Sequence[int] | None = None) -> list[Any]:
        """What each of ``ranks`` (all by default) answers to a call, made by all of them at once.

        Raises:
            TimeoutError: one does not answer.
            RuntimeError: one died.
        """
        asked = self._connections if ranks is None else [self._connections[rank] for rank in ranks]
        for connection in asked:
            connection.send(name)
        return [self._answer(connection) for connection in asked]

    def _answer(self, connection: Connection) -> Any:
        if not connection.poll(MOST_SECONDS):
            message = f"a worker made no step within {MOST_SECONDS} s"
            raise TimeoutError(message)
        try:
            return connection.recv()
        except (EOFError, ConnectionResetError) as error:
            message = "a worker died; why, it says above"
            raise RuntimeError(message) from error


@contextmanager
def worker_processes(
    make_calls: Callable[[Ranks], Calls], world_size: int, threads: int = 1, *, bound: bool = False
) -> Iterator[WorkerProcesses]:
    """Processes for as long as the block lasts; ``bound`` gives each a core of its own."""
    context = multiprocessing.get_context("spawn")
    pipes = [context.Pipe() for _ in range(world_size)]
    with tempfile.TemporaryDirectory() as folder:
        store = str(Path(folder) / "store")
        places = [(rank, world_size, threads, bound) for rank in range(world_size)]
        tasks = [(theirs, make_calls, place, store) for place, (_, theirs) in zip(places, pipes, strict=True)]
        processes = [context.Process(target=_serve, args=task, daemon=True) for task in tasks]
        try:
            for process, (_, theirs) in zip(processes, pipes, strict=True):
                process.start()
                theirs.close()
            yield WorkerProcesses([ours for ours, _ in pipes])
        finally:
            for ours, _ in pipes:
                ours.close()  # a worker that waits sees the end and leaves
            for process in processes:
                process.join(timeout=10)
                process.kill()


def _serve(connection: Connection, make_calls: Callable[[Ranks], Calls], place: tuple[int, int, int, bool], store: str) -> None:
    """A worker's life."""
    rank, world_size, threads, bound = place
    torch.set_num_threads(threads)
    if bound:  # before the group is made, whose threads inherit it
        cores = sorted(os.sched_getaffinity(0))
        os.sched_setaffinity(0, {cores[rank % len(cores)]})
    if world_size > 1:
        dist.init_process_group("gloo", init_method=f"file://{store}", rank=rank, world_size=world_size)
    calls = make_calls(Ranks(rank, world_size, group=dist.group.WORLD if world_size > 1 else None))
    while True:
        try:
            name = connection.recv()
        except EOFError:
            break
        connection.send(calls[name]())
    if world_size > 1:
        dist.destroy_process_group()
