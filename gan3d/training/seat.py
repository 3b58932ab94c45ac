"""Where a rank runs: what a reader of a trial's times wants to know of each of its workers."""

from __future__ import annotations

import os
import socket
from dataclasses import asdict, dataclass
from typing import Any

from gan3d.training.interface import GLOO
from gan3d.training.ranks import Ranks


@dataclass(frozen=True, slots=True)
class Seat:
    """Of one rank."""

    rank: int
    host: str
    pid: int
    device: str
    cpus: str
    """That its threads may run on, as in "0-3,8"; empty where the system does not tell."""
    threads: int
    """That torch uses."""
    interface: str
    """Of its process groups; empty where it is left to gloo."""


def seats(ranks: Ranks, threads: int) -> list[dict[str, Any]]:
    """Of all ranks, in their order; collective. ``threads`` are those that this rank's torch is to use."""
    cpus = sorted(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else []
    interface = os.environ.get(GLOO, "")
    own = Seat(ranks.rank, socket.gethostname(), os.getpid(), str(ranks.device), spans(cpus), threads, interface)
    return ranks.gather(asdict(own))


def spans(numbers: list[int]) -> str:
    """Rising numbers as the kernel writes them: 0, 1, 2, 5 are "0-2,5"."""
    found: list[list[int]] = []
    for number in numbers:
        if found and number == found[-1][1] + 1:
            found[-1][1] = number
        else:
            found.append([number, number])
    return ",".join(f"{first}" if first == last else f"{first}-{last}" for first, last in found)
