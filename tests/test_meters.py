"""Energy counters: RAPL on copies of its files as kernels lay them out; absent, unreadable or stuck counters are no error."""

from __future__ import annotations

import os
import threading
import time
from pathlib import Path
from typing import Any

import pytest
from rapl_files import set_counter, write_zone

from gan3d.cost import meters
from gan3d.cost.meters import Nvml, Rapl


def opened(root: Path) -> Rapl:
    meter = Rapl.open(root)
    assert meter is not None
    return meter


@pytest.fixture
def socket(tmp_path: Path) -> Path:
    """A node of one socket, at 5 J."""
    return write_zone(tmp_path, "intel-rapl:0", "package-0", 5_000_000)


def test_a_meter_counts_from_when_it_was_opened(tmp_path: Path, socket: Path) -> None:
    meter = opened(tmp_path)
    assert meter.joules() == 0
    set_counter(socket, 7_500_000)
    assert meter.joules() == pytest.approx(2.5)
    assert meter.joules() == pytest.approx(2.5)
    set_counter(socket, 8_000_000)
    assert meter.joules() == pytest.approx(3.0)


def test_two_meters_do_not_disturb_each_other(tmp_path: Path, socket: Path) -> None:
    early = opened(tmp_path)
    set_counter(socket, 6_000_000)
    late = opened(tmp_path)
    set_counter(socket, 9_000_000)
    assert (early.joules(), late.joules()) == (pytest.approx(4.0), pytest.approx(3.0))


@pytest.mark.parametrize(("zone", "name"), [("intel-rapl:0", "package-0"), ("intel-rapl:0:2", "dram")])
def test_a_counter_that_comes_round_goes_on(tmp_path: Path, zone: str, name: str) -> None:
    folder = write_zone(tmp_path, zone, name, 65_530_000_000, largest=65_532_610_987)
    meter = opened(tmp_path)
    set_counter(folder, 1_000_000)
    assert meter.joules() == pytest.approx(2.610987 + 1.0)
    set_counter(folder, 2_000_000)
    assert meter.joules() == pytest.approx(2.610987 + 2.0)


#: Zone, name, whether it counts: parts of a socket would count twice, the platform holds the sockets.
ZONES = [
    ("intel-rapl:0", "package-0", True),
    ("intel-rapl:1", "package-1", True),
    ("intel-rapl:2", "package-1-die-1", True),
    ("intel-rapl:0:0", "core", False),
    ("intel-rapl:0:1", "uncore", False),
    ("intel-rapl:0:2", "dram", True),
    ("intel-rapl:1:0", "dram", True),
    ("intel-rapl:3", "psys", False),
    ("intel-rapl-mmio:0", "package-0", False),
    ("dtpm:0", "package-0", False),
]


@pytest.mark.parametrize(("zone", "name", "counts"), ZONES, ids=[f"{zone}-{name}" for zone, name, _ in ZONES])
def test_sockets_and_their_memory_count_and_nothing_twice(tmp_path: Path, socket: Path, zone: str, name: str, counts: bool) -> None:
    folder = socket if zone == socket.name else write_zone(tmp_path, zone, name, 0)
    meter = opened(tmp_path)
    set_counter(folder, 9_000_000)
    gained = 4.0 if folder == socket else 9.0
    assert meter.joules() == pytest.approx(gained if counts else 0.0)


def test_a_node_is_the_sum_of_its_sockets_and_memory(tmp_path: Path) -> None:
    folders = [write_zone(tmp_path, zone, name, 100) for zone, name, _ in ZONES]
    meter = opened(tmp_path)
    for place, folder in enumerate(folders):
        set_counter(folder, 100 + 10**place)
    assert meter.joules() == pytest.approx(sum(10**place for place, (_, _, counts) in enumerate(ZONES) if counts) * 1e-6)


def without(file: str, folder: Path) -> None:
    (folder / file).unlink()


def unreadable(file: str, folder: Path) -> None:
    """As root may read any file, one that nobody can read: a folder."""
    without(file, folder)
    (folder / file).mkdir()


def no_number(file: str, folder: Path) -> None:
    (folder / file).write_text("", encoding="ascii")


@pytest.mark.parametrize("harm", [without, unreadable])
@pytest.mark.parametrize("file", ["name", "max_energy_range_uj", "energy_uj"])
def test_a_counter_that_cannot_be_read_makes_no_meter(tmp_path: Path, socket: Path, file: str, harm: Any) -> None:
    """Nor does one of two: half a node would be taken for the whole."""
    write_zone(tmp_path, "intel-rapl:1", "package-1", 0)
    harm(file, socket)
    assert Rapl.open(tmp_path) is None


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read any file")
def test_a_counter_for_root_only_makes_no_meter(tmp_path: Path, socket: Path) -> None:
    (socket / "energy_uj").chmod(0)
    assert Rapl.open(tmp_path) is None


@pytest.mark.parametrize("file", ["max_energy_range_uj", "energy_uj"])
def test_a_counter_without_a_number_makes_no_meter(tmp_path: Path, socket: Path, file: str) -> None:
    no_number(file, socket)
    assert Rapl.open(tmp_path) is None


def test_a_node_without_counters_has_no_meter(tmp_path: Path) -> None:
    assert Rapl.open(tmp_path / "nowhere") is None
    assert Rapl.open(tmp_path) is None
    write_zone(tmp_path, "intel-rapl:0:0", "core", 0)
    assert Rapl.open(tmp_path) is None


@pytest.mark.parametrize("harm", [without, unreadable, no_number])
def test_a_counter_that_is_lost_later_says_so_and_comes_back(tmp_path: Path, socket: Path, harm: Any) -> None:
    other = write_zone(tmp_path, "intel-rapl:1", "package-1", 0)
    meter = opened(tmp_path)
    kept = socket / "energy_uj"
    harm("energy_uj", socket)
    assert meter.joules() is None
    if kept.is_dir():
        kept.rmdir()
    set_counter(socket, 6_000_000)
    set_counter(other, 2_000_000)
    assert meter.joules() == pytest.approx(3.0)


def test_a_watched_counter_may_come_round_between_two_questions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twice round in all, once between two looks."""
    monkeypatch.setattr(meters, "SECONDS_BETWEEN_LOOKS", 0.01)
    folder = write_zone(tmp_path, "intel-rapl:0", "package-0", 9_000_000, largest=10_000_000)
    meter = opened(tmp_path)
    stop = meter.watch()
    for place, microjoules in enumerate((3_000_000, 8_000_000, 2_000_000)):
        set_counter(folder, microjoules)
        seen = (4.0, 9.0, 13.0)[place]
        wait_until(lambda seen=seen: meter._microjoules == pytest.approx(seen * 1e6))  # type: ignore[misc]
    stop()
    assert meter.joules() == pytest.approx(13.0)
    wait_until(lambda: all(thread.name != "rapl" for thread in threading.enumerate()))


def wait_until(what: Any) -> None:
    deadline = time.monotonic() + 60
    while not what():
        assert time.monotonic() < deadline
        time.sleep(0.005)


def test_without_a_gpu_or_its_library_there_is_no_gpu_meter() -> None:
    assert Nvml.open(None) is None
    assert Nvml.open("no-such-gpu") is None


class GpuCounter:
    """NVML's counter [mJ]; raises as the driver does when the GPU is lost."""

    def __init__(self) -> None:
        self.millijoules: int | None = 1_500

    def nvmlDeviceGetTotalEnergyConsumption(self, handle: Any) -> int:
        if self.millijoules is None:
            message = "GPU is lost"
            raise RuntimeError(message)
        return self.millijoules


def test_a_gpu_counts_millijoules_and_a_lost_one_ends_no_trial() -> None:
    counter = GpuCounter()
    meter = Nvml(counter, None)
    assert meter.joules() == 1.5
    counter.millijoules = None
    assert meter.joules() is None
