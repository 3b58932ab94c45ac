"""Uncertain quantities as draws: their intervals are those of Student's t, and arithmetic keeps what belongs together."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from gan3d.scaling.draws import DRAWS, Estimate, drawn_logs, drawn_means, geometric_mean, interval, t_interval


def repeats(count, columns=2, seed=5):
    """Correlated quantities: a slow repeat is slow in all."""
    rng = np.random.default_rng(seed)
    return 10.0 + rng.normal(size=(count, 1)) + 0.1 * rng.normal(size=(count, columns))


@pytest.mark.parametrize(("count", "tolerance"), [(3, 0.2), (5, 0.13), (30, 0.1)])
def test_intervals_of_drawn_means_are_students(count, tolerance):
    rows = repeats(count)
    for column, drawn in zip(rows.T, drawn_means(rows, seed=1).T, strict=True):
        half = stats.t.ppf(0.975, count - 1) * column.std(ddof=1) / np.sqrt(count)
        found = interval(drawn)
        assert found.value == pytest.approx(column.mean())
        assert found.low == pytest.approx(column.mean() - half, abs=tolerance * half)
        assert found.high == pytest.approx(column.mean() + half, abs=tolerance * half)


def test_the_interval_of_many_draws_is_students_exactly():
    rows = repeats(4, columns=1)
    half = stats.t.ppf(0.95, 3) * rows.std(ddof=1) / 2
    found = interval(drawn_means(rows, seed=1, draws=400_000)[:, 0], confidence=0.9)
    assert (found.low, found.high) == pytest.approx((rows.mean() - half, rows.mean() + half), abs=0.01 * half)


@pytest.mark.parametrize("confidence", [0.68, 0.95])
@pytest.mark.parametrize("count", [2, 3, 12])
def test_the_interval_of_repeats_is_that_of_a_t_test(count, confidence):
    values = np.random.default_rng(count).exponential(2.0, count)
    tested = stats.ttest_1samp(values, 0.0).confidence_interval(confidence)
    assert t_interval(values, confidence) == pytest.approx((values.mean(), tested.low, tested.high))
    with_gaps = np.insert(values, [0, 1], np.nan)
    assert t_interval(with_gaps, confidence) == t_interval(values, confidence)
    expected = np.exp(t_interval(np.log(values), confidence))
    assert geometric_mean(np.log(values), confidence) == pytest.approx(expected)
    assert expected[0] == pytest.approx(stats.gmean(values))


@pytest.mark.parametrize("mean", [t_interval, geometric_mean])
def test_a_single_repeat_has_no_interval_and_none_no_mean(mean):
    assert mean(np.array([0.0])).value == mean(np.zeros(3)).value
    assert np.isnan(mean(np.array([0.0]))[1:]).all()
    assert np.isnan(mean(np.array([np.nan]))).all()
    assert np.isnan(mean(np.empty(0))).all()


def test_quantities_of_a_repeat_stay_together():
    """What is common to a repeat cancels in a difference, as it does in paired repeats."""
    rows = repeats(6)
    drawn = drawn_means(rows, seed=2)
    paired = rows[:, 0] - rows[:, 1]
    half = stats.t.ppf(0.975, 5) * paired.std(ddof=1) / np.sqrt(6)
    found = interval(drawn[:, 0] - drawn[:, 1])
    assert found.high - found.low == pytest.approx(2 * half, rel=0.1)
    assert found.high - found.low < 0.5 * np.ptp(interval(drawn[:, 0])[1:])


def test_more_quantities_than_repeats_are_no_trouble():
    drawn = drawn_means(repeats(3, columns=10), seed=3)
    assert drawn.shape == (1 + DRAWS, 10)
    assert np.linalg.matrix_rank(drawn[1:] - drawn[0]) == 2


def test_repeats_that_agree_have_no_scatter():
    assert (drawn_means(np.full((5, 2), 3.0), seed=1) == 3.0).all()


def test_a_single_repeat_has_a_value_and_no_interval():
    drawn = drawn_means(repeats(1), seed=1)
    assert drawn.shape == (1 + DRAWS, 2)
    assert np.isfinite(drawn[0]).all()
    value, low, high = interval(drawn[:, 0])
    assert value == drawn[0, 0]
    assert np.isnan([low, high]).all()
    assert np.isnan(interval(np.array([7.0]))[1:]).all()


def test_the_interval_is_of_the_draws_not_of_the_value():
    assert interval(np.array([1000.0, *range(101)]), confidence=0.5) == (1000.0, 25.0, 75.0)
    assert np.isnan(interval(np.array([1.0, 2.0, np.inf, 3.0]))[1:]).all(), "a draw without end leaves no end to the interval"


def test_the_same_seed_draws_the_same():
    rows = repeats(5)
    assert (drawn_means(rows, seed=1) == drawn_means(rows, seed=1)).all()
    assert (drawn_means(rows, seed=1)[1:] != drawn_means(rows, seed=2)[1:]).all()
    assert (drawn_logs(Estimate(2.0, 1.0, 3.0), 1) == drawn_logs(Estimate(2.0, 1.0, 3.0), 1)).all()


@pytest.mark.parametrize("estimate", [Estimate(2.0, 1.0, 4.0), Estimate(5e-5, 4e-5, 9e-5), Estimate(1e9, 9.9e8, 1.01e9)])
def test_drawn_logs_have_the_interval_they_were_given(estimate):
    drawn = drawn_logs(estimate, seed=4, draws=200_000)
    assert drawn[0] == estimate.value
    assert (drawn > 0).all()
    assert np.log(interval(drawn)) == pytest.approx(np.log(estimate), abs=0.02 * np.log(estimate.high / estimate.low))
    assert np.median(drawn[1:]) == pytest.approx(estimate.value, rel=0.02), "half on either side, also of a skew interval"


def test_without_an_interval_draws_are_the_value():
    nan = float("nan")
    for estimate in (Estimate(2.0, nan, nan), Estimate(2.0, 2.0, 2.0)):
        assert (drawn_logs(estimate, seed=1) == 2.0).all()
