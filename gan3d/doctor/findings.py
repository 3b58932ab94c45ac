"""What is wrong, where, and what to do about it: judgements on what nodes said, without a cluster."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

#: Clocks further apart than this [s] put records in a wrong order; further than the second, tokens and certificates fail too.
CLOCK_SECONDS, CLOCK_BROKEN_SECONDS = 2.0, 60.0
#: Less space than that on a disk is too little for a state of each of a few trials, Ray's logs and an object store that spills.
LEAST_FREE_BYTES = 2e9
#: All-reduces that take longer than this [s] per KiB, or carry less than this [byte/s], are slower than a gigabit network's.
SLOW_SECONDS, SLOW_BYTES_PER_SECOND = 5e-3, 30e6
#: Without these on a node no worker runs; the others only the driver needs.
OF_WORKERS = ("gan3d", "ray", "torch", "numpy", "h5py", "pydantic")
OF_DRIVER = ("optuna", "mlflow", "pandas")

Level = Literal["problem", "warning"]


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that is not as it should be."""

    check: str
    level: Level
    nodes: tuple[str, ...]
    """Their names; empty: of all, or of the cluster."""
    what: str
    way_out: str


@dataclass(slots=True)
class NodeReport:
    """All that is known of one node."""

    name: str
    """Its host name, with its address where two have the same one."""
    address: str
    cpus: int
    """That Ray gives out."""
    gpus: int
    is_head: bool
    facts: dict[str, Any] = field(default_factory=dict)
    """As `Probe.facts` has them; empty if it does not answer."""
    unanswered: str = ""
    """Why it does not answer."""
    clock_offset: float = 0.0
    """Its clock less the driver's [s]."""
    clock_error: float = 0.0
    """Half of what the question took [s]."""
    storage: dict[str, str] = field(default_factory=dict)
    """``read`` and ``write`` of the results folder: what is wrong, or nothing."""
    files: dict[str, dict[str, Any]] = field(default_factory=dict)
    """Of each pattern of shower files what `Probe.files` says."""
    unreachable: dict[str, str] = field(default_factory=dict)
    """Nodes whose port does not answer from here, and why."""


def of_versions(nodes: Sequence[NodeReport], driver: Mapping[str, str], python: str) -> Iterator[Finding]:
    """Packages that are missing or other ones than the driver's."""
    way_out = "Install the driver's version there: all nodes and the driver take the same constraints.txt."
    for name in (*OF_WORKERS, *OF_DRIVER):
        level: Level = "problem" if name in OF_WORKERS else "warning"
        for found, where in _by(nodes, lambda node, name=name: str(node.facts["versions"].get(name, ""))).items():
            if found != driver.get(name, ""):
                said = f"{name} {found}" if found else f"{name} is missing"
                yield Finding("versions", level, where, f"{said}; the driver has {driver.get(name) or 'none'}", way_out)
    for found, where in _by(nodes, lambda node: str(node.facts["python"])).items():
        if found != python:
            level = "problem" if found.split(".")[:2] != python.split(".")[:2] else "warning"
            yield Finding("versions", level, where, f"Python {found}; the driver has {python}", "Ray wants the same Python everywhere.")


def of_storage(nodes: Sequence[NodeReport], folder: str) -> Iterator[Finding]:
    """A results folder that not every node sees."""
    for what, text in (("read", "does not see what the driver wrote"), ("write", "cannot write")):
        for why, where in _by(nodes, lambda node, what=what: node.storage.get(what, "")).items():
            if why:
                way_out = (
                    "States and records of trials go there: give --results a folder of a file system that all nodes have under this path."
                )
                yield Finding("storage", "problem", where, f"{text} in {folder} ({why})", way_out)


def of_files(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Shower files that are not on a node, or are others there."""
    for pattern in dict.fromkeys(pattern for node in nodes for pattern in node.files):
        for why, where in _by(nodes, lambda node, pattern=pattern: str(node.files[pattern].get("problem", ""))).items():
            if why:
                way_out = "Workers read them: copy them there under the same path, or name their folder by a $VARIABLE that each node has."
                yield Finding("data", "problem", where, f"cannot read {pattern} ({why})", way_out)
        sizes = {node.name: node.files[pattern]["sizes"] for node in nodes if "sizes" in node.files[pattern]}
        usual = max(sizes.values(), key=list(sizes.values()).count) if sizes else {}
        odd = tuple(name for name, found in sizes.items() if found != usual)
        if odd:
            names = sorted({name for where in odd for name in sizes[where].keys() | usual if sizes[where].get(name) != usual.get(name)})
            what = (
                f"{', '.join(names)} of {pattern} {'are' if len(names) > 1 else 'is'} not of the size that other nodes have, or is missing"
            )
            yield Finding("data", "problem", odd, what, "Copy it again: a trial's ranks must see the same showers.")


def of_disks(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Disks that are nearly full."""
    for node in nodes:
        for name, free in node.facts["free_bytes"].items():
            if free < LEAST_FREE_BYTES:
                what = f"{free / 1e9:.1f} GB are left for {name}"
                yield Finding("disk", "problem" if free < LEAST_FREE_BYTES / 10 else "warning", (node.name,), what, "Make room.")


def of_clocks(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Clocks that are not the driver's."""
    for node in nodes:
        apart = abs(node.clock_offset) - node.clock_error
        if apart > CLOCK_SECONDS:
            level: Level = "problem" if apart > CLOCK_BROKEN_SECONDS else "warning"
            what = f"its clock is {abs(node.clock_offset):.1f} s {'ahead of' if node.clock_offset > 0 else 'behind'} the driver's"
            yield Finding("clock", level, (node.name,), what, "Set it by NTP (timedatectl, chronyc): records of trials carry its time.")


def of_interfaces(nodes: Sequence[NodeReport], wanted: str | None) -> Iterator[Finding]:
    """Interfaces that gradients would go over, and cannot. ``wanted`` is `workers.interface`."""
    for node in nodes:
        known = node.facts["known_interfaces"]
        named = {"workers.interface": wanted} if wanted else node.facts["interfaces"]
        for source, names in named.items():
            missing = [name for name in names.lstrip("^=").split(",") if not any(one.startswith(name) for one in known)]
            if missing and not names.startswith("^"):
                what = f"{source}={names}, and there is no {', '.join(missing)} (there are {', '.join(known)})"
                yield Finding(
                    "interface", "problem", (node.name,), what, "Set workers.interface to one that every node has, or leave it out."
                )
        if len(nodes) > 1 and not named and not node.facts["address_interface"]:
            what = f"no interface has {node.address}, by which Ray knows it: gloo listens where its name leads"
            yield Finding("interface", "warning", (node.name,), what, "Set workers.interface to that of the network between nodes.")


def of_ports(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Nodes that do not reach each other's ports."""
    blocked = [(node.name, other, why) for node in nodes for other, why in node.unreachable.items()]
    for other in dict.fromkeys(other for _, other, _ in blocked):
        origins = tuple(name for name, target, _ in blocked if target == other)
        why = next(why for _, target, why in blocked if target == other)
        what = f"a port of {other} does not answer ({why})"
        way_out = "Open ports 1024-65535 between nodes: gloo, NCCL and torch's store choose theirs, as Ray's workers do."
        yield Finding("ports", "problem", origins, what, way_out)


def of_sums(answers: Mapping[str, Mapping[str, Any]], backend: str) -> Iterator[Finding]:
    """All-reduces that fail or crawl; ``answers`` by node."""
    reasons: dict[str, list[str]] = {}
    for name, answer in answers.items():
        if "problem" in answer:
            reasons.setdefault(str(answer["problem"]), []).append(name)
    for why, where in reasons.items():
        way_out = "Look at ports and interface above; NCCL_DEBUG=INFO says more."
        yield Finding("all-reduce", "problem", tuple(where), f"{backend} does not sum over nodes ({why})", way_out)
    if not reasons and len(answers) > 1:
        latency, bandwidth = speed([answer["seconds"] for answer in answers.values()])
        if latency > SLOW_SECONDS or bandwidth < SLOW_BYTES_PER_SECOND:
            what = f"an all-reduce of 1 KiB takes {1e3 * latency:.1f} ms, a large one {1e-6 * bandwidth:.0f} MB/s"
            yield Finding("all-reduce", "warning", (), what, "Is it the slow network? Set workers.interface to the fast one's.")


def speed(measured: Sequence[Mapping[int, float]]) -> tuple[float, float]:
    """Seconds of the shortest sum, and bytes a second of the longest that each node sends, 2 (n - 1) / n of it: the slowest node's."""
    short, long, num_nodes = min(measured[0]), max(measured[0]), len(measured)
    latency, seconds = max(one[short] for one in measured), max(one[long] for one in measured)
    return latency, 2 * (num_nodes - 1) / num_nodes * long / seconds


def of_cores(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """CPUs that Ray gives out and a node does not have."""
    for node in nodes:
        cores = node.facts["cores"]
        if node.cpus > cores:
            what = f"Ray gives out {node.cpus} CPUs, its processes may use {cores}"
            yield Finding(
                "cores", "problem", (node.name,), what, "Start it with --num-cpus, or give the job more (SLURM: --cpus-per-task)."
            )


def of_answers(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """Nodes that do not answer at all."""
    for node in nodes:
        if node.unanswered:
            way_out = "Look into its raylet's log; stop it (`ray stop`) and start it anew."
            yield Finding("nodes", "problem", (node.name,), f"does not answer ({node.unanswered})", way_out)


def of_token(nodes: Sequence[NodeReport]) -> Iterator[Finding]:
    """A cluster that takes commands from anybody who reaches it."""
    if len(nodes) > 1 and not all(node.facts["asks_for_token"] for node in nodes):
        what = "Ray asks nobody for a token: whoever reaches its ports runs what they like, as you"
        yield Finding("token", "warning", (), what, "Export RAY_AUTH_MODE=token on all nodes, and share one token (`ray get-auth-token`).")


def _by(nodes: Sequence[NodeReport], key: Any) -> dict[str, tuple[str, ...]]:
    """Names of nodes that answered by what is true of them."""
    found: dict[str, list[str]] = {}
    for node in nodes:
        if not node.unanswered:
            found.setdefault(key(node), []).append(node.name)
    return {value: tuple(names) for value, names in found.items()}
