"""All that changes while a trial trains. Its law: 4 epochs are 2 epochs, save, load, 2 epochs, bit for bit on CPU.

No random state is kept: noise belongs to (seed, step), dropout is seeded anew by (seed, epoch, rank).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from gan3d.config.training import Optimiser, TrialSettings
from gan3d.models.convolution import Path, arrange_
from gan3d.models.discriminator import DiscriminatorNetwork
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.tuning import paths_of, set_paths
from gan3d.physics.transform import Transform
from gan3d.training.all_reduce import DeferredAllReduce
from gan3d.training.gradient_noise import GradientNoise
from gan3d.training.ranks import Ranks
from gan3d.training.update import Update
from gan3d.training.virtual_ranks import VirtualRanks

#: The name of the average of the generator's weights in a saved state.
AVERAGE = "average"


class TrainState:
    """Networks, their optimisers and the two counters."""

    __slots__ = (
        "average",
        "discriminator",
        "discriminator_ddp",
        "discriminator_noise",
        "discriminator_optimiser",
        "discriminator_update",
        "epoch",
        "generator",
        "generator_ddp",
        "generator_noise",
        "generator_optimiser",
        "generator_update",
        "learning_rate_factor",
        "num_ranks",
        "step",
        "virtual_ranks",
    )

    def __init__(self, settings: TrialSettings, ranks: Ranks) -> None:
        """Fresh networks with the trial's seed, equal on every rank, wrapped in one DDP each where there are several ranks."""
        training = settings.training
        torch.manual_seed(training.seed)
        self.generator = make_generator(settings)
        self.discriminator = make_discriminator(settings)
        for network in self._networks():
            arrange_(network, ranks.device, channels_last=settings.workers.memory_format == "channels_last")
        self.generator_optimiser = make_optimiser(self.generator, training.optimiser, training.generator.learning_rate)
        self.discriminator_optimiser = make_optimiser(self.discriminator, training.optimiser, training.discriminator.learning_rate)
        self.generator_noise, self.discriminator_noise = (
            GradientNoise(network, settings.num_ranks, training.virtual_ranks) for network in self._networks()
        )
        all_reduces = [
            DeferredAllReduce(
                ranks, noise.see_bucket, may_share_memory=settings.workers.shared_memory, bucket_megabytes=settings.workers.bucket_megabytes
            )
            for noise in (self.generator_noise, self.discriminator_noise)
        ]
        self.average = make_average(self.generator, training.generator_average)
        self.generator_update = Update(self.generator, self.generator_optimiser, self.generator_noise, all_reduces[0], self.average)
        self.discriminator_update = Update(self.discriminator, self.discriminator_optimiser, self.discriminator_noise, all_reduces[1])
        self.generator_ddp, self.discriminator_ddp = (
            network if ranks.group is None else all_reduce.distributed(network)
            for network, all_reduce in zip(self._networks(), all_reduces, strict=True)
        )
        self.num_ranks = settings.num_ranks
        self.virtual_ranks = VirtualRanks(self._networks(), training.virtual_ranks)
        self.epoch = 0
        self.step = 0
        self.learning_rate_factor = 1.0

    def state_dict(self) -> dict[str, Any]:
        """Tensors and plain numbers, loadable with ``weights_only=True``."""
        assert not any(update.is_due for update in (self.generator_update, self.discriminator_update)), "an update is due"
        parts = {name: part.state_dict() for name, part in self._parts()}
        return parts | {"epoch": self.epoch, "step": self.step, "paths": self.paths()}

    def load_state_dict(self, saved: dict[str, Any]) -> None:
        """Take over a saved state, in place."""
        for name, part in self._parts():
            part.load_state_dict(saved[name])
        self.epoch, self.step = saved["epoch"], saved["step"]
        if "paths" in saved:  # states of before there was a choice were trained by torch alone
            self.set_paths(saved["paths"])

    def judged(self) -> GeneratorNetwork:
        """The generator that showers are generated with: the average where there is one, with the running statistics of the latest."""
        if self.average is None:
            return self.generator
        averaged = self.average.module
        assert isinstance(averaged, GeneratorNetwork)
        for buffer, latest in zip(averaged.buffers(), self.generator.buffers(), strict=True):
            buffer.copy_(latest)
        return averaged

    def paths(self) -> list[dict[str, Path]]:
        """How the generator's convolutions are computed, and the discriminator's."""
        return [paths_of(network) for network in self._networks()]

    def set_paths(self, paths: list[dict[str, Path]]) -> None:
        """Compute the convolutions of both networks so."""
        for network, by_name in zip(self._networks(), paths, strict=True):
            set_paths(network, by_name)
        if self.average is not None:
            set_paths(self.average.module, paths[0])

    def _networks(self) -> tuple[GeneratorNetwork, DiscriminatorNetwork]:
        return self.generator, self.discriminator

    def _parts(self) -> Iterator[tuple[str, Any]]:
        for name in ("generator", "discriminator", "generator_optimiser", "discriminator_optimiser"):
            yield name, getattr(self, name)
        if self.average is not None:
            yield AVERAGE, self.average

    def start_epoch(self, settings: TrialSettings) -> None:
        """Virtual ranks go on from the running statistics there are, and the gradient noise scale is measured anew."""
        self.virtual_ranks = VirtualRanks(self._networks(), settings.training.virtual_ranks)
        self.generator_noise.start()
        self.discriminator_noise.start()

    def average_buffers(self, ranks: Ranks) -> None:
        """Average the running statistics of normalisation over ranks, virtual ones too, before validation and checkpoint."""
        self.virtual_ranks.average_()
        for network in self._networks():
            floating = [buffer for buffer in network.buffers() if buffer.is_floating_point()]
            if not floating or ranks.group is None:
                continue
            flat = ranks.mean(torch.cat([buffer.flatten() for buffer in floating]))
            for buffer, mean in zip(floating, torch.split(flat, [buffer.numel() for buffer in floating]), strict=True):
                buffer.copy_(mean.view_as(buffer))

    def equalise(self, ranks: Ranks) -> None:
        """Make the generator's weights equal on all ranks to the last bit, after each has made its own start."""
        if ranks.group is not None:
            for parameter in self.generator.parameters():
                ranks.mean(parameter.data)


def make_average(generator: GeneratorNetwork, decay: float) -> AveragedModel | None:
    """The running average of a generator's weights, if there is to be one; it begins with those of the first update."""
    return AveragedModel(generator, multi_avg_fn=get_ema_multi_avg_fn(decay)) if decay else None  # type: ignore[no-untyped-call]


def averaged_weights(saved: dict[str, Any]) -> dict[str, Any]:
    """Of a saved state, those of the generator that showers are generated with."""
    if AVERAGE not in saved:
        found: dict[str, Any] = saved["generator"]
        return found
    return {name.removeprefix(_OF_MODULE): value for name, value in saved[AVERAGE].items() if name.startswith(_OF_MODULE)}


#: What torch puts before the names of an averaged module's weights.
_OF_MODULE = "module."


def transform_of(settings: TrialSettings) -> Transform:
    """The transform between GeV and network units that the settings ask for."""
    data = settings.data
    return Transform(threshold_gev=data.threshold_gev, cell_scale=data.cell_scale, cell_power=data.cell_power, curve=data.cell_curve)


def make_generator(settings: TrialSettings) -> GeneratorNetwork:
    """A fresh one, of torch's own random numbers."""
    training, data = settings.training, settings.data
    return GeneratorNetwork(training.generator, data.grid, training.polar_angle, transform_of(settings), settings.is_ring)


def make_discriminator(settings: TrialSettings) -> DiscriminatorNetwork:
    """A fresh one, of torch's own random numbers."""
    training, data = settings.training, settings.data
    return DiscriminatorNetwork(training.discriminator, data.grid, transform_of(settings), training.polar_angle, settings.is_ring)


def make_optimiser(network: nn.Module, settings: Optimiser, learning_rate: float) -> torch.optim.Optimizer:
    """RMSprop as Keras has it (alpha .9, eps 1e-7 by default), or Adam."""
    if settings.name == "adam":
        betas = (settings.momentum, settings.smoothing)
        return torch.optim.Adam(network.parameters(), lr=learning_rate, betas=betas, eps=settings.epsilon)
    return torch.optim.RMSprop(
        network.parameters(), lr=learning_rate, alpha=settings.smoothing, eps=settings.epsilon, momentum=settings.momentum
    )
