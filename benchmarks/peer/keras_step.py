"""The seed's training step in Keras 3, as one compiled graph; the same calls in the same order as ``gan3d/training/step.py``.

One ``tf.function`` and Keras' own ``train_on_batch`` were equally fast (2.55 and 2.57 showers/s at batch 8); of the first, the graph can
be counted. The discriminator is frozen in the generator's updates as in 2018: no gradients of its weights, but normalisation and
dropout in training mode. (Keras 3 itself would put a frozen normalisation into inference mode.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from math import prod
from typing import Any

import keras  # type: ignore[import-not-found]
import numpy as np
import tensorflow as tf  # type: ignore[import-untyped]

from benchmarks.peer.keras_networks import DROPOUT, NOISE_DIM, make_discriminator, make_generator

#: Of validity, incident energy and deposited energy.
LOSS_WEIGHTS = (8.0, 0.2, 0.1)
FLIPPED_TARGETS = 0.05
#: Deposited over incident energy in percent: coefficients of falling powers of the incident energy in 100 GeV.
RESPONSE = (0.0018, -0.023, 0.11, -0.28, 2.21)
#: The generator's evaluation and its two updates.
NUM_DRAWS = 3
#: TensorFlow's operations to the passes that they are.
PASSES = {"Conv3D": "forward", "Conv3DBackpropInputV2": "input gradient", "Conv3DBackpropFilterV2": "weight gradient"}

Arrays = Mapping[str, Any]


class KerasTraining:
    """Both networks, their optimisers, and the step."""

    def __init__(
        self,
        generator_filters: Sequence[int] = (64, 6, 6),
        filters: Sequence[int] = (32, 8, 8, 8),
        normalisation: str = "batch_per_plane",
        *,
        dropout: float = DROPOUT,
        learning_rate: float = 1e-3,
    ) -> None:
        self.generator = make_generator(generator_filters, normalisation)
        self.discriminator = make_discriminator(filters, normalisation, dropout)
        self.generator_optimiser = rmsprop(self.generator, learning_rate)
        self.discriminator_optimiser = rmsprop(self.discriminator, learning_rate)
        self.compiled_step = tf.function(self._step)
        self.compiled_generator = tf.function(lambda noise: self.generator(noise, training=False))

    def step(self, showers: Arrays, draws: Arrays) -> Any:
        """One step; returns the loss parts (total, validity, incident energy, deposited energy) of its four updates, (4, 4)."""
        return self.compiled_step(tensors(showers), tensors(draws)).numpy()

    def convolutions(self, showers: Arrays, draws: Arrays) -> dict[str, dict[str, int]]:
        """How often each pass runs in a step and its multiply-adds per shower, from the part of the graph that the results need."""
        graph = self.compiled_step.get_concrete_function(tensors(showers), tensors(draws)).graph
        found = {name: {"count": 0, "multiply_adds": 0} for name in PASSES.values()}
        for operation in needed(graph):
            if operation.type in PASSES:
                entry = found[PASSES[operation.type]]
                entry["count"] += 1
                entry["multiply_adds"] += multiply_adds(operation)
        return found

    def _step(self, showers: Arrays, draws: Arrays) -> Any:
        energy, deposited = draws["energies"], draws["deposited"]
        generated = self.generator(draws["noise"][0], training=False)
        parts = [
            self._update_discriminator(showers["cells"], (draws["real"], showers["energy"], showers["deposited"])),
            self._update_discriminator(generated, (draws["generated"], energy[0], deposited[0])),
        ]
        for number in range(1, NUM_DRAWS):
            targets = (tf.ones_like(energy[number]), energy[number], deposited[number])
            parts.append(self._update_generator(draws["noise"][number], targets))
        return tf.stack(parts)

    def _update_discriminator(self, cells: Any, targets: tuple[Any, ...]) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights_of(self.discriminator))
            parts = losses(self.discriminator(cells, training=True), targets)
            total = parts[0]
        gradients = tape.gradient(total, weights_of(self.discriminator))
        self.discriminator_optimiser.apply(gradients, self.discriminator.trainable_variables)
        return parts

    def _update_generator(self, noise: Any, targets: tuple[Any, ...]) -> Any:
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(weights_of(self.generator))
            parts = losses(self.discriminator(self.generator(noise, training=True), training=True), targets)
            total = parts[0]
        gradients = tape.gradient(total, weights_of(self.generator))
        self.generator_optimiser.apply(gradients, self.generator.trainable_variables)
        return parts


def tensors(arrays: Arrays) -> dict[str, Any]:
    """TensorFlow's own of numpy arrays."""
    return {name: tf.convert_to_tensor(array) for name, array in arrays.items()}


def weights_of(network: Any) -> list[Any]:
    """TensorFlow's own variables of the trainable weights."""
    return [variable.value for variable in network.trainable_variables]


def rmsprop(network: Any, learning_rate: float) -> Any:
    """Keras' RMSprop with the defaults of 2018."""
    optimiser = keras.optimizers.RMSprop(learning_rate, rho=0.9, epsilon=1e-7)
    optimiser.build(network.trainable_variables)
    return optimiser


def losses(outputs: Sequence[Any], targets: Sequence[Any]) -> Any:
    """Total, binary cross-entropy, and absolute percentage errors [%] of incident and deposited energy."""
    parts = [tf.reduce_mean(keras.losses.binary_crossentropy(targets[0], outputs[0]))]
    parts += [
        tf.reduce_mean(keras.losses.mean_absolute_percentage_error(truth, output))
        for output, truth in zip(outputs[1:], targets[1:], strict=True)
    ]
    return tf.stack([tf.add_n([weight * part for weight, part in zip(LOSS_WEIGHTS, parts, strict=True)]), *parts])


def drawn(num_showers: int, random: np.random.Generator) -> dict[str, Any]:
    """Noise, incident energies [100 GeV] uniform in 10-500 GeV, deposited energies [GeV] and flipped validities of one step."""
    energies = random.uniform(0.1, 5.0, (NUM_DRAWS, num_showers, 1)).astype(np.float32)
    noise = random.standard_normal((NUM_DRAWS, num_showers, NOISE_DIM), dtype=np.float32) * energies
    flips = (random.random((2, num_showers, 1)) < FLIPPED_TARGETS).astype(np.float32)
    deposited = energies * np.polyval(np.asarray(RESPONSE, np.float32), energies)
    return {"noise": noise, "energies": energies, "deposited": deposited, "real": 1 - flips[0], "generated": flips[1]}


def needed(graph: Any) -> Iterator[Any]:
    """Operations that a graph's results or side effects depend on; TensorFlow prunes the others before it runs the graph."""
    seen: set[str] = set()
    waiting = [tensor.op for tensor in graph.outputs] + list(graph.control_outputs)
    while waiting:
        operation = waiting.pop()
        if operation.name not in seen:
            seen.add(operation.name)
            waiting += [tensor.op for tensor in operation.inputs] + list(operation.control_inputs)
            yield operation


def multiply_adds(operation: Any) -> int:
    """Of a convolution or one of its gradients, per shower: places of the result times elements of the filter."""
    inputs, output = operation.inputs, operation.outputs[0]
    # Of a gradient the third input is that of the result.
    places = (output if operation.type == "Conv3D" else inputs[2]).shape[1:4]
    kernel = (output if operation.type == "Conv3DBackpropFilterV2" else inputs[1]).shape
    return int(prod(places) * prod(kernel))
