"""All-reduces among real processes, as a document that a fabric can be read from; and what is refused."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
from pathlib import Path

import pytest
from gloo_processes import GlooProcesses

from gan3d.training.fabric import all_reduce_points, main, parsed
from gan3d.training.ranks import Ranks

SIZES = [1024, 65_536, 1_048_576]
ASKED = ["--rounds", "2", "--idle-seconds", "0", "--sizes", *map(str, SIZES)]


def check(document: dict) -> None:
    assert (document["world_size"], document["backend"], document["idle_seconds"]) == (2, "gloo", 0)
    assert [size for size, _ in document["points"]] == SIZES * 2, "by round and size; the round before them does not count"
    assert all(0 < seconds < 60 for _, seconds in document["points"])


def test_two_processes_of_this_machine_print_one_document(capsys: pytest.CaptureFixture[str]) -> None:
    main(ASKED)
    check(json.loads(capsys.readouterr().out))


def test_under_torchrun_rank_0_prints_for_all() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    place = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(port)}
    command = [sys.executable, "-m", "gan3d.training.fabric", *ASKED]
    ranks = [
        subprocess.Popen(command, env=os.environ | place | {"RANK": str(rank)}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for rank in range(2)
    ]
    try:
        outputs = [rank.communicate(timeout=240) for rank in ranks]
    finally:
        for rank in ranks:
            rank.kill()
    assert [rank.returncode for rank in ranks] == [0, 0], [errors for _, errors in outputs]
    check(json.loads(outputs[0][0]))
    assert outputs[1][0] == ""


def late_second_rank(ranks: Ranks) -> list[tuple[int, float]]:
    """The second rank rests longer before each all-reduce, which is not the network's doing."""
    return list(all_reduce_points(ranks, [1024], rounds=3, idle_seconds=0.4 if ranks.rank else 0.0))


def test_a_late_rank_is_not_the_networks_doing(two_ranks: GlooProcesses) -> None:
    first, second = two_ranks.run(late_second_rank)
    assert first == second
    assert min(seconds for _, seconds in first) < 0.3


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--sizes", "1023"], "1023 bytes are no whole number of floats"),
        (["--sizes", "0"], "0 bytes are no whole number of floats"),
        (["--processes", "1"], "--processes 1: an all-reduce takes at least 2"),
        (["--rounds", "0"], "0 is less than 1"),
        (["--idle-seconds", "-1"], "--idle-seconds -1 is not between 0 and 120"),
        (["--idle-seconds", "nan"], "--idle-seconds nan is not between"),
        (["--backend", "mpi"], "invalid choice: 'mpi'"),
    ],
)
def test_bad_arguments_are_refused_before_anything_starts(capsys: pytest.CaptureFixture[str], arguments: list[str], message: str) -> None:
    with pytest.raises(SystemExit) as ended:
        main(arguments)
    assert ended.value.code == 2
    assert message in capsys.readouterr().err


def test_a_world_of_one_reduces_nothing(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("WORLD_SIZE", "1")
    with pytest.raises(SystemExit):
        parsed([])
    assert "at least 2 ranks" in capsys.readouterr().err


def test_the_document_is_a_fabric(tmp_path: Path) -> None:
    """As printed by the program, read by the cost model; all-reduces of a quiet moment."""
    from gan3d.scaling.fabric_files import fabric_named
    from gan3d.scaling.fabrics import all_reduce_seconds, route_of

    file = tmp_path / "here.json"
    with file.open("w") as output:
        command = [sys.executable, "-m", "gan3d.training.fabric", "--rounds", "3", "--idle-seconds", "0.01", "--sizes", "64", "4096"]
        subprocess.run([*command, *map(str, (1 << 18, 1 << 22, 1 << 24))], stdout=output, check=True, timeout=240)
    fabric = fabric_named(str(file))
    assert (fabric.name, fabric.origin) == ("here", "measured")
    assert all(estimate.low < estimate.value < estimate.high for estimate in (fabric.latency_seconds, fabric.bytes_per_second))
    route = route_of(fabric, None, 1)
    assert all_reduce_seconds(1 << 24, 2, route)[0] > all_reduce_seconds(64, 2, route)[0]
