"""Random numbers belong to showers: whoever draws them, and however often the trial was restarted."""

from __future__ import annotations

import pytest
import torch

from gan3d.training.noise import Slots, noise_of_showers, stream

SEED, STEP, GLOBAL_BATCH = 3, 7, 12


def slots(world_size: int, rank: int, *, seed: int = SEED, step: int = STEP) -> Slots:
    batch = GLOBAL_BATCH // world_size
    return Slots(seed, step, GLOBAL_BATCH, rank * batch, batch)


@pytest.mark.parametrize("world_size", [1, 2, 3, 12])
def test_ranks_together_draw_what_one_rank_draws(world_size: int) -> None:
    one = slots(1, 0)
    every = [slots(world_size, rank) for rank in range(world_size)]
    assert torch.equal(torch.cat([rank.normal("noise", 5) for rank in every]), one.normal("noise", 5))
    assert torch.equal(torch.cat([rank.wide_normal("cells", 5) for rank in every]), one.wide_normal("cells", 5))
    assert torch.equal(torch.cat([rank.uniform("flips") for rank in every]), one.uniform("flips"))


def test_the_same_key_gives_the_same_numbers() -> None:
    assert torch.equal(slots(1, 0).normal("noise", 5), slots(1, 0).normal("noise", 5))
    assert torch.equal(torch.rand(9, generator=stream("a", 1)), torch.rand(9, generator=stream("a", 1)))


def test_another_seed_step_or_draw_gives_unrelated_numbers() -> None:
    draws = [
        slots(1, 0).normal("noise", 1000),
        slots(1, 0, seed=SEED + 1).normal("noise", 1000),
        slots(1, 0, step=STEP + 1).normal("noise", 1000),
        slots(1, 0).normal("other_noise", 1000),
        Slots(STEP, SEED, GLOBAL_BATCH, 0, GLOBAL_BATCH).normal("noise", 1000),
    ]
    correlation = torch.corrcoef(torch.stack([draw.flatten() for draw in draws]))
    assert (correlation - torch.eye(len(draws))).abs().max() < 0.05  # 1 / sqrt(12000) = 0.009


def test_noise_is_standard_normal_and_uniforms_are_uniform() -> None:
    whole = Slots(SEED, STEP, 4000, 0, 4000)
    noise, uniform = whole.normal("noise", 10), whole.uniform("flips")
    assert noise.shape == (4000, 10)
    assert abs(float(noise.mean())) < 0.02
    assert abs(float(noise.std()) - 1) < 0.02
    assert uniform.shape == (4000,)
    assert 0 <= float(uniform.min()) < float(uniform.max()) < 1
    assert abs(float((uniform < 0.05).double().mean()) - 0.05) < 0.02


def test_the_noise_of_a_shower_depends_on_seed_and_identity_only() -> None:
    whole = noise_of_showers(1, range(10), 6)
    assert whole.shape == (10, 6)
    assert torch.equal(noise_of_showers(1, [7, 2], 6), whole[[7, 2]])
    assert not torch.isin(noise_of_showers(2, range(10), 6), whole).any()
    assert len(set(whole.flatten().tolist())) == whole.numel()


def test_validation_noise_is_not_training_noise() -> None:
    training = Slots(1, 0, 10, 0, 10).normal("generator.0.noise", 6)
    assert not torch.isin(noise_of_showers(1, range(10), 6), training).any()


def test_torchs_own_random_state_is_left_alone() -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    slots(1, 0).normal("noise", 5)
    slots(1, 0).uniform("flips")
    noise_of_showers(1, range(3), 6)
    assert torch.equal(torch.get_rng_state(), before)
