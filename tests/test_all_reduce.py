"""The hook sums gradients and sees where the time goes: hidden by computing, bare, or waiting for a slower rank."""

from __future__ import annotations

import time

import pytest
import torch
from gloo_processes import GlooProcesses
from torch import nn

from gan3d.training.all_reduce import DeferredAllReduce
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks

#: One rank comes so much later than the other [s].
LATE = 0.4
#: Each rank computes so long between its early bucket and its last [s].
COMPUTING = 0.8
#: What else may happen meanwhile on a busy machine [s].
NOTHING = 0.2
REPEATS = 3
#: Sums go through the host's memory, or through the network's software.
WAYS = pytest.mark.parametrize("may_share_memory", [True, False])


def all_reduce_of(ranks: Ranks, network: nn.Module, may_share_memory: bool) -> tuple[DeferredAllReduce, nn.Module]:
    all_reduce = DeferredAllReduce(ranks, may_share_memory=may_share_memory)
    ddp = all_reduce.distributed(network)
    assert (all_reduce._memory is not None) == may_share_memory, "ranks of one host see its memory"
    return all_reduce, ddp


def summed_gradients(ranks: Ranks, may_share_memory: bool) -> list[torch.Tensor]:
    """Gradient of rank + 1 times the sum of the weights, of two passes; the optimiser would see these."""
    network, found = nn.Linear(3, 1), []
    all_reduce, ddp = all_reduce_of(ranks, network, may_share_memory)
    for _ in range(2):
        network.zero_grad(set_to_none=True)
        (ddp(torch.ones(1, 3)) * (ranks.rank + 1)).sum().backward()
        all_reduce.finish()
        assert network.weight.grad is not None
        found.append(network.weight.grad.clone())
    return found


@WAYS
def test_gradients_are_summed_in_place_when_finished(two_ranks: GlooProcesses, may_share_memory: bool) -> None:
    for found in two_ranks.run(summed_gradients, may_share_memory):
        assert len(found) == 2
        assert all(torch.equal(gradient, torch.full((1, 3), 3.0)) for gradient in found)


def finished_too_often(ranks: Ranks) -> dict[str, float]:
    all_reduce = DeferredAllReduce(ranks)
    ddp = all_reduce.distributed(nn.Linear(3, 1))
    all_reduce.finish()
    with torch.no_grad():
        ddp(torch.ones(1, 3))
    all_reduce.finish()
    return dict(all_reduce.clock.seconds)


def test_where_no_gradients_were_computed_there_is_nothing_to_wait_for(two_ranks: GlooProcesses) -> None:
    for seconds in two_ranks.run(finished_too_often):
        assert set(seconds.values()) == {0.0}


class SlowBackward(torch.autograd.Function):
    """Does nothing, slowly, on the way back."""

    @staticmethod
    def forward(ctx: object, value: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        return value.clone()

    @staticmethod
    def backward(ctx: object, *gradients: torch.Tensor) -> torch.Tensor:  # noqa: ARG004
        time.sleep(COMPUTING)
        return gradients[0]


class TwoBuckets(nn.Module):
    """The second layer's weights are DDP's first bucket, 1 MiB and more; the first layer's follow after long computing."""

    def __init__(self) -> None:
        super().__init__()
        self.first = nn.Linear(4, 600)
        self.second = nn.Linear(600, 600)

    def forward(self, value: torch.Tensor) -> torch.Tensor:
        hidden: torch.Tensor = SlowBackward.apply(self.first(value))  # type: ignore[no-untyped-call]
        return torch.as_tensor(self.second(hidden))


def one_is_late(ranks: Ranks, computing_after: float, may_share_memory: bool) -> list[dict[str, float]]:
    """Seconds of backward passes that the second rank begins later; each rank computes something else before it waits."""
    torch.manual_seed(1)
    all_reduce, ddp = all_reduce_of(ranks, TwoBuckets(), may_share_memory)
    found = []
    for _ in range(1 + REPEATS):
        clock = all_reduce.clock = PhaseClock()
        loss = ddp(torch.ones(2, 4)).sum()
        ranks.barrier()
        if ranks.rank == 1:
            time.sleep(LATE)
        with clock.phase("generator"):
            loss.backward()
            time.sleep(computing_after)
            all_reduce.finish()
        clock.split_waits(ranks)
        found.append(dict(clock.seconds))
    gradients = [parameter.grad for parameter in ddp.parameters()]
    assert all(gradient is not None and gradient.ne(0).any() for gradient in gradients)
    return found[1:]  # DDP begins with one bucket


def least(epochs: list[dict[str, float]]) -> dict[str, float]:
    return {name: min(epoch[name] for epoch in epochs) for name in epochs[0]}


@WAYS
def test_an_early_bucket_in_flight_while_a_rank_computes_is_overlapped_communication(
    two_ranks: GlooProcesses, may_share_memory: bool
) -> None:
    """The first rank's early bucket waits for the second rank, hidden behind its own computing; its last bucket waits bare."""
    early, late = map(least, two_ranks.run(one_is_late, 0.0, may_share_memory))
    assert LATE - NOTHING < early["overlapped_communication"] < LATE + NOTHING
    assert 0 < late["overlapped_communication"] < NOTHING
    assert LATE - NOTHING < early["straggler_wait"] < LATE + NOTHING
    assert late["straggler_wait"] < NOTHING
    for rank in (early, late):
        assert COMPUTING <= rank["generator"] < COMPUTING + NOTHING
        assert 0 < rank["exposed_communication"] < NOTHING


@WAYS
def test_a_last_bucket_in_flight_while_a_rank_computes_something_else_is_overlapped_too(
    two_ranks: GlooProcesses, may_share_memory: bool
) -> None:
    """Computing for longer than the other rank is late leaves nothing to wait for."""
    early, late = map(least, two_ranks.run(one_is_late, COMPUTING, may_share_memory))
    assert 2 * LATE - NOTHING < early["overlapped_communication"] < 2 * LATE + NOTHING
    for rank in (early, late):
        assert rank["straggler_wait"] < NOTHING
        assert rank["exposed_communication"] < NOTHING
        assert 2 * COMPUTING <= rank["generator"] < 2 * COMPUTING + NOTHING
    assert 0 < late["overlapped_communication"] < NOTHING
