"""Workers of a node on CPUs of their own: real processes, real locks, real affinity."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gan3d.training import binding
from gan3d.training.binding import bind, claim, cpus_of, numa_domains

#: Binds itself, says its CPUs, and stays until it is killed or its input ends.
WORKER = """
import json, sys
from pathlib import Path
from gan3d.training.binding import bind
kind, num_cpus, domains, claims = sys.argv[1], int(sys.argv[2]), json.loads(sys.argv[3]), Path(sys.argv[4])
print(json.dumps(bind(kind, num_cpus, domains=domains, claims=claims)), flush=True)
sys.stdin.read()
"""


@contextmanager
def worker(claims: Path, domains: list[list[int]], kind: str = "core", num_cpus: int = 1) -> Iterator[tuple[tuple[int, ...], int]]:
    """The CPUs of a worker in a process of its own, and that process."""
    command = [sys.executable, "-c", WORKER, kind, str(num_cpus), json.dumps(domains), str(claims)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        yield tuple(json.loads(process.stdout.readline())), process.pid
    finally:
        process.communicate()


@pytest.fixture
def cpus() -> list[int]:
    usable = sorted(os.sched_getaffinity(0))
    if len(usable) < 2:
        pytest.skip("one CPU leaves nothing to choose")
    return usable[:2]


def test_two_workers_are_on_different_cpus_and_a_third_is_left_alone(tmp_path: Path, cpus: list[int]) -> None:
    with worker(tmp_path, [cpus]) as (one, _), worker(tmp_path, [cpus]) as (other, _), worker(tmp_path, [cpus]) as (third, _):
        assert {one, other} == {(cpus[0],), (cpus[1],)}
        assert third == tuple(sorted(os.sched_getaffinity(0)))


def test_the_kernel_binds_the_worker(tmp_path: Path, cpus: list[int]) -> None:
    with worker(tmp_path, [cpus[1:]]) as (own, pid):
        assert own == (cpus[1],)
        assert os.sched_getaffinity(pid) == {cpus[1]}


def test_threads_that_run_already_are_bound_too(tmp_path: Path, cpus: list[int]) -> None:
    script = f"""
import os, threading
from pathlib import Path
from gan3d.training.binding import bind
ready, bound = threading.Event(), threading.Event()
def look():
    ready.set()
    bound.wait()
    print(sorted(os.sched_getaffinity(0)))
thread = threading.Thread(target=look)
thread.start()
ready.wait()
bind("core", 1, domains=[[{cpus[1]}]], claims=Path({str(tmp_path)!r}))
bound.set()
thread.join()
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == [cpus[1]]


def test_a_killed_workers_cpus_are_free_again(tmp_path: Path, cpus: list[int]) -> None:
    with worker(tmp_path, [cpus], num_cpus=2) as (_, pid):
        os.kill(pid, signal.SIGKILL)
        for _ in range(100):
            if len(claimed := claim(2, [cpus], tmp_path)) == 2:
                break
            time.sleep(0.05)
    assert set(claimed) == set(cpus)
    for file in claimed.values():
        os.close(file)


def test_a_domain_is_the_claims_and_no_one_elses(tmp_path: Path, cpus: list[int]) -> None:
    domains = [[cpus[0]], [cpus[1]]]
    with worker(tmp_path, domains, "numa") as (one, _), worker(tmp_path, domains, "numa") as (other, _):
        assert {one, other} == {(cpus[0],), (cpus[1],)}


def test_numa_leaves_threads_the_whole_domain(tmp_path: Path, cpus: list[int]) -> None:
    with worker(tmp_path, [cpus], "numa") as (one, _), worker(tmp_path, [cpus], "numa") as (other, _):
        assert one == other == tuple(cpus)


def test_cpus_of_one_domain_are_preferred(tmp_path: Path) -> None:
    first = claim(1, [[0, 1], [2, 3, 4]], tmp_path)
    assert set(first) == {2}
    second = claim(2, [[0, 1], [2, 3, 4]], tmp_path)
    assert set(second) in ({0, 1}, {3, 4})
    across = claim(2, [[0, 1], [2, 3, 4]], tmp_path)
    assert len(across) == 2
    assert not claim(1, [[]], tmp_path)
    for file in (*first.values(), *second.values(), *across.values()):
        os.close(file)


def test_unbound_workers_keep_what_they_have(tmp_path: Path) -> None:
    assert bind("none", 1, claims=tmp_path) == tuple(sorted(os.sched_getaffinity(0)))
    assert not any(tmp_path.iterdir())


def test_domains_are_the_kernels(tmp_path: Path) -> None:
    for node, cpulist in (("node0", "0-1,8\n"), ("node1", "2-3\n"), ("node10", "4\n")):
        (tmp_path / node).mkdir()
        (tmp_path / node / "cpulist").write_text(cpulist, encoding="ascii")
    assert numa_domains([0, 1, 2, 3, 8], tmp_path) == [(0, 1, 8), (2, 3)]
    assert numa_domains([5, 6], tmp_path / "nowhere") == [(5, 6)]
    assert cpus_of("0-3,8,10-11\n") == [0, 1, 2, 3, 8, 10, 11]
    assert binding.numa_domains(sorted(os.sched_getaffinity(0)))
