"""The graph that is exported is the function that the trial's generator is, whatever the generator is made of."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from trained_states import settings

from gan3d.config.training import TrialSettings
from gan3d.models.shower_graph import ShowerGraph
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState, transform_of

RICH = {"output": "rectified_normal", "residual_blocks": 2, "layer_energies": "fitted", "noise_dim": 20}
SEED = {"kernel": "seed", "output": "relu"}
KINDS: dict[str, dict[str, Any]] = {
    "small": {},
    "seed": {"generator": SEED, "grid": [25, 25, 25]},
    "rectified normal": {"generator": {"output": "rectified_normal"}},
    "residual, layers fitted": {
        "generator": {"output": "rectified_normal", "residual_blocks": 2, "layer_energies": "fitted", "noise_dim": 20}
    },
    "cell noise": {"generator": {"output": "rectified_normal", "cell_noise": True}},
    "impact": {"generator": {"output": "rectified_normal", "cell_noise": True, "impact": "fitted"}},
    "spectrum": {"generator": {"output": "rectified_normal", "layer_energies": "fitted", "noise_dim": 20, "cell_spectrum": "fitted"}},
    "group normalisation": {"generator": {"normalisation": "group"}},
    "per plane": {"generator": {"normalisation": "batch_per_plane"}},
    "angle": {"polar_angle": True},
    "a grid of no symmetry": {"grid": [13, 10, 17]},
    "ring": {"grid": [12, 8, 9], "cells": "polar"},
    "logarithm": {"curve": "logarithm"},
}


def trial_of(kind: dict[str, Any]) -> TrialSettings:
    plain = settings(polar_angle=kind.get("polar_angle", False)).model_dump(mode="json")
    plain["training"]["generator"] |= kind.get("generator", {})
    plain["data"] |= {"grid": kind.get("grid", [12, 12, 12]), "cells": kind.get("cells", "square"), "cell_power": 0.5}
    plain["data"]["cell_curve"] = kind.get("curve", "power")
    return TrialSettings.model_validate(plain)


@pytest.mark.parametrize("name", KINDS)
@torch.no_grad()
def test_it_is_the_network_the_inverse_transform_and_the_threshold(name: str) -> None:
    trial = trial_of(KINDS[name])
    state, transform = TrainState(trial, Ranks()), transform_of(trial)
    random = torch.Generator().manual_seed(1)
    for buffer in state.generator.buffers():
        if buffer.is_floating_point():
            buffer.add_(torch.rand(buffer.shape, generator=random))
    bends = [weight for name, weight in state.generator.named_parameters() if name.endswith("bend")]
    for bend in bends:
        bend.add_(torch.rand(bend.shape, generator=random))
    assert bool(bends) == (name == "spectrum")
    noise = torch.randn(5, trial.num_noise, generator=random)
    energy = torch.tensor([10.0, 40.0, 60.0, 90.0, 200.0])
    angle = torch.linspace(1.1, 2.0, 5) if trial.training.polar_angle else None
    expected = transform.to_gev(state.generator.eval()(noise, energy, angle))
    expected = torch.where(expected < transform.threshold_gev, 0.0, expected)
    found = ShowerGraph(state.generator, transform)(noise, energy, angle)
    assert (expected > 0).any()
    torch.testing.assert_close(found, expected, rtol=1e-3, atol=1e-5 * float(expected.max()))


@torch.no_grad()
def test_in_bf16_only_convolutions_lose_digits() -> None:
    trial = trial_of(KINDS["residual, layers fitted"])
    state, transform = TrainState(trial, Ranks()), transform_of(trial)
    noise, energy = torch.randn(4, 20, generator=torch.Generator().manual_seed(2)), torch.full((4,), 50.0)
    exact, short = (ShowerGraph(state.generator, transform, compute)(noise, energy) for compute in (torch.float32, torch.bfloat16))
    assert short.dtype == torch.float32
    assert not torch.equal(exact, short)
    # Layers are scaled to energies that no convolution has touched.
    torch.testing.assert_close(short.sum(dim=(1, 2)), exact.sum(dim=(1, 2)), rtol=2e-2, atol=1e-4)
