"""Real ranks for tests: spawned processes that form a gloo group over a file and call functions until told to leave.

Nothing here can hang: every call has a deadline, after which all processes are killed.
"""

from __future__ import annotations

import multiprocessing
import pickle
import time
import traceback
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist

from gan3d.training.ranks import Ranks

#: A collective that waits longer for another rank fails [s].
COLLECTIVE_SECONDS = 90
#: A call that takes longer is ended by killing the ranks [s]; importing torch on a loaded machine is part of the first one.
CALL_SECONDS = 240


class GlooProcesses:
    """The parent's side: sends each rank the same function, gets one result from each."""

    def __init__(self, world_size: int, folder: Path) -> None:
        self._world_size, self._folder = world_size, folder
        self._num_starts = 0
        self._connections: list[Connection] = []
        self._processes: list[Any] = []

    def _start(self) -> None:
        """At the first call, and after one that failed: the ranks may be in the middle of a collective then."""
        self._num_starts += 1
        store = str(self._folder / f"store_{self._num_starts}")
        context = multiprocessing.get_context("spawn")
        pipes = [context.Pipe() for _ in range(self._world_size)]
        self._connections = [ours for ours, _ in pipes]
        self._processes = [
            context.Process(target=_serve, args=(theirs, rank, self._world_size, store), daemon=True)
            for rank, (_, theirs) in enumerate(pipes)
        ]
        for process, (_, theirs) in zip(self._processes, pipes, strict=True):
            process.start()
            theirs.close()

    def run(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function(ranks, *arguments)`` on every rank at once; the results in the order of the ranks.

        Raises:
            AssertionError: with the rank's traceback, where a rank raised, died or was too slow.
        """
        if not self._connections:
            self._start()
        request = pickle.dumps((function, arguments))
        for connection in self._connections:
            connection.send_bytes(request)
        deadline = time.monotonic() + CALL_SECONDS
        return [self._answer(rank, deadline) for rank in range(len(self._connections))]

    def _answer(self, rank: int, deadline: float) -> Any:
        try:
            if not self._connections[rank].poll(max(0.0, deadline - time.monotonic())):
                problem = f"rank {rank} did not answer within {CALL_SECONDS} s"
            else:
                raised, answer = pickle.loads(self._connections[rank].recv_bytes())
                if not raised:
                    return answer
                problem = f"rank {rank} raised\n{answer}"
        except EOFError:
            problem = f"rank {rank} died"
        self.close()
        raise AssertionError(problem)

    def close(self) -> None:
        """End the ranks, by force where they do not go."""
        for connection in self._connections:
            connection.close()  # an idle rank sees the end and leaves
        for process in self._processes:
            process.join(timeout=5)
            if process.is_alive():
                process.kill()
                process.join()
        self._connections, self._processes = [], []


@contextmanager
def gloo_processes(world_size: int, folder: Path) -> Iterator[GlooProcesses]:
    """Ranks for as long as the block lasts; ``folder`` is an empty one for their meeting point."""
    processes = GlooProcesses(world_size, folder)
    try:
        yield processes
    finally:
        processes.close()


def _serve(connection: Connection, rank: int, world_size: int, store: str) -> None:
    """A rank's life."""
    warnings.simplefilter("error")
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo", init_method=f"file://{store}", rank=rank, world_size=world_size, timeout=timedelta(seconds=COLLECTIVE_SECONDS)
    )
    ranks = Ranks(rank, world_size, group=dist.group.WORLD)
    while True:
        try:
            function, arguments = pickle.loads(connection.recv_bytes())
        except EOFError:
            break
        try:
            answer = (False, function(ranks, *arguments))
        except Exception:  # noqa: BLE001 - whatever it is, the parent shows it
            answer = (True, traceback.format_exc())
        connection.send_bytes(pickle.dumps(answer))
    dist.destroy_process_group()
