"""All-reduces by formula against all-reduces sent message by message; a fabric comes back from what it made all-reduces take."""

from __future__ import annotations

import json
from itertools import pairwise

import numpy as np
import pytest

from gan3d.errors import ConfigError
from gan3d.scaling.draws import Estimate
from gan3d.scaling.fabric_files import fabric_named, read_fabric
from gan3d.scaling.fabrics import (
    DECLARED,
    FIRST_WINDOW,
    Fabric,
    Route,
    all_reduce_seconds,
    declared,
    fit_fabric,
    mixed,
    route_of,
    slow_start_seconds,
)

LATENCY, PER_BYTE = 3e-5, 1e-9
SIZES = tuple(4**exponent for exponent in range(5, 13))


def route(latency=LATENCY, per_byte=PER_BYTE, round_trip=0.0):
    return Route(*(np.array([value]) for value in (latency, per_byte, round_trip)))


def exactly(value):
    return Estimate(value, value, value)


def ring_seconds(num_bytes, latencies, per_byte):
    """Each rank sends a chunk on as soon as it has the one before and its link is free; ``latencies`` are of the links, in turn."""
    ranks, chunk = len(latencies), num_bytes / len(latencies)
    has, free = np.zeros(ranks), np.zeros(ranks)
    for _ in range(2 * (ranks - 1)):
        sent = np.maximum(has, free) + chunk * np.asarray(per_byte)
        free = sent
        has = np.roll(sent + latencies, 1)
    return has.max()


@pytest.mark.parametrize("ranks", [2, 3, 8, 64])
def test_a_ring_takes_as_long_as_its_messages_one_by_one(ranks):
    simulated = ring_seconds(1e6, np.full(ranks, LATENCY), PER_BYTE)
    assert all_reduce_seconds(1e6, ranks, route())[0] == pytest.approx(simulated, rel=1e-12)


def test_on_a_ring_the_slowest_link_sets_the_pace_of_bytes_and_latencies_add_up():
    """Eight ranks on two nodes: two links of eight cross between them."""
    ranks, crossing = 8, np.arange(8) % 4 == 3
    per_byte = np.where(crossing, 10 * PER_BYTE, PER_BYTE)
    bytes_alone = ring_seconds(1e6, np.zeros(ranks), per_byte)
    through = mixed(route(0.0, 10 * PER_BYTE), route(0.0), 1 / 4)
    assert all_reduce_seconds(1e6, ranks, through)[0] == pytest.approx(bytes_alone, rel=0.15)
    latencies_alone = ring_seconds(0.0, np.where(crossing, 20 * LATENCY, LATENCY), 0.0)
    through = mixed(route(20 * LATENCY), route(LATENCY), 1 / 4)
    assert all_reduce_seconds(0.0, ranks, through)[0] == pytest.approx(latencies_alone, rel=0.15)
    assert latencies_alone < 0.4 * all_reduce_seconds(0.0, ranks, route(20 * LATENCY))[0]


@pytest.mark.parametrize("doublings", [1, 3, 8])
def test_a_tree_takes_as_long_as_halving_and_doubling(doublings):
    halves = [1e6 / 2**step for step in range(1, doublings + 1)]
    simulated = sum(LATENCY + size * PER_BYTE for size in halves + halves[::-1])
    assert all_reduce_seconds(1e6, 2**doublings, route(), "tree")[0] == pytest.approx(simulated, rel=1e-12)


def test_ring_and_tree_of_two_are_the_same_and_one_rank_sends_nothing():
    assert all_reduce_seconds(1e6, 2, route())[0] == all_reduce_seconds(1e6, 2, route(), "tree")[0]
    assert all_reduce_seconds(1e6, 1, route())[0] == 0
    assert all_reduce_seconds(1e6, 100, route(), "tree")[0] < all_reduce_seconds(1e6, 100, route())[0]


def acknowledged_seconds(messages, message_bytes, per_byte, round_trip, segment=1448):
    """Segments leave while the window has room; each acknowledgement, a round trip later, makes room and widens it by a segment.

    The next message leaves half a round trip after the last segment of the one before, as the answer to it comes.
    """
    now, window, acknowledgements, left_alone = 0.0, float(FIRST_WINDOW), [], 0.0
    for _ in range(messages):
        in_flight = 0.0
        for _ in range(int(np.ceil(message_bytes / segment))):
            while in_flight + segment > window:
                now = max(now, acknowledgements.pop(0))
                window += segment
                in_flight -= segment
            now += segment * per_byte
            in_flight += segment
            acknowledgements.append(now + round_trip)
        now += round_trip / 2
        left_alone += round_trip / 2 + message_bytes * per_byte
        window += segment * len(acknowledgements)
        acknowledgements = []
    return now - left_alone


@pytest.mark.parametrize("messages", [1, 2, 14])
@pytest.mark.parametrize("message_bytes", [10_000, 200_000, 2_000_000])
@pytest.mark.parametrize("per_byte", [1e-12, 1e-9, 2e-8])
def test_opening_windows_cost_the_round_trips_of_a_simulated_connection(messages, message_bytes, per_byte):
    round_trip = 4e-3
    simulated = acknowledged_seconds(messages, message_bytes, per_byte, round_trip)
    found = slow_start_seconds(messages, message_bytes, route(per_byte=per_byte, round_trip=round_trip))[0]
    assert found == pytest.approx(simulated, abs=0.15 * simulated + 0.3 * round_trip)


def test_windows_cost_nothing_where_the_first_covers_the_message_or_the_link():
    assert slow_start_seconds(10, FIRST_WINDOW, route(round_trip=1e-2))[0] == 0
    assert slow_start_seconds(1, 1e6, route(per_byte=1e-6, round_trip=1e-3))[0] == 0
    wire = Fabric("wire", exactly(1e-3), exactly(1e9), "declared", "made up", over_tcp=True)
    slow, quick = route_of(None, wire, 1), route_of(wire, None, 1)
    assert slow.round_trip[0] == quick.round_trip[0] == pytest.approx(2e-3)
    assert all_reduce_seconds(1e6, 2, slow)[0] > 1.5 * (2e-3 + 1e-3)


def test_a_route_adds_software_to_the_wire():
    one, other = (Fabric("", exactly(latency), exactly(rate), "declared", "") for latency, rate in ((1e-5, 1e9), (2e-5, 5e8)))
    both = route_of(one, other, 1)
    assert both.latency == pytest.approx(3e-5)
    assert both.seconds_per_byte == pytest.approx(3e-9)
    assert (both.round_trip == 0).all()


def points_of(world_size, latency, rate, scatter=0.0, rounds=3, seed=1):
    generator = np.random.default_rng(seed)
    clean = {size: all_reduce_seconds(size, world_size, route(latency, 1 / rate))[0] for size in SIZES}
    return [(size, float(clean[size] * np.exp(scatter * generator.standard_normal()))) for _ in range(rounds) for size in SIZES]


@pytest.mark.parametrize("world_size", [2, 5])
def test_a_fit_gives_latency_and_bandwidth_back(world_size):
    found = fit_fabric(points_of(world_size, 7e-5, 3e8), world_size)
    assert found.latency_seconds == pytest.approx(exactly(7e-5), rel=1e-6)
    assert found.bytes_per_second == pytest.approx(exactly(3e8), rel=1e-6)
    assert (found.origin, found.over_tcp) == ("measured", False)


def test_single_long_all_reduces_do_not_count():
    points = points_of(2, 7e-5, 3e8)
    late = [(size, 10 * seconds if place < len(SIZES) else seconds) for place, (size, seconds) in enumerate(points)]
    assert fit_fabric(late, 2).latency_seconds.value == pytest.approx(7e-5, rel=1e-6)


def test_intervals_hold_the_truth_as_often_as_they_say():
    fits = [fit_fabric(points_of(2, 7e-5, 3e8, scatter=0.2, rounds=1, seed=seed), 2) for seed in range(600)]
    for name, truth in (("latency_seconds", 7e-5), ("bytes_per_second", 3e8)):
        held = np.mean([getattr(fit, name).low <= truth <= getattr(fit, name).high for fit in fits])
        assert 0.93 <= held <= 0.97, name


@pytest.mark.parametrize(
    ("points", "world_size", "message"),
    [
        ([(1024, 1e-3), (4096, 1e-3)], 2, "3 sizes; there are 2"),
        ([(1024, 1e-3), (4096, 1e-3), (8192, 1e-3)], 1, "at least 2 ranks; there was 1"),
        ([(size, 1e-3) for size in (64, 128, 256)], 2, "do not tell bandwidth. Measure larger"),
        ([(size, size * 1e-9) for size in (10**7, 10**8, 10**9)], 2, "do not tell latency. Measure smaller"),
    ],
)
def test_what_tells_too_little_is_refused(points, world_size, message):
    with pytest.raises(ConfigError, match=message):
        fit_fabric(points, world_size)


def test_declared_fabrics_say_where_they_are_from():
    assert list(DECLARED) == ["10GbE", "25GbE", "omni-path", "hdr-infiniband"]
    for name, fabric in DECLARED.items():
        assert (fabric.name, fabric.origin) == (name, "declared")
        assert fabric.source
        for estimate in (fabric.latency_seconds, fabric.bytes_per_second):
            assert 0 < estimate.low <= estimate.value <= estimate.high
    rates = [fabric.bytes_per_second.value for fabric in DECLARED.values()]
    assert all(slower < faster for slower, faster in pairwise(rates))
    with pytest.raises(ConfigError, match=r"no such fabric: 40GbE\. Declared are 10GbE, 25GbE"):
        declared("40GbE")


def test_a_file_of_all_reduces_is_a_measured_fabric(tmp_path):
    file = tmp_path / "here.json"
    file.write_text(json.dumps({"world_size": 2, "backend": "gloo", "idle_seconds": 0.25, "points": points_of(2, 7e-5, 3e8)}))
    found = fabric_named(str(file))
    assert (found.name, found.origin) == ("here", "measured")
    assert found.latency_seconds.value == pytest.approx(7e-5)
    assert fabric_named("10GbE") is DECLARED["10GbE"]


def test_a_file_can_declare_a_fabric(tmp_path):
    file = tmp_path / "ours.json"
    content = {"latency_seconds": [2e-6, 1e-6, 3e-6], "bytes_per_second": 1e10, "source": "data sheet", "over_tcp": True}
    file.write_text(json.dumps(content))
    assert read_fabric(file) == Fabric("ours", Estimate(2e-6, 1e-6, 3e-6), exactly(1e10), "declared", "data sheet", over_tcp=True)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{", "not JSON"),
        ("[1, 2]", "has either world_size and points"),
        ('{"latency_seconds": 1e-6}', "has either world_size and points"),
        ('{"latency_seconds": 1e-6, "bytes_per_second": 1e9, "latencies": 1}', "has either world_size and points"),
        ('{"latency_seconds": -1, "bytes_per_second": 1e9}', "latency_seconds = -1 is not a number above 0"),
        ('{"latency_seconds": 1e-6, "bytes_per_second": [1e9, 2e9, 3e9]}', "bytes_per_second = .* with the value in between"),
        ('{"latency_seconds": 1e-6, "bytes_per_second": 1e9, "over_tcp": "yes"}', "over_tcp = 'yes'"),
        ('{"points": [[1, 1]]}', "points are pairs"),
        ('{"world_size": 2, "points": [[1024, -1.0]]}', "points are pairs"),
        ('{"world_size": 2, "points": [[1024, 1.0]]}', "at least 3 sizes"),
    ],
)
def test_a_file_that_is_no_fabric_is_refused_by_name(tmp_path, content, message):
    file = tmp_path / "wrong.json"
    file.write_text(content)
    with pytest.raises(ConfigError, match=message) as raised:
        fabric_named(str(file), "--software")
    assert raised.value.where == str(file)
    assert raised.value.key == "--software"


def test_a_missing_file_says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"is not a file. `python -m gan3d.training.fabric > none.json`"):
        fabric_named(str(tmp_path / "none.json"))
