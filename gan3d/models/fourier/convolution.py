"""Convolution with stride 1 by discrete Fourier transforms: the same function, in a fraction of the operations.

Legend: B showers, C channels in, O channels out; per axis: n cells in, m out, kernel k, p cells padded on each side, t a tap.

Per axis a convolution (torch's, a correlation) is ``y[i] = sum over t of w[t] x[i + t - p]``. With the kernel's taps at the positions
``s = p - t`` this is ``y[i] = sum over s of v[s] x[i - s]``, a cyclic convolution if the period N is so long that no index comes
round to a cell that it must not meet: ``N >= n + p``. Cyclic convolutions are products of spectra, and so are their gradients:

    Y = X V,    dX = dY conj(V),    dV = sum over showers of dY conj(X).

Sums over channels are small complex matrix products, one per frequency. For 32 to 8 channels, kernel 5 and 25 cells, about 50 million
multiplications take the place of 500 million. N is the next odd number, so that every frequency but zero has a partner.

Where all cells that a place sees are exactly zero, its sum is 0 here up to rounding only (1e-9, not 0).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.autograd.function import once_differentiable
from torch.nn import functional

from gan3d.models.fourier.kernel import LANES, LONGEST_PERIOD, Axes, Axis, Kernel

#: Cells padded on both sides along each axis.
Paddings = tuple[int, int, int]


def fourier_convolution(
    x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Paddings, *, only_backward: bool = False
) -> torch.Tensor:
    """``conv3d(x, weight, bias, padding=padding)`` up to rounding; fp32 on the CPU, where ``Kernel.here()`` is there.

    Args:
        x: (B, C, n, n, n).
        weight: (O, C, k, k, k).
        bias: (O,).
        padding: p of each axis.
        only_backward: Let torch compute the result, and the kernel its gradients only.

    Returns:
        (B, O, m, m, m) in the channels-last memory format.
    """
    result: torch.Tensor = _Convolution.apply(x, weight, bias, padding, only_backward)  # type: ignore[no-untyped-call]
    return result


def fits(cells: Sequence[int], kernel: Sequence[int], padding: Paddings) -> bool:
    """Whether ``fourier_convolution`` can take these sizes; all of the three axes."""
    return all(p < k <= period_of(n, p) <= LONGEST_PERIOD for n, k, p in zip(cells, kernel, padding, strict=True))


def period_of(cells: int, padding: int) -> int:
    """Smallest odd period of a cyclic convolution that is the wanted one."""
    return (cells + padding) // 2 * 2 + 1


def axes_of(x: torch.Tensor, weight: torch.Tensor, padding: Paddings) -> tuple[Axes, Axes, Axes]:
    """Positions of the cells in, of the cells out, and of the kernel's taps."""
    sizes = list(zip(x.shape[2:], weight.shape[2:], padding, strict=True))
    cells_in = tuple(Axis(n, 0, period_of(n, p)) for n, _, p in sizes)
    cells_out = tuple(Axis(n + 2 * p - k + 1, 0, period_of(n, p)) for n, k, p in sizes)
    taps = tuple(Axis(k, p - k + 1, period_of(n, p)) for n, k, p in sizes)
    return cells_in, cells_out, taps  # type: ignore[return-value]  # three of three each


class _Convolution(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Paddings, only_backward: bool
    ) -> torch.Tensor:
        ctx.axes = cells_in, cells_out, taps = axes_of(x, weight, padding)
        if only_backward:
            ctx.save_for_backward(x, None, weight)
            return functional.conv3d(x, weight, bias, padding=padding)
        kernel = kernel_here()
        inputs = kernel.spectra(channels_last(x), cells_in)
        ctx.save_for_backward(None, inputs if ctx.needs_input_grad[1] else None, weight)
        outputs = kernel.products(inputs, kernel.spectra(matrices(weight.transpose(0, 1)), taps), weight.shape[1], conjugate=False)
        return channels_first(kernel.values(outputs, cells_out, weight.shape[0], None if bias is None else bias.contiguous()))

    @staticmethod
    @once_differentiable  # second derivatives would be zero without a word
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        x, inputs, weight = ctx.saved_tensors
        cells_in, cells_out, taps = ctx.axes
        needs_x, needs_weight, needs_bias = ctx.needs_input_grad[:3]
        kernel, (gradient,) = kernel_here(), gradients
        spectra = kernel.spectra(channels_last(gradient), cells_out)
        of_x = of_weight = None
        if needs_x:
            weights = kernel.spectra(matrices(weight), taps)
            products = kernel.products(spectra, weights, weight.shape[0], conjugate=True)
            of_x = channels_first(kernel.values(products, cells_in, weight.shape[1]))
        if needs_weight:
            inputs = kernel.spectra(channels_last(x), cells_in) if inputs is None else inputs
            correlations = kernel.correlations(inputs, spectra, weight.shape[1])
            of_weight = weights_of(kernel.values(correlations, taps, correlations.shape[2] * LANES), weight)
        return of_x, of_weight, gradient.sum((0, 2, 3, 4)) if needs_bias else None, None, None


def kernel_here() -> Kernel:
    """The kernel; whoever comes here has seen that it is there."""
    kernel = Kernel.here()
    assert kernel is not None, "no kernel was compiled here"
    return kernel


def channels_last(x: torch.Tensor) -> torch.Tensor:
    """(B, C, n, n, n) in any memory format to a contiguous (B, n, n, n, C)."""
    return x.detach().permute(0, 2, 3, 4, 1).contiguous()


def channels_first(x: torch.Tensor) -> torch.Tensor:
    """(B, n, n, n, C) to (B, C, n, n, n), by another look at the same memory."""
    return x.permute(0, 4, 1, 2, 3)


def matrices(weight: torch.Tensor) -> torch.Tensor:
    """(inputs, outputs, k, k, k) to (1, k, k, k, inputs * P) at falling taps, outputs filled up to P whole blocks."""
    inputs, outputs = weight.shape[:2]
    filled = weight.new_zeros(*weight.shape[2:], inputs, -(-outputs // LANES) * LANES)
    filled[..., :outputs] = weight.detach().permute(2, 3, 4, 0, 1).flip(0, 1, 2)
    return filled.flatten(3).unsqueeze(0)


def weights_of(values: torch.Tensor, weight: torch.Tensor) -> torch.Tensor:
    """What ``matrices`` did, undone: (1, k, k, k, C * P) to (O, C, k, k, k)."""
    outputs, inputs = weight.shape[:2]
    by_tap = values.view(*weight.shape[2:], inputs, -1)[..., :outputs]
    return by_tap.permute(4, 3, 0, 1, 2).flip(2, 3, 4).contiguous(memory_format=torch.channels_last_3d)
