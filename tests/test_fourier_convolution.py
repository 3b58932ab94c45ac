from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gan3d.models.fourier.convolution import axes_of, fits, fourier_convolution, period_of
from gan3d.models.fourier.kernel import Kernel

pytestmark = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here: gan3d was installed without a C compiler")

#: Channels in, channels out, cells, kernel, padding: the seed's blocks, channels that fill no block, unequal axes, one cell, even kernels.
SHAPES = [
    (1, 32, (25, 25, 25), (5, 5, 5), (2, 2, 2)),
    (32, 8, (25, 25, 25), (5, 5, 5), (2, 2, 2)),
    (8, 8, (25, 25, 25), (5, 5, 5), (1, 1, 1)),
    (8, 64, (12, 12, 15), (6, 6, 8), (0, 0, 0)),
    (6, 1, (26, 9, 13), (2, 2, 2), (0, 0, 0)),
    (3, 5, (7, 10, 4), (3, 1, 4), (1, 0, 2)),
    (17, 9, (5, 6, 7), (5, 3, 7), (2, 1, 3)),
    (2, 3, (1, 1, 1), (1, 1, 1), (0, 0, 0)),
]
#: Largest difference in units of the largest entry: a few roundings of fp32, as a direct sum has them.
ROUNDING = 2e-5

Shape = tuple[int, int, tuple[int, ...], tuple[int, ...], tuple[int, int, int]]


def operands(shape: Shape, batch: int = 3, seed: int = 1) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Showers, weight and bias, away from exact zeros."""
    inputs, outputs, cells, kernel, _ = shape
    random = torch.Generator().manual_seed(seed)
    x = torch.rand(batch, inputs, *cells, generator=random) - 0.3
    weight = torch.randn(outputs, inputs, *kernel, generator=random) / (inputs * 5) ** 0.5
    return x.requires_grad_(), weight.requires_grad_(), torch.randn(outputs, generator=random).requires_grad_()


def results(shape: Shape, path: str, batch: int = 3) -> list[torch.Tensor]:
    """Output and the three gradients: by torch in double precision, or in single precision by the kernel."""
    tensors = operands(shape, batch)
    padding = shape[4]
    if path == "double":
        y = functional.conv3d(*(tensor.double() for tensor in tensors), padding=padding)
    else:
        y = fourier_convolution(*tensors, padding, only_backward=path == "fourier_backward")
    towards = torch.rand(y.shape, generator=torch.Generator().manual_seed(2)).to(y.dtype) - 0.4
    return [y.detach(), *torch.autograd.grad(y, tensors, towards)]


def assert_equal_to_rounding(found: list[torch.Tensor], expected: list[torch.Tensor]) -> None:
    for ours, exact in zip(found, expected, strict=True):
        assert ours.shape == exact.shape
        assert (ours.double() - exact).abs().max() <= ROUNDING * exact.abs().max()


@pytest.mark.parametrize("path", ["fourier", "fourier_backward"])
@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_output_and_gradients_are_those_in_double_precision_to_rounding(shape: Shape, path: str) -> None:
    assert_equal_to_rounding(results(shape, path), results(shape, "double"))


@given(
    channels=st.tuples(st.integers(1, 20), st.integers(1, 20)),
    axes=st.tuples(*[st.tuples(st.integers(1, 12), st.integers(1, 6), st.integers(0, 5))] * 3),
    batch=st.integers(1, 6),
)
@settings(max_examples=60, deadline=None)
def test_any_shape_that_fits_is_the_same_function(channels: tuple[int, int], axes: tuple[tuple[int, int, int], ...], batch: int) -> None:
    cells, kernel, padding = zip(*axes, strict=True)
    shape: Shape = (*channels, cells, kernel, (padding[0], padding[1], padding[2]))
    has_output = all(n + 2 * p >= k for n, k, p in axes)
    if has_output and fits(cells, kernel, shape[4]):
        assert_equal_to_rounding(results(shape, "fourier", batch), results(shape, "double", batch))


def test_memory_format_of_the_input_changes_no_bit() -> None:
    shape = SHAPES[6]
    x, weight, bias = operands(shape)
    last = x.detach().contiguous(memory_format=torch.channels_last_3d)
    assert torch.equal(fourier_convolution(x, weight, bias, shape[4]), fourier_convolution(last, weight, bias, shape[4]))


def test_a_bias_with_gaps_is_read_where_it_lies() -> None:
    shape = SHAPES[6]
    x, weight, bias = operands(shape)
    with_gaps = torch.stack([bias.detach(), bias.detach() + 1], dim=1)[:, 0]
    assert torch.equal(fourier_convolution(x, weight, with_gaps, shape[4]), fourier_convolution(x, weight, bias, shape[4]))


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_shower_that_is_no_number_leaves_the_others_alone(value: float) -> None:
    shape = SHAPES[6]
    x, weight, bias = operands(shape, batch=6)
    broken = x.detach().clone()
    broken[2, 3, 1, 1, 1] = value
    others = [0, 1, 3, 4, 5]
    found = fourier_convolution(broken, weight, bias, shape[4])
    assert torch.equal(found[others], fourier_convolution(x, weight, bias, shape[4])[others])
    assert not found[2].isfinite().any()


def test_showers_do_not_see_each_other_and_their_number_changes_no_bit() -> None:
    shape = SHAPES[6]
    x, weight, bias = operands(shape, batch=7)
    together = fourier_convolution(x, weight, bias, shape[4])
    alone = torch.cat([fourier_convolution(one[None], weight, bias, shape[4]) for one in x])
    assert torch.equal(together, alone)


def test_threads_change_no_bit() -> None:
    shape = SHAPES[1]
    before = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        one = results(shape, "fourier")
        torch.set_num_threads(2)
        two = results(shape, "fourier")
    finally:
        torch.set_num_threads(before)
    assert all(torch.equal(a, b) for a, b in zip(one, two, strict=True))


def test_a_frozen_weight_keeps_no_spectra_of_the_showers() -> None:
    shape = SHAPES[1]
    x, weight, bias = operands(shape)
    kept: list[torch.Size] = []
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: kept.append(tensor.shape) or tensor, lambda tensor: tensor):
        fourier_convolution(x, weight.detach(), bias.detach(), shape[4])
    assert kept == [weight.shape]


@pytest.mark.parametrize(
    ("cells", "kernel", "padding"),
    [((9, 9, 9), (3, 3, 3), (3, 1, 1)), ((9, 9, 1), (3, 3, 5), (1, 1, 2)), ((300, 2, 2), (3, 1, 1), (1, 0, 0))],
    ids=["padding beyond the kernel", "kernel beyond the period", "period too long"],
)
def test_what_does_not_fit_is_refused(cells: tuple[int, ...], kernel: tuple[int, ...], padding: tuple[int, int, int]) -> None:
    assert not fits(cells, kernel, padding)


@given(cells=st.integers(1, 100), padding=st.integers(0, 5))
def test_the_period_is_the_shortest_odd_one_on_which_no_cell_comes_round(cells: int, padding: int) -> None:
    period = period_of(cells, padding)
    assert period % 2 == 1
    assert cells + padding <= period <= cells + padding + 1


def test_taps_lie_at_falling_positions() -> None:
    x, weight = torch.zeros(1, 1, 9, 9, 9), torch.zeros(1, 1, 3, 3, 3)
    _, _, taps = axes_of(x, weight, (1, 0, 2))
    assert [(axis.count, axis.low) for axis in taps] == [(3, -1), (3, -2), (3, 0)]
