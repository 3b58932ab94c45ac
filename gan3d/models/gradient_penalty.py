"""The gradient penalty (Gulrajani et al., arXiv:1704.00028): between showers of both kinds the validity's slope should be 1.

Legend: B showers, X, Y transverse cells, L layers.
"""

from __future__ import annotations

import torch

from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.tuning import plain_paths

#: Added under a root, whose slope at zero is infinite.
SMALLEST_SQUARE = 1e-12


def gradient_penalty(
    discriminator: DiscriminatorNetwork, real_BXYL: torch.Tensor, generated_BXYL: torch.Tensor, share_B: torch.Tensor
) -> torch.Tensor:
    """Mean squared distance from 1 of the norm of the logit's gradient at showers mixed with a ``share`` of real; differentiable."""
    mixed = torch.lerp(generated_BXYL, real_BXYL, share_B[:, None, None, None].to(real_BXYL)).requires_grad_()
    with plain_paths(discriminator):
        logit = discriminator(mixed).validity_logit
        (slope,) = torch.autograd.grad(logit.sum(), mixed, create_graph=True)
    norm = (slope.flatten(1).square().sum(dim=1) + SMALLEST_SQUARE).sqrt()
    return (norm - 1).square().mean()
