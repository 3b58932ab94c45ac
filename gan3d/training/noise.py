"""Random numbers that belong to showers, not to ranks: the same on any world size, and after any restart.

Training: one stream per (seed, step, draw) over the *global* batch, of which a rank takes its rows; at the seed's 512 ranks
of 8 showers that is 0.8 million normals a draw, milliseconds beside a step of seconds. Validation: one stream per shower.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import torch

from gan3d.models.generator import GeneratorNetwork


def stream(*key: int | str) -> torch.Generator:
    """A CPU generator for this key; different keys give unrelated streams, but for a chance of one in 4 thousand million each.

    Torch's CPU generator (mt19937) keeps the low 32 bits of a seed. Of a million keys, as many showers' as cells have noise of their own in
    a long training, some hundred pairs share a stream: a shower each of two steps begins with the same numbers, which hurts nobody.
    """
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest, "little") >> 1)


@dataclass(frozen=True, slots=True)
class Slots:
    """This rank's places in the global batch of one step."""

    seed: int
    step: int
    global_batch: int
    first: int
    count: int

    def normal(self, draw: str, width: int) -> torch.Tensor:
        """Standard normals of this rank's showers, shape (count, width)."""
        rows = torch.randn(self.global_batch, width, generator=stream(self.seed, self.step, draw))
        return rows[self.first : self.first + self.count]

    def wide_normal(self, draw: str, width: int) -> torch.Tensor:
        """The same from a stream per shower: for so many numbers that other ranks' must not be drawn."""
        rows = range(self.first, self.first + self.count)
        return torch.stack([torch.randn(width, generator=stream(self.seed, self.step, draw, row)) for row in rows])

    def noise(self, draw: str, generator: GeneratorNetwork) -> torch.Tensor:
        """What the generator begins with, shape (count, generator.num_noise): the cells' own numbers, if they have any, come last."""
        shared = self.normal(draw, generator.conditioning.noise_dim)
        num_own = generator.num_noise - shared.shape[1]
        return torch.cat([shared, self.wide_normal(f"{draw}.cells", num_own)], dim=1) if num_own else shared

    def uniform(self, draw: str) -> torch.Tensor:
        """Uniforms in [0, 1) of this rank's showers, shape (count,)."""
        rows = torch.rand(self.global_batch, generator=stream(self.seed, self.step, draw), dtype=torch.float64)
        return rows[self.first : self.first + self.count]


def noise_of_showers(seed: int, identities: Iterable[int], width: int) -> torch.Tensor:
    """Standard normals per shower of the validation set, shape (B, width)."""
    return torch.stack([torch.randn(width, generator=stream("validation", seed, int(identity))) for identity in identities])
