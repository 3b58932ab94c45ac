from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from gan3d.models.folded_blocks import Axis, FoldedConvolution, best_axis, running_sum, together
from gan3d.models.generator import GeneratorBlock
from gan3d.models.geometry import UPSAMPLINGS, GeneratorGeometry, Padding

#: Cells, upsampling, kernel, padding before and after: such that something is left of every axis.
axis = st.tuples(st.integers(3, 5), st.integers(1, 3), st.integers(1, 6), st.integers(-2, 4), st.integers(-2, 4)).filter(
    lambda a: a[0] * a[1] + a[3] + a[4] >= a[2] and a[0] * a[1] + min(a[3], 0) + min(a[4], 0) > 0
)


@settings(max_examples=60, deadline=None)
@given(st.tuples(axis, axis, axis), st.integers(1, 2), st.booleans())
def test_a_folded_convolution_is_upsampling_padding_and_convolution(
    axes: tuple[tuple[int, ...], ...], num_showers: int, may_sum: bool
) -> None:
    torch.manual_seed(1)
    cells, upsampling, kernel, before, after = zip(*axes, strict=True)
    padding = Padding(*zip(before, after, strict=True))
    block = GeneratorBlock((2, 3), kernel, padding, upsampling).double()
    torch.nn.init.normal_(block.convolution.bias)
    x = torch.randn(num_showers, 2, *cells, dtype=torch.float64)
    plain = block.convolution(functional.pad(functional.interpolate(x, scale_factor=upsampling, mode="nearest"), padding.depth_first))
    folded = FoldedConvolution(block, cells, may_sum=may_sum)
    torch.testing.assert_close(folded(x), plain)
    assert folded.size == plain.shape[2:]


@given(axis)
def test_both_ways_make_the_same_cells_and_the_cheaper_one_is_taken(sizes: tuple[int, ...]) -> None:
    cells, factor, kernel, before, after = sizes
    folded, summed = (way(cells, factor, kernel, (before, after)) for way in (Axis.folded, Axis.summed))
    assert folded.size == summed.size == factor * cells + before + after - kernel + 1
    assert best_axis(cells, factor, kernel, (before, after), True).products == min(folded.products, summed.products)
    assert best_axis(cells, factor, kernel, (before, after), False).terms == 1


@pytest.mark.parametrize("factor", [1, 2, 3])
@pytest.mark.parametrize("kernel", [1, 2, 5, 6, 8])
def test_with_sums_taken_last_every_tap_meets_a_cell_in_one_phase(factor: int, kernel: int) -> None:
    taps = Axis.summed(5, factor, kernel, (2, 2)).taps
    assert taps.shape == (factor, -(-kernel // factor), kernel)
    assert (taps.sum((0, 1)) == 1).all()


def test_sums_taken_last_save_products_where_the_seed_s_second_kernel_is_even() -> None:
    geometry = GeneratorGeometry.for_grid((25, 25, 25), "seed")
    block = GeneratorBlock((4, 3), geometry.kernels[1], geometry.paddings[1], UPSAMPLINGS[0])
    assert [axis.terms for axis in FoldedConvolution(block, geometry.start, may_sum=True).axes] == [2, 1, 2]


def test_phases_are_put_side_by_side_from_the_first_place_wanted() -> None:
    numbers = torch.arange(2 * 3 * 4.0).view(1, 1, 1, 4, 1, 2, 3, 1).permute(0, 1, 2, 3, 4, 5, 6, 7)
    side_by_side = together(numbers, [0, 0, 1], [1, 2, 10])
    assert side_by_side[0, 0, 0, :, 0].tolist() == [1, 2, 6, 7, 8, 12, 13, 14, 18, 19]


def test_running_sums_are_of_neighbours() -> None:
    x = torch.tensor([[1.0, 2.0, 4.0, 8.0]])
    assert running_sum(x, 1, 3).tolist() == [[7.0, 14.0]]
    assert running_sum(x, 1, 1).tolist() == x.tolist()
