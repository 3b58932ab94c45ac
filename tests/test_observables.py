from __future__ import annotations

import math
from collections.abc import Callable

import pytest
import torch
from shower_makers import GRID, geant4_showers, random_showers

from gan3d.physics import observables
from gan3d.physics.readout import polar_centres

DIFFERENTIABLE = (
    observables.deposited_energy,
    observables.first_moments,
    observables.second_moments,
    observables.layer_fractions,
    observables.axis_slopes,
    observables.layer_centres,
    observables.layer_widths,
)


def one_cell(x: int, y: int, layer: int, energy_gev: float = 0.5) -> torch.Tensor:
    cells = torch.zeros(1, *GRID, dtype=torch.float64)
    cells[0, x, y, layer] = energy_gev
    return cells


def inner_showers(seed: int = 1) -> torch.Tensor:
    """Showers that leave the outermost cells empty, so that rolling them by one is a shift."""
    cells = random_showers(20, seed)[0].double()
    inner = torch.zeros_like(cells)
    inner[:, 1:-1, 1:-1, 1:-1] = cells[:, 1:-1, 1:-1, 1:-1]
    return inner


def test_deposited_energy_adds_over_disjoint_cells() -> None:
    cells = random_showers(20, 1)[0].double()
    is_first = torch.rand(GRID, generator=torch.Generator().manual_seed(3)) < 0.5
    parts = observables.deposited_energy(cells * is_first) + observables.deposited_energy(cells * ~is_first)
    torch.testing.assert_close(observables.deposited_energy(cells), parts, rtol=1e-12, atol=0)


def test_profiles_sum_to_the_deposited_energy() -> None:
    cells = random_showers(20, 1)[0].double()
    for profile, length in zip(observables.profiles(cells), GRID, strict=True):
        assert profile.shape == (20, length)
        torch.testing.assert_close(profile.sum(dim=1), observables.deposited_energy(cells), rtol=1e-12, atol=0)


def test_sampling_fraction_is_deposited_over_incident_energy() -> None:
    assert observables.sampling_fraction(one_cell(1, 2, 3, 0.5), torch.tensor([25.0])).item() == pytest.approx(0.02)


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_a_shift_moves_the_barycentre_and_nothing_else(axis: int) -> None:
    cells = inner_showers()
    shifted = cells.roll(1, dims=axis + 1)
    expected = observables.first_moments(cells)
    expected[:, axis] += 1.0
    torch.testing.assert_close(observables.first_moments(shifted), expected)
    torch.testing.assert_close(observables.second_moments(shifted), observables.second_moments(cells))
    torch.testing.assert_close(observables.axis_slopes(shifted), observables.axis_slopes(cells))


@pytest.mark.parametrize("axis", [0, 1])
def test_a_mirrored_shower_mirrors_barycentre_and_angle(axis: int) -> None:
    cells = inner_showers()
    mirrored = cells.flip(axis + 1)
    moments, slopes = observables.first_moments(cells), observables.axis_slopes(cells)
    moments[:, axis] = GRID[axis] - 1 - moments[:, axis]
    slopes[:, axis] = -slopes[:, axis]
    torch.testing.assert_close(observables.first_moments(mirrored), moments)
    torch.testing.assert_close(observables.axis_slopes(mirrored), slopes)
    torch.testing.assert_close(observables.second_moments(mirrored), observables.second_moments(cells))


def test_ratios_do_not_change_with_the_energy_scale() -> None:
    cells = inner_showers()
    for observable in DIFFERENTIABLE[1:]:
        torch.testing.assert_close(observable(7.0 * cells), observable(cells))


def test_moments_of_one_cell_and_of_two() -> None:
    assert observables.first_moments(one_cell(3, 4, 5)).tolist() == [[3.0, 4.0, 5.0]]
    assert observables.second_moments(one_cell(3, 4, 5)).tolist() == [[0.0, 0.0, 0.0]]
    assert observables.second_moments(one_cell(2, 4, 5) + one_cell(4, 4, 9)).tolist() == [[1.0, 0.0, 4.0]]


def test_a_straight_line_of_cells_has_its_slope() -> None:
    line = one_cell(1, 7, 2) + one_cell(2, 6, 4) + one_cell(3, 5, 6)
    torch.testing.assert_close(observables.axis_slopes(line), torch.tensor([[0.5, -0.5]], dtype=torch.float64))


def test_a_line_of_cells_has_the_angle_that_its_layers_depths_give_it() -> None:
    line = one_cell(1, 7, 2) + one_cell(2, 6, 4) + one_cell(3, 5, 6)
    depth = torch.zeros(GRID[2], dtype=torch.float64)
    depth[[2, 4, 6]] = torch.tensor([1.0, 2.0, 3.0], dtype=torch.float64)
    assert observables.shower_angle(line, depth).item() == pytest.approx(math.pi / 4), "a cell further for each edge of a cell deeper"
    assert observables.shower_angle(line, 2 * depth).item() == pytest.approx(math.pi / 2 - math.atan(0.5))
    assert observables.shower_angle(line.flip(1), depth).item() == pytest.approx(3 * math.pi / 4), "towards smaller x"
    assert observables.shower_angle(torch.zeros_like(line), depth).item() == math.pi / 2, "an empty shower"


@pytest.mark.parametrize(("num_layers", "expected"), [(25, (8, 8, 9)), (12, (4, 4, 4)), (8, (2, 2, 4)), (2, (0, 0, 2))])
def test_layer_regions_are_thirds_with_the_rest_last(num_layers: int, expected: tuple[int, int, int]) -> None:
    fractions = observables.layer_fractions(torch.ones(1, 4, 4, num_layers, dtype=torch.float64))
    assert (fractions[0] * num_layers).tolist() == pytest.approx(expected)


def test_occupancy_counts_cells_above_the_threshold() -> None:
    cells = one_cell(0, 0, 0, 1e-3) + one_cell(1, 1, 1, 2.9e-4)
    num_cells = math.prod(GRID)
    assert observables.occupancy(cells).item() == pytest.approx(1 / num_cells)
    assert observables.occupancy(cells, 1e-4).item() == pytest.approx(2 / num_cells)
    assert observables.occupancy(cells, 1e-2).item() == 0.0


@pytest.mark.parametrize("axis", [0, 1])
def test_a_shift_moves_every_layers_centre_and_no_width(axis: int) -> None:
    cells = inner_showers()
    shifted = cells.roll(1, dims=axis + 1)
    has_energy = cells.sum((1, 2)) > observables.EMPTY_SHOWER_GEV
    expected = observables.layer_centres(cells)
    expected[..., axis] += has_energy
    torch.testing.assert_close(observables.layer_centres(shifted), expected)
    torch.testing.assert_close(observables.layer_widths(shifted), observables.layer_widths(cells))


def test_layers_centres_and_widths_are_those_of_their_cells() -> None:
    cells = one_cell(2, 3, 4, 1.0) + one_cell(6, 3, 4, 1.0) + one_cell(1, 1, 5, 2.0)
    centres, widths = observables.layer_centres(cells)[0], observables.layer_widths(cells)[0]
    assert centres[4].tolist() == [4, 3]
    assert widths[4].tolist() == [2, 0]
    assert centres[5].tolist() == [1, 1]
    assert centres[:4].abs().sum() == widths[:4].abs().sum() == 0


@pytest.mark.parametrize("top", [3.0, 3.2, 2.6])
def test_the_shower_maximum_is_the_vertex_of_a_parabola(top: float) -> None:
    layers = torch.arange(12, dtype=torch.float64)
    profile = (10 - (layers - top).square()).clamp(min=0)[None]
    assert observables.shower_maximum(profile).item() == pytest.approx(top)
    assert observables.shower_maximum(3 * profile).item() == pytest.approx(top)


def test_at_the_ends_of_the_calorimeter_the_maximum_is_the_layer() -> None:
    falling = torch.tensor([[3.0, 2.0, 1.0], [1.0, 2.0, 3.0], [0.0, 0.0, 0.0]], dtype=torch.float64)
    assert observables.shower_maximum(falling).tolist() == [0, 2, 0]
    assert observables.shower_maximum(falling[:, :2]).tolist() == [0, 1, 0]


def test_correlations_are_pearsons_and_a_constant_has_none() -> None:
    values = torch.randn(200, 3, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    values[:, 1] = -2 * values[:, 0] + 1
    values[:, 2] = 4
    found = observables.correlation_matrix(values)
    torch.testing.assert_close(found, torch.tensor([[1.0, -1, 0], [-1, 1, 0], [0, 0, 0]], dtype=torch.float64))
    rounded = torch.full((1000, 2), 0.1)
    assert rounded.mean() != rounded[0, 0], "so that what is above the mean is not 0"
    assert torch.equal(observables.correlation_matrix(rounded), torch.zeros(2, 2))
    other = torch.randn(200, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    torch.testing.assert_close(observables.correlation_matrix(other), torch.corrcoef(other.T))


@pytest.mark.parametrize("place", [(0, 0, 0), (8, 9, 11), (3, 7, 2)])
def test_maximum_position_is_the_hottest_cell(place: tuple[int, int, int]) -> None:
    cells = torch.full((1, *GRID), 1e-3)
    cells[(0, *place)] = 2e-3
    assert observables.maximum_position(cells).tolist() == [list(place)]


@pytest.mark.parametrize("observable", DIFFERENTIABLE)
@pytest.mark.parametrize("energy_gev", [0.0, 1e-12, 0.5])
def test_values_and_gradients_are_finite_for_empty_and_one_cell_showers(
    observable: Callable[[torch.Tensor], torch.Tensor], energy_gev: float
) -> None:
    cells = one_cell(3, 4, 5, energy_gev).float().requires_grad_()
    values = observable(cells)
    (gradient,) = torch.autograd.grad(values.sum(), cells)
    assert torch.isfinite(values).all()
    assert torch.isfinite(gradient).all()


@pytest.mark.parametrize("observable", DIFFERENTIABLE)
def test_gradients_are_right(observable: Callable[[torch.Tensor], torch.Tensor]) -> None:
    cells = 0.1 + torch.rand(2, 3, 4, 5, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    assert torch.autograd.gradcheck(observable, cells.requires_grad_())


def test_real_showers_look_like_the_published_ones() -> None:
    cells, energy = geant4_showers("train", 60)
    assert observables.sampling_fraction(cells, energy).mean().item() == pytest.approx(0.0202, rel=0.03)
    assert (observables.first_moments(cells)[:, :2] - 12).abs().mean() < 0.5
    assert observables.second_moments(cells)[:, :2].mean().sqrt().item() == pytest.approx(1.45, rel=0.1)
    assert observables.axis_slopes(cells).abs().mean() < 0.1


def test_centres_and_widths_on_a_cylinder_are_those_of_its_cells_places() -> None:
    x, y = (torch.from_numpy(values) for values in polar_centres(16, 9))
    cells = torch.rand(3, 16, 9, 4, dtype=torch.float64)
    share = cells / cells.sum(dim=(1, 2), keepdim=True)
    for number, place in enumerate((x, y)):
        centre = (share * place[None, :, :, None]).sum(dim=(1, 2))
        variance = (share * (place[None, :, :, None] - centre[:, None, None, :]).square()).sum(dim=(1, 2))
        torch.testing.assert_close(observables.layer_centres(cells, (x, y))[..., number], centre)
        torch.testing.assert_close(observables.layer_widths(cells, (x, y))[..., number], variance.sqrt())


def test_indices_as_places_change_nothing() -> None:
    cells = torch.rand(3, 5, 6, 4, dtype=torch.float64)
    places = torch.meshgrid(torch.arange(5.0), torch.arange(6.0), indexing="ij")
    torch.testing.assert_close(observables.layer_centres(cells, places), observables.layer_centres(cells))
    torch.testing.assert_close(observables.layer_widths(cells, places), observables.layer_widths(cells))
    first, second = observables.moments_at(cells, places)
    torch.testing.assert_close(first, observables.first_moments(cells)[:, :2])
    torch.testing.assert_close(second, observables.second_moments(cells)[:, :2])


def test_a_shower_turned_on_its_cylinder_has_its_centre_turned() -> None:
    places = tuple(torch.from_numpy(values) for values in polar_centres(16, 9))
    cells = torch.rand(1, 16, 9, 1, dtype=torch.float64)
    (x, y), turned = (observables.moments_at(one, places)[0][0] for one in (cells, cells.roll(4, 1)))
    torch.testing.assert_close(turned, torch.stack([-y, x]))


def test_an_empty_layer_on_a_cylinder_has_no_width_and_a_finite_slope() -> None:
    places = tuple(torch.from_numpy(values) for values in polar_centres(16, 9))
    cells = torch.zeros(1, 16, 9, 2, dtype=torch.float64, requires_grad=True)
    observables.layer_widths(cells, places).sum().backward()
    assert cells.grad is not None
    assert torch.isfinite(cells.grad).all()


def test_the_cell_spectrum_counts_each_showers_cells_between_edges() -> None:
    cells = 10 ** (-6 + 6 * torch.rand(5, 6, 7, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(4)))
    cells[:2] = cells[:2].roll(1, 0) * (torch.rand(2, 6, 7, 8, generator=torch.Generator().manual_seed(5)) > 0.5)
    edges = (-4.25, -3.0, -1.0)
    expected = [
        [int(((one > 10**low) & (one <= 10**high)).sum()) for low, high in zip(edges, (*edges[1:], 1), strict=True)] for one in cells
    ]
    assert observables.cell_spectrum(cells, edges).tolist() == expected
    assert observables.cell_spectrum(torch.zeros(2, *GRID)).tolist() == [[0] * 6] * 2
