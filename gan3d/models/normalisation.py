"""The normalisations a block can have. Legend: B showers, C channels, X, Y transverse cells, L layers (depth planes)."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import nn

from gan3d.config.networks import DiscriminatorNormalisation
from gan3d.models.keras_defaults import EPSILON, MOMENTUM

#: Most groups of a group normalisation.
MAX_GROUPS = 8


def make_normalisation(kind: DiscriminatorNormalisation, num_channels: int, num_planes: int) -> nn.Module:
    """Normalisation of activations (B, C, X, Y, L), with a learnt scale and shift.

    Args:
        kind: ``batch`` over the batch, per channel; ``batch_per_plane`` over the batch, per depth plane; ``group`` within each shower;
            none for the others, of which ``spectral`` is the weights' matter.
        num_channels: C.
        num_planes: L.
    """
    match kind:
        case "batch":
            return nn.BatchNorm3d(num_channels, eps=EPSILON, momentum=MOMENTUM)
        case "batch_per_plane":
            return BatchNormPerPlane(num_planes)
        case "group":
            return nn.GroupNorm(num_groups(num_channels), num_channels, eps=EPSILON)
        case "spectral" | "none":
            return nn.Identity()


@contextmanager
def statistics_anew(network: nn.Module, momentum: float | None) -> Iterator[bool]:
    """Batch normalisations forget their running statistics and take those of the block's passes; whether there are any to take.

    Args:
        network: is in training mode within the block, and afterwards in the mode in which it was.
        momentum: of the block: 1 for the last pass alone, None for the mean of all.
    """
    batch_norms = [module for module in network.modules() if isinstance(module, nn.modules.batchnorm._BatchNorm)]
    momenta, was_training = [module.momentum for module in batch_norms], network.training
    for module in batch_norms:
        module.reset_running_stats()
        module.momentum = momentum
    network.train()
    try:
        yield bool(batch_norms)
    finally:
        network.train(was_training)
        for module, own in zip(batch_norms, momenta, strict=True):
            module.momentum = own


def num_groups(num_channels: int) -> int:
    """Largest divisor of the channel count that is at most ``MAX_GROUPS``."""
    return max(groups for groups in range(1, MAX_GROUPS + 1) if num_channels % groups == 0)


class BatchNormPerPlane(nn.BatchNorm1d):
    """One mean and variance per depth plane, over showers, channels and transverse cells.

    What Keras' ``BatchNormalization()``, whose axis is the last one, did on the 2018 code's channels-first tensors.
    """

    def __init__(self, num_planes: int) -> None:
        super().__init__(num_planes, eps=EPSILON, momentum=MOMENTUM)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        """Normalise activations (B, C, X, Y, L); shape and memory format stay."""
        if input.is_contiguous(memory_format=torch.channels_last_3d):
            last = input.permute(0, 2, 3, 4, 1)
            by_place: torch.Tensor = super().forward(last.reshape(-1, *last.shape[-2:]))
            return by_place.view(last.shape).permute(0, 4, 1, 2, 3)
        planes: torch.Tensor = super().forward(input.reshape(-1, input.shape[-1]))
        return planes.view(input.shape)
