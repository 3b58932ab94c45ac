"""A fast generator is its network, to fp32 rounding against fp64; it keeps the weights it was made with."""

from __future__ import annotations

from copy import deepcopy
from typing import Any, get_args

import pytest
import torch
from torch import nn

from gan3d.config.networks import Generator, Normalisation
from gan3d.config.training import Grid
from gan3d.models import inference
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.inference import FastGenerator, parts

NORMALISATIONS, OUTPUTS = get_args(Normalisation), ("relu", "rectified_normal")
GRIDS = [(25, 25, 25), (51, 51, 25), (8, 8, 8), (11, 30, 17)]


def network(grid: Grid = (9, 10, 11), polar_angle: bool = False, is_ring: bool = False, **settings: Any) -> GeneratorNetwork:
    """In evaluation mode, with no weight or running statistic at the value it starts from."""
    torch.manual_seed(1)
    generator = Generator.model_validate({"filters": (5, 4, 3), "kernel": 3, "noise_dim": 10} | settings)
    made = GeneratorNetwork(generator, grid, polar_angle, is_ring=is_ring)
    with torch.no_grad():
        for name, tensor in [*made.named_parameters(), *made.named_buffers()]:
            if name.endswith("running_var"):
                tensor.uniform_(0.5, 2.0)
            elif tensor.is_floating_point() and not name.startswith("cells"):
                tensor.add_(torch.randn_like(tensor) * 0.1)
    return made.eval()


def inputs(generator: GeneratorNetwork, num_showers: int) -> list[torch.Tensor]:
    torch.manual_seed(2)
    drawn = [torch.randn(num_showers, generator.num_noise), torch.empty(num_showers).uniform_(10.0, 500.0)]
    return [*drawn, torch.empty(num_showers).uniform_(1.0, 2.0)] if generator.conditioning.has_polar_angle else drawn


def assert_equal_to_rounding(generator: GeneratorNetwork, num_showers: int = 3) -> None:
    given, fast = inputs(generator, num_showers), FastGenerator(generator)
    exact = deepcopy(generator).double()(*(each.double() for each in given))
    assert (exact > 0).any()
    # Rounding is of sums, so it is held against the largest cell.
    largest = exact.max().item()
    torch.testing.assert_close(fast(*given).double(), exact, rtol=0, atol=1e-5 * largest)
    of_double = FastGenerator(deepcopy(generator).double())(*(each.double() for each in given))
    torch.testing.assert_close(of_double, exact, rtol=0, atol=1e-13 * largest)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("conditioning", ["multiply", "concatenate"])
@pytest.mark.parametrize("polar_angle", [False, True])
def test_it_is_the_network_in_every_form(output: str, normalisation: str, conditioning: str, polar_angle: bool) -> None:
    assert_equal_to_rounding(network(polar_angle=polar_angle, output=output, normalisation=normalisation, conditioning=conditioning))


@pytest.mark.parametrize("impact", ["network", "fitted"])
def test_it_is_the_network_with_noise_of_the_cells_own(monkeypatch: pytest.MonkeyPatch, impact: str) -> None:
    monkeypatch.setattr(inference, "MOST_STARTING", 4)
    generator = network(output="rectified_normal", cell_noise=True, impact=impact)
    if generator.cells is not None and generator.cells.impact is not None:
        torch.nn.init.normal_(generator.cells.impact.tilt, std=0.2)
    assert_equal_to_rounding(generator, num_showers=9)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("num_showers", [1, 2, 9])
@pytest.mark.parametrize("num_blocks", [1, 2])
def test_it_is_the_network_with_residual_blocks(monkeypatch: pytest.MonkeyPatch, output: str, num_showers: int, num_blocks: int) -> None:
    monkeypatch.setattr(inference, "MOST_BYTES_CONVOLVED", 1)
    generator = network(output=output, residual_blocks=num_blocks, cell_noise=output == "rectified_normal")
    assert isinstance(FastGenerator.of(generator), FastGenerator)
    assert_equal_to_rounding(generator, num_showers)


@pytest.mark.parametrize("grid", [(16, 9, 45), (4, 9, 11), (12, 30, 8)])
@pytest.mark.parametrize("kernel", ["seed", 3, 5])
@pytest.mark.parametrize(("output", "residual_blocks"), [("relu", 0), ("rectified_normal", 0), ("relu", 1)])
def test_it_is_the_network_on_rings(grid: Grid, kernel: str | int, output: str, residual_blocks: int) -> None:
    generator = network(grid, is_ring=True, kernel=kernel, output=output, residual_blocks=residual_blocks)
    assert isinstance(FastGenerator.of(generator), FastGenerator)
    assert_equal_to_rounding(generator, num_showers=2)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", ["seed", 3, 5, 7])
def test_it_is_the_network_on_every_grid_with_every_kernel(grid: Grid, kernel: str | int) -> None:
    assert_equal_to_rounding(network(grid, kernel=kernel), num_showers=2)


@pytest.mark.parametrize("filters", [(64, 6, 6), (64, 16, 16), (1, 1, 1)])
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
def test_it_is_the_seed_s_network(filters: tuple[int, int, int], normalisation: str) -> None:
    generator = network((25, 25, 25), filters=filters, kernel="seed", noise_dim=200, normalisation=normalisation)
    assert_equal_to_rounding(generator, num_showers=1)


@pytest.mark.parametrize("num_showers", [1, 2, 5, 300])
def test_any_number_of_showers_is_generated_shower_by_shower(num_showers: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Few at a time, so that there are several parts of either kind.
    monkeypatch.setattr(inference, "MOST_STARTING", 7)
    monkeypatch.setattr(inference, "MOST_BYTES_CONVOLVED", 1)
    generator = network()
    noise, energy = inputs(generator, num_showers)
    torch.testing.assert_close(FastGenerator(generator)(noise, energy), generator(noise, energy).detach(), rtol=1e-4, atol=1e-5)


def test_a_matrix_too_large_is_not_made(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = network(kernel="seed")
    assert isinstance(FastGenerator(generator)._start, inference.Matrix)
    monkeypatch.setattr(inference, "MOST_BYTES_OF_MATRIX", 100)
    assert not isinstance(FastGenerator(generator)._start, inference.Matrix)
    assert_equal_to_rounding(generator)


@pytest.mark.parametrize("output", OUTPUTS)
@pytest.mark.parametrize("normalisation", NORMALISATIONS)
@pytest.mark.parametrize("kernel", ["seed", 3])
@pytest.mark.parametrize(("most_bytes_of_matrix", "residual_blocks"), [(0, 0), (0, 1), (inference.MOST_BYTES_OF_MATRIX, 0)])
def test_it_keeps_its_weights_and_leaves_the_network_as_it_was(
    output: str, normalisation: str, kernel: str | int, most_bytes_of_matrix: int, residual_blocks: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inference, "MOST_BYTES_OF_MATRIX", most_bytes_of_matrix)
    generator = network(output=output, normalisation=normalisation, kernel=kernel, residual_blocks=residual_blocks).train()
    given, before = inputs(generator, 2), deepcopy(generator.state_dict())
    fast = FastGenerator(generator)
    made = fast(*given)
    assert generator.training
    assert all(torch.equal(now, then) for now, then in zip(generator.state_dict().values(), before.values(), strict=True))
    assert not made.requires_grad
    for parameter in generator.parameters():
        nn.init.constant_(parameter, 0.5)
    assert torch.equal(fast(*given), made)


def test_a_network_of_a_class_of_its_own_stays_itself() -> None:
    class Doubled(GeneratorNetwork):
        def forward(self, *given: Any) -> torch.Tensor:
            return 2 * super().forward(*given)

    torch.manual_seed(1)
    doubled = Doubled(Generator(filters=(4, 4, 4), kernel=3, noise_dim=10), (9, 10, 11))
    assert FastGenerator.of(doubled) is doubled
    assert not doubled.training
    assert isinstance(FastGenerator.of(network()), FastGenerator)


def test_parts_are_even_and_in_order() -> None:
    tensors = torch.arange(9), torch.arange(9) + 10
    assert [[part.tolist() for part in pair] for pair in parts(4, *tensors)] == [
        [[0, 1, 2], [10, 11, 12]],
        [[3, 4, 5], [13, 14, 15]],
        [[6, 7, 8], [16, 17, 18]],
    ]
