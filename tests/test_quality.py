"""Time to quality, against crossings known beforehand and against the field's published ones."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gan3d.errors import ConfigError
from gan3d.scaling.draws import geometric_mean
from gan3d.scaling.quality import (
    COSTS,
    Target,
    paired_ratio,
    quality_efficiency,
    quality_note,
    quality_summary,
    time_to_quality,
)

DISTANCE, LOW = "physics.shower_distance", "physics.shower_distance_low_energy"
LOSS = "losses.generator_incident_energy"


def epochs_of(trial, values, *, world_size=1, state="complete", rate=10.0, **columns):
    """A trial with epochs of 100 showers in 5 steps and 100 / rate seconds, of 1 s more with validation; one CPU per worker."""
    count = len(values)
    frame = pd.DataFrame({DISTANCE: values, LOW: 2.0 * np.asarray(values), "epoch": range(1, count + 1)})
    known = {
        "timing.num_showers": 100.0,
        "timing.num_steps": 5.0,
        "timing.showers_per_second": rate,
        "timing.epoch_seconds": 100 / rate + 1,
    }
    own = {"trial": trial, "state": state, "world_size": world_size, "reserved_cpus": world_size}
    return frame.assign(**known, **own, **columns)


def study_of(*trials):
    return pd.concat(trials, ignore_index=True)


def test_a_crossing_costs_what_was_trained_until_then():
    found = time_to_quality(epochs_of(3, [0.5, 0.3, 0.2, 0.1], world_size=2), Target(DISTANCE, 0.2), [LOW]).iloc[0]
    assert (found["trial"], found["outcome"], found["crossing"], found["epochs"]) == (3, "reached", 3, 4)
    assert [found[cost] for cost in COSTS] == pytest.approx([30.0, 33.0, 15.0, 300.0, 2 * 30.0 / 3600])
    assert found[f"{LOW}.crossing"] == pytest.approx(0.4)
    assert found[f"{DISTANCE}.last"] == pytest.approx(0.2)


def test_epochs_may_come_in_any_order():
    frame = epochs_of(0, [0.5, 0.3, 0.2, 0.1]).sample(frac=1.0, random_state=3)
    assert time_to_quality(frame, Target(DISTANCE, 0.3))["crossing"].tolist() == [2]


@pytest.mark.parametrize(
    ("values", "hold", "crossing"),
    [
        ([0.3, 0.1, 0.3, 0.1, 0.1], 1, 2),
        ([0.3, 0.1, 0.3, 0.1, 0.1], 2, 5),
        ([0.1, 0.1, 0.3, 0.1, 0.1], 2, 2),
        ([0.1, 0.3, 0.1, 0.3, 0.1], 2, None),
        ([0.1, np.nan, 0.1, 0.1], 2, 4),
        ([0.1], 2, None),
        ([np.nan, np.inf], 1, None),
    ],
)
def test_a_lucky_epoch_does_not_hold(values, hold, crossing):
    found = time_to_quality(epochs_of(0, values), Target(DISTANCE, 0.2, hold=hold)).iloc[0]
    if crossing is None:
        assert found["outcome"] == "never"
        assert all(np.isinf(found[cost]) for cost in COSTS)
    else:
        assert found["crossing"] == crossing
        assert found["updates"] == 5 * crossing


def test_of_a_metric_that_scatters_the_first_touch_is_early_and_what_holds_is_not():
    """A distance that falls through the target at epoch 50, with noise: over 300 trials, first touches come long before."""
    rng = np.random.default_rng(4)
    falling = np.linspace(0.3, 0.1, 99)
    frame = study_of(*(epochs_of(trial, falling + rng.normal(0, 0.02, 99)) for trial in range(300)))
    medians = [time_to_quality(frame, Target(DISTANCE, 0.2, hold=hold))["crossing"].median() for hold in (1, 2, 3)]
    assert medians[0] < 42
    assert medians[0] < medians[1] < medians[2]
    assert 46 <= medians[2] <= 54


def test_higher_may_be_better():
    target = Target("timing.showers_per_second", 10.0, "maximize")
    assert time_to_quality(epochs_of(0, [1.0, 1.0]), target)["crossing"].tolist() == [1]
    assert target.text == "timing.showers_per_second >= 10"


def test_a_trial_that_still_runs_is_neither_reached_nor_a_miss():
    frame = study_of(
        epochs_of(0, [0.5], state="running"), epochs_of(1, [0.1], state="running"), epochs_of(2, [0.5]), epochs_of(3, [0.5], state="failed")
    )
    trials = time_to_quality(frame, Target(DISTANCE, 0.2))
    assert trials["outcome"].tolist() == ["running", "reached", "never", "never"]
    row = quality_summary(trials, ["world_size"]).iloc[0]
    assert (row["run"], row["reached"], row["running"]) == (3, 1, 1)


def test_repeats_are_put_together_with_misses_as_infinite():
    values = {1: [0.1], 2: [0.5, 0.1], 3: [0.5, 0.5]}
    frame = study_of(*(epochs_of(seed, curve, **{"training.seed": seed, "data.order": "seed"}) for seed, curve in values.items()))
    row = quality_summary(time_to_quality(frame, Target(DISTANCE, 0.2)), ["data.order"]).iloc[0]
    assert (row["run"], row["reached"], row["updates_median"]) == (3, 2, 10.0)
    assert np.isnan(row["updates_mean"])
    frame = frame[frame["trial"] < 3]
    row = quality_summary(time_to_quality(frame, Target(DISTANCE, 0.2)), ["data.order"]).iloc[0]
    assert row["updates_mean"] == pytest.approx(np.sqrt(50))
    assert row["updates_mean_low"] < 5
    assert row["updates_mean_high"] > 10
    frame = study_of(*(epochs_of(trial, [0.5]) for trial in range(3)))
    assert np.isinf(quality_summary(time_to_quality(frame, Target(DISTANCE, 0.2)), ["world_size"])["seconds_median"].iloc[0])


def test_intervals_of_a_mean_cover_their_share():
    rng = np.random.default_rng(2)
    intervals = np.array([geometric_mean(rng.normal(np.log(3.0), 0.4, 3)) for _ in range(2000)])
    assert 0.93 < np.mean((intervals[:, 1] < 3.0) & (intervals[:, 2] > 3.0)) < 0.97


def test_ratios_are_paired_by_seed_where_both_reached():
    base = {1: [0.5, 0.1], 2: [0.5, 0.5, 0.5, 0.1], 3: [0.1], 4: [0.5]}
    other = {2: [0.5, 0.1], 1: [0.1], 3: [0.5], 4: [0.1]}
    sides = []
    for offset, curves in ((0, other), (10, base)):
        frame = study_of(*(epochs_of(offset + seed, curve, **{"training.seed": seed}) for seed, curve in curves.items()))
        sides.append(time_to_quality(frame, Target(DISTANCE, 0.2)))
    ratio = paired_ratio(*sides)
    assert ratio == {"pairs": 2, "ratio": pytest.approx(0.5), "ratio_low": pytest.approx(0.5), "ratio_high": pytest.approx(0.5)}
    with pytest.raises(ConfigError, match="share a seed"):
        paired_ratio(pd.concat([sides[0], sides[0]]), sides[1])


def scaling_study(factors, kind):
    """Two workers take half the time per epoch but, seed by seed, ``factors`` times the epochs; None never reaches."""
    trials = []
    for seed, factor in enumerate(factors):
        for world_size, count in ((1, 4), (2, None if factor is None else 4 * factor)):
            values = [0.5] * 20 if count is None else [0.5] * (count - 1) + [0.1]
            columns = {"training.seed": seed, "training.scaling": kind, "workers.per_trial": world_size}
            trials.append(epochs_of(len(trials), values, world_size=world_size, rate=10.0 * world_size, **columns))
    return study_of(*trials)


def test_more_workers_are_worth_what_they_save_on_the_way_to_the_target():
    frame = scaling_study([1, 4, 2], "weak")
    curve = quality_efficiency(frame, Target(DISTANCE, 0.2))
    assert curve["world_size"].tolist() == [1, 2]
    assert curve["efficiency"].tolist() == pytest.approx([1.0, 1 / 2])
    assert curve["efficiency_low"].iloc[1] < 0.5 < curve["efficiency_high"].iloc[1]
    assert curve["efficiency_of_medians"].tolist() == pytest.approx([1.0, 1 / 2])
    assert curve[["run", "reached", "pairs"]].to_numpy().tolist() == [[3, 3, 3], [3, 3, 3]]


def test_who_never_gets_there_has_no_efficiency_but_shows():
    curve = quality_efficiency(scaling_study([1, None, None], "weak"), Target(DISTANCE, 0.2)).iloc[1]
    assert (curve["run"], curve["reached"], curve["pairs"]) == (3, 1, 1)
    assert curve["efficiency"] == pytest.approx(1.0)
    assert curve["efficiency_of_medians"] == 0.0
    nobody = quality_efficiency(scaling_study([1], "weak"), Target(DISTANCE, 0.01))
    assert nobody[["efficiency", "efficiency_of_medians"]].isna().all(axis=None)


@pytest.mark.parametrize("factors", [[1], [1, 2, 4]])
def test_the_base_is_as_efficient_as_itself_with_any_number_of_pairs(factors):
    curve = quality_efficiency(scaling_study(factors, "weak"), Target(DISTANCE, 0.2))
    ends = ["efficiency", "efficiency_low", "efficiency_high"]
    assert curve.loc[0, ends].tolist() == [1.0, 1.0, 1.0]
    assert curve.loc[1, ends[1:]].isna().all() == (len(factors) == 1)
    nobody = quality_efficiency(scaling_study(factors, "weak"), Target(DISTANCE, 0.01))
    assert nobody[ends].isna().all(axis=None)


def test_strong_and_weak_are_curves_of_their_own():
    weak, strong = scaling_study([1, 1], "weak"), scaling_study([2, 2], "strong")
    frame = study_of(weak, strong.assign(trial=strong["trial"] + 100))
    curves = quality_efficiency(frame, Target(DISTANCE, 0.2), by=["training.scaling"]).set_index(["training.scaling", "world_size"])
    assert curves["efficiency"].to_dict() == pytest.approx({("strong", 1): 1, ("strong", 2): 0.5, ("weak", 1): 1, ("weak", 2): 1})
    with pytest.raises(ConfigError, match="share a seed"):
        quality_efficiency(frame, Target(DISTANCE, 0.2))


#: The field's own runs on cloud GPUs of 2020/21: seconds, updates and GPU-hours to values of the generator's test loss. Derived from the
#: per-epoch CSV files behind EPJ Web Conf. 251 (2021) 02073, arXiv:2111.04628: (GPUs, global batch, showers / batch = updates per epoch,
#: {target: (epoch, seconds)}, best loss and its epoch, epochs and seconds in all).
PUBLISHED = {
    32: (122, {10: (3, 528.0), 8: (6, 943.0), 6: (18, 2602.0), 5: (24, 3431.0)}, (60, 8405.0)),
    128: (10, {10: (38, 1369.0), 8: (74, 2560.0), 7: (89, 3066.0)}, (120, 4114.0)),
}
#: As published beside them: (updates, GPU-hours) to a target.
PUBLISHED_COSTS = {(32, 10): (366, 4.7), (128, 10): (380, 48.7), (32, 8): (732, 8.4), (128, 8): (740, 91.0)}


def published_epochs():
    """The runs by epoch: the loss falls in steps where the targets were reached, seconds are spread evenly in between."""
    trials = []
    for gpus, (steps, reached, end) in PUBLISHED.items():
        places = [(0, 0.0), *reached.values(), end]
        seconds = np.diff(np.interp(range(end[0] + 1), *zip(*places, strict=True)))
        losses = np.full(end[0], 12.0)
        for value, (epoch, _) in reached.items():
            losses[epoch - 1 :] = value - 0.2
        frame = epochs_of(gpus, losses, world_size=gpus)
        steps_taken = {"timing.num_steps": float(steps), "timing.showers_per_second": 100.0 / seconds, LOSS: losses}
        trials.append(frame.assign(**steps_taken))
    return study_of(*trials)


def test_four_times_the_gpus_made_the_fields_run_slower_to_every_target():
    frame = published_epochs()
    for value, slower in ((10, 2.6), (8, 2.7)):
        target = Target(LOSS, value)
        trials = time_to_quality(frame, target).set_index("world_size")
        for gpus in PUBLISHED:
            updates, hours = PUBLISHED_COSTS[gpus, value]
            assert trials["seconds"][gpus] == pytest.approx(PUBLISHED[gpus][1][value][1])
            assert trials["updates"][gpus] == updates
            assert trials["core_hours"][gpus] == pytest.approx(hours, rel=0.01)
        assert trials["seconds"][128] / trials["seconds"][32] == pytest.approx(slower, rel=0.02)
        assert quality_efficiency(frame, target)["efficiency"].iloc[1] == pytest.approx(1 / (4 * slower), rel=0.02)
    never = time_to_quality(frame, Target(LOSS, 6)).set_index("world_size")
    assert never["outcome"].to_dict() == {32: "reached", 128: "never"}
    assert never["epochs"][128] == 120


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Target("timing.world_size", 1.0), "no metric that is better"),
        (lambda: Target("physics.nothing", 1.0), "no metric that is better"),
        (lambda: Target(DISTANCE, float("nan")), "finite"),
        (lambda: Target(DISTANCE, 0.1, hold=0), "at least one epoch"),
        (lambda: time_to_quality(epochs_of(0, [0.1]), Target(LOSS, 0.1)), "hold no losses.generator_incident_energy"),
        (lambda: time_to_quality(epochs_of(4, [0.3, 0.1]).tail(1), Target(DISTANCE, 0.1)), "trial 4 has no record of an epoch before 2"),
    ],
)
def test_what_cannot_be_told_is_refused(make, message):
    with pytest.raises(ConfigError, match=message):
        make()


def test_the_note_tells_target_and_clock():
    assert "stands still in validation" in quality_note(Target(DISTANCE, 0.15, hold=2))
    assert quality_note(Target(DISTANCE, 0.15, hold=2)).endswith("to physics.shower_distance <= 0.15, held for 2 epochs.")


def test_a_trial_that_failed_before_its_first_epoch_is_a_miss():
    frame = epochs_of(0, [0.1], **{"training.seed": 1})
    trials = pd.DataFrame(
        {"trial": [0, 1, 2], "state": ["complete", "failed", "running"], "world_size": 1, "reserved_cpus": 1, "training.seed": [1, 2, 3]}
    )
    found = time_to_quality(frame, Target(DISTANCE, 0.2), trials=trials)
    assert found["outcome"].tolist() == ["reached", "never"]
    assert found["epochs"].tolist() == [1, 0]
    assert found["repeat"].tolist() == [1, 2]
    row = quality_efficiency(frame, Target(DISTANCE, 0.2), trials=trials).iloc[0]
    assert (row["run"], row["reached"]) == (2, 1)
