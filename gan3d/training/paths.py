"""How a fresh trial's convolutions are computed: measured on rank 0, the same on every rank."""

from __future__ import annotations

import torch

from gan3d.config.training import TrialSettings
from gan3d.models.tuning import measured_paths, uses_in_discriminator, uses_in_generator
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

#: Showers of the call that tells the shapes.
NUM_SHOWERS = 1


def choose_paths(state: TrainState, settings: TrialSettings, ranks: Ranks) -> None:
    """Give each convolution the path that is fastest here, where the settings leave that open; networks and random state stay.

    The others wait for rank 0: the state after a step must not depend on which rank was disturbed while it measured.
    """
    if settings.workers.convolutions == "plain" or ranks.device.type != "cpu":
        return
    if ranks.rank == 0:
        call_once(state, settings)
        batch, generator_steps = settings.batch_per_worker, settings.training.generator_steps
        of_generator = measured_paths(state.generator, batch, uses_in_generator(generator_steps))
        state.set_paths([of_generator, measured_paths(state.discriminator, batch, uses_in_discriminator(generator_steps))])
    state.set_paths(ranks.broadcast(state.paths()))


@torch.no_grad()
def call_once(state: TrainState, settings: TrialSettings) -> None:
    """Generate and judge one shower in evaluation mode, so that convolutions know their shapes and nothing else changes."""
    training = settings.training
    noise = torch.zeros(NUM_SHOWERS, settings.num_noise)
    energy = torch.full((NUM_SHOWERS,), 100.0)
    angle = torch.full((NUM_SHOWERS,), torch.pi / 2) if training.polar_angle else None
    state.generator.eval()
    state.discriminator.eval()
    state.discriminator(state.generator(noise, energy, angle))
    state.generator.train()
    state.discriminator.train()
