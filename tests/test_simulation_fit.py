"""The fit finds constants again that showers were simulated with; its integrals are those of the spots."""

from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest

from gan3d.physics.calorimeter_file import calorimeter
from gan3d.simulation.constants import fitted_constants
from gan3d.simulation.fit import fit
from gan3d.simulation.fit_across import _rectangles, _share_in_rectangles
from gan3d.simulation.fit_cells import fit_spots
from gan3d.simulation.fit_depth import _uncorrelated_draws
from gan3d.simulation.fit_samples import energy_bins, with_responses
from gan3d.simulation.radial import Radii, draw_offsets
from gan3d.simulation.spots import shower_cells

CLIC = calorimeter("clic")
CONSTANTS = fitted_constants(CLIC)


@pytest.fixture(scope="module")
def other_showers():
    """1200 showers of another detector: a deeper maximum, a wider tail, and a higher response."""
    truth = replace(CONSTANTS, peak_offset_x0=CONSTANTS.peak_offset_x0 + 0.5, tail_scale=1.2)
    generator = np.random.default_rng(2)
    energy = np.exp(generator.uniform(np.log(10), np.log(200), 1200))
    cells = shower_cells(energy, np.full(1200, np.pi / 2), generator, with_responses(CLIC, np.array([1.1, 1.1])), truth)
    return truth, cells, energy


def test_constants_and_response_are_found_again(other_showers):
    truth, cells, energy = other_showers
    found, calorimeter = fit(cells, energy, CLIC, CONSTANTS, ["peak_offset_x0", "tail_scale"])
    assert found.peak_offset_x0 == pytest.approx(truth.peak_offset_x0, abs=0.15)
    assert found.tail_scale == pytest.approx(1.2, abs=0.03)
    assert calorimeter.electron_response / CLIC.electron_response == pytest.approx(np.full(25, 1.1), rel=0.02)
    untouched = {"peak_offset_x0", "tail_scale"}
    assert all(getattr(found, n) == getattr(CONSTANTS, n) for n in CONSTANTS.__slots__ if n not in untouched)


def test_the_energy_of_spots_is_found_again():
    truth = replace(CONSTANTS, spot_energy_gev=2 * CONSTANTS.spot_energy_gev)
    energy = np.full(20, 50.0)
    cells = shower_cells(energy, np.full(20, np.pi / 2), np.random.default_rng(5), CLIC, truth)
    found = fit_spots(energy_bins(cells, energy + np.arange(20) * 1e-3)[0], CLIC, CONSTANTS)
    assert found.spot_energy_gev == pytest.approx(truth.spot_energy_gev, rel=0.1)


def test_energy_bins_share_out_every_shower_once():
    energy = np.random.default_rng(1).uniform(10, 500, 120)
    bins = energy_bins(np.zeros((120, 1, 1, 1)), energy)
    assert np.array_equal(np.sort(np.concatenate([found.energy for found in bins])), np.sort(energy))
    assert min(len(found.energy) for found in bins) >= 10
    assert all(low.energy.max() <= high.energy.min() for low, high in pairwise(bins))


def test_shares_in_rectangles_are_those_of_drawn_spots():
    generator = np.random.default_rng(3)
    radius_mm, share = np.full((3, 1, 1), 6.0), np.array([1.0, 0.0, 0.0])[:, None, None]
    spots = draw_offsets(Radii(radius_mm, share), np.zeros(200_000, int), generator)
    impact = generator.uniform(-5.1 / 2, 5.1 / 2, (2, 200_000))
    x, y = np.abs(spots.x_mm + impact[0]) / 5.1, np.abs(spots.y_mm + impact[1]) / 5.1
    drawn = [((x < short + 0.5) & (y < long + 0.5)).mean() for short, long in _rectangles(25)]
    assert _share_in_rectangles(radius_mm[0, 0], CLIC)[0] == pytest.approx(drawn, abs=0.005)


def test_draws_of_the_fit_are_uncorrelated():
    draws = _uncorrelated_draws(27)
    assert draws.mean(0) == pytest.approx(np.zeros(27), abs=1e-12)
    np.testing.assert_allclose(np.cov(draws.T, bias=True), np.eye(27), atol=1e-10)
