"""Convolution of an upsampled tensor without making the upsampled tensor.

Legend: B showers, C channels in, O channels out; per axis: n cells, upsampling s, kernel k, p cells padded before, t a tap.

Nearest-neighbour upsampling repeats a cell s times: ``u[j] = x[j // s]``. What a convolution makes of it at place o is

    y[o] = sum over t of w[t] u[o + t - p] = sum over t of w[t] x[(o + t - p) // s].

Write ``p = s * before - skip`` with ``0 <= skip < s``, and ``o + skip = s * q + r`` with the phase ``0 <= r < s``. Then

    y[o] = sum over i of W_r[i] x[q - before + i],    W_r[i] = sum of w[t] over the t with (r + t) // s == i:

one convolution per phase, of the small tensor, with ``(s + k - 2) // s + 1`` taps. The sums are the same in another order; per axis
the work falls from k to that many taps. In 3-D the phases of all axes are channels of one convolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import product
from math import prod
from typing import Any, NamedTuple, Self

import torch
from torch.nn import functional

from gan3d.models.geometry import Padding, Size
from gan3d.models.ring import closed

#: A convolution without padding, of cells with a weight and a bias.
Convolve = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], torch.Tensor]


class Computation(NamedTuple):
    """How the folded convolution is computed: by what, and in which memory format."""

    convolve: Convolve = functional.conv3d
    memory_format: torch.memory_format = torch.channels_last_3d


TORCHS_OWN = Computation()


def upsampled_convolution(
    x: torch.Tensor,
    weight: torch.Tensor,
    bias: torch.Tensor,
    upsampling: Size,
    padding: Padding,
    how: Computation = TORCHS_OWN,
    *,
    is_ring: bool = False,
) -> torch.Tensor:
    """``conv3d(pad(interpolate(x, upsampling, "nearest"), padding), weight, bias)`` up to rounding.

    Args:
        x: (B, C, n, n, n).
        weight: (O, C, k, k, k).
        bias: (O,).
        upsampling: s of each axis.
        padding: Of the upsampled tensor.
        how: Of the folded convolution.
        is_ring: Whether the first axis is closed, and padded with what lies on its other side.

    Returns:
        (B, O, m, m, m) in that memory format, per axis ``m = s n + padding - k + 1``.
    """
    axes = [FoldedAxis.of(*axis) for axis in zip(x.shape[2:], upsampling, weight.shape[2:], padding, strict=True)]
    of_small = Padding(*((axis.before, axis.after) for axis in axes))
    small = (around(x, of_small) if is_ring else functional.pad(x, of_small.depth_first)).contiguous(memory_format=how.memory_format)
    if prod(upsampling) == 1:
        return how.convolve(small, weight, bias)
    phases = how.convolve(small, folded(weight, upsampling, how.memory_format), bias.repeat(prod(upsampling)))
    interleaving = tuple((factor, axis.skip, axis.size) for factor, axis in zip(upsampling, axes, strict=True))
    together: torch.Tensor = _Interleaved.apply(phases, interleaving, how.memory_format)  # type: ignore[no-untyped-call]
    return together


def around(x: torch.Tensor, padding: Padding) -> torch.Tensor:
    """(B, C, X, Y, L) padded with what lies on the other side along x, with zeros along y and the depth."""
    return functional.pad(closed(x, *padding.x), padding._replace(x=(0, 0)).depth_first)


@dataclass(frozen=True, slots=True)
class FoldedAxis:
    """One axis: padding of the small tensor, and which of the interleaved places are the result's."""

    before: int
    after: int
    skip: int
    size: int

    @classmethod
    def of(cls, cells: int, factor: int, kernel: int, padding: tuple[int, int]) -> Self:
        """From cells before upsampling, its factor, the kernel edge and the padding (before, after) of the upsampled axis."""
        size = factor * cells + sum(padding) - kernel + 1
        before = -(-padding[0] // factor)
        skip = factor * before - padding[0]
        places = -(-(size + skip) // factor)
        return cls(before, places + num_taps(kernel, factor) - 1 - before - cells, skip, size)


def num_taps(kernel: int, factor: int) -> int:
    """Edge of the folded kernel."""
    return (factor + kernel - 2) // factor + 1


def folded(weight: torch.Tensor, upsampling: Size, memory_format: torch.memory_format) -> torch.Tensor:
    """Kernels of all phases: (O, C, k, k, k) to (s * s * s * O, C, taps, taps, taps)."""
    x, y, depth = (phase_sums(kernel, factor).to(weight) for kernel, factor in zip(weight.shape[2:], upsampling, strict=True))
    kernels = torch.einsum("ocxyz,rix,sjy,tkz->rstocijk", weight, x, y, depth)
    return kernels.flatten(0, 3).contiguous(memory_format=memory_format)


def phase_sums(kernel: int, factor: int) -> torch.Tensor:
    """(phase, folded tap, tap): 1 where the tap falls into the folded tap, else 0."""
    phase, tap = torch.arange(factor)[:, None, None], torch.arange(kernel)
    return ((phase + tap) // factor == torch.arange(num_taps(kernel, factor))[:, None]).float()


#: Of each axis: upsampling s, places skipped, size m of the result.
Interleaving = tuple[tuple[int, int, int], ...]


class _Interleaved(torch.autograd.Function):
    """(B, s * s * s * O, q, q, q) to (B, O, m, m, m): phases side by side, without the places beyond the result; in one memory format.

    In one copy each way. A permutation, a reshape and a slice are two, and leave tensors with gaps, on which torch is slow.
    """

    @staticmethod
    def forward(ctx: Any, phases: torch.Tensor, axes: Interleaving, memory_format: torch.memory_format) -> torch.Tensor:
        ctx.axes, ctx.shape, ctx.memory_format = axes, phases.shape, memory_format
        apart = phases.permute(0, 2, 3, 4, 1)
        channels = phases.shape[1] // prod(s for s, _, _ in axes)
        made = like(phases, (phases.shape[0], channels, *(size for _, _, size in axes)), memory_format)
        together = made.permute(0, 2, 3, 4, 1)
        for number, (places, at) in enumerate(phases_of(axes)):
            together[at] = apart[places][..., number * channels : (number + 1) * channels]
        return made

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor, None, None]:
        together = gradients[0].permute(0, 2, 3, 4, 1)
        gradient = like(gradients[0], ctx.shape, ctx.memory_format).zero_()
        apart, channels = gradient.permute(0, 2, 3, 4, 1), together.shape[-1]
        for number, (places, at) in enumerate(phases_of(ctx.axes)):
            apart[places][..., number * channels : (number + 1) * channels] = together[at]
        return gradient, None, None


def like(x: torch.Tensor, shape: Sequence[int], memory_format: torch.memory_format) -> torch.Tensor:
    """An empty tensor of another shape, in a memory format."""
    return torch.empty(*shape, dtype=x.dtype, device=x.device, memory_format=memory_format)


def phases_of(axes: Interleaving) -> Iterator[tuple[tuple[slice, ...], tuple[slice, ...]]]:
    """Of each phase, in the order of the channels: its places in the small tensor, and where they go in the result."""
    for offsets in product(*(range(s) for s, _, _ in axes)):
        places, at = [slice(None)], [slice(None)]
        for offset, (s, skip, size) in zip(offsets, axes, strict=True):
            first = -(-(skip - offset) // s)  # the first q with s q + offset >= skip
            start = s * first + offset - skip
            places.append(slice(first, first + -(-(size - start) // s)))
            at.append(slice(start, None, s))
        yield tuple(places), tuple(at)
