from __future__ import annotations

import pytest
import torch

from gan3d.models.dropout import Dropout


@pytest.mark.parametrize("probability", [0.01, 0.2, 0.9])
def test_share_of_dropped_activations_is_the_probability(probability: float) -> None:
    torch.manual_seed(1)
    count = 200_001
    dropped = (Dropout(probability)(torch.ones(count)) == 0).sum().item()
    spread = (count * probability * (1 - probability)) ** 0.5
    assert abs(dropped - count * probability) < 4 * spread + count / 65536


@pytest.mark.parametrize("probability", [0.2, 0.5, 0.999_999])
def test_kept_activations_are_scaled_so_that_the_expectation_stays(probability: float) -> None:
    torch.manual_seed(1)
    values = Dropout(probability)(torch.ones(1_000_000)).unique()
    assert values[0] == 0
    assert values[1:].tolist() == pytest.approx([1 / (1 - min(round(probability * 65536), 65535) / 65536)])


def test_neighbours_are_dropped_independently() -> None:
    torch.manual_seed(1)
    dropped = (Dropout(0.5)(torch.ones(400_000)) == 0).double()
    for distance in (1, 2, 3, 4, 8):
        correlation = torch.corrcoef(torch.stack([dropped[distance:], dropped[:-distance]]))[0, 1]
        assert abs(correlation) < 4 / 400_000**0.5


def test_gradient_passes_where_the_activation_did() -> None:
    x = torch.ones(1000, requires_grad=True)
    dropped = Dropout(0.2)(x)
    dropped.sum().backward()
    assert x.grad is not None
    assert torch.equal(x.grad, dropped.detach())


def test_nothing_happens_in_evaluation_mode_or_at_probability_zero() -> None:
    x = torch.randn(100)
    assert torch.equal(Dropout(0.5).eval()(x), x)
    assert torch.equal(Dropout(0.0)(x), x)


def test_memory_layout_stays_and_torchs_seed_decides() -> None:
    x = torch.randn(2, 3, 4, 5, 6).contiguous(memory_format=torch.channels_last_3d)
    results = []
    for _ in range(2):
        torch.manual_seed(7)
        results.append(Dropout(0.3)(x))
    assert torch.equal(*results)
    assert results[0].is_contiguous(memory_format=torch.channels_last_3d)
    assert Dropout(0.3)(x[:, :, ::2]).shape == (2, 3, 2, 5, 6)
