"""A 3-D convolution that can be computed in several ways; which one is a matter of speed, and chosen by ``tuning.py``."""

from __future__ import annotations

from typing import Any, Literal, NamedTuple, get_args

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.fourier.convolution import Paddings, fits, fourier_convolution
from gan3d.models.fourier.kernel import Kernel
from gan3d.models.shifted_sums import convolution_with_shifted_sums

#: How a convolution is computed: by torch; by torch but for the input gradient, which is taken by shifted sums; forwards by torch and
#: backwards by Fourier transforms; by Fourier transforms.
Path = Literal["plain", "shifted_sums", "fourier_backward", "fourier"]
PATHS: tuple[Path, ...] = get_args(Path)


class Shape(NamedTuple):
    """What the speed of a convolution depends on, apart from the batch."""

    cells: tuple[int, ...]
    """(C, n, n, n)."""
    weight: tuple[int, ...]
    """(O, C, k, k, k)."""
    padding: Paddings

    @property
    def paths(self) -> tuple[Path, ...]:
        """Those that can be taken in single precision on a CPU; shifted sums with one channel in, Fourier transforms with a kernel."""
        possible: dict[Path, bool] = dict.fromkeys(PATHS, Kernel.here() is not None and fits(self.cells[1:], self.weight[2:], self.padding))
        possible |= {"plain": True, "shifted_sums": self.cells[0] == 1}
        return tuple(path for path in PATHS if possible[path])


class Convolution(nn.Conv3d):
    """``nn.Conv3d`` with zero padding, and with a path where its stride is 1."""

    padding: Paddings

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.path: Path = "plain"
        self.memory_format: torch.memory_format = torch.channels_last_3d
        """Of the weights, and of what is made for this convolution; see ``arrange_``."""
        self.shape: Shape | None = None
        """Of the newest call; None before the first, and where no path but torch's own can be taken."""

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """(B, C, n, n, n) to (B, O, m, m, m)."""
        if self.stride != (1, 1, 1):
            return super().forward(input)
        return self.convolve(input, self.weight, self.bias)

    def convolve(self, x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None) -> torch.Tensor:
        """The same with a weight that was made from this module's; stride 1."""
        has_choice = x.shape[0] > 0 and x.device.type == "cpu" and x.dtype == weight.dtype == torch.float32
        if not has_choice or torch.is_autocast_enabled("cpu"):
            self.shape = None
            return convolution(x, weight, bias, self.padding, "plain")
        self.shape = Shape(tuple(x.shape[1:]), tuple(weight.shape), self.padding)
        # A choice that was made on another machine may not be there on this one.
        return convolution(x, weight, bias, self.padding, self.path if self.path in self.shape.paths else "plain")


def convolution(x: torch.Tensor, weight: torch.Tensor, bias: torch.Tensor | None, padding: Paddings, path: Path) -> torch.Tensor:
    """Stride 1, zero padding; the same function on every path, up to rounding."""
    if path == "fourier":
        return fourier_convolution(x, weight, bias, padding)
    if path == "plain" or not torch.is_grad_enabled():
        return functional.conv3d(x, weight, bias, padding=padding)
    if path == "shifted_sums":
        return convolution_with_shifted_sums(x, weight, bias, padding)
    return fourier_convolution(x, weight, bias, padding, only_backward=True)


def arrange_(network: nn.Module, device: torch.device, *, channels_last: bool = True) -> None:
    """Move a network to the device, convolutions' weights in the memory format that is faster there: on a CPU channels last, if asked."""
    memory_format = torch.channels_last_3d if device.type == "cpu" and channels_last else torch.contiguous_format
    network.to(device)
    for module in network.modules():
        if isinstance(module, Convolution):
            module.memory_format = memory_format
            module.to(memory_format=memory_format)  # type: ignore[call-overload]  # torch's stubs lack it
