"""The discriminator: showers to validity and to the quantities a generated shower must have right.

Legend: B showers, C channels, X, Y transverse cells, L layers.
Architecture and initialisers are the seed's (svalleco/3Dgan, branch Energy-gan, keras/EcalEnergyGan.py).
"""

from __future__ import annotations

from math import prod
from typing import NamedTuple

import torch
from torch import nn
from torch.nn import functional

from gan3d.config.training import Discriminator, Grid
from gan3d.models.convolution import Convolution
from gan3d.models.dropout import Dropout
from gan3d.models.keras_defaults import LEAK, initialise_
from gan3d.models.normalisation import make_normalisation
from gan3d.physics.transform import ENERGY_UNIT_GEV, Transform

#: Edge of the average pooling before the heads (the seed's).
POOLING = 2


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

    def __init__(self, settings: Discriminator, grid: Grid, transform: Transform, polar_angle: bool = False) -> None:
        super().__init__()
        self.transform = transform
        size, channels = list(grid), 1
        blocks = []
        for number, (filters, stride) in enumerate(zip(settings.filters[: settings.blocks], settings.strides, strict=False), start=1):
            padding = padding_of_block(number, settings.kernel)
            size = [size_of_block(cells, settings.kernel, padding, stride) for cells in size]
            normalisation = make_normalisation(settings.normalisation, filters, size[-1]) if number > 1 else nn.Identity()
            convolution = Convolution(channels, filters, settings.kernel, stride=stride, padding=padding)
            blocks.append(DiscriminatorBlock(convolution, normalisation, settings.dropout))
            channels = filters
        self.blocks = nn.Sequential(*blocks)
        num_features = channels * prod(cells // POOLING for cells in size)
        self.validity = head(num_features)
        self.incident_energy = head(num_features)
        self.polar_angle = head(num_features) if polar_angle else None

    def forward(self, cells_BXYL: torch.Tensor) -> DiscriminatorOutput:
        """Judge cells in network units."""
        features = functional.avg_pool3d(self.blocks(cells_BXYL.unsqueeze(1)), POOLING).flatten(1)
        return DiscriminatorOutput(
            validity_logit=self.validity(features).squeeze(1),
            incident_energy=ENERGY_UNIT_GEV * self.incident_energy(features).squeeze(1),
            deposited_energy=self.transform.to_gev(cells_BXYL).sum((1, 2, 3)),
            polar_angle=None if self.polar_angle is None else self.polar_angle(features).squeeze(1),
        )


class DiscriminatorBlock(nn.Module):
    """Convolution, LeakyReLU, normalisation, dropout."""

    def __init__(self, convolution: Convolution, normalisation: nn.Module, dropout: float) -> None:
        super().__init__()
        self.convolution = convolution
        self.normalisation = normalisation
        self.dropout = Dropout(dropout)
        initialise_(convolution, nn.init.xavier_uniform_)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations (B, C, X, Y, L) to activations of other C, X, Y, L."""
        normalised: torch.Tensor = self.dropout(self.normalisation(functional.leaky_relu(self.convolution(x), LEAK)))
        return normalised


def padding_of_block(number: int, kernel: int) -> int:
    """Cells padded on each side: sizes stay in blocks 1 to 3; block 4 takes one cell less (the seed's), where it has one to spare."""
    same = (kernel - 1) // 2
    return same if number < 4 else max(same - 1, 0)


def size_of_block(cells: int, kernel: int, padding: int, stride: int) -> int:
    """Cells along an axis behind a block's convolution."""
    return (cells + 2 * padding - kernel) // stride + 1


def head(num_features: int) -> nn.Linear:
    """A linear layer from the pooled features to one number."""
    layer = nn.Linear(num_features, 1)
    initialise_(layer, nn.init.xavier_uniform_)
    return layer
