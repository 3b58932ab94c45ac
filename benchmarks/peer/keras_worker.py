"""The Keras peer as a process that answers requests: -m benchmarks.peer.keras_worker SHOWERS.npz CORE.

It is run by the Python of its own environment, which has TensorFlow and no torch.
"""

from __future__ import annotations

import functools
import os
import sys
from collections.abc import Callable, Mapping
from typing import Any

from benchmarks.peer.line_protocol import forget_peak_memory, peak_memory, serve, stay_on_one_core, timed

# Read when TensorFlow loads.
os.environ |= {"TF_ENABLE_ONEDNN_OPTS": "1", "OMP_NUM_THREADS": "1", "TF_CPP_MIN_LOG_LEVEL": "3", "CUDA_VISIBLE_DEVICES": "-1"}

import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

from benchmarks.peer.keras_step import KerasTraining, drawn

RANDOM = np.random.default_rng(1)
#: Attributes of Keras' layers that hold weights or running statistics.
ATTRIBUTES = ("kernel", "bias", "gamma", "beta", "moving_mean", "moving_variance")


class KerasPeer:
    """What can be asked of the peer."""

    def __init__(self, showers: Mapping[str, Any]) -> None:
        self.showers = showers

    @functools.cache  # noqa: B019 - one peer for the life of the process
    def training(self, normalisation: str) -> KerasTraining:
        """Networks and step with the seed's filters."""
        return KerasTraining(normalisation=normalisation)

    def first(self, batch: int) -> dict[str, Any]:
        """The first showers."""
        return {name: values[:batch] for name, values in self.showers.items()}

    def step(self, batch: int, normalisation: str = "batch_per_plane") -> dict[str, float]:
        """Seconds of a training step."""
        training, showers = self.training(normalisation), self.first(batch)
        return timed(lambda: training.step(showers, drawn(batch, RANDOM)))

    def generate(self, batch: int) -> dict[str, float]:
        """Seconds of generating so many showers."""
        training, noise = self.training("batch_per_plane"), drawn(batch, RANDOM)["noise"][0]
        return timed(lambda: training.compiled_generator(noise).numpy())

    def predict(self, batch: int) -> dict[str, float]:
        """The same with Keras' own call."""
        training, noise = self.training("batch_per_plane"), drawn(batch, RANDOM)["noise"][0]
        return timed(lambda: training.generator.predict_on_batch(noise))

    def work(self) -> dict[str, dict[str, int]]:
        """Passes through convolutions in a step."""
        return self.training("batch_per_plane").convolutions(self.first(8), drawn(8, RANDOM))

    def check(self, asked: str, answered: str) -> None:
        """From given weights and draws: both networks' outputs, then one step without dropout at learning rate 0.

        Written to the file ``answered``: outputs, losses, running statistics, and the optimisers' mean squared gradients.
        """
        given = dict(np.load(asked))
        training = KerasTraining(dropout=0.0, learning_rate=0.0)
        for network in (training.generator, training.discriminator):
            for name, variable in named_variables(network):
                variable.assign(given[name])
        showers = {name: given[f"showers.{name}"] for name in ("cells", "energy", "deposited")}
        draws = {name: given[f"draws.{name}"] for name in ("noise", "energies", "deposited", "real", "generated")}
        cells = training.generator(draws["noise"][0], training=False)
        judged = training.discriminator(showers["cells"], training=False)
        found = {"output.cells": cells, "output.validity": judged[0], "output.energy": judged[1], "output.deposited": judged[2]}
        found["losses"] = training.step(showers, draws)
        pairs = ((training.generator, training.generator_optimiser), (training.discriminator, training.discriminator_optimiser))
        for network, optimiser in pairs:
            names = {variable.path: name for name, variable in named_variables(network)}
            found |= {name: variable.numpy() for name, variable in named_variables(network) if "moving" in name}
            squares = [variable for variable in optimiser.variables if variable.path.endswith("velocity")]
            for variable, square in zip(network.trainable_variables, squares, strict=True):
                found[f"square.{names[variable.path]}"] = square.numpy()
        arrays: dict[str, Any] = {name: np.asarray(value) for name, value in found.items()}
        np.savez(answered, **arrays)


def named_variables(network: Any) -> list[tuple[str, Any]]:
    """``network.layer.attribute`` to variable."""
    return [
        (f"{network.name}.{layer.name}.{attribute}", variable)
        for layer in network.layers
        for attribute in ATTRIBUTES
        if (variable := getattr(layer, attribute, None)) is not None
    ]


def main() -> None:
    """Serve on one core with one thread."""
    stay_on_one_core(int(sys.argv[2]))
    tf.config.threading.set_intra_op_parallelism_threads(1)
    tf.config.threading.set_inter_op_parallelism_threads(1)
    peer = KerasPeer(dict(np.load(sys.argv[1])))
    handlers: dict[str, Callable[..., Any]] = {name: getattr(peer, name) for name in ("step", "generate", "predict", "work", "check")}
    serve(handlers | {"forget_peak_memory": forget_peak_memory, "peak_memory": peak_memory})


if __name__ == "__main__":
    main()
