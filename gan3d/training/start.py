"""What a trial takes from training showers before its first step: where the generator starts, and what its showers should look like."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch

from gan3d.config.training import Training, TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.showers import Showers
from gan3d.models.observable_matching import ObservableDistributions
from gan3d.training.noise import stream
from gan3d.training.showers import CHUNK
from gan3d.training.state import TrainState, transform_of

#: Training showers that are looked at, the first so many: every rank reads them, and keeps them for a moment only.
MOST_SHOWERS = 1_000
#: Showers generated to standardise the fluctuations.
NUM_GENERATED = 128


def start_from(train: ShowerSet, state: TrainState, settings: TrialSettings) -> None:
    """Let a fresh generator start from training showers where its settings say so; the same on every rank."""
    if state.step or state.generator.cells is None:
        return
    showers = first_showers(train)
    device = next(state.generator.parameters()).device
    cells, energy = torch.from_numpy(showers.cells), torch.from_numpy(showers.incident_energy)
    random = stream(settings.training.seed, "start")
    rows = torch.randint(len(energy), (NUM_GENERATED,), generator=random)
    noise = torch.randn(NUM_GENERATED, settings.training.generator.noise_dim, generator=random)
    angle = None if showers.polar_angle is None or not settings.training.polar_angle else torch.from_numpy(showers.polar_angle)[rows]
    state.generator.cells.fit_(cells.to(device), energy.to(device), transform_of(settings))
    state.generator.standardise_(noise.to(device), energy[rows].to(device), None if angle is None else angle.to(device))


def observable_distributions(train: ShowerSet, training: Training, device: torch.device) -> ObservableDistributions | None:
    """What the loss on observables compares with; None where it has no weight."""
    if training.loss_weights.observables == 0:
        return None
    return ObservableDistributions.fit(chunks(first_showers(train))).to(device)


def first_showers(train: ShowerSet) -> Showers:
    """The first training showers."""
    return train.read(np.arange(min(len(train), MOST_SHOWERS)))


def chunks(showers: Showers) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    """Cells [GeV] and incident energies [GeV], a few showers at a time."""
    for start in range(0, len(showers), CHUNK):
        part = showers.take(slice(start, start + CHUNK))
        yield torch.from_numpy(part.cells), torch.from_numpy(part.incident_energy)
