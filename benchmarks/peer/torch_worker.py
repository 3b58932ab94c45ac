"""gan3d or the naive port as a process that answers what the Keras peer does: -m benchmarks.peer.torch_worker VARIANT CORE."""

from __future__ import annotations

import functools
import sys

import torch

from benchmarks.naive import NaiveGenerator, asked
from benchmarks.peer.equality import seed_settings
from benchmarks.peer.line_protocol import forget_peak_memory, peak_memory, serve, stay_on_one_core, timed
from benchmarks.training_step import Step, gan3d_step, naive_step
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.inference import FastGenerator, Generate
from gan3d.training.allocation import keep_freed_memory

MAKERS = {"gan3d": gan3d_step, "naive": naive_step}


class TorchPeer:
    """What can be asked of a variant in torch."""

    def __init__(self, variant: str) -> None:
        self.variant = variant

    def step(self, batch: int) -> dict[str, float]:
        """Seconds of a training step of the seed's networks."""
        return timed(self.stepping(batch))

    def generate(self, batch: int) -> dict[str, float]:
        """Seconds of generating so many showers."""
        noise, energy = asked(batch)
        with torch.inference_mode():
            return timed(lambda: self.generator(noise, 100 * energy, None))

    @functools.cache  # noqa: B019 - one peer for the life of the process
    def stepping(self, batch: int) -> Step:
        """The step; its state goes on from call to call."""
        return MAKERS[self.variant](seed_settings(), batch)

    @functools.cached_property
    def generator(self) -> Generate:
        """A fresh generator, as each variant generates best; the naive port has its energies in the noise."""
        if self.variant == "naive":
            naive = NaiveGenerator().eval()
            return lambda noise, *_: naive(noise)
        settings = seed_settings()
        return FastGenerator.of(GeneratorNetwork(settings.training.generator, settings.data.grid).eval())


def main() -> None:
    """Serve on one core with one thread."""
    stay_on_one_core(int(sys.argv[2]))
    torch.set_num_threads(1)
    peer = TorchPeer(sys.argv[1])
    if peer.variant == "gan3d":
        keep_freed_memory()  # as its training does
    handlers = {"step": peer.step, "generate": peer.generate}
    serve(handlers | {"forget_peak_memory": forget_peak_memory, "peak_memory": peak_memory})


if __name__ == "__main__":
    main()
