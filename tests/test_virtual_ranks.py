"""One worker of four virtual ranks learns what two workers of two, and what it should, learn."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from gloo_processes import GlooProcesses
from small_trial import ALONE, small_files, small_trial, trained
from torch import nn

from gan3d.records import EpochRecord
from gan3d.training.ranks import Ranks
from gan3d.training.virtual_ranks import VirtualRanks

#: Whatever makes ranks matter is on: their own statistics, their own showers, several updates on running statistics; dropout is off.
CHANGES: dict[str, Any] = {
    "training.batch_per_worker": 4,
    "training.global_batch": None,
    "training.generator.normalisation": "batch_per_plane",
    "training.discriminator.normalisation": "batch",
    "training.discriminator.dropout": 0.0,
    # With a large epsilon a weight moves in proportion to its gradient: with a small one, rounding noise is as good as a gradient.
    "training.optimiser.epsilon": 1.0,
    # One step of four updates: single rounding grows about twentyfold from update to update.
    "training.epochs": 1,
    "training.max_steps_per_epoch": 1,
    "workers.convolutions": "plain",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


def after_epochs(ranks: Ranks, files: Path, changes: dict[str, Any]) -> tuple[dict[str, torch.Tensor], list[EpochRecord]]:
    """Weights and running statistics of both networks, and the records."""
    torch.set_num_threads(1)
    state, records = trained(small_trial(files, CHANGES | changes), ranks)
    of_networks = {name: getattr(state, name).state_dict() for name in ("generator", "discriminator")}
    return {f"{name}.{key}": value for name, tensors in of_networks.items() for key, value in tensors.items()}, records


def difference(found: dict[str, torch.Tensor], expected: dict[str, torch.Tensor]) -> float:
    floating = [name for name in expected if expected[name].is_floating_point()]
    assert any("running_mean" in name for name in floating)
    return max(float((found[name] - expected[name]).abs().max() / expected[name].abs().max().clamp_min(1e-6)) for name in floating)


@pytest.mark.parametrize("order", ["shuffled", "seed"])
def test_four_virtual_ranks_are_two_workers_of_two(two_ranks: GlooProcesses, files: Path, order: str) -> None:
    alone, records = after_epochs(ALONE, files, {"training.virtual_ranks": 4, "data.order": order})
    changes = {"training.virtual_ranks": 2, "workers.per_trial": 2, "data.order": order}
    together, records_of_two = two_ranks.run(after_epochs, files, changes)[0]
    assert difference(together, alone) < 1e-3
    for one, two in zip(records, records_of_two, strict=True):
        assert one.physics.shower_distance == pytest.approx(two.physics.shower_distance, rel=1e-3)
        assert one.timing.num_showers == two.timing.num_showers
        assert one.noise_scale is not None
        assert two.noise_scale is not None
        assert one.noise_scale.generator_noise == pytest.approx(two.noise_scale.generator_noise, rel=1e-2)
        assert one.noise_scale.discriminator_signal == pytest.approx(two.noise_scale.discriminator_signal, rel=1e-2)


def test_the_comparison_can_fail(files: Path) -> None:
    """One rank of 16 normalises over all 16; and the seed's order is another."""
    four, _ = after_epochs(ALONE, files, {"training.virtual_ranks": 4})
    one, _ = after_epochs(ALONE, files, {"training.batch_per_worker": 16})
    unshuffled, _ = after_epochs(ALONE, files, {"training.virtual_ranks": 4, "data.order": "seed"})
    assert difference(one, four) > 1e-2
    assert difference(unshuffled, four) > 1e-2


def test_each_rank_keeps_its_own_running_statistics_until_they_are_averaged() -> None:
    network = nn.BatchNorm1d(2, momentum=0.5)
    ranks = VirtualRanks([network], 2)
    rows = torch.tensor([[0.0, 0.0], [2.0, 4.0], [10.0, 0.0], [30.0, 0.0]])
    for _ in range(2):
        for part in ranks.each(4):
            network(rows[part])
    ranks.average_()
    # Means (1, 2) and (20, 0), two updates with weight one half each: three quarters of them.
    assert network.running_mean is not None
    torch.testing.assert_close(network.running_mean, torch.tensor([0.75 * 21 / 2, 0.75 * 2 / 2]))
    assert list(ranks.each(4)) == [slice(0, 2), slice(2, 4)]


def test_one_virtual_rank_is_the_worker() -> None:
    network = nn.BatchNorm1d(2)
    ranks = VirtualRanks([network], 1)
    assert list(ranks.each(8)) == [slice(0, 8)]
    before = network.running_mean
    ranks.average_()
    assert network.running_mean is before
