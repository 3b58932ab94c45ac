"""Namespaces of their own (network, processes, mounts, host name), held by one process and gone with it.

Nothing has a name that could be left behind: namespaces live as long as their first process, and that one reads from a pipe of
ours. When we end, however we end, it reads the end of the pipe and leaves, and the kernel kills whatever else runs in there.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import IO, Any

import psutil

#: Programs of util-linux and iproute2.
NEEDED = ("unshare", "nsenter", "taskset", "mount", "hostname", "sh", "cat", "ip", "tc")
UNSHARE = ("unshare", "--net", "--uts", "--mount", "--pid", "--fork", "--kill-child=KILL", "--mount-proc")
#: What a test bed is made of, tried where it can do no harm.
TRIAL = (
    "ip link add veth1 type veth peer name veth2 && ip link add bridge1 type bridge && "
    "tc qdisc add dev veth1 root tbf rate 1mbit burst 16kb limit 64kb"
)
#: Variables that would send a host's traffic to a proxy it cannot reach.
PROXIES = frozenset({"http_proxy", "https_proxy", "all_proxy", "ftp_proxy"})
#: How long a command that only configures may take [s].
CONFIGURATION_SECONDS = 20.0


def why_not() -> str | None:
    """Why namespaces, veth pairs, bridges and shaping cannot be had here; None where they can."""
    if missing := [name for name in NEEDED if shutil.which(name) is None]:
        return f"these programs are missing: {', '.join(missing)} (Debian: apt-get install util-linux iproute2)"
    tried = subprocess.run(
        [*UNSHARE, "sh", "-c", TRIAL], capture_output=True, text=True, check=False, timeout=CONFIGURATION_SECONDS, stdin=subprocess.DEVNULL
    )
    if tried.returncode == 0:
        return None
    return f"network namespaces cannot be made: {tried.stderr.strip()}. It takes root (CAP_SYS_ADMIN, CAP_NET_ADMIN), veth, bridge and tbf"


class Namespaces:
    """One set of namespaces, and commands in them."""

    def __init__(self, name: str, set_up: str = "", at_end: str = "") -> None:
        """``name`` is the host name in there; ``set_up`` and ``at_end`` are shell commands for the inside, the latter for when we are gone.

        Raises:
            OSError: they cannot be made; `why_not` says more.
        """
        self.name = name
        # Ignored CHLD: orphans are buried.
        script = f"trap '' CHLD; hostname {name}; {set_up or ':'}; echo ready; cat > /dev/null; exec > /dev/null 2>&1; {at_end or ':'}"
        self._holder = subprocess.Popen(
            [*UNSHARE, "sh", "-ec", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
        )
        assert self._holder.stdout is not None
        assert self._holder.stderr is not None
        if self._holder.stdout.readline() != b"ready\n":
            problem = self._holder.stderr.read().decode().strip()
            self.close()
            message = f"no namespaces for {name}: {problem}"
            raise OSError(message)
        (first,) = psutil.Process(self._holder.pid).children()
        self.first_process = first.pid
        """Of the namespaces, as seen from outside."""

    def entering(self, command: Sequence[str], folder: Path | None = None) -> list[str]:
        """The command that runs ``command`` in there, in ``folder`` (by default where we are)."""
        namespaces = ("--net", "--uts", "--mount", "--pid")
        return ["nsenter", f"--target={self.first_process}", *namespaces, f"--wdns={folder or Path.cwd()}", "--", *command]

    def start(self, command: Sequence[str], environment: Mapping[str, str] | None = None, **popen: Any) -> subprocess.Popen[Any]:
        """Start a command; it is in a session of its own, which `stop` ends."""
        variables = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES} | dict(environment or {})
        return subprocess.Popen(self.entering(command), env=variables, start_new_session=True, **popen)

    def run(
        self, command: Sequence[str], *, seconds: float, environment: Mapping[str, str] | None = None, output: IO[str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command to its end; both its outputs are kept, or go to ``output``.

        Raises:
            TimeoutExpired: it took longer than ``seconds`` and was killed.
        """
        process = self.start(command, environment, stdout=output or subprocess.PIPE, stderr=output or subprocess.PIPE, text=True)
        try:
            out, err = process.communicate(timeout=seconds)
        finally:
            stop(process)
        return subprocess.CompletedProcess(command, process.returncode, out, err)

    def configure(self, *commands: str) -> None:
        """Run short commands that must succeed, each a line of words, in the network only: processes have their numbers of outside.

        Raises:
            OSError: one did not.
        """
        for command in commands:
            entering = ["nsenter", f"--target={self.first_process}", "--net", "--", *command.split()]
            done = subprocess.run(entering, capture_output=True, text=True, check=False, timeout=CONFIGURATION_SECONDS)
            if done.returncode:
                message = f"on {self.name}: {command}: {done.stderr.strip()}"
                raise OSError(message)

    def close(self) -> None:
        """Kill everything in there. Can be called again."""
        holder = self._holder
        for pipe in (holder.stdin, holder.stdout, holder.stderr):
            if pipe is not None:
                pipe.close()
        try:
            holder.wait(timeout=10)
        except subprocess.TimeoutExpired:
            holder.kill()  # its child goes with it: --kill-child
            holder.wait()


def stop(process: subprocess.Popen[Any], number: int = signal.SIGKILL) -> None:
    """Signal a started command and what it started in its session, and wait for it."""
    if process.poll() is None:
        os.killpg(process.pid, number)
        process.wait()
