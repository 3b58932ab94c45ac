"""Physics of an epoch: generate the validation set's showers again and hold them against the Monte Carlo."""

from __future__ import annotations

from collections.abc import Iterator

import torch

from gan3d.data.showers import Showers
from gan3d.errors import DivergedError
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.inference import FastGenerator
from gan3d.physics.distance import physics_distance
from gan3d.physics.sums import ShowerSums
from gan3d.physics.transform import Transform
from gan3d.records import PhysicsDistance
from gan3d.training.clock import PhaseClock
from gan3d.training.noise import noise_of_showers, stream
from gan3d.training.ranks import Ranks
from gan3d.training.showers import CHUNK, TrialShowers, angles_of, merged
from gan3d.training.state import TrainState

#: Generated showers whose statistics an averaged generator is normalised with.
NUM_RENORMALISED = 128
#: A generator of which more than this share of showers is empty has died: behind the last ReLU no gradient comes back.
MOST_EMPTY = 0.5
#: Before so many steps it may only be young: showers are generated with running statistics of the batch normalisation, which follow a young
#: generator from afar (momentum .99). The seed's networks, which train well for thousands of steps, make 116 of 180 showers empty at 112.
FIRST_STEPS = 500


@torch.no_grad()
def generate_like(
    generator: GeneratorNetwork, transform: Transform, showers: Showers, *, noise_seed: int
) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Generated showers with the conditions of ``showers``, chunk by chunk.

    Yields cells (B, X, Y, L) [GeV], below the threshold 0, and incident energies (B,) [GeV]. Noise belongs to (noise_seed,
    identity of the shower), so it does not depend on who generates which shower. Leaves the generator in evaluation mode.
    """
    generator.eval()
    device, fast = next(generator.parameters()).device, FastGenerator.of(generator)
    for start in range(0, len(showers), CHUNK):
        part = showers.take(slice(start, start + CHUNK))
        energy = torch.from_numpy(part.incident_energy).to(device)
        angle = None if part.polar_angle is None else torch.from_numpy(part.polar_angle).to(device)
        noise = noise_of_showers(noise_seed, part.identity.tolist(), generator.num_noise).to(device)
        cells = transform.to_gev(fast(noise, energy, angle if generator.conditioning.has_polar_angle else None))
        yield torch.where(cells < transform.threshold_gev, 0.0, cells), energy


def angle_chunks(showers: Showers) -> Iterator[torch.Tensor | None]:
    """Polar angles [rad] of the chunks of ``generate_like``; None where the showers have none."""
    for start in range(0, len(showers), CHUNK):
        yield angles_of(showers.take(slice(start, start + CHUNK)))


def validate(
    state: TrainState, transform: Transform, showers: TrialShowers, ranks: Ranks, clock: PhaseClock, *, noise_seed: int
) -> PhysicsDistance:
    """The physics distance over all ranks' validation showers, equal on every rank; waiting for the others is charged as such.

    Raises:
        DivergedError: on all ranks; generated cells are not finite, or most showers are empty though training is past its first steps.
    """
    generator = state.judged()
    if state.average is not None:
        renormalise(generator, showers, noise_seed)
    sums = ShowerSums(showers.monte_carlo.binning)
    empty = torch.zeros((), dtype=torch.float64)
    chunks = generate_like(generator, transform, showers.validation, noise_seed=noise_seed)
    for (cells, energy), angle in zip(chunks, angle_chunks(showers.validation), strict=True):
        sums.add(cells, energy, angle)
        empty += (cells.flatten(1).sum(dim=1) == 0).sum().cpu()
    generator.train()
    with clock.collective():
        everything = merged(sums, ranks)
        num_empty = float(ranks.sum(empty.to(ranks.device)))
    total = float(everything["num_showers"].sum())
    refuse_not_finite(float(everything["num_not_finite"].sum()), total)
    if state.step >= FIRST_STEPS:
        refuse_empty(num_empty, total)
    return physics_distance(everything, showers.monte_carlo, showers.floor)


def renormalise(generator: GeneratorNetwork, showers: TrialShowers, seed: int) -> None:
    """Give averaged weights running statistics of their own, from conditions of training showers; the same on every rank."""
    device, random = next(generator.parameters()).device, stream("renormalise", seed)
    rows = torch.randint(len(showers.train), (NUM_RENORMALISED,), generator=random)
    noise = torch.randn(NUM_RENORMALISED, generator.num_noise, generator=random)
    energy = torch.from_numpy(showers.train.incident_energies())[rows]
    angle = None if showers.polar_angles is None else showers.polar_angles[rows].to(device)
    generator.renormalise_(noise.to(device), energy.to(device), angle)


def refuse_not_finite(count: float, total: float) -> None:
    """Raise DivergedError where generated showers are not finite."""
    if count:
        message = f"{count:.0f} of {total:.0f} generated showers are not finite"
        raise DivergedError(message)


def refuse_empty(count: float, total: float) -> None:
    """Raise DivergedError where most generated showers hold no energy."""
    if count > MOST_EMPTY * total:
        message = f"{count:.0f} of {total:.0f} generated showers are empty (at most {MOST_EMPTY:.0%} may be)"
        raise DivergedError(message)
