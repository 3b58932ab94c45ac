"""States of small trials that never trained, as training would leave them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from gan3d.config.training import TrialSettings
from gan3d.training.checkpoint import save_state
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState


def settings(filters: int = 4, *, polar_angle: bool = False) -> TrialSettings:
    generator = {"filters": [filters] * 3, "kernel": 3, "noise_dim": 8, "normalisation": "batch"}
    training = {"global_batch": 16, "polar_angle": polar_angle, "generator": generator, "discriminator": {"filters": [4] * 4, "kernel": 3}}
    data = {"train": ["a"], "validation": ["b"], "grid": [12, 12, 12]}
    return TrialSettings.model_validate({"training": training, "workers": {"per_trial": 1}, "data": data})


def write(path: Path, trial: TrialSettings, **changes: Any) -> TrainState:
    """A state after epoch 5 whose running statistics are not those of a new network."""
    state = TrainState(trial, Ranks())
    state.epoch = 5
    with torch.no_grad():
        for buffer in state.generator.buffers():
            buffer.add_(1)
    save_state(path, {"state": state.state_dict(), "settings": trial.model_dump_json()} | changes)
    return state
