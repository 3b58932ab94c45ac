"""The variants that the inference benchmark compares make the same showers."""

from __future__ import annotations

import torch

from benchmarks.inference import MOST_NAIVE, variants
from benchmarks.training_step import study_settings
from gan3d.models.generator import GeneratorNetwork


def network() -> GeneratorNetwork:
    torch.manual_seed(1)
    settings = study_settings("seed_baseline")
    return GeneratorNetwork(settings.training.generator, settings.data.grid).eval()


@torch.no_grad()
def test_variants_make_the_same_showers() -> None:
    made = {name: call() for name, call in variants(3, network()).items()}
    assert all(isinstance(cells, torch.Tensor) for cells in made.values())
    naive, plain, fast = made["naive"].squeeze(1), made["gan3d network"], made["gan3d fast"]  # type: ignore[attr-defined]
    tolerance = 1e-5 * plain.max().item()
    torch.testing.assert_close(naive, plain, rtol=0, atol=tolerance)
    torch.testing.assert_close(fast, plain, rtol=0, atol=tolerance)


def test_the_naive_port_is_not_asked_for_many() -> None:
    assert list(variants(MOST_NAIVE + 1, network())) == ["gan3d network", "gan3d fast", "noise"]
