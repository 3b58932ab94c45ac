from __future__ import annotations

import pytest
import torch

from gan3d.models.energy_distance import FixedSample


def by_pairs(batch: torch.Tensor, sample: torch.Tensor) -> torch.Tensor:
    """The definition, pair by pair."""

    def between(one: torch.Tensor, other: torch.Tensor) -> torch.Tensor:
        return (one[:, None] - other[None]).abs().sum(dim=(0, 1))

    number, most = len(batch), len(sample)
    own = between(batch, batch) / (number * (number - 1)) + between(sample, sample) / (most * (most - 1))
    return 2 * between(batch, sample) / (number * most) - own


def normal(num_rows: int, num_columns: int, seed: int) -> torch.Tensor:
    return torch.randn(num_rows, num_columns, dtype=torch.double, generator=torch.Generator().manual_seed(seed))


def test_it_is_what_the_definition_says() -> None:
    batch, sample = 0.5 + 2 * normal(7, 4, 1), normal(60, 4, 2)
    torch.testing.assert_close(FixedSample.of(sample).distance(batch.float()), by_pairs(batch, sample).float())


def test_its_gradient_is_that_of_the_definition() -> None:
    batch, sample = 0.5 + 2 * normal(7, 4, 1), normal(60, 4, 2)
    mine, theirs = batch.float().requires_grad_(), batch.clone().requires_grad_()
    FixedSample.of(sample).distance(mine).sum().backward()
    by_pairs(theirs, sample).sum().backward()
    assert mine.grad is not None
    assert theirs.grad is not None
    torch.testing.assert_close(mine.grad, theirs.grad.float())


@pytest.mark.parametrize("batch", [2, 8, 24])
def test_the_spread_it_pulls_to_does_not_depend_on_the_batch(batch: int) -> None:
    """The mean distance of small batches is least where the spread is the sample's; Wasserstein's is least at 0.80 for 8 showers."""
    draws = normal(20_000 // batch * batch, 1, 2).float().reshape(batch, -1)
    quantiles = torch.distributions.Normal(0.0, 1.0).icdf((torch.arange(400) + 0.5) / 400)
    sample = FixedSample.of(quantiles[:, None].expand(-1, draws.shape[1]))
    spreads = torch.arange(0.8, 1.2, 0.02)
    distances = torch.stack([sample.distance(spread * draws).mean() for spread in spreads])
    assert spreads[distances.argmin()].item() == pytest.approx(1.0, abs=0.05)


def test_a_batch_of_one_has_no_pairs() -> None:
    sample = torch.tensor([[0.0], [1.0], [3.0]])
    # Twice the mean of 1, 0 and 2, less the mean of 1, 3 and 2.
    torch.testing.assert_close(FixedSample.of(sample).distance(torch.tensor([[1.0]])), torch.tensor([0.0]))
