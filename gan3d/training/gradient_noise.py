"""Gradient noise scale of a network, from the gradients of single ranks and from their mean.

McCandlish et al., arXiv:1812.06162, appendix A: of ranks with batch b and all of them with batch B, |g_b|^2 and |g_B|^2 the mean
squared norms of their gradients,

    signal       |G|^2 = (B |g_B|^2 - b |g_b|^2) / (B - b)
    noise   tr(Sigma)  = (|g_b|^2 - |g_B|^2) / (1 / b - 1 / B)
    noise scale        = tr(Sigma) / |G|^2                        [showers]

Both are unbiased where ranks draw their showers independently; with ``data.order: seed`` they do not. The norms are averaged over an
epoch's updates, and over ranks, before the ratio is taken. Gradients are those of the loss, before clipping.
"""

from __future__ import annotations

import torch
from torch import nn

from gan3d.training.ranks import Ranks

#: Stands for a noise scale whose signal is not above zero: larger than any batch.
NO_SIGNAL = 1e9


class GradientNoise:
    """Watches one network; costs one multiply-add per weight and rank, and nothing where a trial has one rank.

    A real rank's gradients are seen in the buckets of its all-reduce, which is cheapest; those of virtual ranks as they are computed.
    """

    def __init__(self, network: nn.Module, num_ranks: int, virtual_ranks: int) -> None:
        """``num_ranks`` of the whole trial, of which each worker imitates ``virtual_ranks``."""
        self._network = network
        self._num_ranks = num_ranks
        self._virtual_ranks = virtual_ranks
        self.is_on = num_ranks > 1
        self._of_ranks = torch.zeros(())
        self._of_mean = torch.zeros(())
        self._updates = 0
        if virtual_ranks > 1:
            for parameter in network.parameters():
                # A hook of the leaf sees what one backward pass adds, before it is accumulated or reduced.
                parameter.register_hook(self._add)  # type: ignore[no-untyped-call]

    def start(self) -> None:
        """Forget what was seen: a new epoch."""
        device = next(self._network.parameters()).device
        self._of_ranks, self._of_mean, self._updates = torch.zeros((), device=device), torch.zeros((), device=device), 0

    def see_bucket(self, gradients: torch.Tensor) -> None:
        """Take the norm of gradients that are about to be reduced."""
        if self._virtual_ranks == 1:
            self._add(gradients)

    def see_mean(self) -> None:
        """Take the norm of the reduced gradients; call once per update, before clipping."""
        if self.is_on:
            gradients = [parameter.grad for parameter in self._network.parameters() if parameter.grad is not None]
            self._of_mean += torch.nn.utils.get_total_norm(gradients).square()
            self._updates += 1

    def squared_norms(self, ranks: Ranks) -> tuple[float, float]:
        """Mean squared norms of single ranks' gradients and of their mean, over the updates since the start; collective."""
        # Each rank's loss was divided by the number of all ranks; a worker saw so many virtual ones per update.
        sums = torch.stack([self._of_ranks * (self._num_ranks**2 / self._virtual_ranks), self._of_mean]).double()
        of_ranks, of_mean = (ranks.mean(sums) / max(self._updates, 1)).tolist()
        return of_ranks, of_mean

    def _add(self, gradient: torch.Tensor) -> None:
        self._of_ranks += torch.linalg.vector_norm(gradient.detach()).square()


def noise_scale(of_ranks: float, of_mean: float, batch: int, global_batch: int) -> tuple[float, float, float]:
    """Signal, noise and noise scale [showers] from mean squared norms at two batches, ``batch`` < ``global_batch``."""
    signal = (global_batch * of_mean - batch * of_ranks) / (global_batch - batch)
    noise = (of_ranks - of_mean) / (1.0 / batch - 1.0 / global_batch)
    if signal <= 0:
        return signal, noise, NO_SIGNAL
    return signal, noise, min(max(noise, 0.0) / signal, NO_SIGNAL)
