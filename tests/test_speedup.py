"""Speed-up, efficiency, serial fraction and their intervals, on timings made up from known laws."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pandas as pd
import pytest
from pandas.testing import assert_series_equal

from gan3d.errors import ConfigError
from gan3d.records import PHASES
from gan3d.scaling.speedup import phase_seconds, scaling_curve, scaling_kind, serial_fraction, throughput

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


@pytest.mark.parametrize("repeats", [3, 5])
def test_intervals_cover_the_true_speedup_at_their_nominal_rate(repeats):
    rng = np.random.default_rng(20)
    true_speedup, studies = 3.4, 600
    covered = 0
    for _ in range(studies):
        rates = pd.DataFrame({"world_size": np.repeat([1, 4], repeats), "repeat": list(range(repeats)) * 2})
        means = np.where(rates["world_size"] == 1, 100.0, 100.0 * true_speedup)
        rates["showers_per_second"] = means * np.exp(rng.normal(0.0, 0.05, 2 * repeats))
        last = scaling_curve(rates).iloc[-1]
        covered += last["speedup_low"] <= true_speedup <= last["speedup_high"]
    standard_error = np.sqrt(0.95 * 0.05 / studies)
    assert covered / studies == pytest.approx(0.95, abs=4 * standard_error)


def test_intervals_hold_their_estimate_and_narrow_at_lower_confidence():
    rng = np.random.default_rng(3)
    rates = throughput(epochs_frame(lambda at: 100 / at.world_size * np.exp(rng.normal(0, 0.05))))
    wide, narrow = scaling_curve(rates, 0.99)[1:], scaling_curve(rates, 0.68)[1:]
    for name in ("throughput", "speedup", "efficiency", "serial_fraction"):
        for curve in (wide, narrow):
            assert (curve[f"{name}_low"] < curve[name]).all()
            assert (curve[name] < curve[f"{name}_high"]).all()
        assert (wide[f"{name}_high"] - wide[f"{name}_low"] > narrow[f"{name}_high"] - narrow[f"{name}_low"]).all()


def test_a_single_repeat_has_no_interval():
    curve = scaling_curve(throughput(epochs_frame(amdahl(0.1), seeds=(1,))))
    assert list(curve["repeats"]) == [1] * len(WORLD_SIZES)
    assert curve[["speedup_low", "speedup_high"]].isna().all(axis=None)
    assert curve["speedup"].notna().all()


def test_repeats_are_paired_by_seed():
    """A slow seed is slow everywhere: paired, its slowness cancels."""
    frame = epochs_frame(lambda at: at.seed * 100.0 / at.world_size)
    curve = scaling_curve(throughput(frame))
    assert curve["speedup_high"].to_numpy() == pytest.approx(WORLD_SIZES)
    assert (curve["throughput_high"] > 1.5 * curve["throughput"]).all()


def test_a_repeat_missing_at_one_world_size_is_left_out_there_only():
    frame = epochs_frame(amdahl(0.1))
    curve = scaling_curve(throughput(frame[~((frame["world_size"] == 4) & (frame["training.seed"] == 2))]))
    assert list(curve["repeats"]) == [3, 3, 2, 3, 3]


def test_failed_trials_do_not_count():
    frame = epochs_frame(amdahl(0.1))
    frame.loc[frame["trial"] == 2, "state"] = "failed"
    assert 2 not in set(throughput(frame)["trial"])


def test_without_seeds_repeats_are_told_apart_by_their_order():
    frame = epochs_frame(amdahl(0.1)).drop(columns="training.seed")
    assert list(scaling_curve(throughput(frame))["repeats"]) == [3] * len(WORLD_SIZES)


def test_strong_scaling_is_recognised():
    assert scaling_kind(epochs_frame(amdahl(0.1))) == "strong"


@pytest.mark.parametrize(
    ("change", "key"),
    [
        ({"world_size": 1}, "workers.per_trial"),
        ({"global_batch": range(60), "batch_per_worker": range(60)}, "training.global_batch"),
        ({"training.generator.learning_rate": range(60)}, "training.generator.learning_rate"),
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


def test_serial_fraction_of_super_linear_speedup_is_negative():
    fractions = serial_fraction(pd.Series([1.0, 2.5]), pd.Series([1.0, 2.0]))
    assert_series_equal(fractions, pd.Series([np.nan, -0.2]))
