"""The work asked for: sizes of the networks' convolutions, and the multiply-adds of a training step counted from them.

Counted is the plain formulation with a frozen discriminator: every convolution of the upsampled, padded tensor as it stands, no
weight gradients of the discriminator in the generator's updates. That is the work asked for; a variant that does less of it to
the same end gets a higher rate. Not counted: the further passes of the gradient penalty and of the relativistic loss, and what the polar
angle adds to the first and last layers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from math import prod

from gan3d.config.networks import Discriminator, Generator
from gan3d.config.training import Grid, Training, TrialSettings
from gan3d.models.discriminator import POOLING, is_residual, padding_of_block, size_of_block
from gan3d.models.generator import START_CHANNELS
from gan3d.models.geometry import OUTPUT_KERNEL, UPSAMPLINGS, GeneratorGeometry, Padding, Size, cubic
from gan3d.models.residual import KERNEL as RESIDUAL_KERNEL


@dataclass(frozen=True, slots=True)
class Convolution:
    """A convolution block as the plain formulation has it; ``size`` is that of its input, before ``padding`` cells on each side."""

    name: str
    channels: int
    filters: int
    kernel: Size
    size: Size
    padding: int = 0
    stride: int = 1

    @property
    def places(self) -> Size:
        """Cells of the output along x, y and the depth."""
        x, y, depth = (size_of_block(size, kernel, self.padding, self.stride) for size, kernel in zip(self.size, self.kernel, strict=True))
        return x, y, depth

    @property
    def multiply_adds(self) -> int:
        """Of the forward pass, per shower; each of the two gradients takes as many."""
        return prod(self.places) * prod(self.kernel) * self.channels * self.filters


def generator_convolutions(settings: Generator, grid: Grid, *, is_ring: bool = False) -> Iterator[Convolution]:
    """G1 to G3, residual blocks R and, where there is one, the output convolution G4; sizes are those of upsampled and padded inputs."""
    geometry = GeneratorGeometry.for_grid(grid, settings.kernel, is_ring=is_ring)
    channels = START_CHANNELS
    sizes = (geometry.start, upsampled(geometry.start, UPSAMPLINGS[0]), upsampled(geometry.middle, UPSAMPLINGS[1]))
    blocks = zip(settings.filters, geometry.kernels, sizes, geometry.paddings, strict=True)
    for number, (filters, kernel, size, padding) in enumerate(blocks, start=1):
        yield Convolution(f"G{number}", channels, filters, kernel, padded(size, padding))
        channels = filters
    x, y, depth = (cells + OUTPUT_KERNEL - 1 for cells in grid)
    for number in range(1, settings.residual_blocks + 1):
        for half in ("a", "b"):
            yield Convolution(f"R{number}{half}", channels, channels, cubic(RESIDUAL_KERNEL), (x, y, depth), RESIDUAL_KERNEL // 2)
    if settings.output == "relu":
        yield Convolution("G4", channels, 1, cubic(OUTPUT_KERNEL), (x, y, depth))


def upsampled(size: Size, factors: Size) -> Size:
    """A size times its factors."""
    return size[0] * factors[0], size[1] * factors[1], size[2] * factors[2]


def padded(size: Size, padding: Padding) -> Size:
    """A size with its padding."""
    return size[0] + sum(padding.x), size[1] + sum(padding.y), size[2] + sum(padding.depth)


def discriminator_convolutions(settings: Discriminator, grid: Grid, *, is_ring: bool = False) -> Iterator[Convolution]:
    """D1 to D4, each behind its shortcut S where it has one."""
    size, channels = grid, 1
    for number, (filters, stride) in enumerate(zip(settings.filters[: settings.blocks], settings.strides, strict=False), start=1):
        if settings.residual and is_residual(number):
            yield Convolution(f"S{number}", channels, filters, cubic(1), size, 0, stride)
        padding = padding_of_block(number, settings.kernel)
        # A ring keeps all its cells, where the other axes lose some.
        around = 2 * ((settings.kernel - 1) // 2 - padding) if is_ring else 0
        block = Convolution(f"D{number}", channels, filters, cubic(settings.kernel), (size[0] + around, *size[1:]), padding, stride)
        yield block
        size, channels = block.places, filters


def gigaflop_per_shower(settings: TrialSettings) -> float:
    """Of a training step, per shower of its batch; a multiply-add is two operations."""
    return 2e-9 * step_multiply_adds(settings.training, settings.data.grid, is_ring=settings.is_ring)


def step_multiply_adds(training: Training, grid: Grid, *, is_ring: bool = False) -> int:
    """Of one training step, per shower of the batch."""
    generator, first_of_generator = generator_multiply_adds(training.generator, grid, is_ring=is_ring)
    discriminator, first_of_discriminator = discriminator_multiply_adds(training.discriminator, grid, is_ring=is_ring)
    # Forward, input gradient, weight gradient; nobody asks for the input gradient of the first layer.
    of_generator_update = 3 * generator - first_of_generator + 2 * discriminator
    of_discriminator_update = 3 * discriminator - first_of_discriminator
    return generator + 2 * of_discriminator_update + training.generator_steps * of_generator_update


def generator_multiply_adds(settings: Generator, grid: Grid, *, is_ring: bool = False) -> tuple[int, int]:
    """Forward, per shower: of the whole network, and of its first layer, the dense one."""
    num_inputs = settings.noise_dim + (settings.conditioning == "concatenate")
    dense = num_inputs * START_CHANNELS * prod(GeneratorGeometry.for_grid(grid, settings.kernel, is_ring=is_ring).start)
    convolutions = sum(block.multiply_adds for block in generator_convolutions(settings, grid, is_ring=is_ring))
    cells = (settings.filters[-1] + settings.cell_noise) * prod(grid) if settings.output == "rectified_normal" else 0
    return dense + convolutions + cells, dense


def discriminator_multiply_adds(settings: Discriminator, grid: Grid, *, is_ring: bool = False) -> tuple[int, int]:
    """Forward, per shower: of the whole network, and of its first convolution."""
    blocks = list(discriminator_convolutions(settings, grid, is_ring=is_ring))
    heads = 2 * blocks[-1].filters * prod(cells // POOLING for cells in blocks[-1].places)
    return sum(block.multiply_adds for block in blocks) + heads, blocks[0].multiply_adds
