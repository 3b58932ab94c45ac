"""Ranks of one host sum through memory they all see; where they do not see it, or there is none, nobody tries."""

from __future__ import annotations

import errno
import mmap
import time
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
import torch
import torch.distributed as dist
from gloo_processes import GlooProcesses, gloo_processes

from gan3d.training import shared_memory
from gan3d.training.ranks import Ranks
from gan3d.training.shared_memory import ALIGNMENT, MOST_RANKS, SharedMemory, aligned

#: Elements of what is written in each turn: sizes that fill no line of the caches.
SIZES = (1, 1000, 33)
ROOM = sum(aligned(4 * size) for size in SIZES)
TURNS = 4
#: One rank adds up so much later than the other begins its next turn [s].
LATE = 0.1


@pytest.fixture(scope="module")
def three_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    with gloo_processes(3, tmp_path_factory.mktemp("store")) as processes:
        yield processes


def written(rank: int, turn: int) -> list[torch.Tensor]:
    """Numbers whose sum depends on the order in the last bit."""
    generator = torch.Generator().manual_seed(100 * turn + rank)
    return [torch.randn(size, generator=generator) for size in SIZES]


def sums(ranks: Ranks, late_rank: int) -> list[list[torch.Tensor]]:
    """Of every turn; one rank is slow to add up, when the others may be at their next turn."""
    memory = shared_memory.shared_memory(ranks, ROOM)
    assert memory is not None
    found = []
    for turn in range(TURNS):
        memory.turn()
        tensors = written(ranks.rank, turn)
        add_up = [memory.write(tensor) for tensor in tensors]
        dist.all_reduce(torch.ones(1), group=ranks.group)
        if ranks.rank == late_rank:
            time.sleep(LATE)
        for finish in add_up:
            finish()
        found.append(tensors)
    return found


@pytest.mark.parametrize("late_rank", [0, 1])
def test_all_ranks_get_the_same_sums_in_the_order_of_ranks(three_ranks: GlooProcesses, late_rank: int) -> None:
    for found in three_ranks.run(sums, late_rank):
        for turn, tensors in enumerate(found):
            of_ranks = [written(rank, turn) for rank in range(3)]
            for place, tensor in enumerate(tensors):
                assert torch.equal(tensor, of_ranks[0][place] + of_ranks[1][place] + of_ranks[2][place])


def num_open_files() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def opened(ranks: Ranks, fault: str) -> tuple[bool, int]:
    """Whether there is memory to share, where something is wrong with one rank; and how many files this left open."""
    before = num_open_files()
    faults = {
        "none": patch.object(shared_memory, "MOST_RANKS", MOST_RANKS),
        "another network": patch.object(shared_memory, "network", lambda: f"net:[{ranks.rank}]"),
        "hidden": patch.object(shared_memory.os, "open", side_effect=PermissionError),
        "not enough": patch.object(shared_memory.os, "posix_fallocate", side_effect=OSError(errno.ENOSPC, "full")),
        "too many ranks": patch.object(shared_memory, "MOST_RANKS", 1),
    }
    with faults[fault]:
        memory = shared_memory.shared_memory(ranks, ALIGNMENT)
    is_there = memory is not None
    del memory
    return is_there, num_open_files() - before


@pytest.mark.parametrize("fault", ["another network", "hidden", "not enough", "too many ranks"])
def test_ranks_agree_not_to_share_what_one_does_not_see(two_ranks: GlooProcesses, fault: str) -> None:
    assert two_ranks.run(opened, fault) == [(False, 0)] * 2


def test_shared_memory_holds_no_file_open(two_ranks: GlooProcesses) -> None:
    two_ranks.run(opened, "none")
    assert two_ranks.run(opened, "none") == [(True, 0)] * 2


def test_one_rank_and_ranks_with_gpus_share_nothing() -> None:
    assert shared_memory.shared_memory(Ranks(), ALIGNMENT) is None
    assert shared_memory.shared_memory(Ranks(0, 2, torch.device("cuda"), None), ALIGNMENT) is None


def test_only_memory_with_its_token_is_seen(tmp_path: Path) -> None:
    token, size = bytes(range(16)), shared_memory.num_bytes(2, ALIGNMENT)
    contents = {"right": token + bytes(size - 16), "wrong": bytes(size), "too small": token, "empty": b""}
    found = {}
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content)
        found[name] = shared_memory.seen(shared_memory.Address(shared_memory.network(), str(tmp_path / name), token), size)
    assert found.pop("right") is not None
    assert found == dict.fromkeys(("wrong", "too small", "empty"))
    assert shared_memory.seen(shared_memory.Address(shared_memory.network(), str(tmp_path / "none"), token), size) is None


def test_places_of_ranks_and_turns_do_not_overlap(tmp_path: Path) -> None:
    """Each rank's view of the same memory, in both halves, written to one after the other."""
    size = shared_memory.num_bytes(3, ROOM)
    (tmp_path / "memory").write_bytes(bytes(size))
    with (tmp_path / "memory").open("r+b") as file:
        ranks = [SharedMemory(mmap.mmap(file.fileno(), size), Ranks(rank, 3), ROOM) for rank in range(3)]
    finish = {}
    tensors = {(turn, rank): written(rank, turn) for turn in range(2) for rank in range(3)}
    for (turn, rank), of_rank in tensors.items():
        ranks[rank].turn()
        finish[turn, rank] = [ranks[rank].write(tensor) for tensor in of_rank]
    for (turn, rank), add_ups in finish.items():
        for add_up in add_ups:
            add_up()
        for place, tensor in enumerate(tensors[turn, rank]):
            assert torch.equal(tensor, sum((written(one, turn)[place] for one in range(3)), torch.zeros(SIZES[place])))
