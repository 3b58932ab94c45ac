"""The energy distance of a batch to a fixed sample, of many numbers at once.

Legend: B showers of a batch, N of the sample, K numbers of each.

Szekely and Rizzo, J. Stat. Plan. Infer. 143 (2013) 1249: 2 E|x - y| - E|x - x'| - E|y - y'|. With pairs of different showers its
estimate is unbiased (Bellemare et al., arXiv:1705.10743), so that the sample a loss pulls to does not depend on the size of a batch, nor on
how many ranks share it. Wasserstein's distance has no such estimate: the Gaussian spread with the least mean distance of 24 showers to the
quantiles is 8 % too narrow, that of 8 showers 20 %.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import torch
from torch.nn import functional


@dataclass(frozen=True, slots=True)
class FixedSample:
    """A sample with what its distance to any batch needs."""

    rising: torch.Tensor
    """(K, N): each row sorted."""
    sums: torch.Tensor
    """(K, N + 1): sums of each row's first n numbers."""
    mean_difference: torch.Tensor
    """(K,): E|y - y'| of each row."""

    @classmethod
    def of(cls, values_NK: torch.Tensor) -> Self:
        """Of columns in any order."""
        rising = values_NK.double().T.contiguous().sort(dim=1).values
        sums = functional.pad(rising.cumsum(dim=1), (1, 0))
        return cls(rising.float(), sums.float(), mean_difference(rising).float())

    def to(self, device: torch.device) -> FixedSample:
        """The same on a device."""
        return FixedSample(self.rising.to(device), self.sums.to(device), self.mean_difference.to(device))

    def distance(self, batch_BK: torch.Tensor) -> torch.Tensor:
        """Of each column, shape (K,), in the columns' units; 0 on average for a batch of the same distribution, so negative at times.

        Sorted, the sums over pairs take B log N steps instead of B N. A batch of one has no pairs: its own term is 0.
        """
        rising, number = batch_BK.T.contiguous().sort(dim=1).values, self.rising.shape[1]
        below = torch.searchsorted(self.rising, rising.detach())
        towards = 2 * self.sums.gather(1, below) - self.sums[:, -1:]
        across = ((rising * (2 * below - number) - towards) / number).mean(dim=1)
        return 2 * across - mean_difference(rising) - self.mean_difference


def mean_difference(rising_KN: torch.Tensor) -> torch.Tensor:
    """Gini's mean difference of each row, (K,): E|x - x'| over pairs of different entries."""
    number = rising_KN.shape[1]
    weights = 2 * torch.arange(number, dtype=rising_KN.dtype, device=rising_KN.device) + 1 - number
    return 2 * (rising_KN * weights).sum(dim=1) / max(number * (number - 1), 1)
