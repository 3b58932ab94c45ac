"""A residual block (He et al., arXiv:1512.03385): what it makes is added to what it is given."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

from gan3d.models.convolution import Convolution
from gan3d.models.keras_defaults import LEAK, he_uniform_, initialise_
from gan3d.models.ring import closed

KERNEL = 3


class ResidualBlock(nn.Module):
    """LeakyReLU, convolution, LeakyReLU, convolution; the last starts at zero, so that the block starts as the identity."""

    def __init__(self, channels: int, is_ring: bool = False) -> None:
        """With ``is_ring`` the axis x is closed, its first cell once more behind the last one."""
        super().__init__()
        self.is_ring = is_ring
        padding = (0 if is_ring else KERNEL // 2, KERNEL // 2, KERNEL // 2)
        self.first = Convolution(channels, channels, KERNEL, padding=padding)
        self.second = Convolution(channels, channels, KERNEL, padding=padding)
        initialise_(self.first, he_uniform_)
        initialise_(self.second, nn.init.zeros_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, X, Y, L) to as many."""
        made: torch.Tensor = self._convolved(self.second, self._convolved(self.first, x))
        return x + made

    def _convolved(self, convolution: Convolution, x: torch.Tensor) -> torch.Tensor:
        bent = functional.leaky_relu(x, LEAK)
        if self.is_ring:
            # Of n + 1 cells the last is the first again: behind it lies the second.
            bent = closed(bent[:, :, :-1], KERNEL // 2, KERNEL // 2 + 1)
        made: torch.Tensor = convolution(bent)
        return made
