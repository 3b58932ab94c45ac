"""A 3-D convolution that can be computed in several ways; which one is a matter of speed, and chosen by ``tuning.py``."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.fourier.convolution import Paddings, fits, fourier_convolution
from gan3d.models.fourier.kernel import Kernel

#: How a convolution is computed: by torch; forwards by torch and backwards by Fourier transforms; by Fourier transforms.
Path = Literal["plain", "fourier_backward", "fourier"]
PATHS: tuple[Path, ...] = get_args(Path)


class Shape(NamedTuple):
    """What the speed of a convolution depends on, apart from the batch."""

    cells: tuple[int, ...]
    """(C, n, n, n)."""
    weight: tuple[int, ...]
    """(O, C, k, k, k)."""
    padding: Paddings


class Convolution(nn.Conv3d):
    """``nn.Conv3d`` with zero padding, and with a path where its stride is 1."""

    padding: Paddings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path: Path = "plain"
        self.shape: Shape | None = None
        """Of the newest call; None before the first, and where no path but torch's own can be taken."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n, n) to (B, O, m, m, m)."""
        if self.stride != (1, 1, 1):
            return super().forward(input)
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The same with a weight that was made from this module's; stride 1."""
        can_choose = Kernel.here() is not None and fits(x, weight, self.padding)
        self.shape = Shape(tuple(x.shape[1:]), tuple(weight.shape), self.padding) if can_choose else None
        return convolution(x, weight, bias, self.padding, self.path if can_choose else "plain")


def convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Paddings, path: Path) -> torch.Tensor:
    """Stride 1, zero padding; the same function on every path, up to rounding."""
    if path == "plain":
        return functional.conv3d(x, weight, bias, padding=padding)
    only_backward = path == "fourier_backward"
    if only_backward and not torch.is_grad_enabled():
        return functional.conv3d(x, weight, bias, padding=padding)
    return fourier_convolution(x, weight, bias, padding, only_backward=only_backward)


def arrange_(network: nn.Module, device: torch.device) -> None:
    """Move a network to the device, convolutions' weights in the memory format that is faster there: on a CPU channels last."""
    memory_format = torch.channels_last_3d if device.type == "cpu" else torch.contiguous_format
    network.to(device)
    for module in network.modules():
        if isinstance(module, Convolution):
            module.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs lack it
