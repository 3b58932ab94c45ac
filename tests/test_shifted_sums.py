from __future__ import annotations

import pytest
import torch
from torch.nn import functional

from gan3d.models.shifted_sums import convolution_with_shifted_sums

#: Showers, filters, cells, kernel, padding.
SHAPES = [
    (3, 4, (9, 8, 7), (3, 3, 3), (1, 1, 1)),
    (2, 5, (9, 10, 11), (5, 5, 5), (2, 2, 2)),
    (1, 1, (4, 5, 6), (1, 2, 4), (0, 1, 2)),
    (2, 3, (6, 6, 6), (5, 3, 2), (0, 0, 0)),
]

Shape = tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, int, int]]


def operands(shape: Shape) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    batch, filters, cells, kernel, _ = shape
    random = torch.Generator().manual_seed(1)
    x, weight = torch.randn(batch, 1, *cells, generator=random), torch.randn(filters, 1, *kernel, generator=random)
    return x.requires_grad_(), weight.requires_grad_(), torch.randn(filters, generator=random).requires_grad_()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_output_and_gradients_are_the_convolutions(shape: Shape, dtype: torch.dtype) -> None:
    tensors, padding = [tensor.to(dtype) for tensor in operands(shape)], shape[4]
    exact = [tensor.double() for tensor in tensors]
    found, expected = convolution_with_shifted_sums(*tensors, padding), functional.conv3d(*exact, padding=padding)
    towards = torch.randn(found.shape, generator=torch.Generator().manual_seed(2))
    rounding = 2e-6 if dtype == torch.float32 else 1e-14
    gradients = torch.autograd.grad(found, tensors, towards.to(dtype)), torch.autograd.grad(expected, exact, towards.double())
    for ours, theirs in zip([found, *gradients[0]], [expected, *gradients[1]], strict=True):
        assert ours.shape == theirs.shape
        assert (ours.double() - theirs).abs().max() <= rounding * theirs.abs().max() * 5


def test_memory_format_of_the_gradient_changes_no_value() -> None:
    x, weight, bias = operands(SHAPES[0])
    y = convolution_with_shifted_sums(x, weight, bias, SHAPES[0][4])
    towards = torch.randn(y.shape, generator=torch.Generator().manual_seed(2))
    last = towards.contiguous(memory_format=torch.channels_last_3d)
    (first,), (second,) = (torch.autograd.grad(y, x, each, retain_graph=True) for each in (towards, last))
    torch.testing.assert_close(first, second, atol=1e-5, rtol=1e-5)
