"""Keras' defaults, hence the seed's, where torch has others."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import nn

#: Slope of LeakyReLU below zero.
LEAK = 0.3
#: Added to the variance by normalisations.
EPSILON = 1e-3
#: Share of the new batch in the running statistics; Keras states the old statistics' share, 0.99.
MOMENTUM = 0.01


def initialise_(layer: nn.Linear | nn.Conv3d, initialiser: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """Initialise a layer's weight with ``initialiser`` and its bias, where it has one, with zeros."""
    initialiser(layer.weight)
    if layer.bias is not None:
        nn.init.zeros_(layer.bias)


def he_uniform_(weight: torch.Tensor) -> torch.Tensor:
    """Keras' ``he_uniform``: uniform within ± sqrt(6 / inputs of one output)."""
    return nn.init.kaiming_uniform_(weight, nonlinearity="relu")
