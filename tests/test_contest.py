"""Contenders compared at equal core-seconds: by hand for small tables, by coverage for the interval of a ratio."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from gan3d.config.objective import Objective
from gan3d.errors import ConfigError
from gan3d.scaling.contest import left_out, outcomes, standings, verdict, within

METRIC = "physics.shower_distance"
OBJECTIVE = Objective(metric=METRIC)


def epochs_of(*trials: tuple[str, int, list[float], float]) -> pd.DataFrame:
    """Contender, seed, values by epoch and core-seconds of each epoch."""
    rows = [
        {"trial": trial, "stairs": contender, "training.seed": seed, "epoch": epoch, METRIC: value, "cost.core_seconds": cost}
        for trial, (contender, seed, values, cost) in enumerate(trials)
        for epoch, value in enumerate(values, 1)
    ]
    return pd.DataFrame(rows)


def values(**by_contender: list[float]) -> pd.DataFrame:
    """As `outcomes` has it, a value per seed."""
    rows = [
        {"contender": name, "seed": seed, "value": value, "core_seconds": 10.0, "epochs": 2}
        for name, of in by_contender.items()
        for seed, value in enumerate(of)
    ]
    return pd.DataFrame(rows)


def test_only_what_all_could_afford_counts() -> None:
    epochs = epochs_of(("default", 1, [0.5, 0.4, 0.3], 10.0), ("best", 1, [0.6, 0.2], 12.5))
    found = within(epochs)  # the cheapest trial has cost 25
    assert found[["trial", "epoch", "spent"]].to_numpy().tolist() == [[0, 1, 10.0], [0, 2, 20.0], [1, 1, 12.5], [1, 2, 25.0]]
    assert within(epochs, 12.0)["epoch"].tolist() == [1]


def test_a_trial_whose_first_epoch_cost_too_much_is_left_out_and_named() -> None:
    epochs = epochs_of(("default", 1, [0.5, 0.4], 10.0), ("best", 1, [0.3], 21.0), ("best", 2, [0.2, 0.1], 10.0))
    found = within(epochs)
    assert found["trial"].unique().tolist() == [0, 2]
    assert left_out(epochs, found) == [{"contender": "best", "seed": 1}]
    assert not left_out(epochs, within(epochs, 21.0))


def test_a_trial_is_compared_up_to_its_first_epoch_that_tells_no_cost() -> None:
    epochs = epochs_of(("default", 1, [0.5, 0.4, 0.3], 10.0), ("best", 1, [0.3, 0.2, 0.1], 10.0), ("best", 2, [0.3], np.nan))
    epochs.loc[4, "cost.core_seconds"] = np.nan
    found = within(epochs, 20.0)
    assert found[["trial", "epoch"]].to_numpy().tolist() == [[0, 1], [0, 2], [1, 1]]
    assert left_out(epochs, found) == [{"contender": "best", "seed": 2}]
    with pytest.raises(ConfigError, match="trial 0 has no record of an epoch before 3"):
        within(epochs.drop(index=1))


def test_each_trial_is_worth_its_best_epoch_among_these() -> None:
    epochs = within(epochs_of(("default", 1, [0.5, 0.3, 0.4], 10.0), ("best", 7, [0.6, 0.2, 0.1], 15.0)))
    table = outcomes(epochs, OBJECTIVE).set_index("contender")
    assert table.loc["default", ["seed", "value", "best_epoch", "epochs", "core_seconds"]].tolist() == [1, 0.3, 2, 3, 30.0]
    assert table.loc["best", ["seed", "value", "best_epoch", "epochs", "core_seconds"]].tolist() == [7, 0.2, 2, 2, 30.0]


def test_ratios_are_paired_by_seed() -> None:
    # The seeds differ by far more than the contenders do; each pair has the same ratio.
    table = standings(values(default=[1.0, 2.0, 4.0], best=[0.5, 1.0, 2.0]), "default").set_index("contender")
    assert table.loc["best", ["ratio", "ratio_low", "ratio_high"]].tolist() == pytest.approx([0.5, 0.5, 0.5])
    assert table.loc["default", ["ratio", "ratio_low", "ratio_high", "seeds", "pairs"]].tolist() == [1.0, 1.0, 1.0, 3, 3]
    assert table.loc["best", "value"] == pytest.approx(1.0)  # the geometric mean
    assert table.loc["best", "spread"] == pytest.approx(np.std([0.5, 1.0, 2.0], ddof=1))


def test_a_value_lies_within_its_own_interval() -> None:
    """The arithmetic mean of these is 1.09, and the interval of the geometric one ends at 0.449."""
    row = standings(values(default=[0.1] * 9 + [10.0]), "default").iloc[0]
    assert row["value"] == pytest.approx(10**-0.8)
    assert row["value_low"] < row["value"] < row["value_high"] < 1.0
    # The ratio of geometric means is the geometric mean of the ratios.
    best = standings(values(default=[1.0, 2.0, 5.0], best=[0.5, 0.7, 0.2]), "default").set_index("contender")
    assert best.loc["best", "value"] / best.loc["default", "value"] == pytest.approx(best.loc["best", "ratio"])


def test_a_seed_that_one_contender_lacks_is_no_pair() -> None:
    table = standings(values(default=[1.0, 2.0], best=[0.5, 1.0, 9.0]), "default").set_index("contender")
    assert table.loc["best", ["seeds", "pairs"]].tolist() == [3, 2]
    assert table.loc["best", "ratio"] == pytest.approx(0.5)


def test_the_interval_covers_the_ratio_as_often_as_it_says() -> None:
    random, inside, number = np.random.default_rng(1), 0, 300
    for _ in range(number):
        default = np.exp(random.normal(0.0, 0.3, 3))
        best = 0.8 * default * np.exp(random.normal(0.0, 0.1, 3))
        row = standings(values(default=list(default), best=list(best)), "default").set_index("contender").loc["best"]
        inside += row["ratio_low"] <= 0.8 <= row["ratio_high"]
    assert 0.92 < inside / number < 0.98  # two standard deviations


@pytest.mark.parametrize(
    ("low", "high", "lower", "higher"),
    [(0.7, 0.9, "better", "worse"), (1.1, 1.3, "worse", "better"), (0.9, 1.1, "not told apart", "not told apart")],
)
def test_a_verdict_needs_an_interval_beside_one(low: float, high: float, lower: str, higher: str) -> None:
    row = pd.Series({"ratio_low": low, "ratio_high": high})
    assert verdict(row, lower_is_better=True) == lower
    assert verdict(row, lower_is_better=False) == higher


def test_one_seed_tells_nothing() -> None:
    row = standings(values(default=[1.0], best=[0.1]), "default").set_index("contender").loc["best"]
    assert verdict(row, lower_is_better=True) == "one seed tells nothing"


def test_values_without_a_ratio_are_refused() -> None:
    with pytest.raises(ConfigError, match="above 0"):
        standings(values(default=[1.0, 0.0], best=[0.5, 1.0]), "default")
    with pytest.raises(ConfigError, match="'default' has no epoch"):
        standings(values(best=[0.5, 1.0]), "default")
