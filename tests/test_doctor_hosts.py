"""The doctor on real nodes: a healthy cluster of several hosts, and one with everything wrong with it at once."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from small_study import write_study

from benchmarks.hosts.cluster import Oddity, RayCluster, ray_on
from benchmarks.hosts.testbed import Host, TestBed

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

#: A clock that goes five minutes fast, for the Python of whoever has it on its path.
FAST_CLOCK = """
import time
_time = time.time
time.time = lambda: _time() + 300
"""
#: Between ports that systems choose themselves; Ray's own are below.
BLOCK = "ip rule add ipproto tcp sport 32768-60999 dport 32768-60999 blackhole"


def examined(cluster: RayCluster, study: Path, *words: str) -> tuple[int, dict[str, Any]]:
    """Exit code and report."""
    done = cluster.gan3d("doctor", str(study), "--address", cluster.address, "--json", *words, seconds=400)
    assert done.stdout, done.stderr
    return done.returncode, json.loads(done.stdout)


def test_a_healthy_cluster_has_nothing(bed: TestBed, tmp_path: Path) -> None:
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    with ray_on(bed) as cluster:
        code, report = examined(cluster, study, "--results", str(tmp_path / "results"))
    # How full this machine's disk is, and how busy its cores are, is not the cluster's fault.
    assert [one for one in report["findings"] if (one["check"], one["level"]) != ("all-reduce", "warning") and one["check"] != "disk"] == []
    assert code == 0 or any(one["check"] == "disk" for one in report["findings"])
    assert [node["name"] for node in report["nodes"]] == ["host0", "host1", "host2", "host3"]
    assert [node["is_head"] for node in report["nodes"]] == [True, False, False, False]
    assert report["latency"] > 0
    assert report["bandwidth"] > 0
    assert not (tmp_path / "results").exists(), "it leaves nothing behind"


def test_each_planted_fault_is_found_where_it_is(bed: TestBed, tmp_path: Path) -> None:
    data, results, broken = tmp_path / "data", tmp_path / "results", tmp_path / "broken.db"
    data.mkdir()
    results.mkdir()
    study = write_study(data, {"training.seed": {"choice": [1, 2]}})
    broken.write_bytes(b"no database " * 400)
    odd = {
        "host1": Oddity({"PYTHONPATH": str(with_version(tmp_path / "old", "h5py", "2.0.0"))}),
        "host2": Oddity({"PYTHONPATH": str(with_fast_clock(tmp_path / "fast")), "GLOO_SOCKET_IFNAME": "ib0"}),
        "host3": Oddity(cpus=4),
    }
    _, one, two, three = bed.hosts
    with ray_on(bed, odd) as cluster:
        lead_to_loopback(one, tmp_path)  # harmless: workers take the interface of the address that Ray knows
        mount(one, "-t", "tmpfs", "empty", str(data))
        mount(two, "--bind", str(data / "validation.h5"), str(data / "train.h5"))
        mount(three, "-t", "tmpfs", "-o", "size=1m", "small", str(results))
        three.run(["sh", "-c", BLOCK], seconds=20).check_returncode()
        uris = ("--tracking-uri", "http://198.18.0.200:5000", "--optuna-storage", f"sqlite:///{broken}")
        code, report = examined(cluster, study, "--results", str(results), *uris)
    assert code == 1
    found = {(one["check"], node) for one in report["findings"] for node in one["nodes"]}
    wanted = {
        ("versions", "host1"),
        ("data", "host1"),
        ("clock", "host2"),
        ("interface", "host2"),
        ("data", "host2"),
        ("storage", "host3"),
        ("disk", "host3"),
        ("cores", "host3"),
        ("stores", "the driver"),
    }
    assert wanted <= found, report["findings"]
    told = " ".join(one["what"] for one in report["findings"])
    for words in ("h5py 2.0.0", "300.", "there is no ib0", "train.h5 of", "does not see", "a port of host3", "4 CPUs"):
        assert words in told, words
    assert sum(one["check"] == "stores" for one in report["findings"]) == 2
    reasons = [one for one in report["findings"] if one["check"] == "all-reduce"]
    assert reasons
    assert not any("host1" in one["nodes"] and "127." in one["what"] for one in reasons)
    assert all(one["way_out"] for one in report["findings"])


def with_version(folder: Path, package: str, version: str) -> Path:
    """A folder on whose path a package seems to be another one."""
    about = folder / f"{package}-{version}.dist-info"
    about.mkdir(parents=True)
    (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {package}\nVersion: {version}\n", encoding="ascii")
    return folder


def with_fast_clock(folder: Path) -> Path:
    folder.mkdir()
    (folder / "sitecustomize.py").write_text(FAST_CLOCK, encoding="ascii")
    return folder


def mount(host: Host, *words: str) -> None:
    """In the host's own view of the files."""
    host.run(["mount", *words], seconds=20).check_returncode()


def lead_to_loopback(host: Host, folder: Path) -> None:
    """As Debian's installer writes it."""
    names = folder / "hosts"
    names.write_text(f"127.0.0.1 localhost\n127.0.1.1 {host.name}\n", encoding="ascii")
    mount(host, "--bind", str(names), "/etc/hosts")
