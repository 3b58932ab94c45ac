"""One rank of a gloo group on each host of a test bed, and calls of functions on all of them.

The group meets at the first host's address; gloo finds its interface by the host's name, as it does on a cluster.
"""

from __future__ import annotations

import pickle
import subprocess
import sys
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from typing import Any

from benchmarks.hosts.namespaces import stop
from benchmarks.hosts.testbed import Host

#: Where the ranks meet on the first host; nobody else is in its network.
PORT = 29500
#: A call that takes longer has failed [s].
CALL_SECONDS = 300.0
#: The level of torch's C++ part keeps it from complaining that addresses have no names.
ENVIRONMENT = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TORCH_CPP_LOG_LEVEL": "ERROR"}


class RanksOnHosts:
    """The ranks, each a process that waits for calls."""

    def __init__(self, hosts: Sequence[Host]) -> None:
        """Start them, rank by host."""
        self._processes: list[subprocess.Popen[Any]] = []
        self._connections: list[Connection] = []
        for rank, host in enumerate(hosts):
            ours, theirs = Pipe()
            words = [str(theirs.fileno()), str(rank), str(len(hosts)), hosts[0].address]
            command = [sys.executable, "-m", "benchmarks.hosts.ranks", *words]
            self._processes.append(host.start(command, ENVIRONMENT, pass_fds=[theirs.fileno()], stdin=subprocess.DEVNULL))
            self._connections.append(ours)
            theirs.close()

    @property
    def world_size(self) -> int:
        """How many there are."""
        return len(self._connections)

    def call(self, function: Callable[..., Any], *arguments: Any) -> list[Any]:
        """``function(ranks, *arguments)`` on all ranks at the same time; its answers, rank by rank.

        Raises:
            RuntimeError: one raised, died or did not answer.
        """
        message = pickle.dumps((function, arguments))
        for connection in self._connections:
            connection.send_bytes(message)
        deadline = time.monotonic() + CALL_SECONDS
        return [self._answer(rank, deadline) for rank in range(len(self._connections))]

    def _answer(self, rank: int, deadline: float) -> Any:
        connection = self._connections[rank]
        try:
            if not connection.poll(max(0.0, deadline - time.monotonic())):
                problem = f"did not answer within {CALL_SECONDS:g} s"
            else:
                has_raised, answer = pickle.loads(connection.recv_bytes())
                if not has_raised:
                    return answer
                problem = f"raised\n{answer}"
        except (EOFError, ConnectionResetError):
            problem = "died"
        self.close()
        message = f"rank {rank} {problem}"
        raise RuntimeError(message)

    def close(self) -> None:
        """End the processes. Can be called again."""
        for connection in self._connections:
            connection.close()
        for process in self._processes:
            stop(process)
        self._connections, self._processes = [], []


@contextmanager
def ranks_on(hosts: Sequence[Host]) -> Iterator[RanksOnHosts]:
    """For as long as the block lasts."""
    ranks = RanksOnHosts(hosts)
    try:
        yield ranks
    finally:
        ranks.close()


def serve(connection: Connection, rank: int, world_size: int, address: str) -> None:
    """A rank's life."""
    import torch
    import torch.distributed as dist

    from gan3d.training.ranks import Ranks

    torch.set_num_threads(1)
    meeting = f"tcp://{address}:{PORT}"
    wait = timedelta(seconds=CALL_SECONDS)
    dist.init_process_group("gloo", init_method=meeting, rank=rank, world_size=world_size, timeout=wait)
    ranks = Ranks(rank, world_size, group=dist.group.WORLD)
    while True:
        try:
            function, arguments = pickle.loads(connection.recv_bytes())
        except (EOFError, ConnectionResetError):
            return
        try:
            answer = (False, function(ranks, *arguments))
        except Exception:  # noqa: BLE001 - whatever it is, the caller shows it
            answer = (True, traceback.format_exc())
        connection.send_bytes(pickle.dumps(answer))


if __name__ == "__main__":
    serve(Connection(int(sys.argv[1])), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4])
