"""Sums over the ranks of one host through memory that all of them see, where gloo would go through the network's software.

Each rank writes what it has where the others can read it, and says so with an all-reduce of one number. Once that is done everybody
has written, and every rank adds up for itself, in the order of ranks: all get the same, to the last bit.
"""

from __future__ import annotations

import mmap
import os
import secrets
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import torch

from gan3d.training.ranks import Ranks

#: Each rank reads what every rank has written: for many of them that is more work than gloo's ring, where each handles its own share.
MOST_RANKS = 4
#: Places of each rank: a faster rank writes into one while a slower one still reads the other. Two are enough: who writes the next but one
#: has added up the next, so everybody has written the next, and done with the one before.
HALVES = 2
#: Where parts begin: a line of the processor's caches [bytes].
ALIGNMENT = 64
#: What rank 0 writes first, so that the others know its memory when they see it [bytes].
TOKEN_BYTES = 16


class SharedMemory:
    """Places of all ranks, in `HALVES` that are used in turn."""

    def __init__(self, memory: mmap.mmap, ranks: Ranks, room: int) -> None:
        """``memory`` has `num_bytes` for these ranks; ``room`` is the bytes that a rank may write in a turn."""
        whole = torch.frombuffer(memory, dtype=torch.uint8, offset=ALIGNMENT)
        self._places = whole.view(HALVES, ranks.world_size, room)
        self._rank = ranks.rank
        self._half = self._used = 0

    def turn(self) -> None:
        """Begin anew, in the other half; not before everything written was added up."""
        self._half, self._used = 1 - self._half, 0

    def write(self, tensor: torch.Tensor) -> Callable[[], None]:
        """Let the others see a contiguous tensor, the same on every rank but for its values.

        Returns:
            Makes it the sum over ranks, in place; to be called when all ranks have written.
        """
        end = self._used + tensor.nbytes
        parts = self._places[self._half, :, self._used : end].view(tensor.dtype)
        self._used = aligned(end)
        parts[self._rank].copy_(tensor)

        def add_up() -> None:
            torch.add(parts[0], parts[1], out=tensor)
            for part in parts[2:]:
                tensor.add_(part)

        return add_up


class Address(NamedTuple):
    """Where other processes find memory."""

    network: str
    """Of the process that made it: ranks in other network namespaces, such as those of two containers, count as other hosts."""
    path: str
    token: bytes


def aligned(num_bytes: int) -> int:
    """The next multiple of `ALIGNMENT`."""
    return -(-num_bytes // ALIGNMENT) * ALIGNMENT


def num_bytes(world_size: int, room: int) -> int:
    """Of the memory of so many ranks."""
    return ALIGNMENT + HALVES * world_size * room


def shared_memory(ranks: Ranks, room: int) -> SharedMemory | None:
    """Memory where each rank may write ``room`` bytes in a turn, a multiple of `ALIGNMENT`; collective, no file is left behind.

    None, on all ranks, where they are not few CPU workers on one Linux host that may see each other's memory.
    """
    if ranks.device.type != "cpu" or not 1 < ranks.world_size <= MOST_RANKS or not hasattr(os, "memfd_create"):
        return None
    size = num_bytes(ranks.world_size, room)
    descriptor = made(size) if ranks.rank == 0 else None
    try:
        memory = None
        token = secrets.token_bytes(TOKEN_BYTES)
        if descriptor is not None:
            memory = mmap.mmap(descriptor, size)
            memory[:TOKEN_BYTES] = token
        address = ranks.broadcast(None if memory is None else Address(network(), f"/proc/{os.getpid()}/fd/{descriptor}", token))
        if ranks.rank and address is not None:
            memory = seen(address, size)
        is_seen_by_all = bool(ranks.min(torch.tensor(float(memory is not None))))
    finally:
        if descriptor is not None:
            os.close(descriptor)  # who has mapped it keeps it
    return SharedMemory(memory, ranks, room) if memory is not None and is_seen_by_all else None


def made(size: int) -> int | None:
    """The descriptor of new memory without a name, all of it there; None where there is not enough."""
    descriptor = os.memfd_create("gan3d-gradients")
    try:
        os.posix_fallocate(descriptor, 0, size)
    except OSError:
        os.close(descriptor)
        return None
    return descriptor


def seen(address: Address, size: int) -> mmap.mmap | None:
    """Memory that another process made; None where this one cannot see it, or sees another's at this address."""
    if network() != address.network:
        return None
    try:
        descriptor = os.open(address.path, os.O_RDWR | os.O_CLOEXEC)
    except OSError:
        return None
    try:
        memory = mmap.mmap(descriptor, size)
    except (OSError, ValueError):  # a stranger's, which is no memory, or too small
        return None
    finally:
        os.close(descriptor)
    return memory if memory[:TOKEN_BYTES] == address.token else None


def network() -> str:
    """Which network namespace this process is in."""
    return str(Path("/proc/self/ns/net").readlink())
