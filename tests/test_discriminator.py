from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import nn

from gan3d.config.networks import Discriminator, DiscriminatorNormalisation, Generator
from gan3d.config.training import Grid
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.work import discriminator_convolutions
from gan3d.physics.transform import Transform

SEED_GRID = (25, 25, 25)
GRIDS = [SEED_GRID, (51, 51, 25), (45, 16, 9), (8, 8, 8), (11, 30, 17)]
NORMALISATIONS = get_args(DiscriminatorNormalisation)
SEED_TRANSFORM = Transform(threshold_gev=1e-6, cell_scale=1.0, cell_power=1.0)


def settings(**changed: object) -> Discriminator:
    return Discriminator.model_validate({"filters": (4, 4, 4, 4), "kernel": 3} | changed)


def network(
    made_from: Discriminator, grid: Grid = (9, 10, 11), polar_angle: bool = False, transform: Transform = SEED_TRANSFORM
) -> DiscriminatorNetwork:
    torch.manual_seed(1)
    return DiscriminatorNetwork(made_from, grid, transform, polar_angle)


def showers(num_showers: int, grid: Grid = (9, 10, 11)) -> torch.Tensor:
    random = torch.rand(num_showers, *grid, generator=torch.Generator().manual_seed(2))
    return torch.where(random > 0.8, random, 0.0)


def num_trainable(module: nn.Module) -> int:
    return sum(parameter.numel() for parameter in module.parameters() if parameter.requires_grad)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_heads_say_one_number_per_shower_on_any_grid(grid: Grid, kernel: int) -> None:
    output = network(settings(kernel=kernel), grid, polar_angle=True)(showers(3, grid))
    assert [head.shape for head in output if head is not None] == [(3,)] * 4
    assert all(head is not None and head.isfinite().all() for head in output)


@pytest.mark.parametrize(
    ("strides", "places"), [((1, 1, 1, 1), (9, 10, 11)), ((1, 2, 1, 1), (5, 5, 6)), ((2, 1, 1, 1), (5, 5, 6)), ((1, 1, 1, 2), (4, 4, 5))]
)
def test_strides_thin_out_places_and_leave_the_parameters_of_the_blocks(strides: tuple[int, ...], places: tuple[int, ...]) -> None:
    thinned, seed = network(settings(strides=strides)), network(settings())
    assert num_trainable(thinned.blocks) == num_trainable(seed.blocks)
    # Block 4 takes one cell off either side before its stride, the seed's way.
    last = places if strides[3] == 2 else tuple(cells - 2 for cells in places)
    assert thinned.blocks(showers(1).unsqueeze(1)).shape[2:] == last
    output = thinned(showers(2))
    torch.autograd.backward(output.validity_logit.sum() + output.incident_energy.sum())
    assert all(parameter.grad is not None and parameter.grad.any() for parameter in thinned.parameters())


@pytest.mark.parametrize(("normalisation", "count"), [("batch", 73_402), ("batch_per_plane", 73_500), ("group", 73_402)])
def test_seed_network_has_its_number_of_parameters(normalisation: str, count: int) -> None:
    assert num_trainable(network(Discriminator.model_validate({"normalisation": normalisation}), SEED_GRID)) == count


def test_seed_networks_hold_946_398_numbers_with_the_running_statistics() -> None:
    networks = (GeneratorNetwork(Generator(), SEED_GRID), network(Discriminator(), SEED_GRID))
    tensors = [tensor for one in networks for tensor in one.state_dict().values() if tensor.is_floating_point()]
    assert sum(tensor.numel() for tensor in tensors) == 946_398


def test_filters_of_every_block_are_settings() -> None:
    # The variant in multiples of 16 (sara-nl/3Dgan at 1c5beb8): four convolutions, three normalisations, two heads.
    count = 126 * 32 + (125 * 32 + 1) * 16 + 2 * (125 * 16 + 1) * 16 + 3 * 2 * 16 + 2 * (16 * 11**3 + 1)
    assert num_trainable(network(Discriminator(filters=(32, 16, 16, 16)), SEED_GRID)) == count


@pytest.mark.parametrize("blocks", [1, 2, 3, 4])
def test_only_the_blocks_there_are_have_weights_and_are_counted_as_work(blocks: int) -> None:
    made_from = settings(filters=(4, 5, 6, 7), blocks=blocks)
    made = network(made_from, SEED_GRID)
    convolutions = [module for module in made.modules() if isinstance(module, nn.Conv3d)]
    assert [convolution.out_channels for convolution in convolutions] == [4, 5, 6, 7][:blocks]
    assert len(list(discriminator_convolutions(made_from, SEED_GRID))) == blocks
    assert made(showers(2, SEED_GRID)).validity_logit.shape == (2,)


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_every_parameter_gets_a_finite_gradient(normalisation: str) -> None:
    discriminator = network(settings(normalisation=normalisation), polar_angle=True)
    output = discriminator(showers(4))
    assert output.polar_angle is not None
    (output.validity_logit.square() + output.incident_energy + output.polar_angle).sum().backward()
    for name, parameter in discriminator.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.isfinite().all(), name
        assert parameter.grad.any(), name


@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_a_shower_in_evaluation_mode_does_not_see_the_others(normalisation: str) -> None:
    discriminator = network(settings(normalisation=normalisation)).eval()
    together = discriminator(showers(3))
    alone = discriminator(showers(3)[1:2])
    for one, all_of_them in ((alone.validity_logit, together.validity_logit), (alone.incident_energy, together.incident_energy)):
        torch.testing.assert_close(one, all_of_them[1:2], rtol=1e-4, atol=1e-5)


def test_spectral_normalisation_keeps_the_largest_singular_value_of_every_convolution_at_one() -> None:
    discriminator = network(settings(normalisation="spectral"))
    for block in discriminator.blocks:
        torch.nn.init.normal_(block.convolution.parametrizations.weight.original, std=3.0)
    for _ in range(100):
        discriminator(showers(2))
    for block in discriminator.eval().blocks:
        assert torch.linalg.svdvals(block.convolution.weight.flatten(1))[0].item() == pytest.approx(1, rel=1e-2)


def test_group_normalised_showers_do_not_see_the_others_in_training_either() -> None:
    for normalisation, sees_the_others in (("group", False), ("batch", True), ("batch_per_plane", True)):
        discriminator = network(settings(normalisation=normalisation, dropout=0.0))
        alone, together = discriminator(showers(2)[:1]).validity_logit, discriminator(showers(2)).validity_logit[:1]
        assert torch.allclose(alone, together, rtol=1e-4, atol=1e-5) != sees_the_others, normalisation


@pytest.mark.parametrize("transform", [SEED_TRANSFORM, Transform(1e-6, 50.0, 0.85)])
def test_deposited_energy_is_the_sum_over_the_cells_in_gev(transform: Transform) -> None:
    cells_gev = showers(3)
    output = network(settings(), transform=transform)(transform.to_network(cells_gev))
    torch.testing.assert_close(output.deposited_energy, cells_gev.sum((1, 2, 3)))


def test_deposited_energy_depends_on_the_cells_alone_and_has_their_gradient() -> None:
    cells = showers(2).requires_grad_()
    network(settings())(cells).deposited_energy.sum().backward()
    assert cells.grad is not None
    torch.testing.assert_close(cells.grad, torch.ones_like(cells))


def test_incident_energy_head_works_in_100_gev() -> None:
    discriminator = network(settings()).eval()
    nn.init.zeros_(discriminator.incident_energy.weight)
    nn.init.constant_(discriminator.incident_energy.bias, 2.5)
    torch.testing.assert_close(discriminator(showers(2)).incident_energy, torch.tensor([250.0, 250.0]))


def test_polar_angle_is_regressed_only_where_asked_for() -> None:
    assert network(settings())(showers(2)).polar_angle is None


def test_dropout_acts_in_training_only() -> None:
    discriminator = network(settings(dropout=0.5, normalisation="group"))
    assert not torch.equal(discriminator(showers(2)).validity_logit, discriminator(showers(2)).validity_logit)
    discriminator.eval()
    assert torch.equal(discriminator(showers(2)).validity_logit, discriminator(showers(2)).validity_logit)


def test_memory_layout_changes_no_number_beyond_rounding() -> None:
    discriminator = network(settings(dropout=0.0))
    shipped = discriminator(showers(3))
    for parameter in discriminator.parameters():
        parameter.data = parameter.data.contiguous()
    default = discriminator(showers(3))
    torch.testing.assert_close(shipped.validity_logit, default.validity_logit, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(shipped.incident_energy, default.incident_energy, rtol=1e-4, atol=1e-3)
