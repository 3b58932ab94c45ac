"""The hook averages gradients and sees where the time goes: hidden by computing, bare, or waiting for a slower rank."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest
import torch
from gloo_processes import GlooProcesses, gloo_processes
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from gan3d.training.all_reduce import TimedAllReduce
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks

#: One rank comes so much later than the other [s].
LATE = 0.4
#: Each rank computes so long between its early bucket and its last [s].
COMPUTING = 0.8
#: What else may happen meanwhile on a busy machine [s].
NOTHING = 0.2
REPEATS = 3


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    with gloo_processes(2, tmp_path_factory.mktemp("store")) as processes:
        yield processes


def attached(network: nn.Module, ranks: Ranks) -> tuple[DistributedDataParallel, TimedAllReduce]:
    all_reduce = TimedAllReduce(ranks)
    ddp = DistributedDataParallel(network, process_group=ranks.group)
    all_reduce.attach(ddp)
    return ddp, all_reduce


def averaged_gradients(ranks: Ranks, *, timed: bool) -> tuple[torch.Tensor, float]:
    """Gradient of rank + 1 times the sum of the weights, and the seconds that the hook charged."""
    network = nn.Linear(3, 1)
    ddp, all_reduce = attached(network, ranks)
    clock = PhaseClock()
    all_reduce.clock = clock if timed else None
    (ddp(torch.ones(1, 3)) * (ranks.rank + 1)).sum().backward()
    assert network.weight.grad is not None
    return network.weight.grad, sum(clock.seconds.values())


def both_ways(ranks: Ranks) -> list[tuple[torch.Tensor, float]]:
    return [averaged_gradients(ranks, timed=True), averaged_gradients(ranks, timed=False)]


def test_the_hook_averages_gradients_and_charges_time_only_to_a_clock(two_ranks: GlooProcesses) -> None:
    for (timed, seconds), (untimed, no_seconds) in two_ranks.run(both_ways):
        assert torch.equal(timed, torch.full((1, 3), 1.5))
        assert torch.equal(untimed, timed)
        assert seconds > 0
        assert no_seconds == 0


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


def one_is_late(ranks: Ranks) -> list[dict[str, float]]:
    """Seconds of backward passes that the second rank begins later."""
    torch.manual_seed(1)
    ddp, all_reduce = attached(TwoBuckets(), ranks)
    found = []
    for _ in range(1 + REPEATS):
        clock = all_reduce.clock = PhaseClock()
        loss = ddp(torch.ones(2, 4)).sum()
        ranks.barrier()
        if ranks.rank == 1:
            time.sleep(LATE)
        with clock.phase("generator"):
            loss.backward()
        clock.split_waits(ranks)
        found.append(dict(clock.seconds))
    gradients = [parameter.grad for parameter in ddp.parameters()]
    assert all(gradient is not None and gradient.ne(0).any() for gradient in gradients)
    return found[1:]  # DDP begins with one bucket


def test_an_early_bucket_in_flight_while_a_rank_computes_is_overlapped_communication(two_ranks: GlooProcesses) -> None:
    """The first rank's early bucket waits for the second rank, hidden behind its own computing; its last bucket waits bare."""
    early, late = ({name: min(epoch[name] for epoch in found) for name in found[0]} for found in two_ranks.run(one_is_late))
    assert LATE - NOTHING < early["overlapped_communication"] < LATE + NOTHING
    assert 0 < late["overlapped_communication"] < NOTHING
    assert LATE - NOTHING < early["straggler_wait"] < LATE + NOTHING
    assert late["straggler_wait"] < NOTHING
    for rank in (early, late):
        assert COMPUTING <= rank["generator"] < COMPUTING + NOTHING
        assert 0 < rank["exposed_communication"] < NOTHING
