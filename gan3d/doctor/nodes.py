"""Asking every node of a Ray cluster: a probe on each, which takes no CPU, so that a running study does not stand in its way."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import ray
from ray import cloudpickle
from ray.util.scheduling_strategies import NodeAffinitySchedulingStrategy

from gan3d.doctor import probe
from gan3d.doctor.findings import NodeReport

#: How long a node may take to start its probe [s], to answer, and to reach another one's port.
START_SECONDS, ANSWER_SECONDS, REACH_SECONDS = 90.0, 60.0, 5.0
#: How long a sum over all nodes may take, starting torch included [s].
SUM_SECONDS = 120.0
#: How often a clock is asked: the quickest answer counts.
CLOCK_TRIES = 5


@contextmanager
def probes(say: Callable[[str], None]) -> Iterator[tuple[list[NodeReport], dict[str, Any]]]:
    """A report for each living node, and a probe for those that start one, by name."""
    rows = sorted((row for row in ray.nodes() if row["Alive"]), key=_place)  # type: ignore[no-untyped-call]
    nodes = [_report(row, rows) for row in rows]
    # By value: a node that has another version of this package, or none, answers as well.
    cloudpickle.register_pickle_by_value(probe)  # type: ignore[no-untyped-call]
    made: dict[str, Any] = {}
    try:
        actor: Any = ray.remote(probe.Probe)
        for node, row in zip(nodes, rows, strict=True):
            where = NodeAffinitySchedulingStrategy(row["NodeID"], soft=False)
            made[node.name] = actor.options(num_cpus=0, scheduling_strategy=where, max_concurrency=4).remote()
        say(f"Asking {len(nodes)} node{'s' if len(nodes) > 1 else ''}")
        yield nodes, made
    finally:
        for one in made.values():
            ray.kill(one)
        cloudpickle.unregister_pickle_by_value(probe)  # type: ignore[no-untyped-call]


def ask(node: NodeReport, made: dict[str, Any], question: str, *arguments: Any, seconds: float = ANSWER_SECONDS) -> Any:
    """A probe's answer; None from a node that does not give one, of which that is noted, and which is asked no more."""
    return answer_of(node, made, getattr(made[node.name], question).remote(*arguments), seconds) if node.name in made else None


def answer_of(node: NodeReport, made: dict[str, Any], asked: Any, seconds: float) -> Any:
    """As :func:`ask`, of a question that is on its way."""
    try:
        return ray.get(asked, timeout=seconds)
    except (ray.exceptions.RayError, TimeoutError) as problem:
        node.unanswered = (str(problem).strip().splitlines() or [type(problem).__name__])[0]
        ray.kill(made.pop(node.name))
        return None


def ask_facts(nodes: Sequence[NodeReport], made: dict[str, Any], packages: Sequence[str], folders: Mapping[str, str]) -> None:
    """Fill in what nodes are."""
    asked = {node.name: made[node.name].facts.remote(node.address, list(packages), dict(folders)) for node in nodes}
    end = time.monotonic() + START_SECONDS
    for node in nodes:
        node.facts = answer_of(node, made, asked[node.name], max(0.1, end - time.monotonic())) or {}


def ask_clocks(nodes: Sequence[NodeReport], made: dict[str, Any]) -> None:
    """Cristian's method: of several questions the quickest, in whose middle the node looked at its clock."""
    for node in nodes:
        best = float("inf")
        for _ in range(CLOCK_TRIES):
            before = time.time()
            there = ask(node, made, "clock")
            taken = time.time() - before
            if there is not None and taken < best:
                best, node.clock_offset, node.clock_error = taken, there - (before + taken / 2), taken / 2


def ask_storage(nodes: Sequence[NodeReport], made: dict[str, Any], folder: Path) -> None:
    """Whether each node reads what the driver writes into the results folder, which exists, and the other way round."""
    mark = uuid.uuid4().hex
    ours = folder / f".doctor-{mark}"
    try:
        ours.write_bytes(mark.encode())
        for number, node in enumerate(nodes):
            node.storage = _storage_of(node, made, ours, folder / f".doctor-{mark}-{number}", mark.encode())
    except OSError as problem:
        for node in nodes:
            node.storage = {"read": f"the driver cannot write there: {problem}"}
    finally:
        with suppress(OSError):
            ours.unlink(missing_ok=True)


def _storage_of(node: NodeReport, made: dict[str, Any], ours: Path, theirs: Path, mark: bytes) -> dict[str, str]:
    content, why = ask(node, made, "read", str(ours)) or (b"", "no answer")
    written = ask(node, made, "write", str(theirs), mark)
    seen = theirs.is_file() and theirs.read_bytes() == mark
    ask(node, made, "delete", str(theirs))
    found = {"read": why or ("" if content == mark else "another content")}
    return found | {"write": written or ("" if seen else "the driver does not see it: another disk")}


def ask_files(nodes: Sequence[NodeReport], made: dict[str, Any], patterns: Mapping[str, str]) -> None:
    """Whether shower files are there: patterns as written, each with its place as the driver has it."""
    for node in nodes:
        answers = {written: ask(node, made, "files", written, by_driver) for written, by_driver in patterns.items()}
        node.files = {written: answer or {"problem": "no answer"} for written, answer in answers.items()}


def ask_ports(nodes: Sequence[NodeReport], made: dict[str, Any]) -> None:
    """Of a ring of nodes both neighbours' ports, as an all-reduce needs them, and the first one's, where torch's store is."""
    ports = {node.name: ask(node, made, "listen") for node in nodes}
    there = [node for node in nodes if node.name in made]
    asked = [
        (node, other, made[node.name].reach.remote(other.address, ports[other.name], REACH_SECONDS))
        for place, node in enumerate(there)
        for other in _partners(place, there)
    ]
    for node, other, answer in asked:
        why = answer_of(node, made, answer, ANSWER_SECONDS) if node.name in made else None
        if why:
            node.unreachable[other.name] = why


def _partners(place: int, nodes: Sequence[NodeReport]) -> list[NodeReport]:
    chosen = {0, (place + 1) % len(nodes), (place - 1) % len(nodes)} - {place}
    return [nodes[number] for number in sorted(chosen)]


def ask_sums(nodes: Sequence[NodeReport], made: dict[str, Any], backend: str, interface: str | None) -> dict[str, dict[str, Any]]:
    """All-reduces over all nodes that answer, and have a GPU where these are summed; answers by node."""
    there = [node for node in nodes if node.name in made and (backend != "nccl" or node.gpus)]
    port = ask(there[0], made, "free_port") if there else None
    if port is None:
        return {}
    meeting = f"tcp://{there[0].address}:{port}"
    asked = {
        node.name: made[node.name].sums.remote(rank, len(there), meeting, backend, SUM_SECONDS / 2, interface or "")
        for rank, node in enumerate(there)
    }
    end = time.monotonic() + SUM_SECONDS
    answers = {}
    for node in there:
        answer = answer_of(node, made, asked[node.name], max(0.1, end - time.monotonic()))
        answers[node.name] = answer or {"problem": node.unanswered}
    return answers


def _report(row: Mapping[str, Any], rows: Sequence[Mapping[str, Any]]) -> NodeReport:
    host, address = row["NodeManagerHostname"], row["NodeManagerAddress"]
    has_namesake = sum(one["NodeManagerHostname"] == host for one in rows) > 1
    is_twin = sum(one["NodeManagerHostname"] == host and one["NodeManagerAddress"] == address for one in rows) > 1
    name = f"{host} ({address}{', ' + row['NodeID'][:6] if is_twin else ''})" if has_namesake else host
    resources = row["Resources"]
    is_head = "node:__internal_head__" in resources
    return NodeReport(name, address, int(resources.get("CPU", 0)), int(resources.get("GPU", 0)), is_head)


def _place(row: Mapping[str, Any]) -> tuple[bool, str]:
    return "node:__internal_head__" not in row["Resources"], str(row["NodeManagerHostname"])
