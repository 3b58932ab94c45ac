"""What the doctor makes of what nodes say; on real nodes: test_doctor_hosts."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from gan3d.doctor import findings
from gan3d.doctor.examination import Report, own_versions
from gan3d.doctor.findings import Finding, NodeReport
from gan3d.doctor.probe import Probe

VERSIONS = dict.fromkeys((*findings.OF_WORKERS, *findings.OF_DRIVER), "1.0")
FACTS: dict[str, Any] = {
    "host": "node",
    "python": "3.11.7",
    "versions": VERSIONS,
    "cores": 4,
    "threads": {},
    "interfaces": {},
    "known_interfaces": ["lo", "eth0"],
    "address_interface": "eth0",
    "numa": ["0-3"],
    "asks_for_token": True,
    "free_bytes": {"the results folder": 10**12},
}


def node(name: str, **facts: Any) -> NodeReport:
    """A healthy one, but for these facts."""
    storage = {"read": "", "write": ""}
    files = {"/data/*.h5": {"sizes": {"a.h5": 1000}}}
    return NodeReport(name, "10.0.0.1", 4, 0, is_head=False, facts=FACTS | facts, storage=storage, files=files)


def found(what: Iterator[Finding]) -> list[tuple[str, tuple[str, ...], str]]:
    return [(one.level, one.nodes, one.what) for one in what]


def test_healthy_nodes_have_nothing() -> None:
    nodes = [node("one"), node("two")]
    answers = {one.name: {"seconds": {1024: 1e-4, 1 << 22: 1e-2}} for one in nodes}
    for what in (
        findings.of_answers(nodes),
        findings.of_versions(nodes, VERSIONS, "3.11.7"),
        findings.of_storage(nodes, "/shared"),
        findings.of_files(nodes),
        findings.of_disks(nodes),
        findings.of_clocks(nodes),
        findings.of_interfaces(nodes, None),
        findings.of_ports(nodes),
        findings.of_sums(answers, "gloo"),
        findings.of_cores(nodes),
        findings.of_token(nodes),
    ):
        assert found(what) == []


def test_versions_that_are_not_the_drivers_are_named_with_all_their_nodes() -> None:
    other = {"versions": VERSIONS | {"torch": "0.9"}}
    without = {"versions": VERSIONS | {"mlflow": ""}}
    nodes = [node("one", **other), node("two"), node("three", **other), node("four", **without), node("five", python="3.12.1")]
    assert found(findings.of_versions(nodes, VERSIONS, "3.11.7")) == [
        ("problem", ("one", "three"), "torch 0.9; the driver has 1.0"),
        ("warning", ("four",), "mlflow is missing; the driver has 1.0"),
        ("problem", ("five",), "Python 3.12.1; the driver has 3.11.7"),
    ]


def test_a_folder_that_is_not_shared_is_told_for_reading_and_writing() -> None:
    apart = node("two")
    apart.storage = {"read": "FileNotFoundError: nothing there", "write": "PermissionError: read only"}
    told = found(findings.of_storage([node("one"), apart], "/shared"))
    assert [(level, nodes) for level, nodes, _ in told] == [("problem", ("two",))] * 2
    assert "does not see what the driver wrote in /shared" in told[0][2]
    assert "cannot write in /shared (PermissionError: read only)" in told[1][2]


def test_missing_and_different_files_are_told() -> None:
    nodes = [node("one"), node("two"), node("three"), node("four"), node("five")]
    nodes[1].files = {"/data/*.h5": {"problem": "no file /data/*.h5"}}
    nodes[2].files = {"/data/*.h5": {"sizes": {"a.h5": 999}}}
    nodes[3].files = {"/data/*.h5": {"sizes": {"a.h5": 1000, "b.h5": 10}}}
    told = found(findings.of_files(nodes))
    assert [(level, where) for level, where, _ in told] == [("problem", ("two",)), ("problem", ("three", "four"))]
    assert "cannot read /data/*.h5 (no file" in told[0][2]
    assert told[1][2].startswith("a.h5, b.h5 of /data/*.h5 are not of the size")


@pytest.mark.parametrize(("free", "level"), [(1.9e9, "warning"), (0.1e9, "problem")])
def test_full_disks_are_told(free: float, level: str) -> None:
    assert [one.level for one in findings.of_disks([node("one", free_bytes={"/tmp": free})])] == [level]


@pytest.mark.parametrize(
    ("offset", "error", "level"), [(1.0, 0.0, None), (-5.0, 0.1, "warning"), (300.0, 0.1, "problem"), (3.0, 2.0, None)]
)
def test_clocks_count_beyond_what_the_question_took(offset: float, error: float, level: str | None) -> None:
    there = replace(node("one"), clock_offset=offset, clock_error=error)
    assert [one.level for one in findings.of_clocks([there])] == ([] if level is None else [level])


def test_interfaces_that_are_not_there_or_lead_nowhere_are_told() -> None:
    nodes = [
        node("one", interfaces={"GLOO_SOCKET_IFNAME": "ib0"}),
        node("two", address_interface=""),
        node("three", address_interface="", interfaces={"GLOO_SOCKET_IFNAME": "eth0"}),
        node("four", interfaces={"NCCL_SOCKET_IFNAME": "eth"}),
        node("five", interfaces={"NCCL_SOCKET_IFNAME": "^docker"}),
    ]
    told = found(findings.of_interfaces(nodes, None))
    assert [(level, where) for level, where, _ in told] == [("problem", ("one",)), ("warning", ("two",))]
    assert "there is no ib0 (there are lo, eth0)" in told[0][2]
    assert found(findings.of_interfaces(nodes[1:2], None)) == [], "a lone node reaches itself"
    named = found(findings.of_interfaces(nodes, "ib7"))
    assert [where for _, where, _ in named] == [(one.name,) for one in nodes], "what the study names counts more than variables"
    assert "workers.interface=ib7" in named[0][2]


def test_a_port_that_several_do_not_reach_is_one_finding() -> None:
    nodes = [node("one"), node("two"), node("three")]
    nodes[0].unreachable = {"three": "TimeoutError: timed out"}
    nodes[1].unreachable = {"three": "TimeoutError: timed out"}
    assert found(findings.of_ports(nodes)) == [("problem", ("one", "two"), "a port of three does not answer (TimeoutError: timed out)")]


def test_failed_and_slow_sums_are_told() -> None:
    broken = {"one": {"problem": "RuntimeError: connection refused"}, "two": {"seconds": {1024: 1e-4, 1 << 22: 1e-2}}}
    assert found(findings.of_sums(broken, "gloo")) == [
        ("problem", ("one",), "gloo does not sum over nodes (RuntimeError: connection refused)")
    ]
    slow = {"one": {"seconds": {1024: 8e-3, 1 << 22: 0.5}}, "two": {"seconds": {1024: 1e-3, 1 << 22: 0.4}}}
    assert [one.level for one in findings.of_sums(slow, "gloo")] == ["warning"]
    assert findings.speed([one["seconds"] for one in slow.values()]) == (8e-3, pytest.approx((1 << 22) / 0.5))


def test_cores_token_and_silence_are_told() -> None:
    assert [one.check for one in findings.of_cores([node("one", cores=2)])] == ["cores"]
    assert [one.level for one in findings.of_token([node("one"), node("two", asks_for_token=False)])] == ["warning"]
    assert not list(findings.of_token([node("one", asks_for_token=False)]))
    silent = replace(node("one"), facts={}, unanswered="timed out")
    assert found(findings.of_answers([silent])) == [("problem", ("one",), "does not answer (timed out)")]


def test_a_probe_tells_of_this_machine(tmp_path: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    probe = Probe()
    facts = probe.facts("127.0.0.1", ["torch", "no-such-package"], {"here": str(tmp_path / "not" / "made")})
    assert set(facts) == set(FACTS)
    assert facts["versions"]["torch"] == own_versions()["torch"] != ""
    assert facts["versions"]["no-such-package"] == ""
    assert facts["address_interface"] == "lo"
    assert facts["free_bytes"]["here"] > 0
    assert probe.write(str(tmp_path / "b.h5"), b"mark") == ""
    assert probe.read(str(tmp_path / "b.h5")) == (b"mark", "")
    assert "FileNotFoundError" in probe.read(str(tmp_path / "nothing"))[1]
    assert "NotADirectoryError" in probe.write(str(tmp_path / "b.h5" / "c"), b"mark")
    assert "FileNotFoundError" in probe.write(str(tmp_path / "not made" / "c"), b"mark")
    assert probe.files("$SHOWERS/*.h5", "/nowhere/*.h5") == {"problem": "no file /nowhere/*.h5"}
    monkeypatch.setenv("SHOWERS", str(tmp_path))
    assert probe.files("$SHOWERS/*.h5", "/nowhere/*.h5") == {"sizes": {"b.h5": 4}}
    probe.delete(str(tmp_path / "b.h5"))
    assert "problem" in probe.files("$SHOWERS/*.h5", "/nowhere/*.h5")


def test_a_report_is_json() -> None:
    silent = replace(node("two"), facts={}, unanswered="timed out")
    report = Report((node("one"), silent), math.nan, math.nan, tuple(findings.of_answers([silent])))
    told = json.loads(json.dumps(report.as_dict()))
    assert (told["healthy"], told["latency"], told["nodes"][1]["unanswered"]) == (False, None, "timed out")


def test_a_probe_answers_on_its_port_and_says_who_does_not() -> None:
    probe = Probe()
    port = probe.listen()
    assert probe.reach("127.0.0.1", port, 5.0) == ""
    assert "ConnectionRefusedError" in probe.reach("127.0.0.1", probe.free_port(), 5.0)


def test_a_probe_sums_alone_and_says_why_it_cannot() -> None:
    probe = Probe()
    meeting = f"tcp://127.0.0.1:{probe.free_port()}"
    assert set(probe.sums(0, 1, meeting, "gloo", 20.0, "lo")["seconds"]) == {1 << 10, 1 << 22}
    assert probe.sums(1, 2, f"tcp://127.0.0.1:{probe.free_port()}", "gloo", 1.0, "lo")["problem"]
