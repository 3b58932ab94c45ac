"""The seed's convolutions one by one on one thread: forward, input gradient and weight gradient, ms per shower and GFLOP/s.

The generator's are measured as the plain formulation has them, on the upsampled and padded tensor (G1 to G4), and as folded into
convolutions of the small one (`gan3d.models.upsampling`), with the multiply-adds of that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from math import prod

import torch
from torch.nn import functional

from benchmarks.harness import Row, interleaved, rates
from gan3d.config.networks import Discriminator, Generator
from gan3d.config.training import Grid
from gan3d.models.fourier.convolution import fourier_convolution
from gan3d.models.fourier.kernel import Kernel
from gan3d.models.geometry import UPSAMPLINGS, GeneratorGeometry, Size
from gan3d.models.upsampling import FoldedAxis, num_taps
from gan3d.models.work import Convolution, discriminator_convolutions, generator_convolutions

#: The seed's; its filters and kernels are the defaults.
GRID: Grid = (25, 25, 25)
BATCH = 8

#: From input (B, C, X, Y, L), weight, bias and cells of padding on each side to the output.
Variant = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, int], torch.Tensor]


def torch_convolution(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, padding: int) -> torch.Tensor:
    """What torch has of its own, in the memory format of its inputs."""
    return functional.conv3d(x, w, b, padding=padding)


def fourier(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor, padding: int) -> torch.Tensor:
    """By products of spectra, in gan3d's kernel."""
    return fourier_convolution(x, w, b, (padding, padding, padding))


VARIANTS: dict[str, Variant] = {"plain": torch_convolution, "channels_last": torch_convolution}
if Kernel.here() is not None:
    VARIANTS["fourier"] = fourier
#: Variants whose input and weight are not contiguous with channels first.
MEMORY_FORMATS = {"channels_last": torch.channels_last_3d, "fourier": torch.channels_last_3d}


def rows(quick: bool) -> Iterator[Row]:
    """Every convolution's three passes."""
    for block in convolutions():
        steps = {(kind, name): call for name in VARIANTS for kind, call in passes(block, name).items()}
        seconds = interleaved({" ".join(key): call for key, call in in_turn(steps).items()}, 2 if quick else 5, time.process_time)
        for kind, name in in_turn(steps):
            names, taken = ("layers", f"{described(block)}: {kind}", name), seconds[f"{kind} {name}"]
            yield Row.of(names, [1e3 * each / BATCH for each in taken], "ms/shower")
            yield Row.of(names, rates(2e-9 * BATCH * block.multiply_adds, taken), "GFLOP/s")


def in_turn(steps: Mapping[tuple[str, str], Callable[[], object]]) -> dict[tuple[str, str], Callable[[], object]]:
    """The same pass of each variant, then the next pass."""
    kinds = dict.fromkeys(kind for kind, _ in steps)
    return {(kind, name): steps[kind, name] for kind in kinds for name in VARIANTS}


def convolutions() -> Iterator[Convolution]:
    """Of the discriminator; of the generator, plain and folded."""
    yield from discriminator_convolutions(Discriminator(), GRID)
    plain = list(generator_convolutions(Generator(), GRID))
    yield from plain
    geometry = GeneratorGeometry.for_grid(GRID, "seed")
    starts, paddings = (geometry.start, geometry.middle), geometry.paddings[1:]
    for block, start, padding, factors in zip(plain[1:3], starts, paddings, UPSAMPLINGS, strict=True):
        axes = zip(start, factors, block.kernel, padding, strict=True)
        yield folded(block, start, factors, [FoldedAxis.of(*axis) for axis in axes])


def folded(block: Convolution, start: Size, factors: Size, axes: list[FoldedAxis]) -> Convolution:
    """The convolution of the small tensor whose channels are the phases of ``block``'s output."""
    x, y, depth = (cells + axis.before + axis.after for cells, axis in zip(start, axes, strict=True))
    taps = tuple(num_taps(kernel, factor) for kernel, factor in zip(block.kernel, factors, strict=True))
    kernel = (taps[0], taps[1], taps[2])
    return replace(block, name=f"{block.name} folded", filters=block.filters * prod(factors), kernel=kernel, size=(x, y, depth))


def described(block: Convolution) -> str:
    """Name, channels, kernel and places."""
    return f"{block.name} {block.channels} to {block.filters}, {'x'.join(map(str, block.kernel))}, {'x'.join(map(str, block.places))}"


def passes(block: Convolution, name: str) -> dict[str, Callable[[], object]]:
    """The three passes of a variant; a gradient's call does not repeat the forward pass."""
    variant, memory_format = VARIANTS[name], MEMORY_FORMATS.get(name, torch.contiguous_format)
    x = torch.randn(BATCH, block.channels, *block.size).contiguous(memory_format=memory_format)
    w = torch.randn(block.filters, block.channels, *block.kernel).contiguous(memory_format=memory_format)
    b = torch.randn(block.filters)

    def forward() -> torch.Tensor:
        with torch.no_grad():
            return variant(x, w, b, block.padding)

    above = torch.randn_like(forward())
    # One graph for each, so that a variant sees which gradients are asked of it.
    of_input, of_weight = (x.clone().requires_grad_(),), (w.clone().requires_grad_(), b.clone().requires_grad_())
    outputs = variant(*of_input, w, b, block.padding), variant(x, *of_weight, block.padding)
    return {
        "forward": forward,
        "input gradient": lambda: torch.autograd.grad(outputs[0], of_input, above, retain_graph=True),
        "weight gradient": lambda: torch.autograd.grad(outputs[1], of_weight, above, retain_graph=True),
    }
