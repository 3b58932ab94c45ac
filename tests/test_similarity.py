"""Structural similarity on grids of any size and kind."""

from __future__ import annotations

import numpy as np
import pytest
from skimage.metrics import structural_similarity

from gan3d.data.showers import Showers
from gan3d.validation.similarity import similarities, surrounded

LAYERS = 2


def showers_on(num_x: int, num_y: int, number: int = 40, seed: int = 1) -> Showers:
    cells = np.random.default_rng(seed).random((number, num_x, num_y, LAYERS), dtype=np.float32) * 1e-2
    return Showers(cells, np.linspace(10, 100, number, dtype=np.float32), None, np.arange(number))


@pytest.mark.parametrize(
    ("num_x", "num_y", "is_polar"),
    [(16, 9, True), (50, 18, True), (4, 3, True), (2, 2, True), (8, 8, False), (5, 12, False), (3, 3, False)],
)
def test_a_grid_smaller_than_the_window_is_compared_by_a_smaller_one(num_x: int, num_y: int, *, is_polar: bool) -> None:
    different = showers_on(num_x, num_y)
    alike = Showers(np.repeat(different.cells[:1], 40, axis=0), different.incident_energy, None, different.identity)
    found, collapsed = (similarities(one, different, 1, is_polar=is_polar) for one in (different, alike))
    assert len(found) == len(collapsed) == 6
    for name, (value, error) in found.items():
        assert value + 3 * error < collapsed[name][0] == pytest.approx(1, abs=1e-5)


@pytest.mark.parametrize(("num_x", "num_y", "is_polar"), [(2, 12, False), (12, 1, False), (16, 1, True), (1, 9, True)])
def test_where_no_window_fits_there_is_nothing_to_say(num_x: int, num_y: int, *, is_polar: bool) -> None:
    showers = showers_on(num_x, num_y)
    assert similarities(showers, showers, 1, is_polar=is_polar) == {}


def test_where_the_window_fits_it_is_the_one_of_old() -> None:
    showers = showers_on(12, 14, number=2)
    found = similarities(showers, Showers(showers.cells, np.full(2, 50, np.float32), None, showers.identity), 1)
    assert found == {}, "no bin has two showers of these energies"
    showers = Showers(showers.cells, np.full(2, 50, np.float32), None, showers.identity)
    expected = structural_similarity(*showers.cells, channel_axis=2, gaussian_weights=True, data_range=1e-2)
    assert similarities(showers, showers, 1)["similarity_50_to_50_gev_range_0.01"][0] == pytest.approx(expected, abs=1e-6)


def test_turned_showers_are_as_similar_on_a_ring() -> None:
    showers = showers_on(16, 9)
    turned = Showers(np.roll(showers.cells, 5, axis=1), showers.incident_energy, None, showers.identity)
    found, other = (similarities(one, showers, 1, is_polar=True) for one in (showers, turned))
    for name, (value, _) in found.items():
        assert other[name][0] == pytest.approx(value, abs=1e-5)
    not_a_ring = [similarities(one, showers, 1) for one in (showers, turned)]
    assert any(abs(not_a_ring[0][name][0] - not_a_ring[1][name][0]) > 1e-4 for name in found)


def test_beyond_the_axis_lie_the_cells_of_the_opposite_angle() -> None:
    cells = np.arange(8 * 3 * 1, dtype=np.float32).reshape(8, 3, 1)
    found = surrounded(cells, 2)[..., 0]
    assert found.shape == (8 + 4, 3 + 2)
    np.testing.assert_array_equal(found[2:-2, 2:], cells[..., 0])
    np.testing.assert_array_equal(found[2, :2], [cells[4, 1, 0], cells[4, 0, 0]])
    np.testing.assert_array_equal(found[:2], found[8:10])
