"""What an epoch cost: shares of a node's energy, the declared fallback, and sums over ranks; clocks and counters move when told."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

import psutil
import pytest
from gloo_processes import gloo_processes
from rapl_files import set_counter, write_zone

from gan3d.cost.epochs import Clocks, EpochMeter, Holding, busy_seconds, gained, merged
from gan3d.cost.meters import Nvml, Rapl
from gan3d.records import Cost, EpochRecord, Losses, PhysicsDistance, Timing
from gan3d.training.metering import TrialMeter, gpu_energy, node_energy
from gan3d.training.ranks import Ranks

HOLDING = Holding(cpus_per_worker=4, gpus_per_worker=0, workers=2, team_workers=8, watts_per_core=10.0, watts_per_gpu=100.0)
WITH_GPU = replace(HOLDING, gpus_per_worker=1)
ORDER = ("core_seconds", "gpu_seconds", "rapl", "nvml", "declared")


@dataclass
class Hands:
    """Of the clocks [s]."""

    wall: float = 50.0
    own: float = 7.0
    busy: float = 900.0

    def clocks(self) -> Clocks:
        return Clocks(lambda: self.wall, lambda: self.own, lambda: self.busy)

    def go_on(self, wall: float, own: float, busy: float) -> None:
        self.wall, self.own, self.busy = self.wall + wall, self.own + own, self.busy + busy


class Counter:
    """Joules; None: cannot be read."""

    def __init__(self) -> None:
        self.value: float | None = 3.0

    def joules(self) -> float | None:
        return self.value


class Bench:
    """A meter with hands and counters to move; ``rapl`` and ``nvml`` say which counters there are."""

    def __init__(self, holding: Holding = HOLDING, *, rapl: bool = False, nvml: bool = False) -> None:
        self.hands, self.node, self.gpu = Hands(), Counter(), Counter()
        counters: tuple[Any, Any] = (self.node if rapl else None, self.gpu if nvml else None)
        self.meter = EpochMeter(holding, *counters, self.hands.clocks())

    def read(self) -> dict[str, float]:
        return dict(zip(ORDER, self.meter.read(), strict=True))


def test_a_worker_gets_the_node_s_energy_by_its_share_of_the_busy_time() -> None:
    bench = Bench(rapl=True)
    bench.hands.go_on(wall=10, own=6, busy=24)
    bench.node.value = 3.0 + 800.0
    assert bench.read() == {"core_seconds": 40, "gpu_seconds": 0, "rapl": 200, "nvml": 0, "declared": 0}


def test_each_epoch_is_counted_from_the_end_of_the_one_before() -> None:
    bench = Bench(rapl=True)
    for epoch in range(1, 4):
        bench.hands.go_on(wall=epoch, own=1, busy=2)
        bench.node.value = (bench.node.value or 0.0) + 10.0 * epoch
        assert bench.read() == {"core_seconds": 4 * epoch, "gpu_seconds": 0, "rapl": 5 * epoch, "nvml": 0, "declared": 0}


def test_shares_of_all_workers_of_a_node_add_up_to_its_energy() -> None:
    """Two trials' workers and another user side by side: nobody's energy is counted twice, and none is lost."""
    own_times = (5.0, 11.0, 3.0, 1.0)
    shares = []
    for own in own_times:
        bench = Bench(rapl=True)
        bench.hands.go_on(wall=10, own=own, busy=sum(own_times))
        bench.node.value = 3.0 + 600.0
        shares.append(bench.read()["rapl"])
    assert sum(shares) == pytest.approx(600.0)
    assert [share / 600.0 for share in shares] == pytest.approx([own / 20 for own in own_times])


def test_no_worker_gets_more_than_the_node_drew() -> None:
    """The two clocks tick at different rates: over a short epoch a process can seem busier than its node."""
    bench = Bench(rapl=True)
    bench.hands.go_on(wall=0.02, own=0.019, busy=0.01)
    bench.node.value = 3.0 + 4.0
    assert bench.read()["rapl"] == 4.0


def test_without_counters_energy_is_declared_whether_or_not_the_cores_were_busy() -> None:
    bench = Bench(WITH_GPU)
    bench.hands.go_on(wall=10, own=0, busy=0)
    assert bench.read() == {"core_seconds": 40, "gpu_seconds": 10, "rapl": 0, "nvml": 0, "declared": 400 + 1000}


@pytest.mark.parametrize(("rapl", "nvml", "declared"), [(True, False, 1000.0), (False, True, 400.0), (True, True, 0.0)])
def test_what_is_measured_is_not_declared_too(rapl: bool, nvml: bool, declared: float) -> None:
    bench = Bench(WITH_GPU, rapl=rapl, nvml=nvml)
    bench.hands.go_on(wall=10, own=8, busy=16)
    bench.node.value, bench.gpu.value = 3.0 + 100.0, 3.0 + 700.0
    assert bench.read() == {
        "core_seconds": 40,
        "gpu_seconds": 10,
        "rapl": 50.0 if rapl else 0.0,
        "nvml": 700.0 if nvml else 0.0,
        "declared": declared,
    }


def test_a_counter_that_stands_still_counts_nothing() -> None:
    """Some virtual machines have counters that are always 0: a study of no energy would be a lie."""
    bench = Bench(WITH_GPU, rapl=True, nvml=True)
    bench.hands.go_on(wall=10, own=8, busy=16)
    assert bench.read()["declared"] == 400 + 1000


def test_energy_while_a_counter_is_lost_is_declared_and_counted_once() -> None:
    bench = Bench(rapl=True)
    found = []
    for value in (103.0, None, 503.0, 603.0):
        bench.hands.go_on(wall=10, own=8, busy=8)
        bench.node.value = value
        found.append(bench.read())
    assert [row["rapl"] for row in found] == [100, 0, 0, 100]
    assert [row["declared"] for row in found] == [0, 400, 400, 0]


def test_a_gain_is_known_between_two_readings_only() -> None:
    assert gained(1.0, 3.0) == 2.0
    for before, now in ((None, 3.0), (1.0, None), (None, None), (2.0, 2.0), (3.0, 1.0)):
        assert gained(before, now) is None


def test_the_meter_reads_real_counter_files(tmp_path: Path) -> None:
    folder = write_zone(tmp_path, "intel-rapl:0", "package-0", 1_000_000)
    hands = Hands()
    meter = EpochMeter(HOLDING, Rapl.open(tmp_path), Nvml.open(None), hands.clocks())
    hands.go_on(wall=1, own=1, busy=4)
    set_counter(folder, 9_000_000)
    assert meter.read() == [4, 0, pytest.approx(2.0), 0, 0]


def test_the_node_is_at_least_as_busy_as_this_process() -> None:
    before, own = busy_seconds(), psutil.Process().cpu_times()
    deadline = own.user + own.system + 0.5
    clock = Clocks()
    wall = clock.wall()
    while sum(psutil.Process().cpu_times()[:2]) < deadline:
        pass
    assert busy_seconds() - before >= 0.45  # both count in hundredths of a second
    assert clock.wall() - wall > 0
    assert clock.own() > 0.5


def test_a_merged_epoch_says_by_what_it_was_measured() -> None:
    cost = merged([40.0, 10.0, 5.0, 7.0, 11.0], WITH_GPU)
    expected = Cost(
        core_seconds=40.0,
        reserved_core_seconds=160.0,  # two of eight workers
        gpu_seconds=10.0,
        joules=23.0,
        rapl_joules=5.0,
        nvml_joules=7.0,
        declared_joules=11.0,
    )
    assert cost == expected


def record() -> EpochRecord:
    losses, physics, timing = (kind(**{entry.name: 0.5 for entry in fields(kind)}) for kind in (Losses, PhysicsDistance, Timing))
    return EpochRecord(3, losses, physics, timing)


def cost_on_a_rank(ranks: Ranks, holding: Holding) -> dict[str, float]:
    """A trial's meter with a clock that ran rank + 1 seconds on this rank."""
    trial = TrialMeter(holding, ranks)
    hands = Hands()
    trial._meter = EpochMeter(holding, None, None, hands.clocks())
    hands.go_on(wall=ranks.rank + 1, own=1, busy=1)
    with_cost = trial.with_cost(record())
    assert with_cost.cost is not None
    assert replace(with_cost, cost=None) == record()
    return asdict(with_cost.cost)


def test_an_epoch_s_cost_is_the_sum_over_ranks_on_all_of_them(tmp_path: Path) -> None:
    with gloo_processes(2, tmp_path) as processes:
        found = processes.run(cost_on_a_rank, HOLDING)
    assert found[0] == found[1]
    assert found[0]["core_seconds"] == 4 * (1 + 2)
    assert found[0]["reserved_core_seconds"] == 4 * 4 * (1 + 2)
    assert found[0]["joules"] == found[0]["declared_joules"] == 10 * 4 * (1 + 2)


def test_a_real_epoch_costs_what_its_worker_held() -> None:
    trial = TrialMeter(replace(HOLDING, workers=1), Ranks())
    wall = Clocks().wall
    begin = wall()
    costs = []
    for _ in range(2):
        until = wall() + 0.05
        while wall() < until:
            pass
        costs.append(trial.with_cost(record()).cost)
    held = 4 * (wall() - begin)
    seconds = [cost.core_seconds for cost in costs if cost is not None]
    assert len(seconds) == 2
    assert all(one >= 4 * 0.05 for one in seconds)
    assert sum(seconds) <= held + 0.1


def test_this_process_looks_at_its_node_through_one_meter() -> None:
    """None where it cannot be read, which is so on most machines."""
    assert node_energy() is node_energy()
    assert gpu_energy(Ranks().device) is None
