"""The cost model in its limits, where the answer is known, and its intervals."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from step_times import Truth, epochs_of

from gan3d.errors import ConfigError
from gan3d.scaling.calibration import calibrate, step_seconds
from gan3d.scaling.draws import Estimate
from gan3d.scaling.fabrics import DECLARED, Fabric, Route, all_reduce_seconds
from gan3d.scaling.forecast import forecast
from gan3d.scaling.prediction import HIDING_SHARE, WORLD_SIZES, Cluster, Work, communication_seconds, largest_teams, predict
from gan3d.scaling.stragglers import expected_maximum

#: Of the seed's networks.
UPDATES = ((293_608,),) * 2 + ((3_491_232,),) * 2
WEAK, STRONG = Work(UPDATES, batch_per_worker=8), Work(UPDATES, global_batch=256)
PARTS = ["computing_seconds", "straggler_seconds", "communication_seconds"]


def exactly(value):
    return Estimate(value, value, value)


def fabric(latency, rate, name="made up"):
    return Fabric(name, exactly(latency), exactly(rate), "declared", "made up")


INFINITE = Cluster(None, fabric(1e-15, 1e30))
SLOW = Cluster(None, fabric(1e-4, 1e9))


def calibration(blocks=5, **truth):
    return calibrate(step_seconds(epochs_of(Truth(**({"communication": 0.0, "lone_ratio": 1.0} | truth)), blocks=blocks)))


def curve(truth, work, cluster):
    return predict(calibration(**truth), work, cluster).set_index("world_size")


def test_on_an_infinite_fabric_only_stragglers_cost():
    found = curve({"spread": 0.1}, WEAK, INFINITE)
    assert list(found.index) == list(WORLD_SIZES)
    assert found["communication_seconds"].to_numpy() == pytest.approx(0.0, abs=1e-9)
    assert found["efficiency"].to_numpy() == pytest.approx(1 / expected_maximum(WORLD_SIZES, 0.1)[0], rel=1e-3)


def test_without_spread_only_communication_costs():
    found = curve({"spread": 0.0}, WEAK, SLOW)
    route = Route(*(np.array([value]) for value in (1e-4, 1e-9, 0.0)))
    for size in WORLD_SIZES:
        expected = sum(all_reduce_seconds(bucket, size, route)[0] for update in UPDATES for bucket in update)
        assert found.loc[size, "communication_seconds"] == pytest.approx(expected, rel=1e-6)
    assert found["straggler_seconds"].to_numpy() == pytest.approx(0.0, abs=1e-12)


@pytest.mark.parametrize("work", [WEAK, STRONG], ids=["weak", "strong"])
def test_parts_add_up_and_one_worker_is_the_measure(work):
    found = curve({"spread": 0.05, "communication": 0.01, "lone_ratio": 0.8}, work, SLOW)
    assert found[PARTS].sum(axis=1).to_numpy() == pytest.approx(found["step_seconds"].to_numpy())
    assert found.loc[1, ["efficiency", "efficiency_low", "efficiency_high"]].to_numpy() == pytest.approx(1.0)
    assert found.loc[1, "step_seconds"] == pytest.approx(Truth(lone_ratio=0.8).computing(int(work.batch(1)), 1), rel=1e-3)
    assert found.loc[2, "efficiency"] < 0.85, "a rank of a team loses what it had alone"
    rates = found.index * found["batch_per_worker"] / found["step_seconds"]
    assert found["throughput"].to_numpy() == pytest.approx(rates.to_numpy())


@pytest.mark.parametrize("work", [WEAK, STRONG], ids=["weak", "strong"])
@pytest.mark.parametrize("algorithm", ["ring", "tree", "hierarchical"])
def test_efficiency_falls_with_the_team(work, algorithm):
    for workers_per_node in (1, 4):
        cluster = Cluster(fabric(2e-5, 5e9), DECLARED["10GbE"], workers_per_node, algorithm)
        found = predict(calibration(spread=0.05, communication=0.02), work, cluster)
        assert (np.diff(found["efficiency"]) < 1e-9).all()
        assert ((found["efficiency_low"] <= found["efficiency"]) & (found["efficiency"] <= found["efficiency_high"])).all()


def test_strong_scaling_ends_where_showers_do_and_is_the_less_efficient():
    strong, weak = curve({"spread": 0.05}, replace(STRONG, global_batch=48), SLOW), curve({"spread": 0.05}, WEAK, SLOW)
    assert list(strong.index) == [1, 2, 4, 8, 16]
    assert list(strong["batch_per_worker"]) == [48, 24, 12, 6, 3]
    assert strong.loc[16, "efficiency"] < weak.loc[16, "efficiency"]
    assert weak["batch_per_worker"].eq(8).all()
    found = curve({"spread": 0.0}, STRONG, INFINITE)
    expected = Truth().computing(256) / (256 * Truth().computing(1))
    assert found.loc[256, "efficiency"] == pytest.approx(expected, rel=1e-3), "what does not shrink with the batch is all that is lost"


def test_early_buckets_hide_behind_the_backward_pass_as_far_as_it_lasts():
    one = calibration(spread=0.0)
    split = Work(((1_000_000, 2_491_232),) * 4, batch_per_worker=8)
    computing = Truth().computing(8)
    for cluster in (INFINITE, SLOW, Cluster(None, fabric(1e-4, 1e5))):
        early, last = (communication_seconds(Work(((size,),) * 4, batch_per_worker=8), cluster, [8])[8][0] for size in split.updates[0])
        expected = last + max(0.0, early - HIDING_SHARE * computing)
        assert predict(one, split, cluster, [8])["communication_seconds"][0] == pytest.approx(expected, rel=1e-3, abs=1e-9)


def test_what_is_computed_before_the_wait_hides_all_buckets_as_far_as_it_lasts():
    one, computing = calibration(spread=0.0), Truth().computing(8)
    shares = (0.01, 0.0, 0.02, 0.5)
    hidden = Work(UPDATES, batch_per_worker=8, hidden_behind=shares)
    for cluster in (INFINITE, SLOW, Cluster(None, fabric(1e-4, 1e7))):
        alone = [communication_seconds(Work((update,), batch_per_worker=8), cluster, [8])[8][0] for update in UPDATES]
        expected = sum(max(0.0, seconds - share * computing) for seconds, share in zip(alone, shares, strict=True))
        assert predict(one, hidden, cluster, [8])["communication_seconds"][0] == pytest.approx(expected, rel=1e-3, abs=1e-9)
        assert expected < sum(alone)


def test_software_is_what_the_team_took_beyond_its_own_link():
    own = fabric(1e-4, 1e9)
    on_own = communication_seconds(WEAK, Cluster(own, None), [2])[2][0]
    measured = calibration(spread=0.0, communication=on_own + 0.005)
    wire = fabric(1e-5, 1e8)
    found = predict(measured, WEAK, Cluster(own, wire), [2])["communication_seconds"][0]
    both = communication_seconds(WEAK, Cluster(own, wire), [2])[2][0]
    assert found == pytest.approx(both + 0.005, rel=1e-6)
    again = predict(measured, WEAK, Cluster(own, None), [2])["communication_seconds"][0]
    assert again == pytest.approx(on_own + 0.005, rel=1e-6), "its own team is predicted as it was"
    unknown = predict(measured, WEAK, Cluster(None, wire), [2])["communication_seconds"][0]
    assert unknown == pytest.approx(on_own + 0.005 + communication_seconds(WEAK, Cluster(None, wire), [2])[2][0], rel=1e-6)


def test_workers_of_a_node_do_not_use_the_wire():
    cluster = Cluster(fabric(1e-6, 1e10), fabric(1e-3, 1e8), workers_per_node=4)
    for algorithm in ("ring", "tree", "hierarchical"):
        found = communication_seconds(WEAK, replace(cluster, algorithm=algorithm), [2, 4, 8])
        assert found[4][0] < 0.01
        assert found[8][0] > 0.06
    slower = communication_seconds(WEAK, replace(cluster, workers_per_node=1), [64])[64][0]
    assert communication_seconds(WEAK, replace(cluster, algorithm="hierarchical"), [64])[64][0] < slower
    assert communication_seconds(WEAK, cluster, [64])[64][0] < slower


def test_intervals_widen_with_the_team_with_fewer_blocks_and_with_the_fabrics():
    truth = {"spread": 0.05, "drift": 0.02, "scatter": 0.1}

    def width(blocks, cluster, size=256):
        row = predict(calibration(blocks, **truth), WEAK, cluster, [size]).iloc[0]
        return row["efficiency_high"] - row["efficiency_low"]

    wide = Cluster(None, replace(SLOW.wire, latency_seconds=Estimate(1e-4, 2e-5, 5e-4)))
    assert width(5, SLOW, 2) < width(5, SLOW) < width(5, wide)
    assert width(12, SLOW) < width(3, SLOW)
    assert np.isnan(width(1, SLOW))


def test_intervals_hold_a_truth_that_was_not_measured():
    """Calibrated on two workers, 64 are predicted; the cluster is the one the truth has."""
    truth, held = Truth(drift=0.02, scatter=0.05), []
    expected = truth.step(8, 64) + communication_seconds(WEAK, SLOW, [64])[64][0]
    for seed in range(150):
        found = predict(calibrate(step_seconds(epochs_of(truth, seed=seed))), WEAK, SLOW, [64]).iloc[0]
        held.append(found["step_seconds_low"] <= expected <= found["step_seconds_high"])
    assert 0.90 <= np.mean(held) <= 0.99


@pytest.mark.parametrize("work", [WEAK, STRONG], ids=["weak", "strong"])
def test_the_largest_team_is_where_the_curve_crosses(work):
    one = calibration(spread=0.05, scatter=0.05, drift=0.02)
    sizes = [size for size in range(1, 257) if work.can_be_split(size)]
    found, table = largest_teams(one, work, SLOW), predict(one, work, SLOW, sizes).set_index("world_size")
    for level, estimate in found.items():
        above = table.index[table["efficiency"] >= level]
        assert estimate.value == above.max()
        assert estimate.low <= estimate.value <= estimate.high
        assert {estimate.low, estimate.high} <= set(sizes)
    assert found[0.9].value <= found[0.7].value
    assert largest_teams(one, WEAK, INFINITE, [0.5])[0.5] == (256, 256, 256)
    assert np.isnan(largest_teams(calibration(blocks=1), WEAK, SLOW)[0.9].low)


def test_nothing_is_predicted_without_a_fabric_or_a_shower():
    with pytest.raises(ConfigError, match="there is no fabric: name one of 10GbE"):
        predict(calibration(), WEAK, Cluster(None, None))
    with pytest.raises(ConfigError, match="global batch of 9 cannot be split evenly over 2, 4 workers"):
        predict(calibration(), Work(UPDATES, global_batch=9), SLOW, [2, 4])


def test_a_forecast_says_what_it_assumed():
    epochs = epochs_of(Truth(), batches=(8,))
    weak = forecast(epochs, Work(UPDATES, batch_per_worker=64), Cluster(None, DECLARED["25GbE"], 4))
    text = " ".join(weak.assumed)
    for part in ("25GbE is declared", "teams of one size only (2)", "64 showers per step", "one gradient bucket", "no faster than between"):
        assert part in text
    assert weak.kind == "weak"
    assert weak.curve["world_size"].tolist() == list(WORLD_SIZES)
    strong = forecast(epochs, STRONG, SLOW, world_sizes=(1, 2, 64))
    assert strong.kind == "strong"
    assert strong.largest[0.7].high <= 64
