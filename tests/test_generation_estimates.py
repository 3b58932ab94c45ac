"""Standard errors: as large as the spread of repeated measurements, smaller with more showers, and what lies between two estimates."""

from __future__ import annotations

import numpy as np
import pytest
from shower_makers import GRID, random_showers

from gan3d.generation.estimates import QUANTITIES, Estimate
from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.physics.binning import Binning
from gan3d.physics.distance import with_scalars

_, ENERGY = random_showers(60, seed=0)
BINNING = Binning.from_incident_energy(GRID, ENERGY)


def estimate(num_showers: int, seed: int, *, num_draws: int = 2, scale: float = 1.2, num_resamples: int = 50) -> Estimate:
    """Showers too energetic by ``scale``, against others of the same maker."""
    counts = resample_counts(num_showers, num_resamples, seed)
    cells, energy = random_showers(num_showers, 1000 * seed)
    monte_carlo = resampled_sums([(cells, energy)], counts, BINNING)
    made = [random_showers(num_showers, 1000 * seed + 1 + draw) for draw in range(num_draws)]
    return Estimate.of([resampled_sums([(scale * cells, energy)], counts, BINNING) for cells, energy in made], monte_carlo)


def test_values_are_physics_distances() -> None:
    cells, energy = random_showers(100, 1)
    counts = resample_counts(100, 4)
    monte_carlo = resampled_sums([(cells, energy)], counts, BINNING)
    generated = resampled_sums([(0.8 * cells, energy)], counts, BINNING)
    found = Estimate.of([generated], monte_carlo)
    expected = with_scalars(generated[0], monte_carlo[0])
    assert dict(zip(QUANTITIES, found.value, strict=True)) == {name: expected[name] for name in QUANTITIES}
    assert expected["response"] == pytest.approx(0.2)
    assert found.of_resamples.shape == (4, 11)


def test_standard_errors_shrink_with_more_showers() -> None:
    few, many = (estimate(number, seed=1) for number in (60, 960))
    place = QUANTITIES.index("response")
    assert few.shower_error[place] / many.shower_error[place] == pytest.approx(4.0, rel=0.4)
    assert (many.shower_error < few.shower_error).all()


def test_standard_errors_are_the_spread_of_repeated_measurements() -> None:
    repeats = [estimate(100, seed, num_draws=1, num_resamples=30) for seed in range(1, 41)]
    spread = np.std([repeat.value for repeat in repeats], axis=0, ddof=1)
    typical = np.sqrt(np.mean([repeat.shower_error**2 for repeat in repeats], axis=0))
    for name in ("shower_distance", "response", "cell_energy_spectrum"):
        place = QUANTITIES.index(name)
        assert 0.7 < typical[place] / spread[place] < 2.0, name


def test_the_error_of_draws_is_that_of_their_mean() -> None:
    values = np.arange(4.0)[:, None] * np.ones((1, len(QUANTITIES)))
    found = Estimate(values, np.zeros((5, len(QUANTITIES))))
    assert found.draw_error == pytest.approx(np.std([0, 1, 2, 3], ddof=1) / 2)
    assert found.error == pytest.approx(found.draw_error)
    assert Estimate(values[:1], found.of_resamples).draw_error == pytest.approx(0.0)


def test_below_and_above_are_opposite() -> None:
    near, far = estimate(100, 1, scale=1.05), estimate(100, 1, scale=1.5)
    assert near.standard_errors_below(far) > 5
    assert far.standard_errors_below(near) == pytest.approx(-near.standard_errors_below(far))
    assert near.standard_errors_below(near) == 0.0


def test_what_showers_do_to_both_alike_drops_out_of_the_difference() -> None:
    """Estimates of one draw each whose resamples move together: the difference is known exactly, whatever the spread of each."""
    wander = np.random.default_rng(1).normal(0.0, 1.0, (50, 1)) * np.ones((1, len(QUANTITIES)))
    low, high = (Estimate(np.full((1, len(QUANTITIES)), value), value + wander) for value in (1.0, 1.25))
    assert low.shower_error[0] > 0.7
    assert low.standard_errors_below(high) > 1e6
