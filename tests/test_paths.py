from __future__ import annotations

import copy
from pathlib import Path as FilePath

import pytest
import torch
from chosen_paths import always
from gloo_processes import GlooProcesses
from small_trial import ALONE, small_files, small_trial

from gan3d.models import tuning
from gan3d.models.convolution import PATHS, Path, Shape
from gan3d.models.fourier.kernel import Kernel
from gan3d.training.paths import choose_paths
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState

pytestmark = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> FilePath:
    return small_files(tmp_path_factory.mktemp("files"))


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


@pytest.mark.parametrize(("batch_per_worker", "measured_with"), [(3, 3), (40, tuning.MOST_SHOWERS)])
def test_a_network_is_measured_in_its_own_uses_with_showers_of_one_worker(
    files: FilePath, monkeypatch: pytest.MonkeyPatch, batch_per_worker: int, measured_with: int
) -> None:
    settings = small_trial(files, {"workers.per_trial": 2, "training.global_batch": 2 * batch_per_worker})
    state, asked = TrainState(settings, ALONE), set()
    steps = settings.training.generator_steps

    def seconds(shape: Shape, batch: int, path: Path, uses: tuple[tuning.Use, ...], limit: float) -> float:
        asked.add((batch, uses))
        return 1.0

    monkeypatch.setattr(tuning, "seconds_per_step", seconds)
    tuning.fastest_path.cache_clear()
    try:
        choose_paths(state, settings, ALONE)
    finally:
        tuning.fastest_path.cache_clear()
    of_generator, of_discriminator = tuning.uses_in_generator(steps), tuning.uses_in_discriminator(steps)
    assert asked == {(measured_with, uses) for uses in (of_generator(False), of_discriminator(True), of_discriminator(False))}


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


def test_a_state_without_paths_goes_on_by_torch_alone(files: FilePath) -> None:
    settings = small_trial(files)
    state = TrainState(settings, ALONE)
    saved = state.state_dict()
    del saved["paths"]
    state.load_state_dict(saved)
    assert {path for network in state.paths() for path in network.values()} == {"plain"}


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
