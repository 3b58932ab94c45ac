"""Generating on one thread: milliseconds per shower over the batch, for the seed's generator.

Variants: the naive port; gan3d's network in evaluation mode; the fast generator. Beside them the making of a fast generator and the
drawing of noise as validation draws it, from a stream of each shower's own. Times are the process's CPU seconds.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator

import torch

from benchmarks.harness import Row, interleaved, rates
from benchmarks.naive import NaiveGenerator, take_weights
from benchmarks.training_step import SGEMM_EDGE, sgemm_call, study_settings
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.inference import FastGenerator
from gan3d.models.work import generator_multiply_adds
from gan3d.physics.transform import ENERGY_UNIT_GEV
from gan3d.training.noise import noise_of_showers

BATCHES = (1, 8, 32, 100, 128, 1000)
#: Batches of ``quick``.
FEW_BATCHES = (1, 128)
#: The naive port is not asked for more at once.
MOST_NAIVE = 128
#: Showers of one measurement, at least; small batches are made several times.
SHOWERS = 32
ROUNDS, FEW_ROUNDS = 7, 3

Call = Callable[[], object]


def rows(quick: bool) -> Iterator[Row]:
    """Batch by batch, all variants in turn."""
    torch.manual_seed(1)
    settings = study_settings("seed_baseline")
    network = GeneratorNetwork(settings.training.generator, settings.data.grid).eval()
    multiply_adds, _ = generator_multiply_adds(settings.training.generator, settings.data.grid)
    for batch in FEW_BATCHES if quick else BATCHES:
        yield from rows_of(batch, network, multiply_adds, FEW_ROUNDS if quick or batch > MOST_NAIVE else ROUNDS)
    seconds = interleaved({"making": lambda: FastGenerator(network)}, ROUNDS, time.process_time)["making"]
    yield Row.of(("inference", "once", "making a fast generator"), [1e3 * each for each in seconds], "ms")


@torch.no_grad()
def rows_of(batch: int, network: GeneratorNetwork, multiply_adds: int, rounds: int) -> Iterator[Row]:
    """Milliseconds per shower of all variants; work per second as the plain formulation counts it, against sgemm's."""
    repeats = -(-SHOWERS // batch)
    calls = {name: repeated(call, repeats) for name, call in variants(batch, network).items()}
    seconds = interleaved(calls | {"sgemm": sgemm_call()}, rounds, time.process_time)
    limits = rates(2e-9 * SGEMM_EDGE**3, seconds.pop("sgemm"))
    for name, taken in seconds.items():
        names = ("inference", f"batch {batch}", name)
        yield Row.of(names, [1e3 * each / (batch * repeats) for each in taken], "ms/shower")
        if name != "noise":
            speed = rates(2e-9 * multiply_adds * batch * repeats, taken)
            yield Row.of(names, [100 * rate / limit for rate, limit in zip(speed, limits, strict=True)], "% of sgemm")
    yield Row.of(("inference", f"batch {batch}", f"sgemm, edge {SGEMM_EDGE}"), limits, "GFLOP/s")


def variants(batch: int, network: GeneratorNetwork) -> dict[str, Call]:
    """Calls that each make ``batch`` showers, or the noise for them."""
    noise, energy = torch.randn(batch, network.num_noise), torch.empty(batch).uniform_(10.0, 500.0)
    fast, naive = FastGenerator(network), NaiveGenerator()
    take_weights(naive, network)
    naive.eval()
    scaled = noise * energy[:, None] / ENERGY_UNIT_GEV
    calls: dict[str, Call] = {} if batch > MOST_NAIVE else {"naive": lambda: naive(scaled)}
    calls["gan3d network"] = lambda: network(noise, energy)
    calls["gan3d fast"] = lambda: fast(noise, energy)
    calls["noise"] = lambda: noise_of_showers(1, range(batch), noise.shape[1])
    return calls


def repeated(call: Call, times: int) -> Call:
    """So many calls in one."""

    def several() -> None:
        for _ in range(times):
            call()

    return several
