"""A trial small enough for a test of one second: Geant4 showers cut to 12 x 12 x 12 cells, networks of a few filters."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import torch
from shower_layouts import make_showers
from small_study import GRID, write_showers
from torch import nn

from gan3d.config.training import TrialSettings
from gan3d.data.shower_file import write_clic_file
from gan3d.data.showers import Showers
from gan3d.records import EpochRecord
from gan3d.training.loop import Trial, epochs
from gan3d.training.ranks import Ranks
from gan3d.training.showers import TrialShowers, open_showers
from gan3d.training.state import TrainState

#: One process, without torch.distributed.
ALONE = Ranks()


def small_files(folder: Path, *, num_train: int = 48, num_validation: int = 30) -> Path:
    """Write ``train.h5`` and ``validation.h5``; returns the folder."""
    write_showers(folder, num_train=num_train, num_validation=num_validation)
    return folder


def small_files_with_angle(folder: Path, *, num_train: int = 48, num_validation: int = 30) -> Path:
    """The same with a polar angle: random cells, as only the angle matters."""
    grid = (GRID[0], GRID[1], GRID[2])
    for name, number, seed in (("train", num_train, 1), ("validation", num_validation, 2)):
        write_clic_file(folder / f"{name}.h5", make_showers(number, grid, seed=seed, has_polar_angle=True))
    return folder


def small_trial(folder: Path, changes: dict[str, Any] | None = None) -> TrialSettings:
    """Settings on the files of ``folder``; ``changes`` are dotted keys."""
    content: dict[str, Any] = {
        "training": {
            "epochs": 2,
            "global_batch": 16,
            "generator": {"filters": [4, 4, 4], "kernel": 3, "normalisation": "group", "conditioning": "concatenate", "noise_dim": 8},
            "discriminator": {"filters": [4, 4, 4, 4], "kernel": 3, "normalisation": "group"},
        },
        "workers": {},
        "data": {"train": [str(folder / "train.h5")], "validation": [str(folder / "validation.h5")], "grid": GRID, "cell_scale": 30.0},
    }
    for key, value in (changes or {}).items():
        *sections, last = key.split(".")
        section = content
        for name in sections:
            section = section.setdefault(name, {})
        section[last] = value
    return TrialSettings.model_validate(content)


def showers_of(settings: TrialSettings, ranks: Ranks = ALONE) -> TrialShowers:
    """The trial's showers."""
    return open_showers(settings.data, ranks, polar_angle=settings.training.polar_angle)


def trained(settings: TrialSettings, ranks: Ranks = ALONE, *, num_epochs: int | None = None) -> tuple[TrainState, list[EpochRecord]]:
    """A fresh state after ``num_epochs`` (by default all of them), and the records on the way."""
    state = TrainState(settings, ranks)
    return state, list(some_epochs(settings, state, num_epochs, ranks))


def trained_in_two_parts(settings: TrialSettings, first: int) -> TrainState:
    """A state that was saved after so many epochs, loaded into a fresh one and trained to the end."""
    saved, _ = trained(settings, num_epochs=first)
    state = TrainState(settings, ALONE)
    state.load_state_dict(saved.state_dict())
    list(some_epochs(settings, state, None))
    return state


def some_epochs(settings: TrialSettings, state: TrainState, number: int | None, ranks: Ranks = ALONE) -> Iterator[EpochRecord]:
    """Train ``state`` for so many epochs more, or to the end."""
    yield from islice(epochs(Trial(settings, ranks, showers_of(settings, ranks)), state), number)


def training_showers(settings: TrialSettings, start: int, stop: int) -> Showers:
    """Training showers by their place in the files."""
    return showers_of(settings).train.read(np.arange(start, stop))


def values(network: nn.Module) -> dict[str, torch.Tensor]:
    """A copy of weights and buffers."""
    return {name: value.detach().clone() for name, value in network.state_dict().items()}


def checksum(*networks: nn.Module) -> str:
    """Of all weights and buffers, bit for bit."""
    digest = hashlib.sha256()
    for network in networks:
        for value in network.state_dict().values():
            digest.update(value.cpu().numpy().tobytes())
    return digest.hexdigest()
