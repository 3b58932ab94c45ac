"""The expected maximum of ranks' computing times, against closed forms, order statistics and simulated teams."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from scipy import integrate, stats

from gan3d.scaling.stragglers import expected_maximum, spread_of

SPREADS = np.array([0.001, 0.01, 0.05, 0.2, 0.7, 1.5])
WORLD_SIZES = (2, 4, 16, 128, 1024)


def test_of_two_ranks_it_is_the_closed_form():
    """E max(X, Y) = 2 E X 1(X > Y), which for log-normals of mean 1 is 2 Phi(s / sqrt 2)."""
    assert expected_maximum([2], SPREADS)[:, 0] == pytest.approx(2 * stats.norm.cdf(SPREADS / np.sqrt(2)), rel=1e-12)


@pytest.mark.parametrize("spread", [0.05, 0.5])
@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_it_is_the_integral_of_the_chance_that_some_rank_is_not_ready(spread, world_size):
    """E max = integral of 1 - F(t)^N over t, F the distribution of one rank's time: another formula than the one in use."""
    one = stats.lognorm(s=spread, scale=np.exp(-(spread**2) / 2))

    def some_not_ready(seconds):
        return -np.expm1(world_size * one.logcdf(seconds))

    longest = one.isf(1e-16)
    parts = np.linspace(0.0, longest, 30)
    exact = sum(integrate.quad(some_not_ready, *ends)[0] for ends in pairwise(parts))
    assert expected_maximum([world_size], spread)[0, 0] == pytest.approx(exact, rel=1e-7)


def test_small_spreads_give_the_order_statistics_of_normals():
    """Expected largest of N standard normals: 1 / sqrt pi of 2, 3 / (2 sqrt pi) of 3; the mean of squares is 1 for both."""
    spread = 1e-6
    waits = (expected_maximum([2, 3], spread)[0] - 1) / spread
    assert waits == pytest.approx(np.array([1.0, 1.5]) / np.sqrt(np.pi), rel=1e-5)


@pytest.mark.parametrize("world_size", [2, 8, 64])
def test_simulated_teams_wait_as_long(world_size):
    spread, teams = 0.3, 40_000
    times = np.random.default_rng(7).lognormal(-(spread**2) / 2, spread, (teams, world_size))
    longest = times.max(axis=1)
    assert expected_maximum([world_size], spread)[0, 0] == pytest.approx(longest.mean(), abs=4 * longest.std() / np.sqrt(teams))


def test_more_ranks_and_more_spread_wait_longer():
    sizes = [1, 2, 3, 5, 8, 100, 1000]
    found = expected_maximum(sizes, np.linspace(0.0, 1.5, 400))
    assert found.shape == (400, len(sizes))
    assert (np.diff(found[1:], axis=1) > 0).all()
    assert (np.diff(found[:, 1:], axis=0) > 0).all()
    assert (found <= sizes).all(), "the longest is at most the sum"


def test_a_lone_rank_and_ranks_without_spread_wait_for_nobody():
    assert (expected_maximum([1], SPREADS) == 1.0).all()
    assert (expected_maximum(WORLD_SIZES, 0.0) == 1.0).all()


@pytest.mark.parametrize("world_size", WORLD_SIZES)
def test_a_wait_tells_its_spread(world_size):
    waits = expected_maximum([world_size], SPREADS)[:, 0] - 1
    assert [spread_of(wait, world_size) for wait in waits] == pytest.approx(SPREADS, rel=3e-3)


def test_the_wait_of_a_small_team_tells_that_of_a_large_one():
    """Eight ranks of jitter that was measured on two."""
    wait_of_two = expected_maximum([2], 0.08)[0, 0] - 1
    assert expected_maximum([8], spread_of(wait_of_two, 2))[0, 0] == pytest.approx(expected_maximum([8], 0.08)[0, 0], rel=1e-5)


def test_waits_that_no_spread_makes_stop_at_its_ends():
    assert spread_of(0.0, 4) == 0.0
    assert spread_of(-0.01, 4) == 0.0
    assert spread_of(5.0, 2) == 1.5, "two ranks never wait more than once their time, on average"
    with pytest.raises(AssertionError):
        spread_of(0.1, 1)
