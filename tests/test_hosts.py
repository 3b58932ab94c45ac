"""Several hosts on one machine: they reach each other and nothing else, over the link that was asked for, and nothing outlives them."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
import torch
from gloo_processes import gloo_processes
from small_study import write_study
from small_trial import small_files, small_trial, trained

from benchmarks.hosts.cluster import ray_on
from benchmarks.hosts.namespaces import why_not
from benchmarks.hosts.ranks import RanksOnHosts, ranks_on
from benchmarks.hosts.testbed import BARE, NETWORK, Host, Link, TestBed
from gan3d.training.buckets import update_buckets
from gan3d.training.ranks import Ranks

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[1]
PORT = 7000
#: Sends back what comes, byte by byte, or swallows megabytes and says when it has had them.
SERVER = f"""
import socket
server = socket.create_server(("0.0.0.0", {PORT}))
print("ready", flush=True)
while True:
    peer, _ = server.accept()
    peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    wanted = int(peer.recv(8) or 0)
    while wanted > 0:
        wanted -= len(peer.recv(min(wanted, 1 << 16)))
        if wanted == 0:
            peer.send(b"!")
    peer.close()
"""
#: Prints how long an answer takes [s] to so many bytes, as the shortest of several times; a connection is there before.
CLIENT = """
import socket, sys, time
address, port, number, times = sys.argv[1], *map(int, sys.argv[2:])
def seconds():
    with socket.create_connection((address, port), timeout=60) as peer:
        peer.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        peer.send(b"%08d" % number)
        start = time.perf_counter()
        peer.sendall(b"x" * number)
        assert peer.recv(1) == b"!"
        return time.perf_counter() - start
print(min(seconds() for _ in range(times)))
"""
#: Why a connection is refused, by number of the error.
CONNECT = """
import socket, sys
try:
    socket.create_connection((sys.argv[1], int(sys.argv[2])), timeout=2)
    print(0)
except OSError as error:
    print(error.errno or error)
"""
#: A bed with something running on it; prints its folder and the processes that must not outlive it.
OWNER = """
import sys, time
from benchmarks.hosts.testbed import Link, TestBed
with TestBed(2, Link(1e-3, 1e8)) as bed:
    sleeper = bed.hosts[1].start(["sleep", "1000"])
    print(bed.folder, sleeper.pid, *(each.first_process for each in (bed.switch, *(host.inside for host in bed.hosts))), flush=True)
    time.sleep(1000)
"""


@pytest.fixture(scope="module", autouse=True)
def _possible() -> None:
    if (why := why_not()) is not None:
        pytest.skip(why)


@pytest.fixture(scope="module")
def bed() -> Iterator[TestBed]:
    with TestBed(3) as bed:
        yield bed


@pytest.fixture(scope="module")
def ranks(bed: TestBed) -> Iterator[RanksOnHosts]:
    """On the first two hosts; tests' functions are found in tests/."""
    before = os.environ.get("PYTHONPATH")
    os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, [str(ROOT / "tests"), before]))
    try:
        with ranks_on(bed.hosts[:2]) as ranks:
            yield ranks
    finally:
        os.environ.pop("PYTHONPATH")
        if before is not None:
            os.environ["PYTHONPATH"] = before


@pytest.fixture(scope="module")
def server(bed: TestBed) -> Iterator[Host]:
    host = bed.hosts[1]
    process = host.start([sys.executable, "-S", "-c", SERVER], stdout=subprocess.PIPE, text=True)
    assert process.stdout is not None
    assert process.stdout.readline() == "ready\n"
    yield host
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    process.stdout.close()


def said_by(host: Host, script: str, *words: object) -> str:
    done = host.run([sys.executable, "-S", "-c", script, *map(str, words)], seconds=120)
    assert done.returncode == 0, done.stderr
    return done.stdout.strip()


def answer_seconds(bed: TestBed, server: Host, num_bytes: int, times: int) -> float:
    return float(said_by(bed.hosts[0], CLIENT, server.address, PORT, num_bytes, times))


def test_hosts_reach_each_other_and_nothing_else(bed: TestBed, server: Host) -> None:
    assert said_by(bed.hosts[0], CONNECT, server.address, PORT) == "0"
    assert said_by(bed.hosts[2], CONNECT, server.name, PORT) == "0", "by name, too"
    with socket.create_server(("0.0.0.0", 0)) as of_machine:
        port = of_machine.getsockname()[1]
        for address in ("127.0.0.1", *machine_addresses()):
            assert said_by(bed.hosts[0], CONNECT, address, port) != "0", f"reaches the machine at {address}"
    assert said_by(bed.hosts[0], CONNECT, "192.0.2.1", 80) != "0"  # the world, RFC 5737
    routes = Path(f"/proc/{bed.hosts[0].inside.first_process}/net/route").read_text(encoding="ascii").splitlines()[1:]
    assert len(routes) == 1, "to the other hosts"
    assert not any(address.startswith(NETWORK) for address in machine_addresses()), "the machine is not on their network"


def machine_addresses() -> list[str]:
    found = [address for addresses in psutil.net_if_addrs().values() for address in addresses]
    return [address.address for address in found if address.family == socket.AF_INET and address.address != "127.0.0.1"]


def test_a_host_says_its_name_and_has_a_disk_of_its_own(bed: TestBed) -> None:
    first, second = bed.hosts[:2]
    assert first.run(["hostname"], seconds=60).stdout.strip() == first.name
    first.run(["touch", str(bed.local / "mine")], seconds=60).check_returncode()
    assert first.run(["ls", str(bed.local)], seconds=60).stdout.strip() == "mine"
    assert second.run(["ls", str(bed.local)], seconds=60).stdout.strip() == ""


def test_a_message_takes_the_delay_and_its_answer_as_well(bed: TestBed, server: Host) -> None:
    seconds = {}
    for delay in (0.0, 0.05, 0.0):
        bed.shape(Link(delay))
        seconds[delay] = answer_seconds(bed, server, 1, 9)
    assert seconds[0.0] < 0.05, "also after the delay was taken away"
    assert 0.1 <= seconds[0.05] < 0.2


def test_bytes_take_their_time_at_a_rate(bed: TestBed, server: Host) -> None:
    megabytes, rate = 4_000_000, 40e6
    bed.shape(Link(bits_per_second=rate))
    limited = answer_seconds(bed, server, megabytes, 1)
    bed.shape(BARE)
    bare = answer_seconds(bed, server, megabytes, 3)
    at_the_rate = 8 * megabytes / rate
    assert 0.95 * at_the_rate < limited < 2 * at_the_rate
    assert bare < at_the_rate / 2, "also after the limit was taken away"


def test_a_cable_that_is_pulled_out_is_silent_until_it_is_back(bed: TestBed, server: Host) -> None:
    bed.unplug(bed.hosts[2])
    assert said_by(bed.hosts[2], CONNECT, server.address, PORT) != "0"
    bed.plug(bed.hosts[2])
    deadline = time.monotonic() + 30  # on a busy machine the other side's address is asked for again only after a while
    while (error := said_by(bed.hosts[2], CONNECT, server.address, PORT)) != "0" and time.monotonic() < deadline:
        time.sleep(0.5)
    assert error == "0"


def summed(ranks: Ranks, num_floats: int) -> float:
    return float(ranks.sum(torch.ones(num_floats)).max())


@pytest.mark.parametrize("link", [BARE, Link(2e-3, 200e6)], ids=str)
def test_an_all_reduce_crosses_the_link(bed: TestBed, ranks: RanksOnHosts, link: Link) -> None:
    bed.shape(link)
    ranks.call(summed, 1)
    num_bytes = 4_000_000
    before = [host.traffic() for host in bed.hosts]
    assert ranks.call(summed, num_bytes // 4) == [2.0, 2.0]
    first, second, third = (host.traffic() - earlier for host, earlier in zip(bed.hosts, before, strict=True))
    bed.shape(BARE)
    for traffic in (first, second):  # 2 (N - 1) / N of the bytes, each way; and headers, with what TCP sent twice
        assert num_bytes < traffic.sent_bytes < 1.05 * num_bytes
        assert num_bytes < traffic.received_bytes < 1.05 * num_bytes
    assert third.sent_bytes < 10_000, "whoever is not in the ring is not bothered"


def losses_and_traffic(ranks: Ranks, folder: Path) -> list[dict[str, float]]:
    settings = small_trial(folder, {"workers.per_trial": 2, "workers.convolutions": "plain"})
    metrics = [record.as_metrics() for record in trained(settings, ranks)[1]]
    return [{name: value for name, value in row.items() if name.startswith(("losses.", "physics."))} for row in metrics]


def test_training_on_hosts_is_training(bed: TestBed, ranks: RanksOnHosts, tmp_path: Path) -> None:
    folder = small_files(tmp_path)
    (tmp_path / "stores").mkdir()
    bed.shape(Link(1e-3, 400e6))
    on_hosts = ranks.call(losses_and_traffic, folder)
    bed.shape(BARE)
    with gloo_processes(2, tmp_path / "stores") as processes:
        without_network = processes.run(losses_and_traffic, folder)
    assert len(on_hosts[0]) == 2
    assert on_hosts[0][0]
    assert on_hosts == without_network, "to the last bit"


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_nothing_outlives_the_owner(number: signal.Signals) -> None:
    command = [sys.executable, "-c", OWNER]
    owner = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True, start_new_session=True)
    assert owner.stdout is not None
    folder, *processes = owner.stdout.readline().split()
    owner.stdout.close()
    children = [child.pid for child in psutil.Process(owner.pid).children(recursive=True)]
    assert Path(folder).is_dir()
    assert {int(process) for process in processes} <= set(children)
    owner.send_signal(number)
    owner.wait(60)
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline and (Path(folder).exists() or any(map(psutil.pid_exists, children))):
        time.sleep(0.1)
    assert not Path(folder).exists()
    assert [child for child in children if psutil.pid_exists(child)] == []
    assert subprocess.run(["ip", "netns"], capture_output=True, text=True, check=True).stdout == "", "none of ours has a name"


def test_a_study_runs_on_hosts(tmp_path: Path) -> None:
    """Head and driver on one host, a worker on each other: gradients cross the network."""
    steps = 2
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    words = ["run", str(study), "--results", str(tmp_path / "results"), "--json", "--set", f"training.max_steps_per_epoch={steps}"]
    with TestBed(3, Link(1e-3, 100e6)) as bed, ray_on(bed) as cluster:
        before = [host.traffic() for host in bed.hosts]
        done = cluster.gan3d(*words, "--address", cluster.address, seconds=300)
        traffic = [host.traffic() - earlier for host, earlier in zip(bed.hosts, before, strict=True)]
        places = cluster.worker_places()
        addresses = {host.address for host in bed.hosts[1:]}
    assert done.returncode == 0, done.stdout + done.stderr
    trials = json.loads(done.stdout)["trials"]
    assert [trial["state"] for trial in trials] == ["complete", "complete"]
    assert len({node for node, _ in places}) == 2, "two nodes"
    assert {address for _, address in places} == addresses
    settings = small_trial(tmp_path, {"workers.per_trial": 2})
    num_bytes = sum(map(sum, update_buckets(settings))) * steps * 3 * len(trials)
    assert all(each.sent_bytes > num_bytes for each in traffic[1:])
