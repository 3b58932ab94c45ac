"""The discriminator: showers to validity and to the quantities a generated shower must have right.

Legend: B showers, C channels, X, Y transverse cells, L layers.
Architecture and initialisers are the seed's (svalleco/3Dgan, branch Energy-gan, keras/EcalEnergyGan.py).
"""

from __future__ import annotations

from contextlib import nullcontext
from math import prod
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional
from torch.nn.utils.parametrizations import spectral_norm

from gan3d.config.networks import Discriminator
from gan3d.config.training import Grid
from gan3d.models.convolution import Convolution
from gan3d.models.dropout import Dropout
from gan3d.models.keras_defaults import LEAK, initialise_
from gan3d.models.normalisation import make_normalisation
from gan3d.models.ring import closed
from gan3d.physics.transform import ENERGY_UNIT_GEV, Transform

#: Edge of the average pooling before the heads (the seed's).
POOLING = 2
#: Added to a variance whose root is taken.
SMALLEST_VARIANCE = 1e-8


class DiscriminatorOutput(NamedTuple):
    """What the discriminator says of each shower; tensors of shape (B,)."""

    validity_logit: torch.Tensor
    """Logit of being real."""
    incident_energy: torch.Tensor
    """Regressed [GeV]."""
    deposited_energy: torch.Tensor
    """Sum over the cells [GeV]."""
    polar_angle: torch.Tensor | None
    """Regressed [rad]; None where the showers are not conditioned on it."""


class DiscriminatorNetwork(nn.Module):
    """Up to four convolution blocks (the first not normalised), average pooling, linear heads, and the sum over the cells."""

    def __init__(self, settings: Discriminator, grid: Grid, transform: Transform, polar_angle: bool = False, is_ring: bool = False) -> None:
        """With ``is_ring`` x is an angle around the shower."""
        super().__init__()
        self.transform = transform
        size, channels = list(grid), 1
        blocks = []
        for number, (filters, stride) in enumerate(zip(settings.filters[: settings.blocks], settings.strides, strict=False), start=1):
            padding = padding_of_block(number, settings.kernel)
            around = (settings.kernel - 1) // 2 if is_ring else 0
            paddings = (around or padding, padding, padding)
            size = [size_of_block(cells, settings.kernel, sides, stride) for cells, sides in zip(size, paddings, strict=True)]
            normalisation = make_normalisation(settings.normalisation, filters, size[-1]) if number > 1 else nn.Identity()
            block = DiscriminatorBlock(
                Convolution(channels, filters, settings.kernel, stride=stride, padding=(0 if is_ring else padding, padding, padding)),
                normalisation,
                settings.dropout,
                around=around,
            )
            if settings.residual and is_residual(number):
                block.shortcut = Convolution(channels, filters, 1, stride=stride, bias=False)
                initialise_(block.shortcut, nn.init.xavier_uniform_)
            if settings.normalisation == "spectral":
                spectral_norm(block.convolution)
            blocks.append(block)
            channels = filters
        self.blocks = nn.Sequential(*blocks)
        self.has_minibatch_statistics = settings.minibatch_statistics
        num_features = channels * prod(cells // POOLING for cells in size) + settings.minibatch_statistics
        self.validity = head(num_features)
        self.incident_energy = head(num_features)
        self.polar_angle = head(num_features) if polar_angle else None

    def forward(self, cells_BXYL: torch.Tensor) -> DiscriminatorOutput:
        """Judge cells in network units."""
        features = functional.avg_pool3d(self.blocks(cells_BXYL.unsqueeze(1)), POOLING).flatten(1)
        # What is said of a shower has the precision of the weights, whatever convolutions are computed in: bf16 rounds energies to 0.4 %.
        full, device = self.validity.weight.dtype, features.device.type
        with torch.autocast(device, enabled=False) if torch.amp.is_autocast_available(device) else nullcontext():  # `meta` has none
            return self._said(features.to(full), self.transform.to_gev(cells_BXYL.to(full)).sum((1, 2, 3)))

    def _said(self, features: torch.Tensor, deposited_energy_B: torch.Tensor) -> DiscriminatorOutput:
        if self.has_minibatch_statistics:
            features = torch.cat([features, spread_of(features).expand(len(features), 1)], dim=1)
        return DiscriminatorOutput(
            validity_logit=self.validity(features).squeeze(1),
            incident_energy=ENERGY_UNIT_GEV * self.incident_energy(features).squeeze(1),
            deposited_energy=deposited_energy_B,
            polar_angle=None if self.polar_angle is None else self.polar_angle(features).squeeze(1),
        )


class DiscriminatorBlock(nn.Module):
    """Convolution, LeakyReLU, normalisation, the input by its shortcut where there is one, dropout."""

    def __init__(self, convolution: Convolution, normalisation: nn.Module, dropout: float, *, around: int = 0) -> None:
        """``around`` cells of the ring that x is are put before and behind it, where it is one."""
        super().__init__()
        self.around = around
        self.convolution = convolution
        self.normalisation = normalisation
        self.dropout = Dropout(dropout)
        self.shortcut: Convolution | None = None
        initialise_(convolution, nn.init.xavier_uniform_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, X, Y, L) to activations of other C, X, Y, L."""
        seen = closed(x, self.around, self.around) if self.around else x
        made: torch.Tensor = self.normalisation(functional.leaky_relu(self.convolution(seen), LEAK))
        if self.shortcut is not None:
            made = made + self.shortcut(x)
        dropped: torch.Tensor = self.dropout(made)
        return dropped


def padding_of_block(number: int, kernel: int) -> int:
    """Cells padded on each side: sizes stay in blocks 1 to 3; block 4 takes one cell less (the seed's), where it has one to spare."""
    same = (kernel - 1) // 2
    return same if number < 4 else max(same - 1, 0)


def is_residual(number: int) -> bool:
    """Whether a block may add its input: not the first, whose input is the cells, nor the fourth, which takes off a cell."""
    return number in (2, 3)


def spread_of(features_BF: torch.Tensor) -> torch.Tensor:
    """Mean over features of their standard deviation over the batch, a scalar; its slope is finite where all showers are alike."""
    return (features_BF.var(dim=0, correction=0) + SMALLEST_VARIANCE).sqrt().mean()


def size_of_block(cells: int, kernel: int, padding: int, stride: int) -> int:
    """Cells along an axis behind a block's convolution."""
    return (cells + 2 * padding - kernel) // stride + 1


def head(num_features: int) -> nn.Linear:
    """A linear layer from the pooled features to one number."""
    layer = nn.Linear(num_features, 1)
    initialise_(layer, nn.init.xavier_uniform_)
    return layer
