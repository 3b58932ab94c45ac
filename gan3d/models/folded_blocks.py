"""The generator's convolution blocks for generating only: kernels folded once, each axis in the way that takes fewer products.

Legend: B showers, C channels in, O channels out; per axis: n cells, upsampling s, kernel k, p cells padded before, q places, m made.

``gan3d.models.upsampling`` folds a kernel over the upsampling before it: ``(s + k - 2) // s + 1`` taps for each of s phases. There is a
second way. A cell repeated s times is the running sum of s terms over that cell followed by s - 1 zeros (v), and sums may be taken last:

    y[o] = sum over d < s of z[o - d],    z[o] = sum over t of w[t] v[o + t - p],    v[s j] = x[j], else 0.

Only every s-th tap meets a cell: ``ceil(k / s)`` taps for each phase, at ``m + s - 1`` instead of m places, and s - 1 additions for each
cell made. With ``o = s q + r - skip`` and the phase ``-s < r <= 0`` all phases meet the same cells, ``x[q - before + i]`` in tap i.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import prod
from typing import Self

import torch
from torch.nn import functional

from gan3d.models.generator import GeneratorBlock
from gan3d.models.geometry import Size
from gan3d.models.ring import closed
from gan3d.models.upsampling import FoldedAxis, phase_sums


@dataclass(frozen=True, slots=True)
class Axis:
    """One axis of a folded convolution."""

    taps: torch.Tensor
    """(phase, folded tap, tap): 1 where the tap falls into the folded tap, else 0."""
    before: int
    after: int
    """Cells padded; negative crops."""
    skip: int
    """Places of the phases, put together, before the first that is wanted."""
    terms: int
    """Terms of the running sum over the phases put together; 1 where there is none."""
    size: int
    """Cells made."""
    places: int
    """Of the convolution."""

    @classmethod
    def folded(cls, cells: int, factor: int, kernel: int, padding: tuple[int, int]) -> Self:
        """As in ``gan3d.models.upsampling``; ``cells`` before the upsampling by ``factor``, padding (before, after) behind it."""
        axis, taps = FoldedAxis.of(cells, factor, kernel, padding), phase_sums(kernel, factor)
        places = cells + axis.before + axis.after - taps.shape[1] + 1
        return cls(taps, axis.before, axis.after, axis.skip, 1, axis.size, places)

    @classmethod
    def summed(cls, cells: int, factor: int, kernel: int, padding: tuple[int, int]) -> Self:
        """The second way; arguments as for ``folded``."""
        phase, tap = torch.arange(1 - factor, 1)[:, None, None], torch.arange(kernel)
        taps = (phase + tap == factor * torch.arange(-(-kernel // factor))[:, None]).float()
        size = factor * cells + sum(padding) - kernel + 1
        before = -(-padding[0] // factor)
        skip = factor * before - padding[0]
        places = -(-(size + factor - 1 + skip) // factor)
        return cls(taps, before, places + taps.shape[1] - 1 - before - cells, skip, factor, size, places)

    @property
    def products(self) -> int:
        """Per phase and channel."""
        return self.places * self.taps.shape[1]

    @property
    def factor(self) -> int:
        """Phases."""
        return self.taps.shape[0]

    @property
    def padded_by_convolution(self) -> int:
        """What is padded alike on both sides is left to the convolution: oneDNN does not multiply it."""
        return max(min(self.before, self.after), 0)


class FoldedConvolution:
    """Upsampling, padding and convolution, with the kernel that the block has when this is made."""

    def __init__(self, block: GeneratorBlock, cells: Size, *, may_sum: bool) -> None:
        """``cells``: before the upsampling. ``may_sum``: running sums too, where they take fewer products."""
        weight, bias, padding = block.convolution.weight.detach(), block.convolution.bias, block.padding
        assert bias is not None
        of_axes = zip(cells, block.upsampling, weight.shape[2:], padding, strict=True)
        # On a ring a sum over the last cells of the first copy would need those of the one before it: folded only.
        x, y, depth = (best_axis(*axis, may_sum and not (block.is_ring and place == 0)) for place, axis in enumerate(of_axes))
        self.axes = x, y, depth
        self.around = (x.before, x.after) if block.is_ring else None
        """Of a ring: its own cells, put before and behind it."""
        self.both_sides = [0 if block.is_ring else x.padded_by_convolution, y.padded_by_convolution, depth.padded_by_convolution]
        padded = (depth, y) if block.is_ring else (depth, y, x)
        self.unlike = [side - axis.padded_by_convolution for axis in padded for side in (axis.before, axis.after)]
        taps = [axis.taps.to(weight) for axis in self.axes]
        kernel = torch.einsum("ocxyz,rix,sjy,tkz->rstocijk", weight, *taps).flatten(0, 3)
        self.kernel = kernel.contiguous(memory_format=torch.channels_last_3d)
        # Where sums are taken afterwards, each term brings its share of the bias.
        self.bias = bias.detach().repeat(prod(block.upsampling)) / prod(axis.terms for axis in self.axes)

    @property
    def upsampling(self) -> Size:
        """Phases of each axis."""
        x, y, depth = (axis.factor for axis in self.axes)
        return x, y, depth

    @property
    def places(self) -> Size:
        """Of each axis."""
        x, y, depth = (axis.places for axis in self.axes)
        return x, y, depth

    @property
    def size(self) -> Size:
        """Cells made."""
        x, y, depth = (axis.size for axis in self.axes)
        return x, y, depth

    @property
    def bytes_per_shower(self) -> int:
        """Of the phases."""
        return prod(self.places) * len(self.kernel) * self.kernel.element_size()

    def phases(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, n, n, n) to phases (B, q, q, q, s * s * s * O), contiguous."""
        if self.around is not None:
            x = closed(x, *self.around)
        padded = functional.pad(x, self.unlike) if any(self.unlike) else x
        several = at_least_two(padded).contiguous(memory_format=torch.channels_last_3d)
        return functional.conv3d(several, self.kernel, self.bias, padding=self.both_sides)[: len(x)].permute(0, 2, 3, 4, 1)

    def __call__(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, n, n, n) to (B, O, m, m, m), channels last in memory."""
        return self.together(self.phases(x))

    def together(self, phases: torch.Tensor) -> torch.Tensor:
        """What ``phases`` made, side by side and summed: (B, O, m, m, m), channels last in memory where there are no sums."""
        apart = torch.unflatten(phases, 4, (*self.upsampling, -1))
        made = together(apart, [axis.skip for axis in self.axes], [axis.size + axis.terms - 1 for axis in self.axes])
        for dim, axis in enumerate(self.axes, start=1):
            made = running_sum(made, dim, axis.terms)
        return made.permute(0, 4, 1, 2, 3)


def at_least_two(x: torch.Tensor) -> torch.Tensor:
    """Activations (B, C, n, n, n), a single shower's twice.

    Of a single one torch does not give every convolution to oneDNN; without, it takes three to five times as long.
    """
    return x.expand(2, -1, -1, -1, -1) if len(x) == 1 else x


def best_axis(cells: int, factor: int, kernel: int, padding: tuple[int, int], may_sum: bool) -> Axis:
    """The way that takes fewer products."""
    ways = [Axis.folded(cells, factor, kernel, padding)]
    if may_sum:
        ways.append(Axis.summed(cells, factor, kernel, padding))
    return min(ways, key=lambda axis: axis.products)


def together(apart: torch.Tensor, skip: list[int], size: list[int]) -> torch.Tensor:
    """Phases side by side: (B, q, q, q, s, s, s, O) of any strides to (B, n, n, n, O), ``size`` places from ``skip``."""
    side_by_side = apart.permute(0, 1, 4, 2, 5, 3, 6, 7).flatten(5, 6).flatten(3, 4).flatten(1, 2)
    x, y, depth = (slice(first, first + cells) for first, cells in zip(skip, size, strict=True))
    return side_by_side[:, x, y, depth]


def running_sum(x: torch.Tensor, dim: int, terms: int) -> torch.Tensor:
    """Sums of ``terms`` neighbours along an axis, which becomes ``terms - 1`` shorter."""
    size = x.shape[dim] - terms + 1
    total = x.narrow(dim, 0, size)
    for term in range(1, terms):
        total = total + x.narrow(dim, term, size)
    return total
