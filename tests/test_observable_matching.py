from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from gan3d.models.energy_distance import FixedSample
from gan3d.models.observable_matching import (
    ObservableDistributions,
    ObservableSet,
    layers,
    log_smooth_occupancy,
    observables,
    powers,
    stretched,
)
from gan3d.physics.observables import occupancy
from gan3d.physics.readout import polar_centres

GRID = (8, 9, 10)


def showers(num_showers: int, seed: int, *, spread: float = 0.2, shift: float = 0.0) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells [GeV] around an axis that varies with ``spread`` cells, and incident energies [GeV]."""
    random = torch.Generator().manual_seed(seed)
    energy = 10 + 90 * torch.rand(num_showers, generator=random)
    centre = 4 + shift + spread * torch.randn(num_showers, 3, generator=random)
    return around(centre, 0.02 * energy * (1 + 0.04 * torch.randn(num_showers, generator=random))), energy


def around(centre: torch.Tensor, deposited_energy: torch.Tensor) -> torch.Tensor:
    """Gaussian showers at centres (B, 3), one cell wide."""
    cells = deposited_energy[:, None, None, None]
    for axis, num_cells in enumerate(GRID):
        profile = torch.softmax(-0.5 * (torch.arange(num_cells) - centre[:, axis, None]).square(), dim=1)
        cells = cells * profile.view(-1, *(num_cells if place == axis else 1 for place in range(3)))
    return cells


@pytest.fixture(scope="module")
def distributions() -> ObservableDistributions:
    return ObservableDistributions.fit([showers(200, seed) for seed in range(5)])


def test_showers_of_the_same_kind_are_near_and_others_are_far(distributions: ObservableDistributions) -> None:
    def mean_distance(**changed: float) -> float:
        return sum(distributions.distance(*showers(16, seed, **changed)).item() for seed in range(100, 120)) / 20

    assert abs(mean_distance()) < 0.02
    assert mean_distance(spread=0.02) > 0.1
    assert mean_distance(spread=0.6) > 0.1
    assert mean_distance(shift=0.4) > 0.1


def test_the_distance_does_not_depend_on_the_order_of_showers(distributions: ObservableDistributions) -> None:
    cells, energy = showers(16, 50)
    order = torch.randperm(16, generator=torch.Generator().manual_seed(1))
    torch.testing.assert_close(distributions.distance(cells[order], energy[order]), distributions.distance(cells, energy))


def test_the_gradient_widens_showers_that_fluctuate_too_little_and_narrows_others(distributions: ObservableDistributions) -> None:
    for spread, widens in ((0.02, True), (0.6, False)):
        random = torch.Generator().manual_seed(60)
        centre = (4 + spread * torch.randn(32, 3, generator=random)).requires_grad_()
        energy = torch.linspace(10, 100, 32)
        (gradient,) = torch.autograd.grad(distributions.distance(around(centre, 0.02 * energy), energy), centre)
        moved = centre - 1e-3 * gradient / gradient.abs().max()
        assert ((moved.std(dim=0) > centre.std(dim=0)) == widens).all()


def test_too_wide_at_low_energies_and_too_narrow_at_high_ones_is_seen(distributions: ObservableDistributions) -> None:
    """Whose widths over all energies are as they should be."""

    def of(slope: float) -> float:
        found = []
        for seed in range(300, 320):
            cells, energy = showers(32, seed)
            scale = 1 + slope * ((energy - 55) / 26)
            found.append(
                distributions.distance(cells, energy) if slope == 0 else distributions.distance(stretched_along_x(cells, scale), energy)
            )
        return torch.stack(found).mean().item()

    assert of(0.05) > of(0.0) + 0.05


def stretched_along_x(cells: torch.Tensor, scale: torch.Tensor) -> torch.Tensor:
    """Showers whose x is that many times wider around the middle, by linear interpolation."""
    middle = (cells.shape[1] - 1) / 2
    places = middle + (torch.arange(cells.shape[1]) - middle) / scale[:, None]
    below = places.floor().clamp(0, cells.shape[1] - 2)
    part = (places - below).clamp(0, 1)[:, :, None, None]
    index = below.long()[:, :, None, None].expand(-1, -1, *cells.shape[2:])
    return cells.gather(1, index) * (1 - part) + cells.gather(1, index + 1) * part


def test_tails_are_pulled_out_without_a_kink() -> None:
    values = torch.linspace(-5, 5, 2001)
    found = stretched(values)
    torch.testing.assert_close(found, -stretched(-values))
    slope = found.diff() / values.diff()
    assert (slope > 0.99).all()
    assert slope.max() < 5.6
    assert slope.diff().abs().max() < 0.05


def test_empty_showers_have_a_finite_distance_and_gradient(distributions: ObservableDistributions) -> None:
    cells = torch.zeros(4, *GRID, requires_grad=True)
    distance = distributions.distance(cells, torch.full((4,), 50.0))
    torch.autograd.backward(distance)
    assert distance.isfinite()
    assert cells.grad is not None
    assert cells.grad.isfinite().all()


def test_an_observable_that_training_showers_have_one_value_of_is_left_out() -> None:
    """Counted in its spread of nothing, the first shower that differs would be a loss of 1e14; here it is a layer's width."""

    def with_faint_last_layer(seed: int, energy_gev: float) -> tuple[torch.Tensor, torch.Tensor]:
        cells, energy = showers(100, seed)
        cells[:, :, :, -1] = 0
        cells[:, 3:5, 4, -1] = energy_gev
        return cells, energy

    distributions = ObservableDistributions.fit([with_faint_last_layer(seed, 0.0) for seed in range(5)], "layers")
    left_out = distributions.spread[0].exp().isinf()
    assert left_out.any()
    assert not left_out.all()
    same = distributions.distance(*with_faint_last_layer(20, 0.0))
    assert abs(same) < 0.5
    cells, energy = with_faint_last_layer(20, 1e-6)
    other = distributions.distance(cells.requires_grad_(), energy)
    torch.autograd.backward(other)
    assert other.item() == pytest.approx(same.item(), abs=5)
    assert cells.grad is not None
    assert cells.grad.isfinite().all()


def test_an_observable_of_any_size_that_varies_is_kept() -> None:
    """A sampling fraction of 1e-4 that spreads by 4 % spreads by 4e-6."""

    def faint(seed: int, scale: float) -> tuple[torch.Tensor, torch.Tensor]:
        cells, energy = showers(200, seed)
        return 0.005 * scale * cells, energy

    distributions = ObservableDistributions.fit([faint(seed, 1.0) for seed in range(5)])
    assert distributions.spread[0].exp().isfinite().all()
    assert distributions.distance(*faint(20, 1.2)) > 10 * abs(distributions.distance(*faint(20, 1.0)))


def test_showers_of_one_energy_can_be_fitted() -> None:
    cells, _ = showers(50, 1)
    energy = torch.full((50,), 50.0)
    found = ObservableDistributions.fit([(cells, energy)])
    # Pairs of a shower with itself count in one of the three means only: hence a little below 0.
    assert found.distance(cells, energy).item() == pytest.approx(0.0, abs=0.05)


def test_the_smooth_occupancy_follows_the_occupancy() -> None:
    cells, _ = showers(200, 7, spread=0.5)
    smooth, sharp = log_smooth_occupancy(cells).exp(), occupancy(cells)
    assert torch.corrcoef(torch.stack([smooth, sharp]))[0, 1] > 0.95
    assert (smooth / sharp - 1).abs().mean() < 0.2


@pytest.mark.parametrize(("kind", "number"), [("moments", 11), ("layers", 11 + 6 + 7 * GRID[2] + 2 + GRID[0] + GRID[1])])
def test_there_is_one_column_per_observable(kind: ObservableSet, number: int) -> None:
    assert observables(*showers(3, 1), kind).shape == (3, number)


def test_on_polar_cells_centres_are_places_and_there_is_no_slope() -> None:
    cells, energy = showers(3, 1)
    num_moments = 7 + 2 * GRID[0] // 2
    x, y = (torch.from_numpy(one).float() for one in polar_centres(*GRID[:2]))
    found = observables(cells, energy, "layers", (x, y))
    assert found.shape == (3, num_moments + 6 + 7 * GRID[2] + GRID[1])
    layer = cells[:, :, :, 4]
    expected = (layer * x).sum(dim=(1, 2)) / layer.sum(dim=(1, 2))
    torch.testing.assert_close(found[:, num_moments + 6 + 4], expected)


def test_a_halo_that_is_too_bright_near_the_core_and_ends_too_early_is_seen() -> None:
    """With the same centres and the same widths: what columns and radii are there for."""
    wings = torch.zeros(2, GRID[0])
    for wing, steps, each in ((wings[0], 1, 0.2), (wings[1], 2, 0.05)):
        wing[3], wing[3 - steps], wing[3 + steps] = 1 - 2 * each, each, each
    across = torch.zeros(GRID[1])
    across[4] = 1.0
    both = wings[:, :, None, None] * across[:, None] * torch.ones(GRID[2])
    found = layers(both, None)
    differs = ~torch.isclose(found[0], found[1], rtol=1e-4, atol=1e-5)
    of_columns, of_radii = differs[-(GRID[0] + GRID[1]) :], differs[6 + 4 * GRID[2] : 6 + 6 * GRID[2]]
    assert of_columns[: GRID[0]].sum() == 5
    assert of_radii.all()
    assert not differs[6 : 6 + 4 * GRID[2]].any()


@pytest.fixture(scope="module")
def of_layers() -> ObservableDistributions:
    return ObservableDistributions.fit([showers(200, seed) for seed in range(5)], "layers")


def test_what_goes_together_is_seen_only_along_directions(of_layers: ObservableDistributions) -> None:
    """Layers that are shuffled among showers of one energy keep every distribution of a layer, and lose the axis that they share."""
    random = torch.Generator().manual_seed(3)
    energy = torch.full((256,), 50.0)
    straight = around(4 + 0.2 * torch.randn(256, 3, generator=random), 0.02 * energy)
    shuffled = torch.stack([straight[torch.randperm(256, generator=random), :, :, layer] for layer in range(GRID[2])], dim=3)
    alone = replace(of_layers, directions=of_layers.directions[:, :0], along=FixedSample.of(of_layers.along.rising[:0].T))
    centres = slice(11 + 2 + 6, 11 + 2 + 6 + 2 * GRID[2])
    one, other = (observables(cells, energy, "layers")[:, centres].sort(dim=0).values for cells in (straight, shuffled))
    torch.testing.assert_close(one, other)
    assert of_layers.distance(shuffled, energy) > 2 * of_layers.distance(straight, energy)
    assert of_layers.distance(shuffled, energy) > 1.5 * alone.distance(shuffled, energy)


def test_the_set_of_layers_pulls_cells_to_the_spectrum(of_layers: ObservableDistributions) -> None:
    """Cells that a power sharpens hold the same sum; the gradient blunts them."""
    cells, energy = showers(64, 70)
    power = torch.tensor(1.3, requires_grad=True)
    sharp = cells**power
    sharp = sharp * (cells.sum(dim=(1, 2, 3)) / sharp.sum(dim=(1, 2, 3)))[:, None, None, None]
    of_layers.distance(sharp, energy).backward()
    assert power.grad is not None
    assert power.grad > 0


def test_the_set_of_layers_is_finite_for_empty_showers(of_layers: ObservableDistributions) -> None:
    cells = torch.zeros(4, *GRID, requires_grad=True)
    loss = of_layers.distance(cells, torch.full((4,), 50.0))
    loss.backward()
    assert loss.isfinite()
    assert cells.grad is not None
    assert cells.grad.isfinite().all()


def test_the_same_showers_have_the_same_directions(of_layers: ObservableDistributions) -> None:
    again = ObservableDistributions.fit([showers(200, seed) for seed in range(5)], "layers")
    assert torch.equal(again.directions, of_layers.directions)


def test_along_directions_other_showers_vary_as_much_as_those_that_they_were_drawn_from() -> None:
    """Where these are many beside the observables."""
    of_many = ObservableDistributions.fit([showers(200, seed) for seed in range(10, 50)], "layers")
    cells, energy = showers(1000, 9)
    terms = powers(energy)
    standard = (observables(cells, energy, "layers") - terms @ of_many.coefficients) / (terms[:, :2] @ of_many.spread).exp()
    along = (standard @ of_many.directions).square().mean(dim=0).sqrt()
    torch.testing.assert_close(along.median(), torch.tensor(1.0), rtol=0.15, atol=0.0)
