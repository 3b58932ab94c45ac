"""Polar cells: a shower turned by one angle is the same shower, for the discriminator and for all of the generator but its start."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from pydantic import ValidationError
from small_trial import ALONE, checksum, small_files, small_trial, some_epochs, trained_in_two_parts
from torch.nn import functional

from gan3d.config.effect import effective_settings
from gan3d.config.networks import Discriminator, Generator
from gan3d.errors import DataError
from gan3d.generation.trained import Trained
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.generator import GeneratorBlock, GeneratorNetwork
from gan3d.models.geometry import GeneratorGeometry, Padding
from gan3d.models.residual import ResidualBlock
from gan3d.models.ring import closed
from gan3d.models.upsampling import upsampled_convolution
from gan3d.models.work import discriminator_convolutions, generator_convolutions
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.transform import Transform
from gan3d.simulation.simulate import LogUniform, simulate
from gan3d.training.state import TrainState, transform_of

GRID = (16, 9, 45)
TRANSFORM = Transform(threshold_gev=1e-5, cell_scale=1.0, cell_power=1.0)
KERNELS: list[Any] = ["seed", 3, 5]
#: Changes to a small trial.
POLAR: dict[str, Any] = {"data.grid": list(GRID), "data.cells": "polar", "data.threshold_gev": 1.5e-5, "data.cell_scale": 1.0}


def test_a_ring_goes_round() -> None:
    x = torch.arange(3.0).view(1, 1, 3, 1, 1)
    assert closed(x, 1, 2).flatten().tolist() == [2, 0, 1, 2, 0, 1]
    assert closed(x, 4, 0).flatten().tolist() == [2, 0, 1, 2, 0, 1, 2]


@pytest.mark.parametrize("kernel", KERNELS)
def test_the_generator_ends_on_the_grid_and_its_sizes_are_those_that_are_counted(kernel: Any) -> None:
    settings = Generator(filters=(4, 4, 4), kernel=kernel, noise_dim=60, layer_energies="fitted", residual_blocks=1)
    network = GeneratorNetwork(settings, GRID, transform=TRANSFORM, is_ring=True)
    assert network(torch.randn(2, 60), torch.tensor([10.0, 50.0])).shape == (2, *GRID)
    assert GeneratorGeometry.for_grid(GRID, kernel, is_ring=True).start[0] == 4
    *_, last = generator_convolutions(settings, GRID, is_ring=True)
    assert last.places == GRID


@pytest.mark.parametrize("kernel", KERNELS)
@pytest.mark.parametrize("block", [0, 1, 2])
def test_a_block_of_the_generator_turns_with_what_it_is_given(kernel: Any, block: int) -> None:
    geometry = GeneratorGeometry.for_grid(GRID, kernel, is_ring=True)
    factor, size = ((1, geometry.start), (2, geometry.start), (2, geometry.middle))[block]
    upsampling = ((1, 1, 1), (2, 2, 2), (2, 2, 3))[block]
    made = GeneratorBlock((3, 2), geometry.kernels[block], geometry.paddings[block], upsampling, is_ring=True)
    x = torch.randn(1, 3, *size)
    ring = size[0] * factor
    torch.testing.assert_close(made(x.roll(1, 2))[:, :, :ring], made(x)[:, :, :ring].roll(factor, 2))
    if block == 2:  # the first cell once more
        torch.testing.assert_close(made(x)[:, :, -1], made(x)[:, :, 0])


def test_a_folded_ring_is_the_convolution_of_the_upsampled_ring() -> None:
    x, weight, bias = torch.randn(2, 3, 4, 3, 3), torch.randn(2, 3, 5, 3, 3), torch.randn(2)
    upsampled = functional.interpolate(x, scale_factor=(2, 2, 2), mode="nearest")
    expected = functional.conv3d(functional.pad(closed(upsampled, 2, 2), (1, 1, 1, 1)), weight, bias)
    found = upsampled_convolution(x, weight, bias, (2, 2, 2), Padding((2, 2), (1, 1), (1, 1)), is_ring=True)
    torch.testing.assert_close(found, expected)


def test_a_residual_block_turns_and_keeps_its_last_cell_the_first() -> None:
    block, x = ResidualBlock(2, is_ring=True), torch.randn(1, 2, 8, 3, 3)
    torch.nn.init.normal_(block.second.weight)
    made = block(closed(x, 0, 1))
    torch.testing.assert_close(made[:, :, -1], made[:, :, 0])
    torch.testing.assert_close(block(closed(x.roll(3, 2), 0, 1))[:, :, :-1], made[:, :, :-1].roll(3, 2))


@pytest.mark.parametrize("strides", [(1, 1, 1, 1), (1, 2, 1, 1)])
def test_the_discriminator_does_not_see_where_the_ring_begins(strides: tuple[int, int, int, int]) -> None:
    settings = Discriminator(filters=(4, 4, 4, 4), kernel=3, dropout=0.0, normalisation="group", strides=strides, residual=True)
    for is_ring in (True, False):
        network = DiscriminatorNetwork(settings, GRID, TRANSFORM, is_ring=is_ring).eval()
        cells = torch.rand(2, *GRID)
        # Heads weigh every place on its own: let them see the sum over the ring.
        pooled = network.blocks(cells.unsqueeze(1)).sum(dim=2)
        turned = network.blocks(cells.roll(4, 1).unsqueeze(1)).sum(dim=2)
        assert torch.allclose(pooled, turned, rtol=1e-4, atol=1e-4) == is_ring


def test_sizes_of_the_discriminator_are_those_that_are_counted() -> None:
    settings = Discriminator(filters=(4, 4, 4, 4), kernel=5)
    network = DiscriminatorNetwork(settings, GRID, TRANSFORM, is_ring=True)
    *_, last = discriminator_convolutions(settings, GRID, is_ring=True)
    assert tuple(network.blocks(torch.rand(2, 1, *GRID)).shape[2:]) == last.places


@pytest.fixture(scope="module")
def calochallenge(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Simulated showers in the layout of data set 2."""
    folder = tmp_path_factory.mktemp("rings")
    for name, number, seed in (("train", 40, 1), ("validation", 30, 2)):
        energies = LogUniform(1, 20)
        simulate(
            folder / f"{name}.h5", calorimeter=calorimeter("calochallenge_2"), num_showers=number, incident_energy_gev=energies, seed=seed
        )
    return folder


def test_a_trained_ring_generates_showers_without_gradients(calochallenge: Path) -> None:
    settings = small_trial(calochallenge, POLAR)
    trained = Trained(TrainState(settings, ALONE).generator.eval(), settings, transform_of(settings), 1)
    cells = trained.showers_of(torch.randn(2, settings.num_noise), torch.tensor([10.0, 20.0]))
    assert cells.shape == (2, *GRID)
    assert not cells.requires_grad


def test_showers_on_a_cylinder_train_and_go_on_from_a_checkpoint(calochallenge: Path) -> None:
    fitted = {f"training.generator.{name}": "fitted" for name in ("layer_energies", "cell_spectrum")}
    changes = fitted | {"training.generator.output": "rectified_normal", "training.generator.noise_dim": 60}
    settings = small_trial(calochallenge, POLAR | changes)
    whole = TrainState(settings, ALONE)
    first, second = some_epochs(settings, whole, None)
    assert np.isfinite([first.physics.shower_distance, second.physics.shower_distance]).all()
    assert checksum(trained_in_two_parts(settings, first=1).generator) == checksum(whole.generator)


def test_the_loss_on_observables_is_another_one_than_on_square_cells(tmp_path: Path) -> None:
    weight = {"training.loss_weights.observables": 1.0}
    layers = {"training.matched_observables": "layers"}
    recipes = (weight, POLAR | weight, POLAR, weight | layers, POLAR | weight | layers)
    found = [effective_settings(small_trial(tmp_path, changes))["training"] for changes in recipes]
    assert [one.get("observables_loss") for one in found] == [3, 4, None, 6, 6]


def test_square_cells_are_no_ring(tmp_path: Path) -> None:
    settings = small_trial(small_files(tmp_path), {"data.cells": "polar"})
    with pytest.raises(DataError, match=r"these showers have square cells. Set data.cells to square"):
        list(some_epochs(settings, TrainState(settings, ALONE), 1))


def test_a_ring_that_upsampling_does_not_make_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValidationError, match="closes x to a ring"):
        small_trial(tmp_path, POLAR | {"data.grid": [50, 18, 45]})
    with pytest.raises(ValueError, match="a ring of 50 cells is no multiple of 4"):
        GeneratorGeometry.for_grid((50, 18, 45), 3, is_ring=True)
