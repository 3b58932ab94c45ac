"""What a step costs comes back from made-up studies, with intervals that hold it, and with what was assumed."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from step_times import Truth, epochs_of

from gan3d.errors import ConfigError
from gan3d.scaling.calibration import calibrate, calibrate_series, step_seconds
from gan3d.scaling.draws import DRAWS, interval
from gan3d.scaling.stragglers import expected_maximum

TRUTH = Truth()
QUANTITIES = {
    "fixed_seconds": TRUTH.fixed,
    "seconds_per_shower": TRUTH.per_shower,
    "spread": TRUTH.spread,
    "lone_ratio": TRUTH.lone_ratio,
    "communication_seconds": TRUTH.communication,
}


def calibrated(truth=TRUTH, **study):
    return calibrate(step_seconds(epochs_of(truth, **study)))


def test_a_step_is_split_into_parts_that_add_up():
    """Recorded straggler wait holds that for validation and checkpoints; a step does not."""
    steps = step_seconds(epochs_of(TRUTH))
    assert steps[["computing", "communication", "straggler"]].sum(axis=1).to_numpy() == pytest.approx(steps["step"].to_numpy())
    for row in steps.itertuples():
        assert row.step == pytest.approx(TRUTH.step(row.batch, row.world_size))
        assert row.computing == pytest.approx(TRUTH.computing(row.batch, row.world_size))
    assert steps.loc[steps["world_size"] == 1, ["communication", "straggler"]].to_numpy() == pytest.approx(0.0, abs=1e-12)
    assert steps["block"].nunique() == 5


def test_the_first_epochs_do_not_count():
    assert step_seconds(epochs_of(TRUTH, num_epochs=2))["step"].max() < 1.5 * TRUTH.step(32, 2)
    with pytest.raises(ConfigError, match="no epoch after 3 warm-up epochs"):
        step_seconds(epochs_of(TRUTH), warmup_epochs=3)


def test_virtual_ranks_share_their_workers_step():
    epochs = epochs_of(TRUTH, batches=(8,))
    epochs["batch_per_worker"] = 2
    assert set(step_seconds(epochs)["batch"]) == {8}


@pytest.mark.parametrize("world_sizes", [(1, 2), (1, 2, 4, 8), (2, 16)])
def test_without_scatter_everything_comes_back(world_sizes):
    found = calibrated(world_sizes=world_sizes)
    for name, truth in QUANTITIES.items():
        expected = 1.0 if name == "lone_ratio" and 1 not in world_sizes else truth
        assert getattr(found, name) == pytest.approx(np.full(1 + DRAWS, expected), rel=0.01), name
    assert (found.team, found.largest_team, found.batches, found.blocks) == (2, max(world_sizes), (8, 32), 5)


def test_intervals_hold_the_truth_as_often_as_they_say():
    truth = Truth(drift=0.03, scatter=0.02)
    found = [calibrated(truth, seed=seed) for seed in range(200)]
    for name, value in QUANTITIES.items():
        held = np.mean([low <= value <= high for _, low, high in (interval(getattr(one, name)) for one in found)])
        assert 0.91 <= held <= 0.99, name


def test_fewer_blocks_leave_more_open_and_one_leaves_all():
    truth = Truth(drift=0.02, scatter=0.02)
    widths = []
    for blocks in (3, 12):
        _, low, high = interval(calibrated(truth, blocks=blocks).seconds_per_shower)
        widths.append(high - low)
    assert widths[0] > 2 * widths[1]
    alone = calibrated(truth, blocks=1)
    assert np.isnan(interval(alone.seconds_per_shower).low)
    assert "a single block: no interval from the calibration" in alone.notes
    two = calibrated(truth, blocks=2)
    assert np.isfinite(two.computing_seconds(1000)).all()


def test_one_batch_takes_the_optimiser_as_fixed():
    found = calibrated(batches=(8,))
    assert found.fixed_seconds[0] == pytest.approx(TRUTH.fixed)
    assert found.seconds_per_shower[0] == pytest.approx(TRUTH.per_shower)
    assert any(note.startswith("one batch per worker only (8)") for note in found.notes)
    assert not any("one batch" in note for note in calibrated().notes)


def test_computing_is_positive_and_grows_no_faster_than_the_batch():
    """Also where times that grow faster than the batch put f below 0."""
    epochs = epochs_of(Truth(drift=0.05, scatter=0.05), batches=(8, 32))
    names = [name for name in epochs if name.startswith("timing.") and name.endswith("_seconds_mean")]
    longer = epochs["batch_per_worker"] == 32
    epochs.loc[longer, [*names, "timing.epoch_seconds"]] *= 2
    epochs.loc[longer, "timing.showers_per_second"] /= 2
    found = calibrate(step_seconds(epochs))
    assert found.fixed_seconds[0] < 0
    seconds = np.stack([found.computing_seconds(batch) for batch in (1, 2, 8, 20, 32, 64, 4096)])
    assert (seconds > 0).all()
    per_shower = seconds / np.array([1, 2, 8, 20, 32, 64, 4096])[:, None]
    assert per_shower[1] == pytest.approx(per_shower[0])
    assert per_shower[-1] == pytest.approx(per_shower[-2])


def test_what_is_left_undetermined_is_said():
    notes = " ".join(calibrated().notes)
    assert "teams of more than 2 are an extrapolation" in notes
    assert "teams of one size only (2)" in notes
    assert "what a rank loses by not being alone" in notes
    notes = " ".join(calibrated(world_sizes=(2, 4)).notes)
    assert "one size only" not in notes
    assert "no trial of one worker with a team's batch" in notes


def test_a_lone_worker_tells_too_little():
    with pytest.raises(ConfigError, match="all trials had one") as raised:
        calibrated(world_sizes=(1,))
    assert raised.value.key == "workers.per_trial"


def test_trials_that_differ_in_more_are_refused():
    epochs = epochs_of(TRUTH, **{"training.generator.noise_dim": 8})
    epochs.loc[epochs["trial"] == 0, "training.generator.noise_dim"] = 16
    with pytest.raises(ConfigError, match=r"trials differ in training.generator.noise_dim"):
        step_seconds(epochs)


def series_of(sizes, spread, scatter=0.0, communication=0.0, seed=1):
    generator = np.random.default_rng(seed)
    steps = 2.0 * expected_maximum(sizes, spread)[0] + np.where(np.array(sizes) > 1, communication, 0.0)
    return pd.DataFrame({"world_size": sizes, "step": steps * np.exp(scatter * generator.standard_normal(len(sizes)))})


def constant(sizes, seconds):
    return {size: np.full(1 + DRAWS, seconds if size > 1 else 0.0) for size in sizes}


@pytest.mark.parametrize("spread", [0.0, 0.03, 0.3])
def test_a_series_gives_computing_and_spread_back(spread):
    sizes = [1, 2, 4, 8, 16]
    found = calibrate_series(series_of(sizes, spread, communication=0.1), constant(sizes, 0.1), 10)
    assert found.computing_seconds(10)[0] == pytest.approx(2.0, rel=1e-4)
    assert found.spread[0] == pytest.approx(spread, abs=1e-4)
    assert found.largest_team == 16


def test_intervals_of_a_series_hold_the_truth_as_often_as_they_say():
    sizes, spread = [2, 4, 8, 16], 0.1
    found = [calibrate_series(series_of(sizes, spread, scatter=0.005, seed=seed), constant(sizes, 0.0), 10) for seed in range(400)]
    for draws_of, truth in ((lambda one: one.spread, spread), (lambda one: one.computing_seconds(10), 2.0)):
        held = np.mean([low <= truth <= high for _, low, high in (interval(draws_of(one)) for one in found)])
        assert 0.92 <= held <= 0.98


def test_computing_makes_up_for_what_communication_leaves_open():
    """Steps were measured: where communication takes more of them, computing takes less."""
    sizes = [2, 4, 8]
    added = constant(sizes, 0.1)
    added = {size: np.concatenate([draws[:1], np.linspace(0.05, 0.15, DRAWS)]) for size, draws in added.items()}
    found = calibrate_series(series_of(sizes, 0.05, communication=0.1), added, 10)
    step = found.computing_seconds(10) * expected_maximum([4], found.spread)[:, 0] + added[4]
    assert step == pytest.approx(np.full_like(step, step[0]), rel=2e-3)


def test_two_world_sizes_leave_nothing_to_judge_a_fit_by():
    with pytest.raises(ConfigError, match="at least 3 world sizes; there are 2"):
        calibrate_series(series_of([2, 4], 0.1), constant([2, 4], 0.0), 10)
