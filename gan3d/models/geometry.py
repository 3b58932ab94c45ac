"""Sizes and paddings with which the generator meets any grid.

Per axis, for a grid of ``n`` cells (``k`` kernel edge, ``s`` upsampling, ``p`` nominal padding per side; 2, 3 the blocks)::

    start --s1--> conv2 (k2) --> middle --s2--> conv3 (k3) --> n + 1 --> output convolution (edge 2, no padding) --> n

A convolution makes ``size + padding - k + 1`` cells. With the nominal padding on both sides, block 3 reaches n + 1 once
``s2 * middle + 2 * p3 - k3 + 1 >= n + 1`` and block 2 reaches ``middle`` once ``s1 * start + 2 * p2 - k2 + 1 >= middle``; hence the
smallest sizes that do,

    middle = ceil((n + k3 - 2 * p3) / s2),    start = ceil((middle + k2 - 1 - 2 * p2) / s1),

and what is too much is taken off the padding, evenly from both sides (an odd rest on the far side; negative padding crops).
For 25 x 25 x 25 and the seed's kernels nothing is too much: these are exactly the seed's sizes and paddings.

An axis that is a ring (x of polar cells) has as many cells as its upsamplings make of the start, ``n = s1 * s2 * start``; padding is what
lies on the other side, and block 3 makes the first cell once more behind the last one, for the output convolution.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal, NamedTuple

#: Along x, y and the depth.
Size = tuple[int, int, int]

#: Nearest-neighbour upsampling after block 1 and after block 2 (the seed's).
UPSAMPLINGS: tuple[Size, Size] = ((2, 2, 2), (2, 2, 3))
#: The seed's kernels of the three blocks, and its padding per side of blocks 2 and 3.
SEED_KERNELS: tuple[Size, Size, Size] = ((6, 6, 8), (6, 5, 8), (3, 3, 8))
SEED_PADDINGS: tuple[Size, Size] = ((2, 2, 0), (1, 0, 3))
#: Kernel edge of the output convolution.
OUTPUT_KERNEL = 2


class Padding(NamedTuple):
    """Cells before and after along each axis; negative crops."""

    x: tuple[int, int]
    y: tuple[int, int]
    depth: tuple[int, int]

    @property
    def depth_first(self) -> tuple[int, ...]:
        """As ``torch.nn.functional.pad`` takes them."""
        return *self.depth, *self.y, *self.x


@dataclass(frozen=True, slots=True)
class AxisGeometry:
    """One axis: cells before block 1, cells after block 2, and all the padding of blocks 1, 2 and 3 (negative: cropping)."""

    start: int
    middle: int
    paddings: tuple[int, int, int]

    @classmethod
    def ending_on(cls, cells: int, kernels: Size, nominal: tuple[int, int], upsamplings: tuple[int, int]) -> AxisGeometry:
        """The geometry of an axis with ``cells`` cells; see the formulas at the top of the file."""
        (k1, k2, k3), (p2, p3), (s1, s2) = kernels, nominal, upsamplings
        middle = ceil((cells + k3 - 2 * p3) / s2)
        start = ceil((middle + k2 - 1 - 2 * p2) / s1)
        last = cells + OUTPUT_KERNEL - 1
        return cls(start, middle, (k1 - 1, middle + k2 - 1 - s1 * start, last + k3 - 1 - s2 * middle))

    @classmethod
    def around(cls, cells: int, kernels: Size, upsamplings: tuple[int, int]) -> AxisGeometry:
        """The geometry of a ring of ``cells`` cells.

        Raises:
            ValueError: the upsamplings do not divide them.
        """
        (k1, k2, k3), (s1, s2) = kernels, upsamplings
        if cells % (s1 * s2):
            msg = f"a ring of {cells} cells is no multiple of {s1 * s2}"
            raise ValueError(msg)
        return cls(cells // (s1 * s2), cells // s2, (k1 - 1, k2 - 1, k3 - 1 + OUTPUT_KERNEL - 1))


@dataclass(frozen=True, slots=True)
class GeneratorGeometry:
    """Kernels and paddings of the three blocks, and the sizes before block 1 and after block 2."""

    kernels: tuple[Size, Size, Size]
    start: Size
    middle: Size
    paddings: tuple[Padding, Padding, Padding]

    @classmethod
    def for_grid(cls, grid: Size, kernel: Literal["seed"] | int, *, is_ring: bool = False) -> GeneratorGeometry:
        """The geometry that ends on ``grid`` exactly; ``kernel`` is the edge of all three blocks (odd), or ``seed``.

        With ``is_ring`` the axis x is closed.
        """
        kernels, nominal = (SEED_KERNELS, SEED_PADDINGS) if kernel == "seed" else ((cubic(kernel),) * 3, (cubic((kernel - 1) // 2),) * 2)
        x, y, depth = (
            AxisGeometry.ending_on(cells, edges, paddings, upsamplings)
            for cells, edges, paddings, upsamplings in zip(
                grid, zip(*kernels, strict=True), zip(*nominal, strict=True), zip(*UPSAMPLINGS, strict=True), strict=True
            )
        )
        if is_ring:
            x = AxisGeometry.around(grid[0], (kernels[0][0], kernels[1][0], kernels[2][0]), (UPSAMPLINGS[0][0], UPSAMPLINGS[1][0]))
        first, second, third = (on_both_sides(*total) for total in zip(x.paddings, y.paddings, depth.paddings, strict=True))
        return cls(kernels, (x.start, y.start, depth.start), (x.middle, y.middle, depth.middle), (first, second, third))


def cubic(edge: int) -> Size:
    """The same along all three axes."""
    return edge, edge, edge


def on_both_sides(x: int, y: int, depth: int) -> Padding:
    """Total padding per axis split evenly, an odd rest on the far side (as TensorFlow's ``same`` for even kernels)."""
    return Padding(*((total // 2, total - total // 2) for total in (x, y, depth)))
