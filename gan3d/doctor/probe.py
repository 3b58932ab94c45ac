"""What one node says of itself, and what it can reach: an actor on each node, which needs nothing there but Python, and torch for sums.

Sent by value (`gan3d.doctor.nodes`), since the package may be missing on a node or be another one: this file imports nothing of ours.
"""

from __future__ import annotations

import glob
import os
import re
import shutil
import socket
import sys
import threading
import time
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

#: Variables that say how many threads a library may use, and which interface gradients go over.
THREADS = ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS")
#: What stands before a name in each; NCCL takes it for a beginning of names otherwise.
INTERFACES = {"GLOO_SOCKET_IFNAME": "", "NCCL_SOCKET_IFNAME": "="}
NUMA = "/sys/devices/system/node"


class Probe:
    """One node."""

    def __init__(self) -> None:
        self._server: socket.socket | None = None
        self._interface = ""

    def facts(self, address: str, packages: list[str], folders: dict[str, str]) -> dict[str, Any]:
        """What it is and what it has.

        Args:
            address: under which Ray knows it.
            packages: whose versions are wanted.
            folders: by name, whose free space is wanted; one that is not there counts by the nearest folder above it.
        """
        self._interface = _interface_of(address)
        return {
            "host": socket.gethostname(),
            "python": ".".join(map(str, sys.version_info[:3])),
            "versions": {name: _version(name) for name in packages},
            "cores": len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count(),
            "threads": {name: os.environ[name] for name in THREADS if name in os.environ},
            "interfaces": {name: os.environ[name] for name in INTERFACES if name in os.environ},
            "known_interfaces": [name for _, name in socket.if_nameindex()],
            "address_interface": self._interface,
            "numa": _numa(),
            "asks_for_token": _asks_for_token(),
            "free_bytes": {name: _free(Path(folder)) for name, folder in folders.items()},
        }

    def clock(self) -> float:
        """Seconds since 1970, as its clock has it."""
        return time.time()

    def read(self, path: str) -> tuple[bytes, str]:
        """What a small file holds, and why that cannot be said, or nothing."""
        try:
            return Path(path).read_bytes(), ""
        except OSError as problem:
            return b"", _told(problem)

    def files(self, written: str, by_driver: str) -> dict[str, Any]:
        """Sizes of the files of a pattern by their names, where this node's `$VARS` or the driver's have them; or what is wrong."""
        pattern = by_driver
        names = re.findall(r"\$(?:(\w+)|\{(\w+)\})", written)
        if names and all((one or other) in os.environ for one, other in names):
            pattern = os.path.expandvars(written)
        found = {}
        try:
            for path in sorted(glob.glob(pattern, recursive=True)):  # noqa: PTH207 - as the study does, it leaves hidden files out
                with Path(path).open("rb") as file:
                    file.read(1)
                    found[Path(path).name] = os.fstat(file.fileno()).st_size
        except OSError as problem:
            return {"problem": _told(problem)}
        return {"sizes": found} if found else {"problem": f"no file {pattern}"}

    def delete(self, path: str) -> None:
        """A file that it wrote."""
        Path(path).unlink(missing_ok=True)

    def write(self, path: str, content: bytes) -> str:
        """Write a file into a folder that is there; why it cannot be, or nothing."""
        try:
            Path(path).write_bytes(content)
        except OSError as problem:
            return _told(problem)
        return ""

    def listen(self) -> int:
        """The port on which it takes connections from now on: one that the system chooses, as gloo and torch's store have theirs."""
        self._server = socket.create_server(("", 0), backlog=128)
        threading.Thread(target=self._answer, daemon=True).start()
        return int(self._server.getsockname()[1])

    def _answer(self) -> None:
        server = self._server
        assert server is not None
        with suppress(OSError):  # closed
            while True:
                peer, _ = server.accept()
                with suppress(OSError), peer:
                    peer.sendall(peer.recv(1))

    def reach(self, address: str, port: int, seconds: float) -> str:
        """Why a byte does not come back from another node's port within so long, or nothing."""
        try:
            with socket.create_connection((address, port), timeout=seconds) as peer:
                peer.settimeout(seconds)
                peer.sendall(b"?")
                return "" if peer.recv(1) == b"?" else "the connection was closed"
        except OSError as problem:
            return _told(problem)

    def free_port(self) -> int:
        """A port that nobody has just now."""
        with socket.create_server(("", 0)) as server:
            return int(server.getsockname()[1])

    def sums(self, rank: int, world_size: int, meeting: str, backend: str, seconds: float, interface: str) -> dict[str, Any]:
        """Join a group of torch.distributed and sum over all nodes; seconds of each sum by its bytes, or what is wrong.

        Over the interface that workers would take: the one that is named, else what the variables say, else that of the node's address.
        """
        for variable, before in INTERFACES.items():
            if interface:
                os.environ[variable] = before + interface
            elif self._interface:
                os.environ.setdefault(variable, before + self._interface)
        try:
            return {"seconds": _timed_sums(rank, world_size, meeting, backend, seconds)}
        except Exception as problem:  # noqa: BLE001 - whatever torch and gloo raise is what is asked for
            return {"problem": _told(problem)}


#: Bytes of a sum that is all latency, and of one that is all bandwidth; how often each is timed.
SHORT, LONG, TIMES = 1 << 10, 1 << 22, 5


def _timed_sums(rank: int, world_size: int, meeting: str, backend: str, seconds: float) -> dict[int, float]:
    from datetime import timedelta

    import torch
    import torch.distributed as dist

    device = torch.device("cuda", 0) if backend == "nccl" else torch.device("cpu")
    dist.init_process_group(backend, init_method=meeting, rank=rank, world_size=world_size, timeout=timedelta(seconds=seconds))
    try:
        found = {}
        for size in (SHORT, LONG):
            tensor = torch.ones(size // 4, device=device)
            taken = []
            for _ in range(TIMES + 1):
                tensor.fill_(1.0)
                start = time.perf_counter()
                dist.all_reduce(tensor)
                total = float(tensor[-1])  # waits for a GPU as well
                taken.append(time.perf_counter() - start)
                assert total == world_size, f"the sum of {world_size} ones was {total}"
            found[size] = sorted(taken[1:])[TIMES // 2]
        return found
    finally:
        dist.destroy_process_group()


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


def _interface_of(address: str) -> str:
    """The network interface that has an address; empty where none has it, or nobody can tell."""
    try:
        import psutil
    except ImportError:
        return ""
    return next((name for name, all_of in psutil.net_if_addrs().items() if any(one.address == address for one in all_of)), "")


def _asks_for_token() -> bool:
    """Whether Ray's processes here want a token of whoever talks to them."""
    try:
        from ray._private.authentication.authentication_utils import is_token_auth_enabled
    except ImportError:  # another Ray, which calls it otherwise
        return os.environ.get("RAY_AUTH_MODE", "") == "token"
    return bool(is_token_auth_enabled())


def _numa() -> list[str]:
    """CPUs of each NUMA node, as the kernel writes them ("0-15,32-47"); one entry where there is nothing to see."""
    found = sorted(Path(NUMA).glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name.removeprefix("node")))
    return [path.read_text(encoding="ascii").strip() for path in found] or [f"0-{(os.cpu_count() or 1) - 1}"]


def _free(folder: Path) -> int:
    """Bytes left where a folder is or would be."""
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return shutil.disk_usage(folder).free


def _told(problem: BaseException) -> str:
    text = (str(problem).strip().splitlines() or [""])[0]
    return f"{type(problem).__name__}: {text}"[:300]
