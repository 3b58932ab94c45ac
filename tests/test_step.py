"""One step of the recipe: who is updated how often and by whom, flips, clipping, response, what the losses are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trial import ALONE, checksum, showers_of, small_files, small_files_with_angle, small_trial, training_showers, values
from torch import nn

from gan3d.config.training import TrialSettings
from gan3d.models.response import ResponseCurve
from gan3d.training.clock import PhaseClock
from gan3d.training.conditions import Conditions
from gan3d.training.loop import autocast_of, to_batch
from gan3d.training.noise import Slots
from gan3d.training.start import observable_distributions
from gan3d.training.state import TrainState, transform_of
from gan3d.training.step import (
    Batch,
    Recipe,
    StepLosses,
    asked,
    discriminator_step,
    finish_step,
    flipped,
    generator_step,
    slots_of,
    train_step,
)

#: Parts of a network's losses in the order of ``LossParts``.
TOTAL, VALIDITY, INCIDENT_ENERGY, DEPOSITED_ENERGY, POLAR_ANGLE = range(5)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


@pytest.fixture(scope="module")
def files_with_angle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files_with_angle(tmp_path_factory.mktemp("angles"))


class Step:
    """Everything one step needs."""

    def __init__(self, files: Path, changes: dict[str, Any] | None = None) -> None:
        self.settings: TrialSettings = small_trial(files, changes)
        training, showers = self.settings.training, showers_of(self.settings)
        self.state = TrainState(self.settings, ALONE)
        observables = observable_distributions(showers.train, self.settings, ALONE.device)
        conditions, response = showers.conditions(training), showers.response(training)
        self.recipe = Recipe(training, conditions, response, autocast_of(self.settings, ALONE.device), observables)
        self.slots = slots_of(self.settings, ALONE, 0)
        monte_carlo = training_showers(self.settings, 0, self.settings.batch_per_worker)
        self.batch: Batch = to_batch(monte_carlo, transform_of(self.settings), ALONE.device, polar_angle=training.polar_angle)
        self.clock = PhaseClock()

    def discriminator(self) -> torch.Tensor:
        losses = discriminator_step(self.state, self.batch, self.recipe, self.slots, self.clock)
        finish_step(self.state, self.recipe)
        return losses

    def generator(self) -> torch.Tensor:
        losses = generator_step(self.state, self.batch.cells, self.recipe, self.slots, self.clock, 0)
        finish_step(self.state, self.recipe)
        return losses

    def whole(self) -> StepLosses:
        losses = train_step(self.state, self.batch, self.recipe, self.slots, self.clock)
        finish_step(self.state, self.recipe)
        return losses


def num_updates(optimiser: torch.optim.Optimizer) -> int:
    counts = {int(state["step"]) for state in optimiser.state.values()}
    assert len(counts) == 1, "every weight is updated"
    return counts.pop()


@pytest.mark.parametrize("generator_steps", [1, 2, 3])
def test_a_step_is_two_discriminator_updates_and_the_generators(files: Path, generator_steps: int) -> None:
    step = Step(files, {"training.generator_steps": generator_steps})
    for number in (1, 2):
        step.whole()
        assert step.state.step == number
        assert num_updates(step.state.discriminator_optimiser) == 2 * number
        assert num_updates(step.state.generator_optimiser) == generator_steps * number


def test_each_update_has_the_learning_rate_of_its_own_step(files: Path) -> None:
    """Also the generator's last, which is made in the next step."""
    step = Step(files, {"training.generator.learning_rate": 0.002})
    optimisers = {"generator": step.state.generator_optimiser, "discriminator": step.state.discriminator_optimiser}
    rates: dict[str, list[float]] = {name: [] for name in optimisers}
    for name, optimiser in optimisers.items():
        optimiser.register_step_pre_hook(lambda _, *__, name=name, by=optimiser: rates[name].append(by.param_groups[0]["lr"]))
    for factor in (0.5, 4.0):
        step.state.learning_rate_factor = factor
        train_step(step.state, step.batch, step.recipe, step.slots, step.clock)
    finish_step(step.state, step.recipe)
    assert rates == {"generator": [0.001, 0.001, 0.008, 0.008], "discriminator": [0.0005, 0.0005, 0.004, 0.004]}


def test_updates_come_just_before_their_weights_are_needed_and_no_earlier(files: Path) -> None:
    """No pass sees weights that are due for an update, and between a network's pass and its update others go on."""
    step, seen = Step(files, {"training.generator_steps": 2}), list[str]()
    for name in ("generator", "discriminator"):
        network, optimiser = getattr(step.state, name), getattr(step.state, f"{name}_optimiser")
        network.register_forward_pre_hook(lambda network, *_, name=name: seen.append(name if network.training else f"{name} predicts"))
        optimiser.register_step_pre_hook(lambda *_, name=name: seen.append(f"{name} updated"))
    for _ in range(2):
        train_step(step.state, step.batch, step.recipe, step.slots, step.clock)
    finish_step(step.state, step.recipe)
    passes = ["generator predicts", "discriminator updated", "discriminator"]
    passes += ["generator", "discriminator updated", "discriminator", "generator updated", "generator", "discriminator"]
    assert seen == ["discriminator", *passes, "discriminator", "generator updated", *passes, "generator updated"]


def test_a_state_is_not_saved_while_an_update_is_due(files: Path) -> None:
    step = Step(files)
    train_step(step.state, step.batch, step.recipe, step.slots, step.clock)
    with pytest.raises(AssertionError, match="due"):
        step.state.state_dict()
    finish_step(step.state, step.recipe)
    assert step.state.state_dict()["step"] == 1


def test_a_due_update_is_made_once(files: Path) -> None:
    step = Step(files)
    step.whole()
    before = checksum(step.state.generator, step.state.discriminator)
    finish_step(step.state, step.recipe)
    assert checksum(step.state.generator, step.state.discriminator) == before


@pytest.mark.parametrize("normalisation", ["group", "batch"])
def test_the_discriminators_step_leaves_the_generator_alone(files: Path, normalisation: str) -> None:
    step = Step(files, {"training.generator.normalisation": normalisation})
    generator, discriminator = checksum(step.state.generator), checksum(step.state.discriminator)
    step.discriminator()
    assert checksum(step.state.generator) == generator, "no gradient, and running statistics are those of its own steps"
    assert step.state.generator.training
    assert checksum(step.state.discriminator) != discriminator


def test_the_generators_step_leaves_the_discriminators_weights_alone(files: Path) -> None:
    step = Step(files)
    generator, discriminator = checksum(step.state.generator), checksum(step.state.discriminator)
    step.generator()
    assert checksum(step.state.discriminator) == discriminator
    assert all(parameter.requires_grad and parameter.grad is None for parameter in step.state.discriminator.parameters())
    assert checksum(step.state.generator) != generator


def test_monte_carlo_and_generated_showers_are_two_batches(files: Path) -> None:
    """With batch normalisation the discriminator sees real and generated showers apart: its running statistics move twice."""
    step = Step(files, {"training.discriminator.normalisation": "batch"})
    step.discriminator()
    tracked = [module.num_batches_tracked for module in step.state.discriminator.modules() if isinstance(module, nn.BatchNorm3d)]
    assert tracked
    assert all(int(number) == 2 for number in tracked)  # type: ignore[arg-type]


def test_losses_are_detached_finite_and_named_by_place(files_with_angle: Path) -> None:
    step = Step(files_with_angle, {"training.polar_angle": True})
    losses = step.whole()
    for row, weights in ((losses.discriminator, step.recipe.training.loss_weights), (losses.generator, step.recipe.training.loss_weights)):
        assert row.shape == (5,)
        assert not row.requires_grad
        assert bool((row > 0).all())
        parts = (
            weights.validity * row[VALIDITY]
            + weights.incident_energy * row[INCIDENT_ENERGY]
            + weights.deposited_energy * row[DEPOSITED_ENERGY]
            + weights.polar_angle * row[POLAR_ANGLE]
        )
        assert torch.isclose(row[TOTAL], parts, rtol=1e-5)


def test_without_polar_angle_its_loss_is_zero(files: Path) -> None:
    losses = Step(files).whole()
    assert losses.discriminator[POLAR_ANGLE] == losses.generator[POLAR_ANGLE] == 0


def test_the_loss_on_observables_adds_to_the_generators_total(files: Path) -> None:
    without, with_weight = Step(files).generator(), Step(files, {"training.loss_weights.observables": 2.0}).generator()
    assert torch.equal(without[1:], with_weight[1:])
    assert with_weight[TOTAL] > without[TOTAL]


def gradient_norm(network: nn.Module) -> float:
    squares = [parameter.grad.square().sum() for parameter in network.parameters() if parameter.grad is not None]
    return float(torch.stack(squares).sum().sqrt())


def test_clipping_bounds_each_networks_gradient(files: Path) -> None:
    free, largest = Step(files), 0.01
    clipped = Step(files, {"training.gradient_clipping": largest})
    for step in (free, clipped):
        step.whole()
    for name in ("generator", "discriminator"):
        assert gradient_norm(getattr(free.state, name)) > 2 * largest
        assert gradient_norm(getattr(clipped.state, name)) <= largest * 1.001
    unreached = Step(files, {"training.gradient_clipping": 1e9})
    unreached.whole()
    assert checksum(unreached.state.generator) == checksum(free.state.generator) != checksum(clipped.state.generator)


@pytest.mark.parametrize("validity", [0.0, 1.0])
@pytest.mark.parametrize("share", [0.0, 0.05, 0.4])
def test_a_share_of_targets_is_flipped(files: Path, validity: float, share: float) -> None:
    recipe = Step(files, {"training.flipped_targets": share}).recipe
    targets = flipped(validity, recipe, Slots(1, 0, 20_000, 0, 20_000), ALONE.device)
    assert set(targets.tolist()) <= {0.0, 1.0}
    assert float((targets != validity).double().mean()) == pytest.approx(share, abs=0.01)
    if share == 0:
        assert bool((targets == validity).all())


def test_real_and_generated_showers_are_flipped_independently_and_anew_each_step(files: Path) -> None:
    recipe = Step(files, {"training.flipped_targets": 0.4}).recipe
    first, second = (Slots(1, step, 2000, 0, 2000) for step in (0, 1))
    real, generated = flipped(1.0, recipe, first, ALONE.device) == 0, flipped(0.0, recipe, first, ALONE.device) == 1
    for other in (generated, flipped(1.0, recipe, second, ALONE.device) == 0):
        assert float((real & other).double().mean()) == pytest.approx(0.16, abs=0.03)


def test_generated_showers_are_asked_to_be_real_at_their_conditions(files: Path) -> None:
    step = Step(files)
    energy = torch.tensor([20.0, 60.0])
    targets = asked(Conditions(energy, torch.tensor([1.0, 2.0])), step.recipe)
    assert targets.validity.tolist() == [1, 1]
    assert torch.equal(targets.incident_energy, energy)
    assert torch.equal(targets.deposited_energy, step.recipe.response(energy))
    assert targets.polar_angle is not None
    assert targets.polar_angle.tolist() == [1, 2]


def test_the_response_is_the_training_sets_or_the_seeds(files: Path) -> None:
    energy = torch.tensor([20.0, 50.0, 90.0])
    fitted, seed = Step(files).recipe.response, Step(files, {"training.response": "seed"}).recipe.response
    assert torch.equal(seed(energy), ResponseCurve.seed()(energy))
    train = showers_of(small_trial(files)).train
    assert fitted == ResponseCurve.fit(train.incident_energies(), train.deposited_energies())
    expected = float((train.deposited_energies() / train.incident_energies()).mean())
    assert (fitted(energy) / energy).tolist() == pytest.approx([expected] * 3, rel=0.1)
    assert not torch.allclose(fitted(energy), seed(energy), rtol=0.02)


def test_slots_of_ranks_are_neighbours(files: Path) -> None:
    settings = small_trial(files, {"workers.per_trial": 4})
    slots = [slots_of(settings, type(ALONE)(rank, 4), 9) for rank in range(4)]
    assert [(slot.first, slot.count) for slot in slots] == [(0, 4), (4, 4), (8, 4), (12, 4)]
    assert {(slot.seed, slot.step, slot.global_batch) for slot in slots} == {(1, 9, 16)}


def test_time_goes_to_the_networks_and_the_optimiser(files: Path) -> None:
    step = Step(files)
    step.whole()
    charged = {name for name, seconds in step.clock.seconds.items() if seconds}
    assert charged == {"discriminator", "generator", "optimiser"}


def test_the_generator_learns_from_its_own_batch_statistics(files: Path) -> None:
    """Its updates run in training mode: the running statistics move."""
    step = Step(files, {"training.generator.normalisation": "batch"})
    before = values(step.state.generator)
    step.generator()
    after = values(step.state.generator)
    moved = [name for name in before if "running_mean" in name and not torch.equal(before[name], after[name])]
    assert len(moved) == sum("running_mean" in name for name in before) > 0
