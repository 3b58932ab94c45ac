"""What a training step reduces over ranks: the bytes of DDP's gradient buckets, and what hides them, without forming a team.

DDP (Li et al., PVLDB 13 (2020) 3005) fills buckets with gradients in the order of their arrival: the first closes at 1 MiB or more, later
ones at 25 MiB or more. Only the very first reduction of a network is of one bucket, for the order is not known yet. The order is that of
a backward pass of networks without memory (torch's device "meta"), which the same engine takes in the same order.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from gan3d.config.training import TrialSettings
from gan3d.models.losses import Targets, losses
from gan3d.models.work import discriminator_multiply_adds, generator_multiply_adds, step_multiply_adds
from gan3d.training.state import make_discriminator, make_generator

#: Bytes at which buckets close: torch.distributed._DEFAULT_FIRST_BUCKET_BYTES, and DDP's bucket_cap_mb.
FIRST_BUCKET_BYTES, BUCKET_BYTES = 1 << 20, 25 << 20
#: The discriminator learns from a batch of Monte Carlo and from a generated one.
DISCRIMINATOR_UPDATES = 2
#: Showers of the backward pass: as many as a normalisation over a batch asks for.
_SHOWERS = 2


def update_buckets(settings: TrialSettings) -> tuple[tuple[int, ...], ...]:
    """Bytes of each gradient bucket, in the order of launch, of each update of a step: the discriminator's two, then the generator's."""
    generator, discriminator = network_buckets(settings)
    return (discriminator,) * DISCRIMINATOR_UPDATES + (generator,) * settings.training.generator_steps


def hiding_shares(settings: TrialSettings) -> tuple[float, ...]:
    """Share of a step's computing that goes on behind each update's reductions after its backward pass, before its mean is needed.

    By multiply-adds (`gan3d.models.work`): see `gan3d.training.step`. The discriminator's first update has the generator's prediction to
    hide behind, its second the generator's pass of the first virtual rank; of the generator's updates only the last has something, the
    next step's pass of the discriminator on Monte Carlo.
    """
    training, grid, is_ring = settings.training, settings.data.grid, settings.is_ring
    generator, _ = generator_multiply_adds(training.generator, grid, is_ring=is_ring)
    discriminator, first_layer = discriminator_multiply_adds(training.discriminator, grid, is_ring=is_ring)
    step = step_multiply_adds(training, grid, is_ring=is_ring)
    of_discriminator = (generator / step, generator / step / training.virtual_ranks)
    bare = (0.0,) * (training.generator_steps - 1)
    return (*of_discriminator, *bare, (3 * discriminator - first_layer) / step)


def network_buckets(settings: TrialSettings) -> tuple[tuple[int, ...], tuple[int, ...]]:
    """Bytes of each gradient bucket of the generator and of the discriminator, in the order of launch."""
    training, grid = settings.training, settings.data.grid
    with torch.device("meta"):
        generator, discriminator = make_generator(settings), make_discriminator(settings)
        noise, one = torch.empty(_SHOWERS, settings.num_noise), torch.empty(_SHOWERS)
        angle = one if training.polar_angle else None
        cells = torch.empty(_SHOWERS, *grid)

        def of_generator() -> torch.Tensor:
            made: torch.Tensor = generator(noise, one, angle)
            return made.sum()

        def of_discriminator() -> torch.Tensor:
            return losses(discriminator(cells), Targets(one, one, one, angle), training.loss_weights).total

        limits = bucket_limits(settings.workers.bucket_megabytes)
        found = (arrivals(generator, of_generator), arrivals(discriminator, of_discriminator))
        return tuple(filled(found[0], *limits)), tuple(filled(found[1], *limits))


def bucket_limits(megabytes: float | None) -> tuple[int, int]:
    """Bytes at which the first and the other buckets close: a limit that is given is that of the first as well."""
    return (FIRST_BUCKET_BYTES, BUCKET_BYTES) if megabytes is None else (int(megabytes * (1 << 20)),) * 2


def arrivals(network: nn.Module, loss_of: Callable[[], torch.Tensor]) -> list[int]:
    """Bytes of the gradients of a network, in the order in which a backward pass finishes them."""
    sizes: list[int] = []
    handles = [
        parameter.register_post_accumulate_grad_hook(lambda arrived: sizes.append(arrived.nbytes))  # type: ignore[no-untyped-call]
        for parameter in network.parameters()
    ]
    torch.autograd.backward(loss_of())
    for handle in handles:
        handle.remove()
    return sizes


def filled(sizes: Iterable[int], first: int = FIRST_BUCKET_BYTES, others: int = BUCKET_BYTES) -> list[int]:
    """Bytes of the buckets: gradients of one type, put one after the other into a bucket until it holds its limit or more."""
    buckets, bucket, limit = [], 0, first
    for size in sizes:
        bucket += size
        if bucket >= limit:
            buckets.append(bucket)
            bucket, limit = 0, others
    return [*buckets, bucket] if bucket else buckets
