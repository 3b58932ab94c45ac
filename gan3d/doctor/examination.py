"""The whole examination, and what it found."""

from __future__ import annotations

import math
import platform
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from gan3d.doctor import findings, nodes
from gan3d.doctor.findings import Finding, NodeReport
from gan3d.errors import ConfigError

#: In the place of a node's name.
DRIVER = "the driver"


@dataclass(frozen=True, slots=True)
class Wanted:
    """What a study needs of a cluster."""

    results: Path
    """Its results folder, absolute."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Its patterns of shower files, absolute but for `$VARS`, each with its place as the driver has it."""
    tracking_uri: str | None = None
    """Where MLflow's records go; None: into the results folder."""
    optuna_storage: str | None = None
    """Where Optuna's trials go; None: into the results folder."""
    backend: str = "gloo"
    interface: str | None = None
    """As `workers.interface`."""


@dataclass(frozen=True, slots=True)
class Report:
    """All of it."""

    nodes: tuple[NodeReport, ...]
    latency: float
    """Of an all-reduce of 1 KiB over all nodes [s]; NaN if there was none."""
    bandwidth: float
    """That each node sends in a large one [byte/s]; NaN if there was none."""
    findings: tuple[Finding, ...]

    @property
    def problems(self) -> tuple[Finding, ...]:
        """Of the findings those with which a study fails."""
        return tuple(one for one in self.findings if one.level == "problem")

    def as_dict(self) -> dict[str, Any]:
        """For JSON."""
        found = asdict(self) | {"healthy": not self.problems}
        return found | {name: None for name in ("latency", "bandwidth") if math.isnan(found[name])}


def examine(wanted: Wanted, say: Callable[[str], None]) -> Report:
    """Examine the cluster that this process is connected to."""
    packages = (*findings.OF_WORKERS, *findings.OF_DRIVER)
    with made_if_missing(wanted.results), nodes.probes(say) as (reports, made):
        folders = {"the results folder": str(wanted.results), "/tmp": "/tmp"}  # noqa: S108, RUF100 - where Ray is
        nodes.ask_facts(reports, made, packages, folders)
        say("Clocks, storage and shower files")
        nodes.ask_clocks(reports, made)
        nodes.ask_storage(reports, made, wanted.results)
        nodes.ask_files(reports, made, wanted.files)
        say("Ports and interfaces")
        nodes.ask_ports(reports, made)
        say(f"All-reduces ({wanted.backend})")
        answers = nodes.ask_sums(reports, made, wanted.backend, wanted.interface)
    there = [node for node in reports if node.facts]
    measured = [answer["seconds"] for answer in answers.values() if "seconds" in answer]
    latency, bandwidth = findings.speed(measured) if 1 < len(measured) == len(answers) else (math.nan, math.nan)
    found = (*_judged(reports, there, answers, wanted), *_of_stores(wanted))
    order = {"problem": 0, "warning": 1}
    return Report(tuple(reports), latency, bandwidth, tuple(sorted(found, key=lambda one: order[one.level])))


@contextmanager
def made_if_missing(folder: Path) -> Iterator[None]:
    """The results folder, which a study would make; gone again if nobody else has put anything into it."""
    missing = [path for path in (folder, *folder.parents) if not path.exists()]
    with suppress(OSError):  # said by the nodes' own look at it
        folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    finally:
        with suppress(OSError):
            for path in missing:
                path.rmdir()


def _judged(
    reports: Sequence[NodeReport], there: Sequence[NodeReport], answers: Mapping[str, Mapping[str, Any]], wanted: Wanted
) -> Iterator[Finding]:
    yield from findings.of_answers(reports)
    yield from findings.of_versions(there, own_versions(), platform.python_version())
    yield from findings.of_storage(there, str(wanted.results))
    yield from findings.of_files(there)
    yield from findings.of_disks(there)
    yield from findings.of_clocks(there)
    yield from findings.of_interfaces(there, wanted.interface)
    yield from findings.of_ports(there)
    yield from findings.of_sums(answers, wanted.backend)
    yield from findings.of_cores(there)
    yield from findings.of_token(there)


def own_versions() -> dict[str, str]:
    """Of this process's packages; empty where one is missing."""
    found = {}
    for name in (*findings.OF_WORKERS, *findings.OF_DRIVER):
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = ""
    return found


def _of_stores(wanted: Wanted) -> Iterator[Finding]:
    """MLflow's and Optuna's, which only the driver writes to."""
    from gan3d.search.place import as_written
    from gan3d.search.storage import read_trials
    from gan3d.tracking.client import be_quiet, open_client, sqlite_file

    be_quiet()
    database = sqlite_file(wanted.tracking_uri) if wanted.tracking_uri else None
    try:
        if wanted.tracking_uri and (database is None or database.exists()):
            open_client(wanted.tracking_uri)
    except ConfigError as problem:
        yield Finding("stores", "problem", (DRIVER,), str(problem), "No study begins without its records.")
    try:
        if wanted.optuna_storage:
            read_trials(as_written(wanted.optuna_storage), "gan3d doctor")
    except ConfigError as problem:
        yield Finding("stores", "problem", (DRIVER,), str(problem), "No trial is proposed without it.")
