from __future__ import annotations

import math

import pytest
import torch

from gan3d.config.networks import Generator
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.rectified_normal import LOCATIONS, RectifiedNormal, location_and_scale
from gan3d.physics.transform import Transform

GRID = (9, 10, 11)
POWERS = [1.0, 0.5, 0.3]


def transform(cell_power: float) -> Transform:
    return Transform(threshold_gev=1e-6, cell_scale=1000.0, cell_power=cell_power)


#: Noise of cells that have none of their own.
NONE = torch.empty(0)


def showers(num_showers: int = 400) -> tuple[torch.Tensor, torch.Tensor]:
    """Cells [GeV] that are on in a share of the showers that rises along x, in proportion to the incident energy."""
    random = torch.Generator().manual_seed(3)
    energy = 10 + 90 * torch.rand(num_showers, generator=random)
    is_on = torch.rand(num_showers, *GRID, generator=random) < torch.linspace(0.05, 1, GRID[0])[:, None, None]
    share = 1e-4 * torch.empty(num_showers, *GRID).exponential_(generator=random)
    return torch.where(is_on, share * energy[:, None, None, None], 0.0), energy


def fluctuating(cell_power: float, num_showers: int = 4000) -> tuple[RectifiedNormal, torch.Tensor, torch.Tensor]:
    """Cells fitted to showers, and features and energies of which the fluctuations are standard normal."""
    cells = RectifiedNormal(1, GRID)
    cells.fit_(*showers(), transform(cell_power))
    torch.nn.init.ones_(cells.weight)
    features = torch.randn(num_showers, 1, *GRID, generator=torch.Generator().manual_seed(4))
    return cells, features, torch.linspace(10, 100, num_showers)


@pytest.mark.parametrize("cell_power", POWERS)
@pytest.mark.parametrize(("wanted_location", "wanted_scale"), [(-2.0, 3.0), (0.0, 1.0), (4.0, 0.1)])
def test_location_and_scale_come_back_from_the_moments_of_rectified_normals(
    cell_power: float, wanted_location: float, wanted_scale: float
) -> None:
    normal = torch.randn(4_000_000, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    energy = transform(cell_power).to_gev(wanted_scale * torch.relu(wanted_location + normal))
    ratio = energy.square().mean() / energy.mean().square()
    location, scale = location_and_scale(energy.mean(), ratio, transform(cell_power))
    assert location.item() == pytest.approx(wanted_location, abs=0.05)
    assert scale.item() == pytest.approx(wanted_scale, rel=0.05)


@pytest.mark.parametrize("cell_power", POWERS)
def test_standard_normal_fluctuations_give_the_training_showers_their_energy(cell_power: float) -> None:
    cells, features, energy = fluctuating(cell_power)
    generated = transform(cell_power).to_gev(cells(features, energy, NONE)) / energy[:, None, None, None]
    monte_carlo, their_energy = showers()
    share = monte_carlo / their_energy[:, None, None, None]
    torch.testing.assert_close(generated.mean(), share.mean(), rtol=0.03, atol=0.0)
    torch.testing.assert_close(generated.mean((0, 2, 3)), share.mean((0, 2, 3)), rtol=0.15, atol=0.0)


def test_far_beyond_the_training_showers_energies_a_cell_keeps_its_share() -> None:
    cells, features, _ = fluctuating(0.5, num_showers=1)
    far, further = (transform(0.5).to_gev(cells(features, torch.tensor([energy]), NONE)) for energy in (2000.0, 4000.0))
    torch.testing.assert_close(further, 2 * far)


def test_cells_that_nothing_hit_and_showers_of_one_energy_give_finite_cells_and_gradients() -> None:
    cells = RectifiedNormal(2, GRID)
    cells.fit_(torch.zeros(5, *GRID), torch.full((5,), 50.0), transform(0.3))
    made = cells(torch.randn(2, 2, *GRID), torch.tensor([1.0, 500.0]), NONE)
    made.sum().backward()
    assert transform(0.3).to_gev(made).sum((1, 2, 3)).max() < 1e-3
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in cells.parameters())
    assert (cells.location >= LOCATIONS[0]).all()


@pytest.mark.parametrize("cell_noise", [False, True])
@pytest.mark.parametrize("normalisation", ["group", "batch", "batch_per_plane"])
def test_a_standardised_generator_fluctuates_by_one_in_every_cell(normalisation: str, cell_noise: bool) -> None:
    torch.manual_seed(1)
    plain = {"filters": (4, 4, 4), "kernel": 3, "noise_dim": 20, "output": "rectified_normal"}
    settings = Generator.model_validate(plain | {"normalisation": normalisation, "cell_noise": cell_noise})
    generator = GeneratorNetwork(settings, GRID)
    noise, energy = torch.randn(200, generator.num_noise), 10 + 90 * torch.rand(200)
    generator.standardise_(noise, energy)
    assert generator.cells is not None
    moved = generator.cells.location[:2].mean(dim=0)
    for network in (generator.train(), generator.eval()):
        fluctuation = generator.cells.fluctuation(network._features(noise, energy, None)) + moved
        torch.testing.assert_close(fluctuation.mean(dim=0), torch.zeros(GRID), atol=0.02, rtol=0.0)
        own = 0.0 if generator.cells.own is None else generator.cells.own.square()
        torch.testing.assert_close(fluctuation.var(dim=0) + own, torch.ones(GRID), atol=0.04, rtol=0.0)
    assert all(module.momentum == 0.01 for module in generator.modules() if isinstance(module, torch.nn.modules.batchnorm._BatchNorm))


def test_cells_with_noise_of_their_own_fluctuate_where_nothing_else_does() -> None:
    cells, features, _ = fluctuating(0.5, num_showers=1)
    cells.own = torch.nn.Parameter(torch.linspace(0, 1, GRID[0])[:, None, None].expand(GRID).clone())
    noise = torch.randn(3000, 7 + cells.num_noise, generator=torch.Generator().manual_seed(6))
    with torch.no_grad():
        cells.location.copy_(torch.tensor([5.0, 5.0, 0.0])[:, None, None, None].expand_as(cells.location))
        made = cells(features.expand(3000, -1, -1, -1, -1), torch.full((3000,), 50.0), noise)
    spread = made.std(dim=0) / made.mean(dim=0) * 5.0
    torch.testing.assert_close(spread.mean(dim=(1, 2)), torch.linspace(0, 1, GRID[0]), atol=0.1, rtol=0.0)
    together = torch.corrcoef(torch.stack([made[:, -1, 0, 0], made[:, -1, 0, 1]]))[0, 1]
    assert abs(together) < 0.1  # 1 / sqrt(3000) = 0.018


def test_every_parameter_gets_a_finite_gradient_and_cells_follow_the_energy() -> None:
    torch.manual_seed(1)
    generator = GeneratorNetwork(Generator(filters=(4, 4, 4), kernel=3, noise_dim=10, output="rectified_normal"), GRID)
    cells = generator(torch.randn(4, 10), torch.tensor([10.0, 50.0, 100.0, 500.0]))
    assert cells.shape == (4, *GRID)
    assert (cells >= 0).all()
    cells.square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name
    assert math.isfinite(cells.sum().item())
