"""One step of the seed's recipe: a discriminator update on Monte Carlo, one on generated showers, then the generator's updates.

Each update goes through the worker's virtual ranks (mostly one); the gradients of all ranks add up to that of their losses' mean.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass

import torch
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gan3d.config.training import Training, TrialSettings
from gan3d.models.discriminator import DiscriminatorOutput
from gan3d.models.gradient_penalty import gradient_penalty
from gan3d.models.losses import LossParts, Targets, losses
from gan3d.models.observable_matching import ObservableDistributions
from gan3d.models.response import ResponseCurve
from gan3d.training.clock import PhaseClock
from gan3d.training.conditions import Conditions, SeedConditions, TrainingSetConditions
from gan3d.training.noise import Slots
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState


@dataclass(frozen=True, slots=True)
class Batch:
    """Monte Carlo showers of one step on this rank's device. Cells (B, X, Y, L) in network units; energies [GeV], angle [rad]."""

    cells: torch.Tensor
    incident_energy: torch.Tensor
    deposited_energy: torch.Tensor
    polar_angle: torch.Tensor | None


@dataclass(frozen=True, slots=True)
class Recipe:
    """What stays the same over a trial's steps."""

    training: Training
    conditions: TrainingSetConditions | SeedConditions
    response: ResponseCurve
    autocast: Callable[[], AbstractContextManager[None]]
    observables: ObservableDistributions | None = None
    """What the loss on observables compares with, where it has a weight."""

    @property
    def is_relativistic(self) -> bool:
        """Whether a shower is judged beside those of the other kind."""
        return self.training.adversarial_loss == "relativistic"


@dataclass(frozen=True, slots=True)
class StepLosses:
    """Loss parts of one step: the discriminator's mean over its two batches, the generator's mean over its updates."""

    discriminator: torch.Tensor
    generator: torch.Tensor


def slots_of(settings: TrialSettings, ranks: Ranks, step: int) -> Slots:
    """This worker's places in the global batch of ``step``."""
    batch = settings.local_batch
    return Slots(settings.training.seed, step, settings.global_batch, ranks.rank * batch, batch)


def train_step(state: TrainState, batch: Batch, recipe: Recipe, slots: Slots, clock: PhaseClock) -> StepLosses:
    """Update both networks once the seed's way; ``state`` changes, the losses are detached.

    The generator's last update is left to the next step, or to :func:`finish_step`.
    """
    with clock.phase("discriminator"):
        discriminator = discriminator_step(state, batch, recipe, slots, clock)
    with clock.phase("generator"):
        updates = [generator_step(state, batch.cells, recipe, slots, clock, number) for number in range(recipe.training.generator_steps)]
    state.step += 1
    return StepLosses(discriminator, torch.stack(updates).mean(0))


def finish_step(state: TrainState, recipe: Recipe) -> None:
    """Make the updates that are still due."""
    for update in (state.discriminator_update, state.generator_update):
        update.finish(recipe.training.gradient_clipping)


def discriminator_step(state: TrainState, batch: Batch, recipe: Recipe, slots: Slots, clock: PhaseClock) -> torch.Tensor:
    """Two passes, Monte Carlo first, each with its own flips; returns the mean of their loss parts, shape (5,).

    Passes are put where they hide all-reduces: the one on Monte Carlo that of the generator's last update, which is then made; the
    generator's prediction that of the first pass here. The second pass's update is left to the generator's step.
    """
    device = batch.cells.device
    of_monte_carlo = Targets(flipped(1.0, recipe, slots, device), batch.incident_energy, batch.deposited_energy, batch.polar_angle)
    wanted = recipe.conditions.draw(slots, "discriminator.conditions").to(device)
    noise = slots.noise("discriminator.noise", state.generator).to(device)
    energy, angle = wanted.incident_energy, wanted.polar_angle
    of_generated = Targets(flipped(0.0, recipe, slots, device), energy, recipe.response(energy), angle)
    if recipe.is_relativistic:
        # The pass on Monte Carlo needs the generator's showers, so there is nothing to hide its all-reduce behind.
        state.generator_update.finish(recipe.training.gradient_clipping)
        cells = predicted(state, noise, wanted, recipe)
        parts = [discriminator_pass(state, batch.cells, of_monte_carlo, recipe, clock, others=cells)]
    else:
        parts = [discriminator_pass(state, batch.cells, of_monte_carlo, recipe, clock)]
        state.generator_update.finish(recipe.training.gradient_clipping)
        cells = predicted(state, noise, wanted, recipe)
    state.discriminator_update.finish(recipe.training.gradient_clipping)
    share = slots.uniform("penalty").to(device) if recipe.training.gradient_penalty else None
    parts.append(discriminator_pass(state, cells, of_generated, recipe, clock, others=batch.cells, share=share))
    return torch.stack(parts).mean(0)


def discriminator_pass(
    state: TrainState,
    cells: torch.Tensor,
    targets: Targets,
    recipe: Recipe,
    clock: PhaseClock,
    *,
    others: torch.Tensor | None = None,
    share: torch.Tensor | None = None,
) -> torch.Tensor:
    """Gradients of the discriminator on showers (B, X, Y, L) in network units; returns loss parts, shape (5,).

    ``others`` are as many showers of the other kind, where the loss asks for them; with a ``share`` (B,) of them in showers between both
    kinds the gradient penalty is taken.
    """
    state.discriminator_update.begin(recipe.training.discriminator.learning_rate * state.learning_rate_factor, clock)

    def loss_of(part: slice) -> LossParts:
        with recipe.autocast():
            said = against(state.discriminator_ddp(cells[part]), state, others, part, recipe)
            loss = losses(said, targets.part(part), recipe.training.loss_weights, recipe.training.adversarial_loss)
        if share is None or others is None:
            return loss
        penalty = gradient_penalty(state.discriminator, others[part], cells[part], share[part])
        return loss._replace(total=loss.total + recipe.training.gradient_penalty * penalty)

    return accumulate(state.discriminator_ddp, state, len(cells), loss_of)


def generator_step(
    state: TrainState, monte_carlo: torch.Tensor, recipe: Recipe, slots: Slots, clock: PhaseClock, number: int
) -> torch.Tensor:
    """One pass against the frozen, bare discriminator (its reducer must not run here); returns loss parts, shape (5,).

    Makes the updates that are due before it; its own is left to whoever needs the new weights.
    """
    device, clipping = next(state.generator.parameters()).device, recipe.training.gradient_clipping
    wanted = recipe.conditions.draw(slots, f"generator.{number}.conditions").to(device)
    noise = slots.noise(f"generator.{number}.noise", state.generator).to(device)
    targets = asked(wanted, recipe)
    state.generator_update.finish(clipping)
    state.generator_update.begin(recipe.training.generator.learning_rate * state.learning_rate_factor, clock)
    state.discriminator.requires_grad_(requires_grad=False)

    def loss_of(part: slice) -> LossParts:
        asked_for = wanted.part(part)
        with recipe.autocast():
            cells = state.generator_ddp(noise[part], asked_for.incident_energy, asked_for.polar_angle)
            state.discriminator_update.finish(clipping)
            said, kind = against(state.discriminator(cells), state, monte_carlo, part, recipe), recipe.training.adversarial_loss
            loss = losses(said, targets.part(part), recipe.training.loss_weights, kind, of_generator=True)
        return with_observables(loss, cells, asked_for, state, recipe)

    parts = accumulate(state.generator_ddp, state, slots.count, loss_of)
    state.discriminator.requires_grad_(requires_grad=True)
    return parts


def against(said: DiscriminatorOutput, state: TrainState, others: torch.Tensor | None, part: slice, recipe: Recipe) -> DiscriminatorOutput:
    """What is said, in a relativistic loss above the mean of what is said of the others."""
    if not recipe.is_relativistic or others is None:
        return said
    with torch.no_grad():
        opposite = state.discriminator(others[part]).validity_logit.mean()
    return said._replace(validity_logit=said.validity_logit - opposite)


def accumulate(network: nn.Module, state: TrainState, num_showers: int, loss_of: Callable[[slice], LossParts]) -> torch.Tensor:
    """Add up the gradients of the ranks' losses, each over the number of all; real ranks reduce with the last virtual one.

    Args:
        network: The one that learns, in its DDP where there is one.
        state: Holds the virtual ranks, and knows how many ranks there are.
        num_showers: Of the worker's batch.
        loss_of: Forward pass of a part of the batch.

    Returns:
        Mean loss parts, shape (5,).
    """
    count = state.virtual_ranks.count
    parts: list[torch.Tensor] = []
    for part in state.virtual_ranks.each(num_showers):
        is_last = len(parts) + 1 == count
        with nullcontext() if is_last or not isinstance(network, DistributedDataParallel) else network.no_sync():
            loss = loss_of(part)
            torch.autograd.backward(loss.total / state.num_ranks)
        parts.append(detached(loss))
    return torch.stack(parts).mean(0)


@torch.no_grad()
def predicted(state: TrainState, noise: torch.Tensor, wanted: Conditions, recipe: Recipe) -> torch.Tensor:
    """Showers of the bare generator in evaluation mode (the seed's `predict`), shape (B, X, Y, L) in network units, as precise as noise."""
    state.generator.eval()
    cells = []
    for part in state.virtual_ranks.each(len(noise)):
        asked_for = wanted.part(part)
        with recipe.autocast():
            cells.append(state.generator(noise[part], asked_for.incident_energy, asked_for.polar_angle))
    state.generator.train()
    return torch.cat(cells).to(noise.dtype)


def with_observables(loss: LossParts, cells: torch.Tensor, wanted: Conditions, state: TrainState, recipe: Recipe) -> LossParts:
    """The loss with that on observables in its total, where it has a weight; always in fp32."""
    if recipe.observables is None:
        return loss
    cells_gev = state.discriminator.transform.to_gev(cells.float())
    distance = recipe.observables.distance(cells_gev, wanted.incident_energy)
    return loss._replace(total=loss.total + recipe.training.loss_weights.observables * distance)


def asked(wanted: Conditions, recipe: Recipe) -> Targets:
    """Targets of showers that should pass for Monte Carlo at these conditions."""
    energy = wanted.incident_energy
    return Targets(torch.ones_like(energy), energy, recipe.response(energy), wanted.polar_angle)


def flipped(validity: float, recipe: Recipe, slots: Slots, device: torch.device) -> torch.Tensor:
    """Validity targets of this rank's showers, a share of them flipped, shape (B,)."""
    flips = slots.uniform(f"flips.{validity:.0f}") < recipe.training.flipped_targets
    targets = torch.full((slots.count,), validity)
    return torch.where(flips, 1 - targets, targets).to(device)


def detached(loss: LossParts) -> torch.Tensor:
    """Loss parts as one tensor, shape (5,), in the order of ``LossParts``."""
    return torch.stack([part.detach().float() for part in loss])
