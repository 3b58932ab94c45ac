"""The seed's networks in Keras 3, channels last, from their published definition (svalleco/3Dgan, Energy-gan, keras/EcalEnergyGan.py).

Activations are (showers, x, y, depth, channels). The seed's ``BatchNormalization()`` took its default axis, the last one, of channels-first
tensors: the depth. Here that is axis 3, what ``gan3d`` calls ``batch_per_plane``; axis 4 is its ``batch``.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras  # type: ignore[import-not-found]
from keras import layers

NOISE_DIM = 200
CELLS = 25
START = (7, 7, 8, 8)
LEAK = 0.3
DROPOUT = 0.2
#: ``gan3d``'s name of a normalisation: axis of the channels-last activations.
AXES = {"batch_per_plane": 3, "batch": 4}


def make_generator(filters: Sequence[int], normalisation: str) -> Any:
    """Noise times incident energy [100 GeV], (B, 200), to cells (B, 25, 25, 25, 1)."""
    axis = AXES[normalisation]
    he = "he_uniform"
    noise = keras.Input((NOISE_DIM,))
    x = layers.Dense(START[0] * START[1] * START[2] * START[3], name="dense")(noise)
    x = layers.Reshape(START)(x)
    x = layers.Conv3D(filters[0], (6, 6, 8), padding="same", kernel_initializer=he, name="convolution1")(x)
    x = layers.LeakyReLU(LEAK)(x)
    x = layers.BatchNormalization(axis=axis, name="normalisation1")(x)
    x = layers.UpSampling3D((2, 2, 2))(x)
    x = layers.ZeroPadding3D((2, 2, 0))(x)
    x = layers.Conv3D(filters[1], (6, 5, 8), kernel_initializer=he, name="convolution2")(x)
    x = layers.LeakyReLU(LEAK)(x)
    x = layers.BatchNormalization(axis=axis, name="normalisation2")(x)
    x = layers.UpSampling3D((2, 2, 3))(x)
    x = layers.ZeroPadding3D((1, 0, 3))(x)
    x = layers.Conv3D(filters[2], (3, 3, 8), kernel_initializer=he, name="convolution3")(x)
    x = layers.LeakyReLU(LEAK)(x)
    x = layers.Conv3D(1, (2, 2, 2), use_bias=False, kernel_initializer="glorot_normal", name="output")(x)
    return keras.Model(noise, layers.ReLU()(x), name="generator")


def make_discriminator(filters: Sequence[int], normalisation: str, dropout: float = DROPOUT) -> Any:
    """Cells (B, 25, 25, 25, 1) to probability of being real, incident energy [100 GeV] and sum of the cells, each (B, 1)."""
    cells = keras.Input((CELLS, CELLS, CELLS, 1))
    x = layers.Conv3D(filters[0], 5, padding="same", name="convolution1")(cells)
    x = layers.Dropout(dropout)(layers.LeakyReLU(LEAK)(x))
    for number, own in enumerate(filters[1:], start=2):
        x = layers.ZeroPadding3D(2 if number < 4 else 1)(x)
        x = layers.Conv3D(own, 5, name=f"convolution{number}")(x)
        x = layers.LeakyReLU(LEAK)(x)
        x = layers.BatchNormalization(axis=AXES[normalisation], name=f"normalisation{number}")(x)
        x = layers.Dropout(dropout)(x)
    features = layers.Flatten()(layers.AveragePooling3D(2)(x))
    validity = layers.Dense(1, activation="sigmoid", name="validity")(features)
    energy = layers.Dense(1, name="incident_energy")(features)
    deposited = layers.Lambda(lambda showers: keras.ops.sum(showers, axis=(1, 2, 3)), output_shape=(1,), name="deposited_energy")(cells)
    return keras.Model(cells, [validity, energy, deposited], name="discriminator")
