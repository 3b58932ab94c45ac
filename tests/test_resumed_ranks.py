"""A trial of three workers that is taken up goes on bit for bit, also where gloo's order of additions follows DDP's buckets."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from gloo_processes import GlooProcesses, gloo_processes
from small_trial import checksum, small_files, small_trial, some_epochs

from gan3d.config.training import TrialSettings
from gan3d.training.checkpoint import load_state, save_state
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

#: More weights than DDP's first bucket holds, and no sums through the host's memory, which are in one order always.
CHANGES: dict[str, Any] = {
    "workers.per_trial": 3,
    "workers.shared_memory": False,
    "training.global_batch": 24,
    "training.generator.noise_dim": 4096,
    "training.generator_average": 0.9,
}


@pytest.fixture(scope="module")
def three_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    with gloo_processes(3, tmp_path_factory.mktemp("store")) as processes:
        yield processes


def trained_in_two_sittings(ranks: Ranks, settings: TrialSettings, folder: Path) -> tuple[list[str], list[dict[str, float]]]:
    """What one state came to without, and another one with a break; and the records of both last epochs."""
    whole = TrainState(settings, ranks)
    records = list(some_epochs(settings, whole, None, ranks))[-1:]
    begun = TrainState(settings, ranks)
    list(some_epochs(settings, begun, 1, ranks))
    path = folder / f"state_{ranks.rank}.pt"
    save_state(path, {"state": begun.state_dict()})
    resumed = TrainState(settings, ranks)
    resumed.load_state_dict(load_state(path)["state"])
    records += list(some_epochs(settings, resumed, None, ranks))
    untimed = [{name: value for name, value in one.as_metrics().items() if not name.startswith("timing")} for one in records]
    return [checksum(state.generator, state.discriminator) for state in (whole, resumed)], untimed


OTHER = {"training.adversarial_loss": "relativistic", "training.generator_steps": 1}


@pytest.mark.parametrize("recipe", [pytest.param({}, id="seed"), pytest.param(OTHER, id="other", marks=pytest.mark.slow)])
def test_two_epochs_are_one_and_one(three_ranks: GlooProcesses, tmp_path: Path, recipe: dict[str, Any]) -> None:
    settings = small_trial(small_files(tmp_path), CHANGES | recipe)
    for (whole, resumed), (record, again) in three_ranks.run(trained_in_two_sittings, settings, tmp_path):
        assert resumed == whole
        assert again == record
