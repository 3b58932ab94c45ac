"""What tests share: one empty tracking database, made once, copied to where a test wants its own."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from gloo_processes import GlooProcesses, gloo_processes

from benchmarks.hosts.namespaces import why_not
from benchmarks.hosts.testbed import TestBed
from gan3d.tracking.client import open_client
from gan3d.tracking.store import default_tracking_uri

DATABASE = "tracking.db"

#: Files that take minutes, the longest first: begun last, one of them would leave the other worker without work.
LONGEST = (
    "test_survival",
    "test_docs",
    "test_soak",
    "test_kills",
    "test_quickstart",
    "test_slurm",
    "test_run",
    "test_gate",
    "test_laws",
    "test_gate_geant4",
    "test_verdict_run",
    "test_confirmation",
    "test_bookkeeping",
    "test_doctor_hosts",
    "test_turns",
    "test_budget",
    "test_samplers",
    "test_export",
    "test_inference",
)

#: pytest-xdist tells its workers how wide the terminal is; tests of lines print for nobody's.
os.environ.pop("COLUMNS", None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The longest files first."""
    order = {name: place for place, name in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(item.path.stem, len(order)))


@pytest.fixture(scope="session")
def tracked_folder(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Makes a folder of this name with an empty tracking database in it; MLflow takes seconds to make one, a copy takes none."""
    template = tmp_path_factory.mktemp("a # and a space")
    open_client(default_tracking_uri(template), create=True)

    def make(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        shutil.copyfile(template / DATABASE, folder / DATABASE)
        return folder

    return make


@pytest.fixture(scope="session")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    """Two real ranks, which have imported torch when the first file asked for them."""
    with gloo_processes(2, tmp_path_factory.mktemp("store")) as processes:
        yield processes


@pytest.fixture(scope="module")
def bed() -> Iterator[TestBed]:
    """Four hosts; skipped where they cannot be made."""
    if reason := why_not():
        pytest.skip(reason)
    with TestBed(4) as found:
        yield found
