"""Dropout with a mask of random 16-bit numbers: on a CPU, torch's own spends a sixth of a small network's step on drawing its mask."""

from __future__ import annotations

import torch
from torch import nn
from torch.nn import functional

#: Values of a 16-bit number; the probability is rounded to a multiple of its inverse.
NUM_VALUES = 1 << 16
#: 16-bit numbers in one draw of torch's generator.
PER_DRAW = 4


class Dropout(nn.Module):
    """Zeroes activations with a probability and scales the others so that the expectation stays; nothing in evaluation mode."""

    def __init__(self, probability: float) -> None:
        super().__init__()
        self.probability = probability

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Activations of any shape."""
        if self.training and self.probability > 0 and x.device.type == "cpu":
            return x * scaled_mask(x, self.probability)
        return functional.dropout(x, self.probability, self.training)

    def extra_repr(self) -> str:
        """For ``print``."""
        return f"probability={self.probability}"


def scaled_mask(like: torch.Tensor, probability: float) -> torch.Tensor:
    """0 with the probability (rounded to 1 / 65536), else the inverse of its complement; shape and memory layout of ``like``."""
    num_dropped = min(round(probability * NUM_VALUES), NUM_VALUES - 1)
    draws = torch.empty(-(-like.numel() // PER_DRAW), dtype=torch.int64).random_(torch.iinfo(torch.int64).min, None)
    kept = draws.view(torch.int16)[: like.numel()] >= num_dropped - NUM_VALUES // 2
    mask = kept.to(like.dtype).mul_(NUM_VALUES / (NUM_VALUES - num_dropped))
    return mask.as_strided(like.shape, torch.empty_like(like, device="meta").stride())
