"""Frechet and kernel distances where a formula gives them, and the floor where there is none."""

from __future__ import annotations

import numpy as np
import pytest
from small_study import SAMPLES

from gan3d.data.shower_file import open_shower_file
from gan3d.data.showers import Showers
from gan3d.validation.detector import Detector
from gan3d.validation.features import features_of
from gan3d.validation.frechet import (
    SHOWERS_PER_FEATURE,
    frechet_distance,
    frechet_physics_distance,
    kernel_physics_distance,
    mean_discrepancy,
    showers_needed,
)


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


def test_of_too_few_showers_for_the_features_nothing_is_said() -> None:
    """Between two halves of one source the extrapolation would say 0.3 and more."""
    needed = showers_needed(40)
    random = np.random.default_rng(1)
    one, other = random.standard_normal((needed, 40)), random.standard_normal((needed, 40))
    assert np.isfinite(frechet_physics_distance(one, other, 1).value)
    for sides in ((one[1:], other), (one, other[1:])):
        found = frechet_physics_distance(*sides, 1)
        assert np.isnan([found.value, found.error]).all()


@pytest.mark.parametrize("shift", [0.0, 0.2])
def test_the_error_covers_the_truth(shift: float) -> None:
    """Uniform features, whose largest value is 1, so that the truth is the shift's square for each of them."""
    number, num_features = 20 * SHOWERS_PER_FEATURE, 10
    found = []
    for seed in range(60):
        random = np.random.default_rng(seed)
        one, other = (random.uniform(-1, 1, (number, num_features)) for _ in range(2))
        found.append(frechet_physics_distance(one, other + shift, seed))
    off = np.array([abs(one.value - num_features * shift**2) / one.error for one in found])
    assert (off < 1).mean() > 0.6
    assert (off < 2).mean() > 0.85
    errors, values = np.array([one.error for one in found]), np.array([one.value for one in found])
    assert 0.8 < errors.mean() / values.std() < 2.5


def test_the_error_covers_zero_between_two_halves_of_real_showers() -> None:
    file = open_shower_file(SAMPLES / "clic_10_100_train.h5")
    showers = file.read(0, file.num_showers)
    middle = Showers(showers.cells[:, :, :, 8:14].copy(), showers.incident_energy, None, showers.identity)
    high = features_of(middle, Detector(np.ones(6))).high
    inside = 0
    for seed in range(8):
        order = np.random.default_rng(seed).permutation(len(high))
        found = frechet_physics_distance(high[order[: len(high) // 2]], high[order[len(high) // 2 :]], seed)
        inside += abs(found.value) < 2 * found.error
    assert inside >= 7


def test_the_kernel_distance_is_unbiased() -> None:
    found = [mean_discrepancy(gaussians(50, seed=seed), gaussians(50, seed=1000 + seed)) for seed in range(200)]
    assert abs(np.mean(found)) < 3 * np.std(found) / np.sqrt(len(found))
    assert min(found) < 0


def test_a_feature_that_is_always_zero_does_no_harm() -> None:
    one, other = gaussians(300), gaussians(300, seed=2)
    one[:, 0] = other[:, 0] = 0
    assert np.isfinite(frechet_physics_distance(one, other, 1).value)
