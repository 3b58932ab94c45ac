from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from gan3d.config.networks import Generator, Normalisation
from gan3d.config.training import Grid
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.normalisation import statistics_anew

SEED_GRID = (25, 25, 25)
GRIDS = [SEED_GRID, (51, 51, 25), (45, 16, 9), (8, 8, 8), (11, 30, 17)]
NORMALISATIONS = get_args(Normalisation)


def settings(**changed: object) -> Generator:
    return Generator.model_validate({"filters": (4, 4, 4), "kernel": 3, "noise_dim": 10} | changed)


def network(made_from: Generator, grid: Grid = (9, 10, 11), polar_angle: bool = False) -> GeneratorNetwork:
    torch.manual_seed(1)
    return GeneratorNetwork(made_from, grid, polar_angle)


def noise(num_showers: int, noise_dim: int = 10) -> torch.Tensor:
    return torch.randn(num_showers, noise_dim, generator=torch.Generator().manual_seed(2))


def num_trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", ["seed", 3, 5, 7])
def test_showers_have_the_grid_and_no_negative_cell(grid: Grid, kernel: str | int) -> None:
    cells = network(settings(kernel=kernel), grid)(noise(2), torch.tensor([10.0, 500.0]))
    assert cells.shape == (2, *grid)
    assert (cells >= 0).all()
    assert (cells > 0).any()


@pytest.mark.parametrize(("normalisation", "count"), [("batch", 872_808), ("batch_per_plane", 872_702), ("group", 872_808)])
def test_seed_network_has_its_number_of_parameters(normalisation: str, count: int) -> None:
    assert num_trainable(network(Generator.model_validate({"normalisation": normalisation}), SEED_GRID)) == count


def test_filters_of_every_block_are_settings() -> None:
    # The variant in multiples of 16 (sara-nl/3Dgan at 1c5beb8): dense, three convolutions, output, two normalisations.
    count = 201 * 3136 + (8 * 288 + 1) * 64 + (64 * 240 + 1) * 16 + (16 * 72 + 1) * 16 + 16 * 8 + 2 * (64 + 16)
    assert num_trainable(network(Generator(filters=(64, 16, 16)), SEED_GRID)) == count


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("conditioning", ["multiply", "concatenate"])
def test_every_parameter_gets_a_finite_gradient(normalisation: str, conditioning: str) -> None:
    generator = network(settings(normalisation=normalisation, conditioning=conditioning), polar_angle=True)
    generator(noise(4), torch.tensor([10.0, 50.0, 100.0, 500.0]), torch.full((4,), 1.5)).square().sum().backward()
    for name, parameter in generator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


def test_gradients_of_a_dead_generator_are_finite() -> None:
    generator = network(settings())
    assert generator.output is not None
    nn.init.constant_(generator.output.weight, -1.0)
    cells = generator(noise(2).abs(), torch.tensor([10.0, 500.0]))
    cells.sum().backward()
    assert all(parameter.grad is not None and parameter.grad.isfinite().all() for parameter in generator.parameters())


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_shower_in_evaluation_mode_does_not_see_the_others(normalisation: str) -> None:
    generator, energy = network(settings(normalisation=normalisation)).eval(), torch.tensor([10.0, 100.0, 500.0])
    together = generator(noise(3), energy)
    for index in range(3):
        alone = generator(noise(3)[index : index + 1], energy[index : index + 1])
        torch.testing.assert_close(alone[0], together[index])


def test_group_normalised_showers_do_not_see_the_others_in_training_either() -> None:
    energy = torch.tensor([10.0, 100.0])
    for normalisation, sees_the_others in (("group", False), ("batch", True), ("batch_per_plane", True)):
        generator = network(settings(normalisation=normalisation))
        alone, together = generator(noise(2)[:1], energy[:1])[0], generator(noise(2), energy)[0]
        assert torch.allclose(alone, together, rtol=1e-4, atol=1e-6) != sees_the_others, normalisation


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("conditioning", ["multiply", "concatenate"])
def test_conditions_matter(normalisation: str, conditioning: str) -> None:
    generator = network(settings(normalisation=normalisation, conditioning=conditioning), polar_angle=True).eval()
    shower = generator(noise(1), torch.tensor([100.0]), torch.tensor([1.5]))
    assert not torch.allclose(shower, generator(noise(1), torch.tensor([400.0]), torch.tensor([1.5])), rtol=1e-3)
    assert not torch.allclose(shower, generator(noise(1), torch.tensor([100.0]), torch.tensor([1.0])), rtol=1e-3)


def test_seed_multiplies_noise_with_energy_in_100_gev() -> None:
    generator = network(settings()).eval()
    torch.testing.assert_close(generator(noise(1), torch.tensor([250.0])), generator(2.5 * noise(1), torch.tensor([100.0])))


def test_concatenated_energy_leaves_the_noise_as_it_is() -> None:
    generator = network(settings(conditioning="concatenate"), polar_angle=True)
    inputs = generator.conditioning(noise(2), torch.tensor([250.0, 50.0]), torch.tensor([1.0, 2.0]))
    torch.testing.assert_close(inputs, torch.cat([noise(2), torch.tensor([[2.5, 1.0], [0.5, 2.0]])], dim=1))


def test_polar_angle_is_asked_for_exactly_where_the_network_has_it() -> None:
    energy, angle = torch.tensor([100.0]), torch.tensor([1.0])
    with pytest.raises(AssertionError, match="polar angle"):
        network(settings())(noise(1), energy, angle)
    with pytest.raises(AssertionError, match="polar angle"):
        network(settings(), polar_angle=True)(noise(1), energy)


def test_same_seed_makes_the_same_network() -> None:
    first, second = network(settings()), network(settings())
    assert all(torch.equal(a, b) for a, b in zip(first.parameters(), second.parameters(), strict=True))


def test_renormalised_running_statistics_are_those_of_the_showers() -> None:
    generator, energy = network(settings(normalisation="batch")), torch.linspace(10, 100, 32)
    generator.renormalise_(noise(32), energy)
    found = generator.eval()(noise(32), energy)
    # A batch of the same showers has the same mean, and a variance that is unbiased only in the running statistics.
    difference = found - generator.train()(noise(32), energy)
    assert difference.abs().max() < 0.02 * found.max()
    batch_norms = [module for module in generator.modules() if isinstance(module, nn.BatchNorm3d)]
    assert {module.momentum for module in batch_norms} != {None}


@pytest.mark.parametrize("mode", [True, False])
def test_what_fails_while_statistics_are_taken_leaves_momenta_and_mode(mode: bool) -> None:
    generator = network(settings(normalisation="batch")).train(mode)
    before = [module.momentum for module in generator.modules() if isinstance(module, nn.BatchNorm3d)]
    with pytest.raises(RuntimeError, match="must match the size"), statistics_anew(generator, None):
        generator(noise(2), torch.ones(3))
    assert [module.momentum for module in generator.modules() if isinstance(module, nn.BatchNorm3d)] == before
    assert generator.training is mode


def test_a_second_renormalisation_forgets_the_first() -> None:
    generator, other = network(settings(normalisation="batch")), network(settings(normalisation="batch"))
    generator.renormalise_(noise(40), torch.full((40,), 500.0))
    for one in (generator, other):
        one.renormalise_(noise(70), torch.linspace(10, 100, 70))
    for mine, theirs in zip(generator.buffers(), other.buffers(), strict=True):
        torch.testing.assert_close(mine, theirs)
