"""bf16 by autocast, on the CPU here: every recipe makes its step, and what is regressed keeps the digits of single precision."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trial import ALONE, showers_of, small_files, small_trial, training_showers

from gan3d.config.training import TrialSettings
from gan3d.training.clock import PhaseClock
from gan3d.training.loop import autocast_of, to_batch
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import Recipe, finish_step, slots_of, train_step

HALF: dict[str, Any] = {"training.precision": "bf16", "workers.gpus_per_worker": 1}
RECIPES: dict[str, dict[str, Any]] = {
    "seed": {},
    "penalty": {"training.adversarial_loss": "wasserstein", "training.gradient_penalty": 10.0},
    "relativistic": {"training.adversarial_loss": "relativistic", "training.discriminator.minibatch_statistics": True},
    "observables": {"training.loss_weights.observables": 10.0, "training.generator.output": "rectified_normal"},
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


def recipe_of(settings: TrialSettings) -> Recipe:
    showers = showers_of(settings)
    return Recipe(
        settings.training, showers.conditions(settings.training), showers.response(settings.training), autocast_of(settings, ALONE.device)
    )


@pytest.mark.parametrize("name", RECIPES)
def test_a_step_in_bf16_is_near_one_in_single_precision(files: Path, name: str) -> None:
    found = {}
    for kind, changes in (("bf16", HALF), ("fp32", {})):
        settings = small_trial(files, RECIPES[name] | changes | {"training.discriminator.dropout": 0.0})
        state, recipe = TrainState(settings, ALONE), recipe_of(settings)
        batch = to_batch(training_showers(settings, 0, settings.global_batch), transform_of(settings), ALONE.device, polar_angle=False)
        losses = train_step(state, batch, recipe, slots_of(settings, ALONE, 0), PhaseClock())
        finish_step(state, recipe)
        found[kind] = torch.stack([losses.discriminator, losses.generator])
    torch.testing.assert_close(found["bf16"], found["fp32"], rtol=0.05, atol=0.05)
    assert not torch.equal(found["bf16"], found["fp32"]), "autocast was on"


def test_judgements_have_the_digits_of_single_precision(files: Path) -> None:
    settings = small_trial(files, HALF)
    discriminator = TrainState(settings, ALONE).discriminator
    showers = training_showers(settings, 0, 16)
    batch = to_batch(showers, transform_of(settings), ALONE.device, polar_angle=False)
    with torch.no_grad(), recipe_of(settings).autocast():
        said = discriminator(batch.cells)
    for name in ("validity_logit", "incident_energy", "deposited_energy"):
        value = getattr(said, name)
        assert value.dtype == torch.float32, name
        assert not torch.equal(value, value.bfloat16().float()), f"{name} has been rounded"
