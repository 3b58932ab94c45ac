"""What a server cannot take now waits in a file, in order, and outlives whoever put it there."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gan3d.tracking.spool import Spool, Unavailable


class Server:
    """That fails until it is told otherwise."""

    def __init__(self) -> None:
        self.is_away = True
        self.taken: list[dict[str, Any]] = []

    def __call__(self, entry: dict[str, Any]) -> None:
        if self.is_away:
            raise Unavailable
        self.taken.append(entry)


def entries(*numbers: int) -> list[dict[str, int]]:
    return [{"number": number} for number in numbers]


def test_a_cut_last_line_takes_no_other_along(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    file, server = tmp_path / "spool.jsonl", Server()
    dead = Spool(file, server)
    for entry in entries(1, 2):
        dead.submit(entry)
    with file.open("rb+") as written:
        written.truncate(file.stat().st_size - 4)  # killed in the middle of its second line
    second = Spool(file, server)
    second.submit({"number": 3})
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == entries(1, 3)
    server.is_away = False
    assert Spool(file, server).drain()
    assert server.taken == entries(1, 3)
    assert len([line for line in caplog.messages if "was cut short and is lost" in line]) == 1


#: Files may have so many bytes: the second entry comes in part.
FULL = """
import resource, signal, sys
from pathlib import Path
from gan3d.tracking.spool import Spool, Unavailable

def away(entry):
    raise Unavailable

signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
spool = Spool(Path(sys.argv[1]), away)
spool.submit({"number": 1})
resource.setrlimit(resource.RLIMIT_FSIZE, (20, resource.RLIM_INFINITY))
spool.submit({"number": 2})
resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
spool.submit({"number": 3})
"""


def test_a_disk_that_was_full_for_a_moment_costs_one_entry(tmp_path: Path) -> None:
    file = tmp_path / "spool.jsonl"
    subprocess.run([sys.executable, "-c", FULL, str(file)], check=True, timeout=120, capture_output=True)
    assert [json.loads(line) for line in file.read_text("utf-8").splitlines()] == entries(1, 3)
