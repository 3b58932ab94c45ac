from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional

from gan3d.models.folded_blocks import FoldedConvolution
from gan3d.models.folded_outputs import ConvolutionOutput, RectifiedNormalOutput, destinations
from gan3d.models.generator import GeneratorBlock
from gan3d.models.geometry import UPSAMPLINGS, GeneratorGeometry, Size
from gan3d.models.rectified_normal import RectifiedNormal

GRIDS = [(25, 25, 25), (11, 30, 17), (8, 8, 8)]
ENERGY = torch.tensor([20.0, 300.0], dtype=torch.float64)
NOISE = torch.randn(2, 25**3, dtype=torch.float64, generator=torch.Generator().manual_seed(1))


def third_block(grid: Size, kernel: object) -> tuple[FoldedConvolution, torch.Tensor, torch.Tensor]:
    """Folded; its phases for two showers; its features, put together."""
    torch.manual_seed(1)
    geometry = GeneratorGeometry.for_grid(grid, kernel)  # type: ignore[arg-type]
    block = GeneratorBlock((2, 3), geometry.kernels[2], geometry.paddings[2], UPSAMPLINGS[1]).double()
    folded, x = FoldedConvolution(block, geometry.middle, may_sum=False), torch.randn(2, 2, *geometry.middle, dtype=torch.float64)
    return folded, folded.phases(x), folded(x)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", ["seed", 3, 5, 7])
def test_the_output_convolution_of_phases_is_that_of_features(grid: Size, kernel: object) -> None:
    block, phases, features = third_block(grid, kernel)
    convolution, out = nn.Conv3d(3, 1, 2, bias=False).double(), torch.empty(2, *grid, dtype=torch.float64)
    ConvolutionOutput(convolution, block)(phases, ENERGY, NOISE, out)
    torch.testing.assert_close(out, functional.relu(convolution(features)).squeeze(1))
    assert (out > 0).any()


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", ["seed", 3])
def test_rectified_normals_of_phases_are_those_of_features(grid: Size, kernel: object) -> None:
    block, phases, features = third_block(grid, kernel)
    cells, out = RectifiedNormal(3, grid, cell_noise=True).double(), torch.empty(2, *grid, dtype=torch.float64)
    for parameter in cells.parameters():
        nn.init.normal_(parameter)
    RectifiedNormalOutput(cells, block)(phases, ENERGY, NOISE, out)
    torch.testing.assert_close(out, cells(features, ENERGY, NOISE))
    assert (out > 0).any()


@pytest.mark.parametrize("factor", [1, 2, 3])
def test_every_phase_goes_to_two_cells(factor: int) -> None:
    assert destinations(factor).sum((0, 1)).tolist() == [2.0] * factor
    assert destinations(factor).sum((1, 2)).tolist() == [float(factor)] * 2
