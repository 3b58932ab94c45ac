from __future__ import annotations

from typing import Literal

import pytest

from gan3d.models.geometry import UPSAMPLINGS, GeneratorGeometry, Size

GRIDS: list[Size] = [(25, 25, 25), (51, 51, 25), (45, 16, 9), (8, 8, 8), (11, 30, 17), (128, 9, 64)]
KERNELS: list[Literal["seed"] | int] = ["seed", 3, 5, 7]


def test_seed_sizes_and_paddings() -> None:
    geometry = GeneratorGeometry.for_grid((25, 25, 25), "seed")
    assert geometry.start == (7, 7, 8)
    assert geometry.middle == (13, 14, 9)
    same, second, third = geometry.paddings
    assert same == ((2, 3), (2, 3), (3, 4)), "TensorFlow's `same`: the odd rest on the far side"
    assert second == ((2, 2), (2, 2), (0, 0))
    assert third == ((1, 1), (0, 0), (3, 3))


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_blocks_end_one_cell_beyond_the_grid(grid: Size, kernel: Literal["seed"] | int) -> None:
    geometry = GeneratorGeometry.for_grid(grid, kernel)
    for axis in range(3):
        size, sizes = geometry.start[axis], []
        for kernels, padding, upsampling in zip(geometry.kernels, geometry.paddings, ((1, 1, 1), *UPSAMPLINGS), strict=True):
            size = size * upsampling[axis] + sum(padding[axis]) - kernels[axis] + 1
            sizes.append(size)
        assert sizes == [geometry.start[axis], geometry.middle[axis], grid[axis] + 1]


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", KERNELS)
def test_paddings_are_balanced(grid: Size, kernel: Literal["seed"] | int) -> None:
    for padding in GeneratorGeometry.for_grid(grid, kernel).paddings:
        for before, after in padding:
            assert after - before in (0, 1)


@pytest.mark.parametrize("grid", GRIDS)
@pytest.mark.parametrize("kernel", [3, 5, 7])
def test_start_is_the_smallest_that_reaches_the_grid_with_the_nominal_padding(grid: Size, kernel: int) -> None:
    geometry = GeneratorGeometry.for_grid(grid, kernel)
    nominal = (kernel - 1) // 2
    for axis, cells in enumerate(grid):
        for before, after, factor in (
            (geometry.middle[axis], cells + 1, UPSAMPLINGS[1][axis]),
            (geometry.start[axis], geometry.middle[axis], 2),
        ):
            assert before * factor + 2 * nominal - kernel + 1 >= after
            assert (before - 1) * factor + 2 * nominal - kernel + 1 < after
