"""The noise scale of gradients whose mean and covariance are known, and of a network."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from gloo_processes import gloo_processes
from small_trial import ALONE
from torch import nn

from gan3d.training.all_reduce import DeferredAllReduce
from gan3d.training.gradient_noise import NO_SIGNAL, GradientNoise, noise_scale
from gan3d.training.ranks import Ranks


def test_known_signal_and_noise_are_found() -> None:
    """Gradients of single showers are N(g, s^2) in 50 dimensions; |g|^2 = 50 x .09, trace = 50 x 4."""
    random = torch.Generator().manual_seed(1)
    batch, num_ranks, updates = 8, 16, 400
    mean = 0.3 + 2.0 / batch**0.5 * torch.randn(updates, num_ranks, 50, generator=random, dtype=torch.float64)
    of_ranks = float(mean.square().sum(2).mean())
    of_mean = float(mean.mean(1).square().sum(1).mean())
    signal, noise, scale = noise_scale(of_ranks, of_mean, batch, batch * num_ranks)
    assert signal == pytest.approx(4.5, rel=0.03)
    assert noise == pytest.approx(200.0, rel=0.03)
    assert scale == noise / signal


def test_no_signal_is_a_very_large_scale() -> None:
    signal, noise, scale = noise_scale(of_ranks=16.0, of_mean=0.5, batch=1, global_batch=16)
    assert signal < 0 < noise
    assert scale == NO_SIGNAL


def test_equal_gradients_have_no_noise() -> None:
    assert noise_scale(3.0, 3.0, 8, 64) == (3.0, 0.0, 0.0)


@pytest.mark.parametrize("virtual_ranks", [2, 5])
def test_norms_are_those_of_each_ranks_own_gradient(virtual_ranks: int) -> None:
    """Gradients of x over ranks: rank k's is k + 1, accumulated by hand."""
    network = nn.Linear(1, 1, bias=False)
    watched = GradientNoise(network, virtual_ranks, virtual_ranks)
    watched.start()
    for _ in range(3):
        network.zero_grad()
        for number in range(virtual_ranks):
            (network(torch.tensor([[number + 1.0]])).sum() / virtual_ranks).backward()
        watched.see_mean()
    gradients = [number + 1.0 for number in range(virtual_ranks)]
    of_ranks, of_mean = watched.squared_norms(ALONE)
    assert of_ranks == pytest.approx(sum(value**2 for value in gradients) / virtual_ranks)
    assert of_mean == pytest.approx((sum(gradients) / virtual_ranks) ** 2)
    watched.start()
    assert watched.squared_norms(ALONE) == (0.0, 0.0)


def norms_of_two_buckets(ranks: Ranks) -> tuple[float, float]:
    """Each weight of rank k has the gradient k + 1; the second layer's fill DDP's first bucket."""
    network = nn.Sequential(nn.Linear(1, 600, bias=False), nn.Linear(600, 600, bias=False))
    watched = GradientNoise(network, ranks.world_size, 1)
    all_reduce = DeferredAllReduce(ranks, watched.see_bucket)
    ddp = all_reduce.distributed(network)
    watched.start()
    for _ in range(3):
        network.zero_grad(set_to_none=True)
        found = ddp(torch.zeros(1, 1)).sum()  # arms DDP; the gradients are those of the weights' sum
        of_rank = found + (ranks.rank + 1) * sum(weight.sum() for weight in ddp.parameters())
        (of_rank / ranks.world_size).backward()
        all_reduce.finish()
        watched.see_mean()
    return watched.squared_norms(ranks)


def test_norms_of_real_ranks_are_those_of_their_buckets(tmp_path: Path) -> None:
    with gloo_processes(2, tmp_path) as processes:
        num_weights = 600 + 600 * 600
        for of_ranks, of_mean in processes.run(norms_of_two_buckets):
            assert of_ranks == pytest.approx(num_weights * (1 + 4) / 2, rel=1e-5)
            assert of_mean == pytest.approx(num_weights * 1.5**2, rel=1e-5)


def test_a_trial_of_one_rank_pays_nothing() -> None:
    network = nn.Linear(1, 1)
    watched = GradientNoise(network, 1, 1)
    network(torch.ones(1, 1)).sum().backward()
    watched.see_mean()
    assert not watched.is_on
    assert watched.squared_norms(ALONE) == (0.0, 0.0)
