"""Where ranks run and which of them is slow: told of two real processes."""

from __future__ import annotations

import os
import socket
from typing import Any
from unittest.mock import patch

from gloo_processes import GlooProcesses

from gan3d.training.loop import slowest_rank
from gan3d.training.ranks import Ranks
from gan3d.training.seat import seats, spans


def seats_of(ranks: Ranks) -> list[dict[str, Any]]:
    with patch.dict(os.environ, GLOO_SOCKET_IFNAME=f"if{ranks.rank}"):
        return seats(ranks, 3)


def slowest_of(ranks: Ranks, seconds: tuple[float, float]) -> tuple[int, float]:
    return slowest_rank(seconds[ranks.rank], ranks)


def test_every_rank_knows_all_seats(two_ranks: GlooProcesses) -> None:
    first, second = two_ranks.run(seats_of)
    assert first == second
    assert [seat["rank"] for seat in first] == [0, 1]
    assert [seat["interface"] for seat in first] == ["if0", "if1"]
    assert len({seat["pid"] for seat in first}) == 2
    for seat in first:
        assert (seat["host"], seat["device"], seat["threads"]) == (socket.gethostname(), "cpu", 3)
        assert seat["cpus"] == spans(sorted(os.sched_getaffinity(0)))


def test_the_slowest_rank_is_named_with_how_slow_it_is(two_ranks: GlooProcesses) -> None:
    assert two_ranks.run(slowest_of, (1.0, 10.0)) == [(1, 10.0), (1, 10.0)]
    assert two_ranks.run(slowest_of, (3.0, 2.0)) == [(0, 1.5), (0, 1.5)]


def test_a_lone_rank_is_as_fast_as_itself() -> None:
    assert slowest_rank(2.0, Ranks()) == (0, 1.0)
    assert slowest_rank(0.0, Ranks()) == (0, 1.0)


def test_numbers_are_written_as_the_kernel_writes_them() -> None:
    assert spans([0, 1, 2, 5, 7, 8]) == "0-2,5,7-8"
    assert spans([]) == ""
