"""Binds a worker to CPUs of its own, so that no worker of this node, of whatever team, is on another one's.

CPUs are claimed by locks on files of the node, which the kernel takes back when their holder ends, however it ends; so claims need no
head that counts, and a killed worker leaves none behind.

    core   as many CPUs as the worker reserves, all of one NUMA domain where one has so many free
    numa   every CPU of the NUMA domain that its claims are in: threads may move, memory stays near (the seed of 2018 ran so, 4 on a node)
"""

from __future__ import annotations

import fcntl
import logging
import os
import socket
import tempfile
from collections.abc import Iterable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import Literal

Binding = Literal["none", "core", "numa"]

DOMAINS = Path("/sys/devices/system/node")
#: Of the node, whatever file system the folder is on.
CLAIMS = Path(tempfile.gettempdir()) / f"gan3d-cpus-{os.getuid()}-{socket.gethostname()}"
_LOG = logging.getLogger(__name__)

#: Locked files of this process, open as long as it lives.
_held: dict[int, int] = {}


def bind(binding: Binding, num_cpus: int, *, domains: Sequence[Sequence[int]] | None = None, claims: Path = CLAIMS) -> tuple[int, ...]:
    """Bind this process and its threads to come; returns its CPUs from now on. Said again, it keeps what it has.

    Where fewer than ``num_cpus`` are free, as in a container with fewer than Ray gives out, it is left as it is.

    Args:
        binding: see above.
        num_cpus: that the worker reserves.
        domains: CPUs of each NUMA domain; by default those this process may use.
        claims: folder of the locks.
    """
    if not hasattr(os, "sched_getaffinity"):  # no Linux
        return ()
    usable = tuple(sorted(os.sched_getaffinity(0)))
    if binding == "none" or _held:
        return usable
    found = numa_domains(usable) if domains is None else [tuple(domain) for domain in domains]
    claimed = claim(num_cpus, found, claims)
    if not claimed:
        _LOG.warning("workers.binding: %s has no %d CPUs free for a worker, which stays unbound", socket.gethostname(), num_cpus)
        return usable
    _held.update(claimed)
    chosen = set(claimed)
    if binding == "numa":
        chosen = {cpu for domain in found if chosen & set(domain) for cpu in domain}
    for thread in threads():
        with suppress(ProcessLookupError):  # it has ended meanwhile
            os.sched_setaffinity(thread, chosen)
    return tuple(sorted(chosen))


def threads() -> list[int]:
    """Of this process: the kernel binds each by itself, and a new one as the one that starts it."""
    return [int(path.name) for path in Path("/proc/self/task").iterdir()]


def claim(num_cpus: int, domains: Sequence[Sequence[int]], claims: Path) -> dict[int, int]:
    """Locked files by CPU: of the domain with the most free ones, or, where none has enough, of several; empty if there are too few."""
    claims.mkdir(mode=0o700, parents=True, exist_ok=True)
    with (claims / "all").open("w") as door:
        fcntl.flock(door, fcntl.LOCK_EX)  # one worker at a time counts what is free
        free = [_locked(domain, claims) for domain in domains]
        free.sort(key=len, reverse=True)
        candidates = [pair for domain in free for pair in domain.items()]
        taken = dict(candidates[:num_cpus] if len(candidates) >= num_cpus else ())
        for cpu, file in candidates:
            if cpu not in taken:
                os.close(file)
    return taken


def _locked(cpus: Iterable[int], claims: Path) -> dict[int, int]:
    """Those that nobody holds, held."""
    found = {}
    for cpu in cpus:
        file = os.open(claims / f"cpu{cpu}", os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(file)
        else:
            found[cpu] = file
    return found


def numa_domains(usable: Sequence[int], folder: Path = DOMAINS) -> list[tuple[int, ...]]:
    """CPUs of each NUMA domain that a process may use; all in one where the kernel tells of none."""
    lists = sorted(folder.glob("node[0-9]*/cpulist"), key=lambda path: int(path.parent.name.removeprefix("node")))
    found = [tuple(cpu for cpu in cpus_of(path.read_text(encoding="ascii")) if cpu in usable) for path in lists]
    return [domain for domain in found if domain] or [tuple(usable)]


def cpus_of(text: str) -> list[int]:
    """Of the kernel's "0-3,8": 0, 1, 2, 3 and 8."""
    parts = [part.split("-") for part in text.strip().split(",") if part]
    return [cpu for first, *last in parts for cpu in range(int(first), int(last[0] if last else first) + 1)]
