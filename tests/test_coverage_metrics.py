"""Precision, recall, density, coverage and separation powers on sets whose answers are known."""

from __future__ import annotations

import numpy as np
import pytest

from gan3d.data.showers import Showers
from gan3d.validation.copies import NEAREST, copied
from gan3d.validation.coverage import coverage_of, log_cells
from gan3d.validation.separation import separation_power
from gan3d.validation.similarity import similarities


def points(number: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, 3)) + shift


def test_of_one_source_everything_is_near_one() -> None:
    found = coverage_of(points(500, 1), points(500, 2))
    assert found.precision > 0.9
    assert found.recall > 0.9
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(0.97, abs=0.03)


def test_of_what_is_far_away_everything_is_zero() -> None:
    found = coverage_of(points(100, 1), points(100, 2, shift=100.0))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_collapsed_set_is_precise_and_covers_nothing() -> None:
    reference = points(500, 1)
    collapsed = np.repeat(0.5 * points(5, 2), 100, axis=0) + 1e-3 * points(500, 3)
    found = coverage_of(reference, collapsed)
    assert found.precision > 0.9
    assert found.recall < 0.1
    assert found.coverage < 0.2


def test_copies_are_told_from_fresh_showers() -> None:
    training, fresh = points(400, 1), points(400, 2)
    by_heart, error = copied(training + 1e-3 * points(400, 3), fresh, training)
    new, error_of_new = copied(points(400, 4), fresh, training)
    assert by_heart == 1
    assert new == pytest.approx(NEAREST, abs=4 * error_of_new)
    assert 0 < error < error_of_new < 0.03


def test_cells_are_their_decades_above_the_threshold() -> None:
    assert log_cells(np.array([[0.0, 1e-5, 3e-3, 0.03]]), 3e-4)[0] == pytest.approx([-1, -1, 1, 2])


def test_separation_power_is_one_for_what_never_meets_and_small_for_one_source() -> None:
    same, apart = separation_power(points(2000, 1), points(2000, 2)), separation_power(points(2000, 1), points(2000, 2, 50.0))
    assert apart == pytest.approx(np.ones(3), abs=0.005)
    # Chi squared: (bins - 1) / (2 N), with bins of (N + N) showers; as its definition says.
    assert same.mean() == pytest.approx(31 / (2 * 2000), rel=0.5)


def test_showers_alike_are_more_similar() -> None:
    random = np.random.default_rng(1)
    energy, number = np.linspace(10, 100, 60, dtype=np.float32), np.arange(60)
    different = Showers(random.random((60, 12, 12, 6), dtype=np.float32) * 1e-2, energy, None, number)
    alike = Showers(np.repeat(different.cells[:1], 60, axis=0), energy, None, number)
    found, collapsed = (similarities(showers, different, 1) for showers in (different, alike))
    assert len(found) == len(collapsed) == 6
    for name, (value, error) in found.items():
        assert value + 5 * error < collapsed[name][0] == pytest.approx(1)
