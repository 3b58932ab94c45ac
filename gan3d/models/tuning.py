"""Which path each convolution takes: the fastest of those measured on a few showers of its own shape.

The choice changes rounding, so it belongs to a trial's state: taken once at its start, the same on all ranks, kept in checkpoints.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import NamedTuple

import torch
from torch import nn

from gan3d.models.convolution import Convolution, Path, Shape, convolution

#: Showers that a path is measured with: enough for vector units, few enough for a few seconds in all.
MOST_SHOWERS = 8
#: Repetitions of which the shortest counts, unless one says that the path takes so many times longer than another.
REPETITIONS, HOPELESS = 3, 2.5
#: torch's own path is left only for one that takes less than this share of its time; what is closer may be noise.
WORTH_IT = 0.9


class Use(NamedTuple):
    """How often per step a convolution is called so: with which gradients behind its forward pass."""

    times: int
    of_cells: bool
    of_weight: bool


class Arithmetic(NamedTuple):
    """What a process computes with; it outlives trials, of which each sets its own."""

    num_threads: int
    has_onednn: bool

    @classmethod
    def here(cls) -> Arithmetic:
        """The current one."""
        return cls(torch.get_num_threads(), torch._C._get_mkldnn_enabled())


def paths_of(network: nn.Module) -> dict[str, Path]:
    """The path of each convolution by the module's name."""
    return {name: module.path for name, module in convolutions(network).items()}


def set_paths(network: nn.Module, paths: dict[str, Path]) -> None:
    """Take these paths; convolutions that are not named keep theirs."""
    modules = convolutions(network)
    for name, path in paths.items():
        modules[name].path = path


@contextmanager
def plain_paths(network: nn.Module) -> Iterator[None]:
    """For a moment all convolutions are computed by torch alone, whose backward passes have a backward pass of their own."""
    kept = paths_of(network)
    set_paths(network, dict.fromkeys(kept, "plain"))
    try:
        yield
    finally:
        set_paths(network, kept)


def uses_in_generator(generator_steps: int) -> Callable[[bool], tuple[Use, ...]]:
    """Of the generator's convolutions: once per step it only generates."""
    return lambda _is_first: (Use(1, of_cells=False, of_weight=False), Use(generator_steps, of_cells=True, of_weight=True))


def uses_in_discriminator(generator_steps: int) -> Callable[[bool], tuple[Use, ...]]:
    """Of the discriminator's: it learns from two batches, whose cells need no gradient, and is frozen in the generator's updates."""
    return lambda is_first: (Use(2, of_cells=not is_first, of_weight=True), Use(generator_steps, of_cells=True, of_weight=False))


def measured_paths(network: nn.Module, batch: int, uses: Callable[[bool], tuple[Use, ...]]) -> dict[str, Path]:
    """The fastest path of each convolution, for the shapes of the network's newest call.

    Args:
        network: One that has been called.
        batch: Showers per step of one worker.
        uses: Of a convolution, by whether it is the network's first.
    """
    paths: dict[str, Path] = {}
    for place, (name, module) in enumerate(convolutions(network).items()):
        if module.shape is not None:
            paths[name] = fastest_path(module.shape, min(batch, MOST_SHOWERS), Arithmetic.here(), uses(place == 0))
    return paths


@lru_cache(maxsize=1024)
def fastest_path(shape: Shape, batch: int, arithmetic: Arithmetic, uses: tuple[Use, ...]) -> Path:
    """Measured once per process, shape, batch, arithmetic (the current one) and uses."""
    assert arithmetic == Arithmetic.here()
    seconds: dict[Path, float] = {}
    for path in reversed(shape.paths):  # the probably fastest first, so that the others may be given up early
        limit = HOPELESS * min(seconds.values(), default=float("inf"))
        seconds[path] = seconds_per_step(shape, batch, path, uses, limit)
    fastest = min(shape.paths, key=seconds.__getitem__)
    return fastest if seconds[fastest] < WORTH_IT * seconds["plain"] else "plain"


def seconds_per_step(shape: Shape, batch: int, path: Path, uses: tuple[Use, ...], limit: float = float("inf")) -> float:
    """Time that the convolution of random showers takes in a step: the shortest of the repetitions, or a first above ``limit`` [s]."""
    calls = [(use.times, call(shape, batch, path, use)) for use in uses]
    shortest = float("inf")
    for _ in range(REPETITIONS):
        shortest = min(shortest, sum(times * elapsed(each) for times, each in calls))
        if shortest > limit:
            break
    return shortest


def call(shape: Shape, batch: int, path: Path, use: Use) -> Callable[[], None]:
    """One forward pass of random showers, and the gradients that the use asks for."""
    last, generator = torch.channels_last_3d, torch.Generator().manual_seed(0)
    x = torch.randn(batch, *shape.cells, generator=generator).contiguous(memory_format=last).requires_grad_(use.of_cells)
    weight = torch.randn(*shape.weight, generator=generator).contiguous(memory_format=last).requires_grad_(use.of_weight)
    bias = torch.zeros(shape.weight[0], requires_grad=use.of_weight)
    wanted = [tensor for tensor in (x, weight, bias) if tensor.requires_grad]

    def passes() -> None:
        with torch.set_grad_enabled(bool(wanted)):
            y = convolution(x, weight, bias, shape.padding, path)
            if wanted:
                torch.autograd.grad(y, wanted, torch.ones_like(y))

    return passes


def elapsed(work: Callable[[], None]) -> float:
    """Processor time of a single thread, since others may use the machine; else wall time [s]."""
    clock = time.process_time if torch.get_num_threads() == 1 else time.perf_counter
    start = clock()
    work()
    return clock() - start


def convolutions(network: nn.Module) -> dict[str, Convolution]:
    """A network's convolutions by name, in the order of their calls."""
    return {name: module for name, module in network.named_modules() if isinstance(module, Convolution)}
