"""A step that is made and forgotten, so that a trial that is taken up adds gradients in the order in which it would have gone on.

DDP arranges its buckets anew after their first reduction, and the order in which gloo adds up three or more ranks follows the place in a
bucket. The first step of a trial that is taken up would be added as a trial's very first one is.
"""

from __future__ import annotations

import copy
import math

import torch

from gan3d.config.training import TrialSettings
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState
from gan3d.training.step import Batch, Recipe, finish_step, slots_of, train_step


def rehearse(state: TrainState, settings: TrialSettings, recipe: Recipe, ranks: Ranks) -> None:
    """One step on showers of nothing, where there are several ranks; networks, optimisers and counters are afterwards as before."""
    if ranks.group is None:
        return
    before = copy.deepcopy(state.state_dict())
    train_step(state, empty_batch(settings, ranks.device), recipe, slots_of(settings, ranks, state.step), PhaseClock(ranks.device))
    finish_step(state, recipe)
    state.load_state_dict(before)


def empty_batch(settings: TrialSettings, device: torch.device) -> Batch:
    """As many showers as this worker has in a step, without energy in any cell."""
    energy = torch.full((settings.batch_per_worker,), 50.0, device=device)
    angle = torch.full_like(energy, math.pi / 2) if settings.training.polar_angle else None
    cells = torch.zeros(settings.batch_per_worker, *settings.data.grid, device=device)
    return Batch(cells, energy, torch.zeros_like(energy), angle)
