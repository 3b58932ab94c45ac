"""A Ray cluster on a test bed: its head on the first host, a node of one CPU on each other, so that a team spreads over hosts."""

from __future__ import annotations

import json
import secrets
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.hosts.namespaces import stop
from benchmarks.hosts.testbed import Host, TestBed

PORT, JOBS_PORT = 6379, 8265
RAY = str(Path(sys.executable).parent / "ray")
PYTHON = sys.executable
#: Of a node [bytes]. Nothing large goes through Ray's store: showers are read from files, gradients are gloo's.
STORE_BYTES, MEMORY_BYTES = 100_000_000, 3_000_000_000
#: Below those that systems choose for connections, so that a test may block these alone.
FIXED_PORTS = (
    "--node-manager-port=6401",
    "--object-manager-port=6402",
    "--runtime-env-agent-port=6403",
    "--dashboard-agent-grpc-port=6404",
)
#: How long all nodes may take to be there [s].
START_SECONDS = 180.0
#: Ray asks for this token on every host, so it is told beforehand; nobody else can reach the hosts anyway.
ENVIRONMENT = {"RAY_AUTH_MODE": "token", "RAY_USAGE_STATS_ENABLED": "0", "OMP_NUM_THREADS": "1"}
COUNT_NODES = "import ray, sys; ray.init(sys.argv[1], logging_level='ERROR'); print(sum(n['Alive'] for n in ray.nodes()))"
#: Ray forgets no actor while its head lives; a dashboard, which its public question asks, there is none.
LIST_WORKERS = """
import json, ray, sys
from ray._private.state import actors
ray.init(sys.argv[1], logging_level='ERROR')
workers = [actor['Address'] for actor in actors().values() if actor['ActorClassName'] == 'RayTrainWorker']
print(json.dumps([(worker['NodeID'], worker['IPAddress']) for worker in workers]))
"""


@dataclass(frozen=True, slots=True)
class Oddity:
    """What a node has of its own."""

    environment: dict[str, str] = field(default_factory=dict)
    cpus: int = 1
    """That Ray gives out there."""


class RayCluster:
    """Ray on all hosts of a test bed."""

    def __init__(self, bed: TestBed, odd: Mapping[str, Oddity] | None = None, *, takes_jobs: bool = False) -> None:
        """Start the head, then the nodes; returns when all are there.

        Args:
            bed: the hosts.
            odd: by host name, what a node is to have otherwise than the others.
            takes_jobs: with the server of jobs at `jobs_address`, which takes the extra `cluster`.

        Raises:
            OSError: they are not, within `START_SECONDS`; the logs' last lines are in the message.
        """
        self.bed, self.head = bed, bed.hosts[0]
        self.address, self.jobs_address = f"{self.head.address}:{PORT}", f"http://{self.head.address}:{JOBS_PORT}"
        self.environment = ENVIRONMENT | {"RAY_AUTH_TOKEN": secrets.token_hex(32)}
        self._odd = dict(odd or {})
        self._processes: dict[str, subprocess.Popen[Any]] = {}
        deadline = time.monotonic() + START_SECONDS
        try:
            server = (f"--dashboard-host={self.head.address}", f"--dashboard-port={JOBS_PORT}") if takes_jobs else ()
            asked = ("--head", f"--port={PORT}", f"--include-dashboard={str(takes_jobs).lower()}", *server, "--num-cpus=0")
            nodes: list[tuple[Host, Sequence[str]]] = [(self.head, asked)]
            nodes += [(host, self._joining(host)) for host in bed.hosts[1:]]
            for number in range(1, len(nodes) + 1):  # one after the other: at once they starve each other on few cores
                self._wait_for_nodes(nodes[:number], deadline)
        except BaseException:
            self.close()
            raise

    def _joining(self, host: Host) -> Sequence[str]:
        return (f"--address={self.address}", f"--num-cpus={self._of(host).cpus}")

    def revive(self, host: Host) -> None:
        """Start Ray on a host anew, after it was stopped or killed; returns at once."""
        self._processes[host.name] = self._start(host, self._joining(host))

    def _of(self, host: Host) -> Oddity:
        return self._odd.get(host.name, Oddity())

    def _start(self, host: Host, words: Sequence[str]) -> subprocess.Popen[Any]:
        resources = ["--num-gpus=0", f"--memory={MEMORY_BYTES}", f"--object-store-memory={STORE_BYTES}"]
        own = [
            *FIXED_PORTS,
            f"--node-ip-address={host.address}",
            f"--temp-dir={self.bed.local / 'ray'}",
            "--disable-usage-stats",
            "--block",
        ]
        with self._log(host).open("w") as log:
            command = [RAY, "start", *words, *resources, *own]
            return host.start(command, self.environment | self._of(host).environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)

    def _log(self, host: Host) -> Path:
        return self.bed.folder / f"ray-{host.name}.log"

    def _wait_for_nodes(self, nodes: Sequence[tuple[Host, Sequence[str]]], deadline: float) -> None:
        """Until all are there; starts those that do not run. Ray gives a node up that is not there after 30 s, as on a busy machine."""
        said = ""
        while time.monotonic() < deadline:
            for host, words in nodes:
                if host.name not in self._processes or self._processes[host.name].poll() is not None:
                    self._processes[host.name] = self._start(host, words)
            asked = self.head.run([PYTHON, "-c", COUNT_NODES, self.address], seconds=START_SECONDS, environment=self.environment)
            if asked.stdout.strip() == str(len(nodes)):
                return
            said = asked.stderr[-500:]
            time.sleep(0.5)
        logs = [self._log(host).read_text(encoding="utf-8", errors="replace") for host, _ in nodes]
        message = f"Ray has not {len(nodes)} nodes: {said}\n" + "\n".join("\n".join(log.splitlines()[-10:]) for log in logs)
        raise OSError(message)

    def gan3d(self, *words: str, seconds: float, environment: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
        """A gan3d command on the head's host.

        Raises:
            TimeoutExpired: it took longer than ``seconds``.
        """
        more = self.environment | (environment or {})
        return self.head.run([PYTHON, "-m", "gan3d.cli", *words], seconds=seconds, environment=more)

    def worker_places(self) -> list[tuple[str, str]]:
        """Node id and address of every Ray Train worker that was ever started here, and knew where."""
        asked = self.head.run([PYTHON, "-c", LIST_WORKERS, self.address], seconds=START_SECONDS, environment=self.environment)
        asked.check_returncode()
        return [(node, address) for node, address in json.loads(asked.stdout)]

    def num_nodes(self) -> int:
        """That Ray believes to be alive."""
        asked = self.head.run([PYTHON, "-c", COUNT_NODES, self.address], seconds=START_SECONDS, environment=self.environment)
        # Ray tells of nodes that died there, too.
        return next(int(line) for line in asked.stdout.splitlines() if line.isdigit())

    def process_on(self, host: Host) -> subprocess.Popen[Any]:
        """Of `ray start` on a host."""
        return self._processes[host.name]

    def close(self) -> None:
        """Stop Ray on all hosts. Can be called again; what it forgets dies with the hosts."""
        for process in self._processes.values():
            stop(process)
        self._processes = {}


@contextmanager
def ray_on(bed: TestBed, odd: Mapping[str, Oddity] | None = None, *, takes_jobs: bool = False) -> Iterator[RayCluster]:
    """For as long as the block lasts."""
    cluster = RayCluster(bed, odd, takes_jobs=takes_jobs)
    try:
        yield cluster
    finally:
        cluster.close()
