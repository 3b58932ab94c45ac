"""What must hold between the fields of the networks, and what they are trained with."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

from gan3d.config.problem import Problem

if TYPE_CHECKING:
    from gan3d.config.training import TrialSettings

#: Edge of the average pooling behind the discriminator's blocks (the seed's).
DISCRIMINATOR_POOLING = 2

#: How much larger the grid is than what the generator starts from, along x, y and the depth (the seed's two upsamplings).
GENERATOR_UPSAMPLING = (4, 4, 6)


def network_problems(settings: TrialSettings) -> Iterator[Problem]:
    """Every contradiction within the networks."""
    yield from _penalty(settings)
    yield from _curve(settings)
    yield from _ring(settings)
    yield from _kernels(settings)
    yield from _fitted(settings)
    yield from _noise(settings)
    yield from _strides(settings)


def _ring(settings: TrialSettings) -> Iterator[Problem]:
    """A ring is what the upsamplings make of the start, and long enough for a kernel not to meet itself."""
    cells, upsampling = settings.data.grid[0], GENERATOR_UPSAMPLING[0]
    if settings.is_ring and cells % upsampling:
        yield Problem(
            "data.cells",
            f"closes x to a ring, which the generator makes of a {upsampling}th of its cells, but there are not so many in",
            f"Set data.cells to square, or use files with a multiple of {upsampling} angles.",
            settings.data.cells,
            (("data.grid", list(settings.data.grid)),),
        )


def _kernels(settings: TrialSettings) -> Iterator[Problem]:
    """A kernel must not be so wide that its outer taps see only padding where the generator starts."""
    kernel = settings.training.generator.kernel
    if kernel == "seed":
        return
    start = min(math.ceil((cells + 1) / factor) for cells, factor in zip(settings.data.grid, GENERATOR_UPSAMPLING, strict=True))
    if kernel // 2 >= start:
        yield Problem(
            "training.generator.kernel",
            f"reaches {kernel // 2} cells to each side, but the generator starts with {start} along the shortest edge of",
            f"Use a kernel of at most {2 * start - 1}, or a larger grid.",
            kernel,
            (("data.grid", list(settings.data.grid)),),
        )


def _penalty(settings: TrialSettings) -> Iterator[Problem]:
    """The gradient penalty is each shower's own, which it is not where a batch is normalised together."""
    network = settings.training.discriminator
    if settings.training.gradient_penalty and network.normalisation in ("batch", "batch_per_plane"):
        yield Problem(
            "training.gradient_penalty",
            "is of each shower alone, but showers are normalised together by",
            "Set training.discriminator.normalisation to group, spectral or none, or gradient_penalty to 0.",
            settings.training.gradient_penalty,
            (("training.discriminator.normalisation", network.normalisation),),
        )


def _curve(settings: TrialSettings) -> Iterator[Problem]:
    """The moments from which rectified normals start are those of powers."""
    if settings.data.cell_curve == "logarithm" and settings.training.generator.output == "rectified_normal":
        yield Problem(
            "data.cell_curve",
            "does not go with cells that start from the moments of powers:",
            "Set training.generator.output to relu, or cell_curve to power.",
            settings.data.cell_curve,
            (("training.generator.output", settings.training.generator.output),),
        )


def _fitted(settings: TrialSettings) -> Iterator[Problem]:
    """Only cells that fluctuate have noise of their own, tilts and a spectrum."""
    network = settings.training.generator
    if network.cell_noise and network.output != "rectified_normal":
        yield Problem(
            "training.generator.cell_noise",
            "goes only with cells that fluctuate:",
            "Set training.generator.output to rectified_normal.",
            network.cell_noise,
            (("training.generator.output", network.output),),
        )
    if network.impact == "fitted" and (network.output != "rectified_normal" or settings.training.polar_angle or settings.is_ring):
        yield Problem(
            "training.generator.impact",
            "goes only with rectified normals, square cells and normal incidence:",
            "Set training.generator.output to rectified_normal, or impact to network.",
            network.impact,
            (("training.generator.output", network.output),),
        )
    if network.cell_spectrum == "fitted" and (network.output != "rectified_normal" or network.layer_energies != "fitted"):
        yield Problem(
            "training.generator.cell_spectrum",
            "goes only with rectified normals and layer energies that are fitted:",
            "Set training.generator.output to rectified_normal and layer_energies to fitted, or cell_spectrum to network.",
            network.cell_spectrum,
            (("training.generator.output", network.output), ("training.generator.layer_energies", network.layer_energies)),
        )


def _noise(settings: TrialSettings) -> Iterator[Problem]:
    """What is fitted takes its normal scores from the noise."""
    network = settings.training.generator
    needed = 2 * (network.impact == "fitted") + (settings.data.grid[2] + 1) * (network.layer_energies == "fitted")
    if network.noise_dim < needed:
        yield Problem(
            "training.generator.noise_dim",
            f"is fewer than the {needed} numbers that what is fitted takes from the noise (layer energies one per layer, and one; "
            "the impact two) with",
            f"Use at least {needed}, or let the network decide.",
            network.noise_dim,
            (("training.generator.layer_energies", network.layer_energies), ("training.generator.impact", network.impact)),
        )


def _strides(settings: TrialSettings) -> Iterator[Problem]:
    """The discriminator's blocks must leave enough cells for the pooling behind them."""
    network = settings.training.discriminator
    same = (network.kernel - 1) // 2
    size = min(settings.data.grid)
    for stride, padding in zip(network.strides[: network.blocks], (same, same, same, max(same - 1, 0)), strict=False):
        size = (size + 2 * padding - network.kernel) // stride + 1
    if size < DISCRIMINATOR_POOLING:
        yield Problem(
            "training.discriminator.strides",
            f"leave {max(size, 0)} cells, fewer than the {DISCRIMINATOR_POOLING} of the pooling, along the shortest edge of",
            "Use smaller strides, or a larger grid.",
            list(network.strides),
            (("data.grid", list(settings.data.grid)),),
        )
