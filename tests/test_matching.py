from __future__ import annotations

import numpy as np
import pytest

from gan3d.physics.matching import NUM_NEIGHBOURS, matched_draws

RANDOM = np.random.default_rng(1)
CANDIDATES = RANDOM.uniform(10, 100, 2000)
ENERGY = RANDOM.uniform(10, 100, 200)


def test_partners_have_nearly_the_same_energy() -> None:
    for draw in matched_draws(CANDIDATES, ENERGY):
        assert np.abs(CANDIDATES[draw] - ENERGY).max() < 3 * NUM_NEIGHBOURS * 90 / 2000


def test_no_candidate_is_taken_twice_while_there_are_free_ones() -> None:
    for draw in matched_draws(CANDIDATES, ENERGY):
        assert len(np.unique(draw)) == len(ENERGY)


def test_draws_differ_and_come_again_with_the_same_seed() -> None:
    first, second = matched_draws(CANDIDATES, ENERGY, num_draws=2)
    assert not np.array_equal(first, second)
    again = matched_draws(CANDIDATES, ENERGY, num_draws=2)
    assert np.array_equal(first, again[0])
    assert np.array_equal(second, again[1])
    assert not np.array_equal(first, matched_draws(CANDIDATES, ENERGY, num_draws=1, seed=1)[0])


@pytest.mark.parametrize("num_candidates", [1, 5, 199])
def test_few_candidates_are_used_more_than_once(num_candidates: int) -> None:
    (draw,) = matched_draws(CANDIDATES[:num_candidates], ENERGY, num_draws=1)
    assert draw.shape == ENERGY.shape
    assert set(draw) <= set(range(num_candidates))


def test_energies_outside_the_candidates_get_the_nearest() -> None:
    (draw,) = matched_draws(CANDIDATES, np.array([1.0, 900.0]), num_draws=1)
    assert CANDIDATES[draw[0]] <= np.sort(CANDIDATES)[NUM_NEIGHBOURS - 1]
    assert CANDIDATES[draw[1]] >= np.sort(CANDIDATES)[-NUM_NEIGHBOURS]


def test_no_candidates_is_refused() -> None:
    with pytest.raises(ValueError, match="no candidates"):
        matched_draws(np.array([]), ENERGY)
