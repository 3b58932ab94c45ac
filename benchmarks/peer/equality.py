"""That gan3d and the Keras peer are the same function and do the same work, shown with equal weights, showers and noise.

One step at learning rate 0 without dropout and flips: the losses show the forward passes, the running statistics that normalisation was in
training mode in each of them, and the optimisers' mean squared gradients every weight's gradient in every update, and that the frozen
discriminator has had none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import nn

from benchmarks.training_step import ALONE, batch_of, showers_of, spread_out, study_settings
from gan3d.config.training import TrialSettings
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.work import discriminator_convolutions, generator_convolutions
from gan3d.physics.transform import ENERGY_UNIT_GEV
from gan3d.training.clock import PhaseClock
from gan3d.training.loop import autocast_of
from gan3d.training.paths import choose_paths
from gan3d.training.state import TrainState
from gan3d.training.step import Batch, Recipe, finish_step, slots_of, train_step

BATCH = 8
#: Names in Keras of torch's, for normalisations; the others have a kernel and a bias.
OF_NORMALISATIONS = {"weight": "gamma", "bias": "beta", "running_mean": "moving_mean", "running_var": "moving_variance"}
#: Largest relative difference (norm of the difference over norm) by kind of quantity. Gradients' is wider: an activation within rounding
#: of 0 takes the other slope of LeakyReLU. For scale: normalisation in inference mode in the frozen passes made 4e-5 of the losses, 6e-2 of
#: the running statistics and 6e-3 of the squared gradients.
MOST = {"outputs": 1e-5, "losses": 1e-5, "running statistics": 1e-4, "squared gradients": 4e-3}

Arrays = dict[str, Any]


def seed_settings() -> TrialSettings:
    """The seed's recipe on the samples."""
    return study_settings("seed_baseline")


def expected_passes(settings: TrialSettings) -> dict[str, dict[str, int]]:
    """How often convolutions are passed in a step, and the multiply-adds per shower, with a frozen discriminator."""
    training, grid = settings.training, settings.data.grid
    generator = [layer.multiply_adds for layer in generator_convolutions(training.generator, grid)]
    discriminator = [layer.multiply_adds for layer in discriminator_convolutions(training.discriminator, grid)]
    updates = training.generator_steps
    # Of each layer: (how often, layers). Nobody asks for the input gradient of the discriminator's first layer in its own updates.
    passes = {
        "forward": [(1 + updates, generator), (2 + updates, discriminator)],
        "input gradient": [(updates, generator), (2, discriminator[1:]), (updates, discriminator)],
        "weight gradient": [(updates, generator), (2, discriminator)],
    }
    found = {}
    for name, each in passes.items():
        count = sum(times * len(layers) for times, layers in each)
        found[name] = {"count": count, "multiply_adds": sum(times * sum(layers) for times, layers in each)}
    return found


def with_constants(settings: TrialSettings) -> TrialSettings:
    """The same without dropout and flips, which each framework draws in its own way."""
    content = spread_out(settings, BATCH).model_dump()
    content["training"]["flipped_targets"] = 0.0
    content["training"]["discriminator"]["dropout"] = 0.0
    return TrialSettings.model_validate(content)


def differences(keras: Any, folder: Path) -> dict[str, float]:
    """Largest relative differences by kind of quantity; ``keras`` is asked for ``check`` with files in ``folder``."""
    settings = with_constants(seed_settings())
    given, found = one_step(settings)
    np.savez(folder / "given.npz", **given)
    keras("check", asked=str(folder / "given.npz"), answered=str(folder / "answered.npz"))
    answered = dict(np.load(folder / "answered.npz"))
    # gan3d keeps the means over the discriminator's updates and over the generator's.
    answered["losses"] = answered["losses"].reshape(2, 2, 4).mean(1)
    kinds: dict[str, float] = {}
    assert set(found) == set(answered)
    for name, own in found.items():
        kind = {"output": "outputs", "losses": "losses", "square": "squared gradients"}.get(name.split(".")[0], "running statistics")
        kinds[kind] = max(kinds.get(kind, 0.0), relative_difference(answered[name], own))
    return kinds


def relative_difference(one: Any, other: Any) -> float:
    """Norm of the difference over the norm of ``other``."""
    one, other = np.asarray(one, np.float64).ravel(), np.asarray(other, np.float64).ravel()
    return float(np.linalg.norm(one - other) / np.linalg.norm(other))


def one_step(settings: TrialSettings) -> tuple[Arrays, Arrays]:
    """What Keras needs for the same step, and what gan3d makes of it on its fastest paths, both as Keras names and lays things out."""
    showers = showers_of(settings)
    state = TrainState(settings, ALONE)
    away_from_zero(state)
    state.learning_rate_factor = 0.0
    choose_paths(state, settings, ALONE)
    training, batch = settings.training, batch_of(showers, settings, 0)
    recipe = Recipe(training, showers.conditions(training), showers.response(training), autocast_of(settings, ALONE.device))
    given = weights(state) | showers_given(batch) | draws(settings, recipe)
    found = outputs(state, batch, given)
    counts = counted_gradients(state)
    parts = train_step(state, batch, recipe, slots_of(settings, ALONE, 0), PhaseClock())
    finish_step(state, recipe)
    # Each update computes the gradients of the network that it updates, and no others.
    expected = {name: training.generator_steps if name.startswith("generator") else 2 for name in counts}
    assert counts == expected, counts
    found["losses"] = torch.stack([parts.discriminator, parts.generator])[:, :4].numpy()
    found |= {name: value for name, value in weights(state).items() if "moving" in name}
    return given, found | squared_gradients(state)


def counted_gradients(state: TrainState) -> dict[str, int]:
    """How often each weight's gradient is computed from now on, by network and name; filled as it happens."""
    counts: dict[str, int] = {}
    for role, network in (("generator", state.generator), ("discriminator", state.discriminator)):
        for name, parameter in network.named_parameters():
            counts[f"{role}.{name}"] = 0

            def count(_: torch.Tensor, key: str = f"{role}.{name}") -> None:
                counts[key] += 1

            parameter.register_post_accumulate_grad_hook(count)  # type: ignore[no-untyped-call]
    return counts


def away_from_zero(state: TrainState) -> None:
    """Biases and statistics off their start: where activations are exactly 0, rounding decides LeakyReLU's slope."""
    random = torch.Generator().manual_seed(1)
    for network in (state.generator, state.discriminator):
        for name, value in network.state_dict().items():
            if value.ndim == 1 and value.is_floating_point():
                low, high = (0.5, 1.5) if name.endswith(("var", "weight")) else (-0.2, 0.2)
                value.uniform_(low, high, generator=random)


def showers_given(batch: Batch) -> Arrays:
    """Showers as Keras takes them."""
    energy = (batch.incident_energy / ENERGY_UNIT_GEV).unsqueeze(1)
    of_keras = {"cells": batch.cells.unsqueeze(-1), "energy": energy, "deposited": batch.deposited_energy.unsqueeze(1)}
    return {f"showers.{name}": value.numpy() for name, value in of_keras.items()}


def draws(settings: TrialSettings, recipe: Recipe) -> Arrays:
    """gan3d's own noise and conditions of step 0, in the order of the evaluation and the updates."""
    slots = slots_of(settings, ALONE, 0)
    names = ["discriminator", *(f"generator.{number}" for number in range(settings.training.generator_steps))]
    energies = torch.stack([recipe.conditions.draw(slots, f"{name}.conditions").incident_energy for name in names]).unsqueeze(-1)
    noise = torch.stack([slots.normal(f"{name}.noise", settings.training.generator.noise_dim) for name in names])
    scaled = energies / ENERGY_UNIT_GEV
    drawn = {"noise": noise * scaled, "energies": scaled, "deposited": recipe.response(energies)}
    drawn |= {"real": torch.ones(BATCH, 1), "generated": torch.zeros(BATCH, 1)}
    return {f"draws.{name}": value.float().numpy() for name, value in drawn.items()}


@torch.no_grad()
def outputs(state: TrainState, batch: Batch, given: Arrays) -> Arrays:
    """Both networks in evaluation mode."""
    energy = torch.from_numpy(given["draws.energies"][0]).squeeze(1)
    noise = torch.from_numpy(given["draws.noise"][0]) / energy[:, None]
    cells = state.generator.eval()(noise, ENERGY_UNIT_GEV * energy)
    judged = state.discriminator.eval()(batch.cells)
    state.generator.train()
    state.discriminator.train()
    of_keras = {
        "cells": cells.unsqueeze(-1),
        "validity": judged.validity_logit.sigmoid(),
        "energy": judged.incident_energy / ENERGY_UNIT_GEV,
        "deposited": judged.deposited_energy,
    }
    return {f"output.{name}": value.numpy() for name, value in of_keras.items()}


def weights(state: TrainState) -> Arrays:
    """Weights and running statistics."""
    networks = (state.generator, state.discriminator)
    return {name: value for network in networks for name, value in keras_arrays(network, network.state_dict())}


def squared_gradients(state: TrainState) -> Arrays:
    """RMSprop's mean squared gradients."""
    pairs = ((state.generator, state.generator_optimiser), (state.discriminator, state.discriminator_optimiser))
    found: Arrays = {}
    for network, optimiser in pairs:
        squares = {name: optimiser.state[parameter]["square_avg"] for name, parameter in network.named_parameters()}
        found |= {f"square.{name}": value for name, value in keras_arrays(network, squares)}
    return found


def keras_arrays(network: nn.Module, tensors: Mapping[str, torch.Tensor]) -> Iterator[tuple[str, Any]]:
    """Tensors by their names in ``network`` to arrays by their names in Keras, channels last."""
    role = "generator" if isinstance(network, GeneratorNetwork) else "discriminator"
    for name, tensor in tensors.items():
        *modules, attribute = name.split(".")
        layer = layer_name(modules)
        if attribute == "num_batches_tracked":
            continue
        if "normalisation" in layer:
            yield f"{role}.{layer}.{OF_NORMALISATIONS[attribute]}", tensor.numpy(force=True).copy()
        else:
            keras = {"weight": "kernel", "bias": "bias"}[attribute]
            yield f"{role}.{layer}.{keras}", channels_last(network, layer, tensor).numpy(force=True).copy()


def layer_name(modules: list[str]) -> str:
    """``blocks.0.convolution`` and ``block1.convolution`` to ``convolution1``; ``blocks.1.normalisation`` to ``normalisation2``."""
    match modules:
        case ["blocks", number, part]:
            return f"{part}{int(number) + 1}"
        case [block, "convolution"]:
            return f"convolution{block.removeprefix('block')}"
        case _:
            return ".".join(modules)


def channels_last(network: nn.Module, layer: str, tensor: torch.Tensor) -> torch.Tensor:
    """A weight or bias as Keras lays it out; activations that are flattened have their channels last there."""
    if tensor.ndim == 5:
        return tensor.permute(2, 3, 4, 1, 0)
    if layer == "dense":
        assert isinstance(network, GeneratorNetwork)
        kernel = tensor.view(*network.start, -1).permute(4, 1, 2, 3, 0).flatten(1)
        return kernel[0] if tensor.ndim == 1 else kernel
    if tensor.ndim == 2:
        num_channels = network.get_submodule("blocks.3.convolution").get_parameter("weight").shape[0]
        return tensor.view(num_channels, -1).T.reshape(-1, 1)
    return tensor
