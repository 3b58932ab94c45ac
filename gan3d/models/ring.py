"""The axis x as a ring: polar cells' angle, behind whose last cell comes the first."""

from __future__ import annotations

import torch


def closed(x: torch.Tensor, before: int, after: int) -> torch.Tensor:
    """Activations (B, C, X, Y, L) with so many cells of the ring put before and behind it, going round as often as it takes."""
    cells = x.shape[2]
    return x[:, :, torch.arange(-before, cells + after, device=x.device) % cells]
