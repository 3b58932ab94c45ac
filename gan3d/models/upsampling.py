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

from dataclasses import dataclass
from math import prod
from typing import Self

import torch
from torch.nn import functional

from gan3d.models.geometry import Padding, Size


def upsampled_convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor, upsampling: Size, padding: Padding) -> torch.Tensor:
    """``conv3d(pad(interpolate(x, upsampling, "nearest"), padding), weight, bias)`` up to rounding.

    Args:
        x: (B, C, n, n, n).
        weight: (O, C, k, k, k).
        bias: (O,).
        upsampling: s of each axis.
        padding: Of the upsampled tensor, as ``torch.nn.functional.pad`` takes it; negative crops.

    Returns:
        (B, O, m, m, m) in the channels-last memory format, per axis ``m = s n + padding - k + 1``.
    """
    sides = [(padding[4], padding[5]), (padding[2], padding[3]), (padding[0], padding[1])]
    axes = [FoldedAxis.of(*axis) for axis in zip(x.shape[2:], upsampling, weight.shape[2:], sides, strict=True)]
    depth_first = [cells for axis in reversed(axes) for cells in (axis.before, axis.after)]
    small = functional.pad(x, depth_first).contiguous(memory_format=torch.channels_last_3d)
    phases = functional.conv3d(small, folded(weight, upsampling), bias.repeat(prod(upsampling)))
    first, second, third = (slice(axis.skip, axis.skip + axis.size) for axis in axes)
    return interleaved(phases, upsampling)[:, :, first, second, third]


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


def folded(weight: torch.Tensor, upsampling: Size) -> torch.Tensor:
    """Kernels of all phases: (O, C, k, k, k) to (s * s * s * O, C, taps, taps, taps)."""
    x, y, depth = (phase_sums(kernel, factor).to(weight) for kernel, factor in zip(weight.shape[2:], upsampling, strict=True))
    kernels = torch.einsum("ocxyz,rix,sjy,tkz->rstocijk", weight, x, y, depth)
    return kernels.flatten(0, 3).contiguous(memory_format=torch.channels_last_3d)


def phase_sums(kernel: int, factor: int) -> torch.Tensor:
    """(phase, folded tap, tap): 1 where the tap falls into the folded tap, else 0."""
    phase, tap = torch.arange(factor)[:, None, None], torch.arange(kernel)
    return ((phase + tap) // factor == torch.arange(num_taps(kernel, factor))[:, None]).float()


def interleaved(phases: torch.Tensor, upsampling: Size) -> torch.Tensor:
    """(B, s * s * s * O, q, q, q) to (B, O, s q, s q, s q), the phases side by side; channels stay last in memory."""
    batch, _, *places = phases.shape
    apart = phases.view(batch, *upsampling, -1, *places)
    together = apart.permute(0, 5, 1, 6, 2, 7, 3, 4).flatten(5, 6).flatten(3, 4).flatten(1, 2)
    return together.permute(0, 4, 1, 2, 3)
