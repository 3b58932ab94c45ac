from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gan3d.models.geometry import UPSAMPLINGS, GeneratorGeometry, Padding, Size
from gan3d.models.upsampling import num_taps, phase_sums, upsampled_convolution


def in_two_steps(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, upsampling: Size, padding: Padding) -> torch.Tensor:
    upsampled = functional.interpolate(x, scale_factor=upsampling, mode="nearest")
    return functional.conv3d(functional.pad(upsampled, padding.depth_first), weight, bias)


def draw(cells: Size, kernel: Size, channels: tuple[int, int] = (2, 3)) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    random = torch.Generator().manual_seed(1)
    shapes = ((2, channels[0], *cells), (channels[1], channels[0], *kernel), (channels[1],))
    x, weight, bias = (torch.randn(shape, generator=random, dtype=torch.float64, requires_grad=True) for shape in shapes)
    return x, weight, bias


axis = st.tuples(st.integers(3, 5), st.integers(1, 3), st.integers(1, 5), st.integers(-2, 4), st.integers(-2, 4)).filter(
    lambda a: a[0] * a[1] + a[3] + a[4] >= a[2] and a[0] * a[1] + min(a[3], 0) + min(a[4], 0) > 0
)


@settings(max_examples=60, deadline=None)
@given(st.tuples(axis, axis, axis))
def test_folded_convolution_is_upsampling_then_convolution(axes: tuple[tuple[int, ...], ...]) -> None:
    cells, upsampling, kernel, before, after = zip(*axes, strict=True)
    padding = Padding(*zip(before, after, strict=True))
    inputs = draw(cells, kernel)
    folded, plain = (convolve(*inputs, upsampling, padding) for convolve in (upsampled_convolution, in_two_steps))
    torch.testing.assert_close(folded, plain)


@pytest.mark.parametrize("grid", [(25, 25, 25), (11, 30, 17)])
def test_gradients_of_the_folded_convolution_are_those_of_the_two_steps(grid: Size) -> None:
    geometry = GeneratorGeometry.for_grid(grid, "seed")
    inputs = draw(geometry.middle, geometry.kernels[2])
    results = [convolve(*inputs, UPSAMPLINGS[1], geometry.paddings[2]) for convolve in (upsampled_convolution, in_two_steps)]
    upstream = torch.randn(results[0].shape, dtype=torch.float64, generator=torch.Generator().manual_seed(2))
    for folded, plain in zip(*(torch.autograd.grad(result, inputs, upstream) for result in results), strict=True):
        torch.testing.assert_close(folded, plain)


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 3, 5, 8])
def test_every_tap_falls_into_one_folded_tap_per_phase(kernel: int, factor: int) -> None:
    sums = phase_sums(kernel, factor)
    assert sums.shape == (factor, num_taps(kernel, factor), kernel)
    assert (sums.sum(1) == 1).all()
