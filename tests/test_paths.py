from __future__ import annotations

import copy
from collections.abc import Iterator
from pathlib import Path as FilePath

import pytest
import torch
from chosen_paths import always
from gloo_processes import GlooProcesses, gloo_processes
from small_trial import ALONE, small_files, small_trial

from gan3d.models.convolution import PATHS, Path
from gan3d.models.fourier.kernel import Kernel
from gan3d.training.paths import choose_paths
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

pytestmark = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    return small_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def two_ranks(tmp_path_factory: pytest.TempPathFactory) -> Iterator[GlooProcesses]:
    with gloo_processes(2, tmp_path_factory.mktemp("store")) as processes:
        yield processes


@pytest.mark.parametrize("path", PATHS)
def test_a_fresh_state_takes_the_measured_paths_and_changes_in_nothing_else(files: FilePath, path: Path) -> None:
    settings = small_trial(files)
    state = TrainState(settings, ALONE)
    before, random = copy.deepcopy(state.state_dict()), torch.get_rng_state()
    with always(path):
        choose_paths(state, settings, ALONE)
    after = state.state_dict()
    chosen = {each for network in state.paths() for each in network.values()}
    assert chosen == ({path, "plain"} if path == "shifted_sums" else {path})
    assert state.generator.training
    assert state.discriminator.training
    assert torch.equal(torch.get_rng_state(), random)
    for name in ("generator", "discriminator"):
        assert all(torch.equal(before[name][key], after[name][key]) for key in before[name])


def test_plain_asks_for_no_measurement(files: FilePath) -> None:
    settings = small_trial(files, {"workers.convolutions": "plain"})
    state = TrainState(settings, ALONE)
    with always("fourier"):
        choose_paths(state, settings, ALONE)
    assert {path for network in state.paths() for path in network.values()} == {"plain"}


def test_paths_go_into_the_state_and_come_back(files: FilePath) -> None:
    settings = small_trial(files)
    state, other = TrainState(settings, ALONE), TrainState(settings, ALONE)
    with always("fourier"):
        choose_paths(state, settings, ALONE)
    assert other.paths() != state.paths()
    other.load_state_dict(state.state_dict())
    assert other.paths() == state.paths()


def chosen_by(ranks: Ranks, folder: FilePath) -> list[dict[str, Path]]:
    """Each rank would choose otherwise."""
    settings = small_trial(folder, {"workers.per_trial": 2})
    state = TrainState(settings, ranks)
    with always("fourier" if ranks.rank == 0 else "plain"):
        choose_paths(state, settings, ranks)
    return state.paths()


def test_all_ranks_take_what_rank_0_measured(two_ranks: GlooProcesses, files: FilePath) -> None:
    first, second = two_ranks.run(chosen_by, files)
    assert first == second
    assert {path for network in first for path in network.values()} == {"fourier"}
