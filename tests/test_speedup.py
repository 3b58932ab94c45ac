"""Speed-up, efficiency, serial fraction and their intervals, on timings made up from known laws."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_series_equal
from scipy import stats

from gan3d.errors import ConfigError
from gan3d.records import PHASES
from gan3d.scaling.speedup import (
    OVERLAPPED,
    by_kind,
    geometric_interval,
    phase_seconds,
    scaling_curve,
    scaling_kind,
    scaling_table,
    serial_fraction,
    throughput,
)

SHOWERS = 4096.0
WORLD_SIZES = (1, 2, 4, 8, 16)
Moment = namedtuple("Moment", "world_size seed epoch")


def epochs_frame(seconds_of, world_sizes=WORLD_SIZES, seeds=(1, 2, 3), num_epochs=4, weak=False):
    """An epochs frame; ``seconds_of(moment)`` is that epoch's training time. Validation takes a second more."""
    rows = []
    for trial, (world_size, seed) in enumerate((size, seed) for seed in seeds for size in world_sizes):
        for epoch in range(1, num_epochs + 1):
            seconds = seconds_of(Moment(world_size, seed, epoch))
            showers = SHOWERS * (world_size if weak else 1)
            rows.append(
                {
                    "trial": trial,
                    "state": "complete",
                    "world_size": world_size,
                    "global_batch": 64 * world_size if weak else 64,
                    "batch_per_worker": 64 if weak else 64 // world_size,
                    "workers.per_trial": world_size,
                    "training.seed": seed,
                    "epoch": epoch,
                    "timing.num_showers": showers,
                    "timing.showers_per_second": showers / seconds,
                    "timing.epoch_seconds": seconds + 1.0,
                    **{f"timing.{phase}_seconds_mean": seconds / len(PHASES) for phase in PHASES},
                }
            )
    return pd.DataFrame(rows)


def amdahl(serial):
    return lambda at: 100.0 * (serial + (1 - serial) / at.world_size)


@pytest.mark.parametrize("serial", [0.0, 0.02, 0.3])
def test_amdahl_timings_give_back_the_serial_fraction(serial):
    curve = scaling_curve(throughput(epochs_frame(amdahl(serial))))
    assert curve["serial_fraction"][1:].to_numpy() == pytest.approx(serial, abs=1e-12)
    assert np.isnan(curve["serial_fraction"][0])
    assert curve["speedup"].to_numpy() == pytest.approx([1 / (serial + (1 - serial) / n) for n in WORLD_SIZES])


def test_base_is_the_smallest_world_size_and_ideal_counts_from_it():
    curve = scaling_curve(throughput(epochs_frame(amdahl(0.0), world_sizes=(4, 8, 16))))
    assert list(curve["base"]) == [4, 4, 4]
    assert list(curve["ideal"]) == [1.0, 2.0, 4.0]
    assert curve["efficiency"].to_numpy() == pytest.approx(1.0)


def test_weak_efficiency_is_the_ratio_of_step_times():
    step = {1: 1.0, 2: 1.1, 4: 1.25}
    frame = epochs_frame(lambda at: 10 * step[at.world_size], world_sizes=tuple(step), weak=True)
    assert scaling_kind(frame) == "weak"
    assert scaling_curve(throughput(frame))["efficiency"].to_numpy() == pytest.approx([step[1] / step[n] for n in step])


def test_warm_up_epochs_do_not_count():
    slow_start = epochs_frame(lambda at: 1000.0 if at.epoch == 1 else 10.0)
    rates = throughput(slow_start, warmup_epochs=1)
    assert rates["showers_per_second"].to_numpy() == pytest.approx(SHOWERS / 10)
    assert set(rates["epochs"]) == {3}
    assert (throughput(slow_start, warmup_epochs=0)["showers_per_second"] < SHOWERS / 10).all()


def test_throughput_is_all_showers_over_all_seconds_not_a_mean_of_rates():
    frame = epochs_frame(lambda at: 10.0 * at.epoch, seeds=(1,))
    rates = throughput(frame, warmup_epochs=0)
    assert rates["showers_per_second"].to_numpy() == pytest.approx(4 * SHOWERS / (10 + 20 + 30 + 40))
    assert rates["showers_per_second_whole_epoch"].to_numpy() == pytest.approx(4 * SHOWERS / (100 + 4))


def drifting_studies(draws, blocks, serial, workers, scatter=0.03, drift=0.15):
    """Logarithms of throughputs at one and at ``workers`` workers, shape (blocks, draws) each, with a known serial fraction.

    A drift is common to a block (the machine is slower that hour), and each timing scatters log-normally on its own.
    """
    rng = np.random.default_rng(2018)
    common = rng.normal(0.0, drift, (blocks, draws))
    seconds = np.array([1.0, serial + (1 - serial) / workers])
    logs = -np.log(seconds)[:, None, None] + common + rng.normal(0.0, scatter, (2, blocks, draws))
    return pd.DataFrame(logs[0]), pd.DataFrame(logs[1])


def share_covered(interval, truth):
    """Of the intervals, how many hold the truth."""
    return float(((interval["_low"] <= truth) & (truth <= interval["_high"])).mean())


@pytest.mark.parametrize(("blocks", "serial", "workers"), [(5, 0.04, 8), (5, 0.3, 2), (3, 0.04, 8)])
def test_intervals_cover_a_known_law_in_95_percent_of_2000_studies(blocks, serial, workers):
    base, here = drifting_studies(2000, blocks, serial, workers)
    speedup = geometric_interval(here - base)
    true_speedup = 1 / (serial + (1 - serial) / workers)
    assert 0.93 <= share_covered(speedup, true_speedup) <= 0.97
    efficiency = {end: values / workers for end, values in speedup.items()}
    assert 0.93 <= share_covered(efficiency, true_speedup / workers) <= 0.97
    ideal = pd.Series(float(workers), index=speedup[""].index)
    fraction = {end: serial_fraction(speedup[of], ideal) for end, of in (("_low", "_high"), ("_high", "_low"))}
    assert 0.93 <= share_covered(fraction, serial) <= 0.97


@pytest.mark.parametrize("blocks", [2, 3, 5, 12])
@pytest.mark.parametrize("confidence", [0.68, 0.95])
def test_intervals_are_those_of_a_paired_t_test(blocks, confidence):
    """Against scipy's; scatter is large and skew, so that neither another centre nor a linear interval is near it."""
    base, here = (np.random.default_rng(blocks).exponential(0.8, (2, blocks)) + np.array([[0.0], [1.5]])).round(6)
    tested = stats.ttest_rel(here, base)
    expected = np.exp([tested.confidence_interval(confidence).low, tested.confidence_interval(confidence).high])
    found = geometric_interval(pd.DataFrame({"ratio": here - base}), confidence)
    assert [found["_low"]["ratio"], found["_high"]["ratio"]] == pytest.approx(expected, rel=1e-9)
    assert found[""]["ratio"] == pytest.approx(stats.gmean(np.exp(here - base)), rel=1e-9)


def test_the_curve_has_the_intervals_whose_coverage_is_known():
    """The same numbers by the way of a study's table: paired by block, whatever the order of the trials."""
    base, here = drifting_studies(20, 5, 0.04, 8)
    expected = geometric_interval(here - base)
    for draw in range(20):
        rates = pd.DataFrame({"world_size": np.repeat([1, 8], 5), "block": [*range(5), *range(5)]})
        rates["showers_per_second"] = np.exp(np.concatenate([base[draw], here[draw]]))
        last = scaling_curve(rates.sample(frac=1.0, random_state=draw)).iloc[-1]
        for end, values in expected.items():
            assert last[f"speedup{end}"] == pytest.approx(values[draw], rel=1e-12)
            assert last[f"efficiency{end}"] == pytest.approx(values[draw] / 8, rel=1e-12)
        for end, other in (("", ""), ("_low", "_high"), ("_high", "_low")):
            known = (1 / expected[other][draw] - 1 / 8) / (1 - 1 / 8)
            assert last[f"serial_fraction{end}"] == pytest.approx(known, rel=1e-9)


def test_other_intervals_would_not_cover():
    """Why these: without pairs the block's drift is taken for scatter, and a bootstrap of five blocks is too narrow."""
    base, here = drifting_studies(2000, 5, 0.04, 8)
    true_speedup = 1 / (0.04 + 0.96 / 8)
    half = stats.t.ppf(0.975, 8) * np.sqrt((base.var() + here.var()) / 5)
    mean = here.mean() - base.mean()
    assert share_covered({"_low": np.exp(mean - half), "_high": np.exp(mean + half)}, true_speedup) > 0.99
    ratios = (here - base).to_numpy()
    picks = np.random.default_rng(1).integers(0, 5, (500, 5))
    means = np.stack([ratios[pick].mean(axis=0) for pick in picks])
    low, high = (pd.Series(np.exp(np.quantile(means, share, axis=0))) for share in (0.025, 0.975))
    assert share_covered({"_low": low, "_high": high}, true_speedup) < 0.88


def test_intervals_hold_their_estimate_and_narrow_at_lower_confidence():
    rng = np.random.default_rng(3)
    rates = throughput(epochs_frame(lambda at: 100 / at.world_size * np.exp(rng.normal(0, 0.05))))
    wide, narrow = scaling_curve(rates, 0.99)[1:], scaling_curve(rates, 0.68)[1:]
    for name in ("throughput", "speedup", "efficiency", "serial_fraction"):
        for curve in (wide, narrow):
            assert (curve[f"{name}_low"] < curve[name]).all()
            assert (curve[name] < curve[f"{name}_high"]).all()
        assert (wide[f"{name}_high"] - wide[f"{name}_low"] > narrow[f"{name}_high"] - narrow[f"{name}_low"]).all()


def test_a_single_block_has_no_interval():
    curve = scaling_curve(throughput(epochs_frame(amdahl(0.1), seeds=(1,))))
    assert list(curve["blocks"]) == [1] * len(WORLD_SIZES)
    assert curve[["speedup_low", "speedup_high"]].isna().all(axis=None)
    assert curve["speedup"].notna().all()


def test_timings_are_paired_by_block():
    """A slow seed is slow everywhere: paired, its slowness cancels."""
    frame = epochs_frame(lambda at: at.seed * 100.0 / at.world_size)
    curve = scaling_curve(throughput(frame))
    assert curve["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)
    assert (curve["throughput_high"] > 1.5 * curve["throughput"]).all()


def test_a_block_missing_at_one_world_size_is_left_out_there_only():
    frame = epochs_frame(amdahl(0.1))
    curve = scaling_curve(throughput(frame[~((frame["world_size"] == 4) & (frame["training.seed"] == 2))]))
    assert list(curve["blocks"]) == [3, 3, 2, 3, 3]


def test_blocks_without_the_base_count_for_throughput_only():
    frame = epochs_frame(lambda at: at.seed * amdahl(0.1)(at), seeds=range(1, 6))
    curve = scaling_curve(throughput(frame[~((frame["world_size"] == 1) & (frame["training.seed"] > 3))]))
    assert list(curve["blocks"]) == [3] * len(WORLD_SIZES)
    assert curve["few_blocks"].all(), "though five blocks have 2 workers and more"
    assert curve["speedup"].to_numpy() == pytest.approx([1 / (0.1 + 0.9 / n) for n in WORLD_SIZES])
    slowness = stats.gmean(range(1, 6))
    assert curve["throughput"][1] == pytest.approx(SHOWERS / (amdahl(0.1)(Moment(2, 1, 2)) * slowness))


@pytest.mark.parametrize(("seeds", "is_few"), [(range(4), True), (range(5), False)])
def test_fewer_than_five_paired_blocks_are_marked(seeds, is_few):
    table = scaling_table(epochs_frame(amdahl(0.1), seeds=seeds))
    assert table["few_blocks"].tolist() == [is_few] * len(table)


@pytest.mark.parametrize("order", [1, 2, 3])
def test_trials_are_paired_by_seed_in_whatever_order_they_ran(order):
    """Trials are numbered as they ran, shuffled within a study; rates come sorted."""
    frame = epochs_frame(lambda at: at.seed * 100.0 / at.world_size)
    numbers = np.random.default_rng(order).permutation(frame["trial"].max() + 1)
    rates = throughput(frame.assign(trial=numbers[frame["trial"]]).sample(frac=1.0, random_state=order))
    assert rates[["world_size", "block"]].to_numpy().tolist() == [[size, seed] for size in WORLD_SIZES for seed in (1, 2, 3)]
    assert scaling_curve(rates)["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)


def test_trials_that_their_seed_does_not_tell_apart_are_paired_by_their_order():
    """The same seed thrice: a trial's number tells which repeat it is, whatever the order of the rows."""
    frame = epochs_frame(lambda at: at.seed * 100.0 / at.world_size).assign(**{"training.seed": 7})
    rates = throughput(frame.sample(frac=1.0, random_state=1))
    assert sorted(set(rates["block"])) == [0, 1, 2]
    assert scaling_curve(rates)["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)


def test_any_sampled_key_may_be_the_block():
    """A slow hour is slow for all world sizes of its block."""
    frame = epochs_frame(lambda at: at.seed * 100.0 / at.world_size).rename(columns={"training.seed": "data.max_train_showers"})
    curve = scaling_curve(throughput(frame, block_key="data.max_train_showers"))
    assert curve["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)
    assert scaling_kind(frame, "data.max_train_showers") == "strong"
    with pytest.raises(ConfigError, match=r"differ in data\.max_train_showers"):
        scaling_kind(frame)


def both_kinds():
    """One study of both kinds, as `training.scaling` samples them: trials numbered through, 5 seeds."""
    seeds = range(5)
    strong = epochs_frame(amdahl(0.1), seeds=seeds).assign(**{"training.scaling": "strong"})
    weak = epochs_frame(lambda at: 80.0 * 1.02**at.world_size, seeds=seeds, weak=True).assign(**{"training.scaling": "weak"})
    weak["trial"] += strong["trial"].max() + 1
    return pd.concat([weak, strong]).sample(frac=1.0, random_state=1, ignore_index=True)


def test_both_kinds_of_one_study_are_told_apart():
    table = scaling_table(both_kinds()).set_index(["kind", "rate", "world_size"])
    assert len(table) == 2 * 2 * len(WORLD_SIZES)
    for size in WORLD_SIZES:
        assert table.loc[("strong", "training", size), "serial_fraction"] == pytest.approx(0.1, abs=1e-9) or size == 1
        assert table.loc[("weak", "training", size), "efficiency"] == pytest.approx(1.02 ** (1 - size))
    assert (table["blocks"] == 5).all()
    assert set(table.loc["strong", "fixed"]) == set(table.loc["weak", "fixed"]) == {64}
    assert set(table["base"]) == {1}


def test_the_table_says_which_batch_is_fixed_and_keeps_to_the_confidence_it_was_given():
    rng = np.random.default_rng(3)
    timing = {"seconds_of": lambda at: 100 / at.world_size * np.exp(rng.normal(0, 0.05)), "world_sizes": (2, 4, 8)}
    strong, weak = epochs_frame(**timing), epochs_frame(**timing, weak=True)
    weak["global_batch"] = 32 * weak["world_size"]
    weak["batch_per_worker"] = 32
    assert set(scaling_table(strong)["fixed"]) == {64}
    assert set(scaling_table(weak)["fixed"]) == {32}
    training = scaling_table(strong, confidence=0.5).query("rate == 'training'").drop(columns=["kind", "rate", "fixed"])
    pd.testing.assert_frame_equal(training.reset_index(drop=True), scaling_curve(throughput(strong), confidence=0.5))


def test_the_table_leaves_out_as_many_epochs_and_pairs_by_the_blocks_it_was_given():
    """Two slow epochs; a block is told by what it reads, and trials ran in another order."""
    frame = epochs_frame(lambda at: 1000.0 if at.epoch < 3 else at.seed * 100.0 / at.world_size)
    frame = frame.rename(columns={"training.seed": "data.max_train_showers"})
    numbers = np.random.default_rng(2).permutation(frame["trial"].max() + 1)
    table = scaling_table(frame.assign(trial=numbers[frame["trial"]]), warmup_epochs=2, block_key="data.max_train_showers")
    assert table.query("rate == 'training'")["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)


def test_the_whole_epoch_counts_validation_and_checkpoint():
    """Validation takes a second at any world size: a serial part that training alone does not have."""
    table = scaling_table(epochs_frame(amdahl(0.0))).set_index(["rate", "world_size"])
    assert table.loc[("training", 16), "speedup"] == pytest.approx(16)
    assert table.loc[("whole_epoch", 16), "speedup"] == pytest.approx(101 / (100 / 16 + 1))


def test_a_kind_without_its_fixed_batch_is_refused():
    frame = both_kinds()
    frame["batch_per_worker"] = frame["batch_per_worker"] + frame["world_size"]
    with pytest.raises(ConfigError, match=r"both differ between trials\. Fix training\.global_batch or training\.batch_per_worker"):
        by_kind(frame)


def test_the_first_epoch_after_a_restart_is_warm_up_too():
    """A worker was lost in epoch 4: other processes took the trial up and were slow at first."""
    frame = epochs_frame(lambda at: 1000.0 if at.epoch in {1, 4} else 10.0, num_epochs=6)
    frame["timing.epochs_since_start"] = frame["epoch"].map({1: 1, 2: 2, 3: 3, 4: 1, 5: 2, 6: 3})
    rates = throughput(frame)
    assert rates["showers_per_second"].to_numpy() == pytest.approx(SHOWERS / 10)
    assert set(rates["epochs"]) == {4}
    older = frame.assign(**{"timing.epochs_since_start": np.nan})
    assert set(throughput(older)["epochs"]) == {5}, "older records do not tell"


def test_failed_trials_do_not_count():
    frame = epochs_frame(amdahl(0.1))
    frame.loc[frame["trial"] == 2, "state"] = "failed"
    assert 2 not in set(throughput(frame)["trial"])


def test_without_seeds_blocks_are_told_apart_by_their_order():
    frame = epochs_frame(amdahl(0.1)).drop(columns="training.seed")
    assert list(scaling_curve(throughput(frame))["blocks"]) == [3] * len(WORLD_SIZES)


def test_strong_scaling_is_recognised():
    assert scaling_kind(epochs_frame(amdahl(0.1))) == "strong"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"world_size": 1}, "workers.per_trial"),
        ({"global_batch": range(60), "batch_per_worker": range(60)}, "training.global_batch"),
        ({"training.generator.learning_rate": range(60)}, "training.generator.learning_rate"),
        ({"training.generator.learning_rate": [np.nan, *[1e-3] * 59]}, "training.generator.learning_rate"),
    ],
)
def test_studies_without_a_scaling_curve_are_refused(change, key):
    frame = epochs_frame(amdahl(0.1)).assign(**change)
    with pytest.raises(ConfigError) as caught:
        scaling_kind(frame)
    assert caught.value.key == key
    assert key in str(caught.value)


def test_too_few_epochs_are_refused():
    with pytest.raises(ConfigError, match=r"longest trial has 4.*training\.epochs"):
        throughput(epochs_frame(amdahl(0.1)), warmup_epochs=4)


def test_phases_add_up_to_the_training_time():
    frame = epochs_frame(amdahl(0.1))
    phases = phase_seconds(frame)
    assert list(phases.columns) == list(PHASES)
    assert phases.sum(axis=1).to_numpy() == pytest.approx([amdahl(0.1)(Moment(n, 1, 2)) for n in WORLD_SIZES])


def test_phases_are_of_steady_epochs_and_every_block_counts_once():
    """The second seed trains three steady epochs, the first one; both are slow at first."""
    frame = epochs_frame(lambda at: 1000.0 if at.epoch == 1 else 10.0 * at.seed, seeds=(1, 2), world_sizes=(1, 2))
    frame = frame[(frame["training.seed"] == 2) | (frame["epoch"] <= 2)]
    frame[f"timing.{OVERLAPPED}_seconds_mean"] = 0.5
    phases = phase_seconds(frame)
    assert list(phases.columns) == [*PHASES, OVERLAPPED]
    assert phases[list(PHASES)].sum(axis=1).to_numpy() == pytest.approx((10 + 20) / 2)
    assert phases[OVERLAPPED].to_numpy() == pytest.approx(0.5)


def test_serial_fraction_of_super_linear_speedup_is_negative():
    fractions = serial_fraction(pd.Series([1.0, 2.5]), pd.Series([1.0, 2.0]))
    assert_series_equal(fractions, pd.Series([np.nan, -0.2]))
