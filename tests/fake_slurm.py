"""A SLURM of one job that really runs batch scripts, on the hosts of a test bed: sbatch's environment and signals, srun, scontrol.

`srun` and `scontrol` are commands on the job's PATH, as in a real job; they ask, through a socket, a thread of this process, which
starts their programs on the hosts. Only what scripts here use is there, and whatever else they ask for is an error.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

from benchmarks.hosts.namespaces import stop
from benchmarks.hosts.testbed import Host, TestBed

#: The commands of a job: each sends what it was asked for, prints what comes back, and ends with the code that comes last.
CLIENT = """#!{python}
import json, os, signal, socket, sys
peer = socket.socket(socket.AF_UNIX)
peer.connect({place!r})
asked = {{"command": {command!r}, "words": sys.argv[1:], "cwd": os.getcwd(), "environment": dict(os.environ)}}
peer.sendall(json.dumps(asked).encode() + b"\\n")
signal.signal(signal.SIGTERM, lambda *_: (peer.close(), os._exit(143)))
for line in peer.makefile("r", encoding="utf-8", errors="replace"):
    kind, _, text = line.partition(" ")
    if kind == "exit":
        os._exit(int(text))
    sys.stdout.write(text)
    sys.stdout.flush()
os._exit(1)
"""
#: Where the script has Ray's own files.
TEMPORARY = "/tmp/ray-{user}-{job}"
#: Options of sbatch in a script's head, and of srun, that are known here.
SBATCH = {"job-name", "nodes", "ntasks-per-node", "exclusive", "requeue", "open-mode", "output", "signal"}
SRUN = {"nodes", "ntasks", "cpus-per-task", "cpu-bind", "kill-on-bad-exit"}


class FakeSlurm:
    """A job on all hosts of a bed."""

    def __init__(self, bed: TestBed, folder: Path, *, job_id: int = 4711) -> None:
        self._bed, self._folder, self._job_id = bed, folder, job_id
        self.requeues = 0
        self._batch: subprocess.Popen[Any] | None = None
        self._commands = folder / "slurm"
        self._commands.mkdir()
        self._place = str(bed.folder / "slurm.socket")
        for command in ("srun", "scontrol"):
            path = self._commands / command
            path.write_text(CLIENT.format(python=sys.executable, place=self._place, command=command), encoding="ascii")
            path.chmod(0o755)
        for host in bed.hosts:  # a /tmp of its own for each node, as far as scripts here use it
            own = f"mkdir -p {TEMPORARY.format(user=os.getuid(), job=job_id)} && mount -t tmpfs own $_"
            host.run(["bash", "-c", own], seconds=20).check_returncode()
        self._server = socket.socket(socket.AF_UNIX)
        self._server.bind(self._place)
        self._server.listen()
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        """End whatever runs."""
        if self._batch is not None:
            stop(self._batch)
        self._server.close()
        Path(self._place).unlink()

    def sbatch(self, script: Path, *words: str, **variables: str) -> Path:
        """Start the job; returns the file of its output, to which a requeued one appends."""
        options = dict(sbatch_options(script))
        assert set(options) <= SBATCH, set(options) - SBATCH
        self.signal = options.get("signal", "")
        hosts = self._bed.hosts
        environment = {
            "PATH": f"{self._commands}:{Path(sys.executable).parent}:{os.environ['PATH']}",
            "SLURM_JOB_ID": str(self._job_id),
            "SLURM_JOB_NODELIST": f"host[0-{len(hosts) - 1}]",
            "SLURM_JOB_NUM_NODES": str(len(hosts)),
            "SLURM_CPUS_ON_NODE": "1",
            "SLURM_SUBMIT_DIR": str(self._folder),
            **variables,
        }
        output = self._folder / f"gan3d-{self._job_id}.log"
        with output.open("a", encoding="utf-8") as log:
            command = ["bash", str(script), *words]
            self._batch = hosts[0].start(command, environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        return output

    def time_limit_is_near(self) -> None:
        """What ``--signal=B:USR1@...`` does: to the script's shell alone."""
        assert self.signal.startswith("B:USR1@"), self.signal
        assert self._batch is not None
        subprocess.run(["pkill", "-USR1", "-f", "^bash .*study.sbatch"], check=True)

    @property
    def is_running(self) -> bool:
        """Whether the script is."""
        return self._batch is not None and self._batch.poll() is None

    def ended(self, seconds: float) -> int:
        """Wait for the script; returns its exit code."""
        assert self._batch is not None
        return int(self._batch.wait(seconds))

    def _serve(self) -> None:
        with suppress(OSError):  # closed
            while True:
                peer, _ = self._server.accept()
                threading.Thread(target=self._answer, args=(peer,), daemon=True).start()

    def _answer(self, peer: socket.socket) -> None:
        with peer, suppress(OSError):
            with peer.makefile("r", encoding="utf-8") as questions:
                asked = json.loads(questions.readline())
            code = getattr(self, f"_{asked['command']}")(peer, asked)
            peer.sendall(f"exit {code}\n".encode())

    def _scontrol(self, peer: socket.socket, asked: dict[str, Any]) -> int:
        match asked["words"]:
            case ["requeue", job_id] if int(job_id) == self._job_id:
                self.requeues += 1
                return 0
        peer.sendall(f"text unknown: scontrol {shlex.join(asked['words'])}\n".encode())
        return 1

    def _srun(self, peer: socket.socket, asked: dict[str, Any]) -> int:
        options, command = srun_options(asked["words"])
        assert set(options) <= SRUN, options
        hosts = self._bed.hosts[: int(options["nodes"])]
        assert options["ntasks"] == options["nodes"], "one task a node"
        steps = [self._step(host, rank, command, asked, peer) for rank, host in enumerate(hosts)]
        while any(step.poll() is None for step in steps):
            if gone(peer):
                for step in steps:
                    stop(step, signal.SIGTERM)
                return 143
            time.sleep(0.1)
        return max(step.returncode % 256 for step in steps)

    def _step(self, host: Host, rank: int, command: list[str], asked: dict[str, Any], peer: socket.socket) -> subprocess.Popen[Any]:
        environment = asked["environment"] | {"SLURM_PROCID": str(rank), "SLURM_NODEID": str(rank), "SLURMD_NODENAME": host.name}
        step = host.start(["sh", "-c", f"cd {shlex.quote(asked['cwd'])} && exec {shlex.join(command)}"], environment,
                          stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)  # fmt: skip

        def forward() -> None:
            assert step.stdout is not None
            with step.stdout, suppress(OSError):
                for line in step.stdout:
                    peer.sendall(f"text {line.rstrip()}\n".encode())

        threading.Thread(target=forward, daemon=True).start()
        return step


def sbatch_options(script: Path) -> list[tuple[str, str]]:
    """Of the script's head, by name."""
    found = re.findall(r"^#SBATCH --([\w-]+)(?:=(\S+))?$", script.read_text(encoding="utf-8"), flags=re.MULTILINE)
    assert len(found) == script.read_text(encoding="utf-8").count("\n#SBATCH"), "an option of another form"
    return found


def srun_options(words: list[str]) -> tuple[dict[str, str], list[str]]:
    """Its options by name, and the command behind them."""
    options = {}
    for place, word in enumerate(words):
        if not word.startswith("--"):
            return options, words[place:]
        name, _, value = word.removeprefix("--").partition("=")
        options[name] = value
    return options, []


def gone(peer: socket.socket) -> bool:
    """Whether the command that asked has ended."""
    try:
        return peer.recv(1, socket.MSG_DONTWAIT | socket.MSG_PEEK) == b""
    except BlockingIOError:
        return False
