"""Factors of a staircase, on throughputs made up from known ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from scipy import stats

from gan3d.config.stairs import STAIRS
from gan3d.errors import ConfigError
from gan3d.scaling.speedup import MIN_BLOCKS
from gan3d.scaling.staircase import stair_rates, staircase

NAMES = ("start", "kernels", "filters", "workers")
#: Of each stair over the one before [showers/s], and the work of a shower on it.
FACTORS = {"start": 1.0, "kernels": 5.0, "filters": 0.8, "workers": 1.6}
GIGAFLOP = {"start": 20.0, "kernels": 20.0, "filters": 50.0, "workers": 50.0}
START = 2.5
BLOCKS = (11, 12, 13, 14, 15)


def stairs_frame(drift=lambda _: 1.0, blocks=BLOCKS, scatter=0.0, warm_up=0.1):
    """An epochs frame of three epochs to a trial, the first ``warm_up`` times as fast; ``drift`` multiplies all rates of a block."""
    rng = np.random.default_rng(8)
    rows, trial = [], 0
    for seed in blocks:
        level = START * drift(seed)
        for name in NAMES:
            level *= FACTORS[name]
            rate = level * np.exp(scatter * rng.standard_normal())
            world_size = 2 if name == "workers" else 1
            for epoch in (1, 2, 3):
                speed = rate * (warm_up if epoch == 1 else 1.0)
                rows.append(
                    {
                        "trial": trial,
                        "state": "complete",
                        "world_size": world_size,
                        "global_batch": 8 * world_size,
                        "batch_per_worker": 8,
                        STAIRS: name,
                        "training.seed": seed,
                        "epoch": epoch,
                        "timing.num_showers": 8.0 * world_size,
                        "timing.showers_per_second": speed,
                        "timing.epoch_seconds": 8.0 * world_size / speed + 1.0,
                    }
                )
            trial += 1
    return pd.DataFrame(rows)


def table_of(frame, **options):
    return staircase(stair_rates(frame, NAMES), GIGAFLOP, **options).set_index("stair")


def test_known_factors_come_back_exactly():
    table = table_of(stairs_frame())
    assert list(table.index) == list(NAMES)
    assert table["showers_per_second"].to_numpy() == pytest.approx(START * np.cumprod(list(FACTORS.values())))
    assert table["factor"].to_numpy()[1:] == pytest.approx(list(FACTORS.values())[1:])
    assert table["cumulative"].to_numpy() == pytest.approx(np.cumprod(list(FACTORS.values())))
    assert table["cumulative"].iloc[-1] == pytest.approx(table["factor"].iloc[1:].prod())


def test_the_lowest_stair_has_no_factor_and_is_one():
    start = table_of(stairs_frame(scatter=0.1)).loc["start"]
    assert np.isnan(start[["factor", "factor_low", "factor_high", "work_factor"]].astype(float)).all()
    assert start["cumulative"] == start["cumulative_low"] == start["cumulative_high"] == 1.0


def test_a_stair_that_changes_the_networks_changes_work_and_showers_differently():
    """Fewer showers of more work each: filters that fill vectors are no gain for the user and one for the machine."""
    table = table_of(stairs_frame())
    assert table.loc["filters", "factor"] == pytest.approx(0.8)
    assert table.loc["filters", "work_factor"] == pytest.approx(0.8 * 50 / 20)
    same = table.loc[["kernels", "workers"]]
    assert same["work_factor"].to_numpy() == pytest.approx(same["factor"].to_numpy())
    assert table["gigaflop_per_second"].to_numpy() == pytest.approx(table["showers_per_second"] * pd.Series(GIGAFLOP))
    assert table["work_cumulative"].to_numpy() == pytest.approx(table["cumulative"] * pd.Series(GIGAFLOP) / 20.0)


def test_a_drift_from_block_to_block_leaves_factors_alone():
    table = table_of(stairs_frame(drift=lambda seed: 1.3 ** (seed - 13)))
    assert table["factor"].to_numpy()[1:] == pytest.approx(list(FACTORS.values())[1:])
    for end in ("_low", "_high"):
        assert table[f"factor{end}"].to_numpy()[1:] == pytest.approx(table["factor"].to_numpy()[1:]), "paired: no spread"
    assert table.loc["start", "showers_per_second_low"] < 0.8 * START < START < table.loc["start", "showers_per_second_high"]


def test_intervals_are_those_of_a_paired_t_test():
    rates = stair_rates(stairs_frame(drift=lambda seed: seed / 13, scatter=0.2), NAMES)
    table = staircase(rates, GIGAFLOP, confidence=0.9).set_index("stair")
    logs = np.log(rates)
    for name, before in zip(NAMES[1:], NAMES[:-1], strict=True):
        for column, other in (("factor", before), ("cumulative", "start")):
            expected = np.exp(stats.ttest_rel(logs[name], logs[other]).confidence_interval(0.9))
            assert table.loc[name, [f"{column}_low", f"{column}_high"]].to_numpy(dtype=float) == pytest.approx(expected)


def test_intervals_of_work_are_as_wide_as_those_of_showers():
    """The work of a shower is known, not measured."""
    table = table_of(stairs_frame(scatter=0.2))
    for column in ("factor", "cumulative"):
        widths = [table[f"{prefix}{column}_high"] / table[f"{prefix}{column}_low"] for prefix in ("", "work_")]
        assert widths[0].to_numpy() == pytest.approx(widths[1].to_numpy(), nan_ok=True)


def test_warm_up_epochs_do_not_count():
    slow, fast = (stair_rates(stairs_frame(warm_up=speed), NAMES) for speed in (0.01, 1.0))
    pd.testing.assert_frame_equal(slow, fast)
    assert (stair_rates(stairs_frame(warm_up=0.01), NAMES, warmup_epochs=0) < fast).all(axis=None)


def test_order_of_trials_and_of_names_in_the_frame_does_not_matter():
    frame = stairs_frame(scatter=0.1)
    shuffled = frame.sample(frac=1.0, random_state=3)
    pd.testing.assert_frame_equal(stair_rates(shuffled, NAMES), stair_rates(frame, NAMES))
    assert list(stair_rates(frame, NAMES)) == list(NAMES)


def test_a_trial_that_is_missing_takes_its_block_from_its_own_ratios_only():
    frame = stairs_frame(scatter=0.1)
    without = frame[(frame[STAIRS] != "filters") | (frame["training.seed"] != 12)]
    table, whole = table_of(without), table_of(frame)
    assert table["blocks"].tolist() == [5, 5, 4, 4], "of the last, one has no stair before to be compared with"
    assert table["few_blocks"].tolist() == [False, False, True, True]
    assert table.loc["kernels", "factor_low"] == pytest.approx(whole.loc["kernels", "factor_low"])
    rates = np.log(stair_rates(frame[frame["training.seed"] != 12], NAMES))
    for name, before in (("filters", "kernels"), ("workers", "filters")):
        assert table.loc[name, "factor"] == pytest.approx(np.exp((rates[name] - rates[before]).mean()))
    assert table.loc["workers", "cumulative"] == pytest.approx(whole.loc["workers", "cumulative"])


@pytest.mark.parametrize("num_blocks", [1, MIN_BLOCKS - 1, MIN_BLOCKS])
def test_few_blocks_are_marked_and_one_has_no_interval(num_blocks):
    table = table_of(stairs_frame(blocks=BLOCKS[:num_blocks]))
    assert (table["blocks"] == num_blocks).all()
    assert (table["few_blocks"] == (num_blocks < MIN_BLOCKS)).all()
    assert table["factor_low"].iloc[1:].isna().all() == (num_blocks == 1)
    assert table["factor"].to_numpy()[1:] == pytest.approx(list(FACTORS.values())[1:])


def test_without_seeds_trials_are_paired_in_their_order():
    frame = stairs_frame(drift=lambda seed: seed / 13)
    unnamed = frame.drop(columns="training.seed")
    found, expected = (stair_rates(one, NAMES).to_numpy() for one in (unnamed, frame))
    assert found == pytest.approx(expected)


def test_a_stair_twice_in_a_block_is_paired_in_order_and_not_averaged():
    frame = stairs_frame(drift=lambda seed: seed / 13)
    assert len(stair_rates(frame.assign(**{"training.seed": 1}), NAMES)) == len(BLOCKS)


def test_a_frame_without_stairs_is_refused():
    with pytest.raises(ConfigError, match=r"stand on no stairs\. Give its search space a staircase: stairs\."):
        stair_rates(stairs_frame().drop(columns=STAIRS), NAMES)


@pytest.mark.parametrize(
    "is_missing", [lambda frame: frame[STAIRS] == "filters", lambda frame: (frame[STAIRS] == "filters") & (frame["epoch"] > 1)]
)
def test_a_missing_stair_is_named(is_missing):
    """Without a trial, or with none that has a steady epoch."""
    frame = stairs_frame()
    with pytest.raises(ConfigError, match=r"no trial on filters has an epoch after its warm-up epochs\. Go on with the study"):
        stair_rates(frame[~is_missing(frame)], NAMES)
