"""The ablation's arithmetic, against a study whose effects are known: what coincides is trained once, what is missing is told."""

from __future__ import annotations

import itertools

import numpy as np
import pandas as pd
import pytest
from ablation_study import ablation_epochs, ablation_trials

from gan3d.scaling.ablation import (
    GRID,
    NOISE_EPOCHS,
    ORDER,
    RANKS,
    RULE,
    WARMUP,
    contrast,
    curves,
    mean_interval,
    missing_trials,
    noise_scales,
    pooled_contrast,
    shared,
    with_settings,
)

DISTANCE = "physics.shower_distance"


@pytest.fixture(scope="module")
def epochs():
    return ablation_epochs()


@pytest.fixture(scope="module")
def trials(epochs):
    return shared(ablation_trials(epochs))


def test_what_was_not_sampled_comes_from_the_study():
    frame = with_settings(
        pd.DataFrame({RANKS: [1, 8]}),
        {ORDER: "seed", RULE: "none", WARMUP: 0, "training.seed": 4, RANKS: 99, "training.learning_rate_reference_batch": 8},
    )
    assert frame[ORDER].tolist() == ["seed"] * 2
    assert frame[RANKS].tolist() == [1, 8]


def test_at_the_reference_batch_one_training_stands_for_all_rules(epochs, trials):
    """Recorded: at one rank only the linear rule without a warm-up, and no rule with one, which rises from 0 and is another training."""
    assert len(epochs.drop_duplicates("trial")) == 2 * 3 * (2 + 2 * 6)
    assert len(trials) == 2 * 3 * 3 * 6
    at_one = trials[trials[RANKS] == 1]
    assert at_one["shared"].sum() == 2 * 3 * 4
    for _, cell in at_one.groupby([ORDER, "training.seed"]):
        is_same = (cell[RULE] != "none") | (cell[WARMUP] == 0)
        assert len(set(cell[is_same]["trial"])) == 1
        assert len(set(cell[~is_same]["trial"])) == 1
        assert len(set(cell["trial"])) == 2
    assert not trials[trials[RANKS] > 1]["shared"].any()
    assert missing_trials(trials).empty


def test_epochs_are_shared_as_their_trials_are(epochs, trials):
    rows = shared(epochs)
    counts = rows.groupby([*GRID, "training.seed"]).size()
    assert len(counts) == len(trials)
    assert set(counts) == {10}


def test_what_is_missing_of_the_grid_is_told_with_its_state(trials):
    some = trials[~((trials[RANKS] == 32) & (trials[RULE] == "sqrt") & (trials["training.seed"] == 2))].copy()
    some.loc[(some[RANKS] == 8) & (some[RULE] == "none") & (some["training.seed"] == 1), "state"] = "failed"
    missing = missing_trials(some)
    assert missing.groupby(["state", RANKS, RULE, "training.seed"]).size().to_dict() == {
        ("absent", 32, "sqrt", 2): 4,
        ("failed", 8, "none", 1): 4,
    }
    planned = [{RANKS: 128}, {"training.generator.kernel": 5}]
    assert len(missing_trials(trials, planned)) == 2 * 6 * 3


def test_curves_are_means_over_seeds_by_what_was_spent(epochs):
    lines = curves(shared(epochs), [DISTANCE])
    assert len(lines) == 2 * 3 * 6 * 10
    assert (lines["seeds"] == 3).all()
    assert (lines[f"{DISTANCE}.min"] < lines[DISTANCE]).all()
    assert (lines[f"{DISTANCE}.max"] > lines[DISTANCE]).all()
    last = lines[lines["epoch"] == 10].set_index(RANKS)
    assert last["showers"].unique().tolist() == [10 * 2048]
    assert {number: set(last.loc[number, "updates"]) for number in (1, 8, 32)} == {1: {2560}, 8: {320}, 32: {80}}
    assert lines[ORDER].drop_duplicates().tolist() == ["shuffled", "seed"]
    assert lines[RULE].drop_duplicates().tolist() == ["none", "sqrt", "linear"]


def test_contrasts_give_back_the_effect_of_each_defect(trials):
    """Made with 0.02 per rank step everywhere, 0.1 by the seed's order at 32 ranks, and seeds' own level, which pairing takes out."""
    quantities = {"distance": trials[f"{DISTANCE}.last"]}
    of_ranks = contrast(trials, RANKS, 32, 1, quantities).set_index([ORDER, RULE, WARMUP])
    assert len(of_ranks) == 12
    assert (of_ranks["pairs"] == 3).all()
    for place in itertools.product(("none", "sqrt", "linear"), (0, 5)):
        assert of_ranks["difference"]["shuffled", *place] == pytest.approx(0.04, abs=0.02)
        assert of_ranks["difference"]["seed", *place] == pytest.approx(0.14, abs=0.02)
    of_order = contrast(trials, ORDER, "seed", "shuffled", quantities)
    assert of_order.groupby(RANKS)["difference"].mean().to_dict() == pytest.approx({1: 0.0, 8: 0.05, 32: 0.1}, abs=0.01)
    running = trials.assign(state="running")
    assert contrast(running, RANKS, 32, 1, quantities).empty


def test_intervals_of_differences_cover_their_share():
    rng = np.random.default_rng(8)
    rows = [mean_interval(rng.normal(0.1, 0.3, 3)) for _ in range(2000)]
    assert 0.93 < np.mean([row["difference_low"] < 0.1 < row["difference_high"] for row in rows]) < 0.97
    assert np.isnan(mean_interval(np.array([0.1]))["difference_low"])


def test_the_noise_scale_is_the_ratio_of_means_and_not_the_mean_of_ratios(epochs):
    scales = noise_scales(epochs)
    assert set(scales[RANKS]) == {8, 32}
    late = scales[scales["epoch"] >= NOISE_EPOCHS]
    assert late["generator"].median() == pytest.approx(120.0, rel=0.1)
    assert late["discriminator"].median() == pytest.approx(40.0, rel=0.1)
    blind = epochs.assign(**{"noise_scale.generator_signal": -1.0})
    assert noise_scales(blind)["generator"].isna().all()
    assert noise_scales(epochs.drop(columns=[name for name in epochs if name.startswith("noise_scale.")])).empty


def test_pooled_contrasts_give_back_the_effect_of_the_defect_by_ranks(trials):
    found = pooled_contrast(trials, ORDER, "seed", "shuffled", {"distance": trials[f"{DISTANCE}.last"]}).set_index(RANKS)
    assert found["recipes"].to_dict() == {1: 2 * 3, 8: 6 * 3, 32: 6 * 3}
    assert found["pairs"].eq(3).all()
    for ranks, effect in ((1, 0.0), (8, 0.05), (32, 0.1)):
        assert found.loc[ranks, "difference"] == pytest.approx(effect, abs=0.005)
        assert found.loc[ranks, "difference_low"] < found.loc[ranks, "difference"] < found.loc[ranks, "difference_high"]


def test_a_pair_that_is_one_training_adds_nothing_to_a_pooled_contrast(trials):
    """At one rank the linear rule's warm-up changes nothing; only that without a rule is another training."""
    found = pooled_contrast(trials, WARMUP, 5, 0, {"distance": trials[f"{DISTANCE}.last"]}).set_index(RANKS)
    assert found.loc[1, "recipes"] == 2 * 3


def test_rules_that_are_one_training_are_no_pair_and_those_beside_another_one_are(trials):
    """At one rank all rules are one training, and only without a rule is a warm-up another: so there is a difference with warm-up only."""
    quantities = {"distance": trials[f"{DISTANCE}.last"]}
    assert pooled_contrast(trials, RULE, "sqrt", "linear", quantities)[RANKS].tolist() == [8, 32]
    assert contrast(trials, RULE, "sqrt", "linear", quantities)[RANKS].unique().tolist() == [8, 32]
    pooled = pooled_contrast(trials, RULE, "sqrt", "none", quantities).set_index(RANKS)
    single = contrast(trials, RULE, "sqrt", "none", quantities)
    assert pooled["recipes"].to_dict() == single.groupby(RANKS)["pairs"].sum().to_dict() == {1: 2 * 3, 8: 4 * 3, 32: 4 * 3}
    assert pooled.loc[1, "difference"] == pytest.approx(single.loc[single[RANKS] == 1, "difference"].mean())
    assert pooled.loc[1, "difference"] != 0.0
