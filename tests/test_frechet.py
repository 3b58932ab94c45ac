"""Frechet and kernel distances where a formula gives them, and the floor where there is none."""

from __future__ import annotations

import numpy as np
import pytest

from gan3d.validation.frechet import frechet_distance, frechet_physics_distance, kernel_physics_distance, mean_discrepancy


def gaussians(number: int, shift: float = 0.0, scale: float = 1.0, seed: int = 1) -> np.ndarray:
    return shift + scale * np.random.default_rng(seed).standard_normal((number, 4))


def test_the_distance_of_gaussians_is_the_formulas() -> None:
    """Between N(0, 1) and N(a, s^2) in K dimensions: K (a^2 + (1 - s)^2)."""
    found = frechet_distance(gaussians(200_000), gaussians(200_000, 0.5, 1.5, seed=2))
    assert found == pytest.approx(4 * (0.25 + 0.25), rel=0.02)


def test_it_is_symmetric_and_zero_for_the_same() -> None:
    one, other = gaussians(500), gaussians(400, 0.3, seed=2)
    assert frechet_distance(one, other) == pytest.approx(frechet_distance(other, one))
    assert frechet_distance(one, one) == pytest.approx(0, abs=1e-6)


def test_the_extrapolation_takes_off_what_finite_draws_add() -> None:
    one, other = gaussians(2000), gaussians(2000, seed=2)
    found = frechet_physics_distance(one, other, seed=1)
    raw = frechet_distance(one / np.abs(one).max(axis=0), other / np.abs(one).max(axis=0))
    assert abs(found.value) < raw / 2
    assert frechet_physics_distance(one, other, seed=1) == found


def test_a_shift_is_seen_by_both() -> None:
    one, other, shifted = gaussians(1000), gaussians(1000, seed=2), gaussians(1000, 0.3, seed=3)
    for measure in (frechet_physics_distance, kernel_physics_distance):
        floor, found = measure(one, other, 1), measure(one, shifted, 1)
        assert found.value - floor.value > 5 * np.hypot(found.error, floor.error)


def test_the_kernel_distance_is_unbiased() -> None:
    found = [mean_discrepancy(gaussians(50, seed=seed), gaussians(50, seed=1000 + seed)) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_a_feature_that_is_always_zero_does_no_harm() -> None:
    one, other = gaussians(300), gaussians(300, seed=2)
    one[:, 0] = other[:, 0] = 0
    assert np.isfinite(frechet_physics_distance(one, other, 1).value)
