"""Physics does not depend on who generates which shower; a generator that has died is refused on all ranks."""

from __future__ import annotations

import math
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest
import torch
from gloo_processes import GlooProcesses
from small_trial import ALONE, checksum, showers_of, small_files, small_files_with_angle, small_trial, trained

from gan3d.config.training import TrialSettings
from gan3d.data.showers import Showers
from gan3d.errors import DivergedError
from gan3d.physics.binning import NUM_ANGLE_BINS
from gan3d.physics.distance import DISTANCES
from gan3d.records import PhysicsDistance
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks
from gan3d.training.state import TrainState, transform_of
from gan3d.training.validate import FIRST_STEPS, generate_like, refuse_empty, refuse_not_finite, validate


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An odd number of validation showers: ranks have shards of different lengths."""
    return small_files(tmp_path_factory.mktemp("showers"), num_validation=31)


def settings_for(files: Path, world_size: int) -> TrialSettings:
    # Batch normalisation: in evaluation mode it must not see who its neighbours in a chunk are.
    return small_trial(files, {"workers.per_trial": world_size, "training.generator.normalisation": "batch"})


def physics(ranks: Ranks, settings: TrialSettings) -> PhysicsDistance:
    """Of a fresh generator, the same on any number of ranks."""
    showers = showers_of(settings, ranks)
    return validate(TrainState(settings, ranks), transform_of(settings), showers, ranks, PhaseClock(), noise_seed=settings.training.seed)


def generated(settings: TrialSettings, state: TrainState, showers: Showers) -> torch.Tensor:
    return torch.cat([cells for cells, _ in generate_like(state.generator, transform_of(settings), showers, noise_seed=1)])


def test_two_workers_measure_the_physics_and_the_floor_of_one(two_ranks: GlooProcesses, files: Path) -> None:
    one = asdict(physics(ALONE, settings_for(files, 1)))
    first, second = (asdict(found) for found in two_ranks.run(physics, settings_for(files, 2)))
    assert first == second
    assert first == pytest.approx(one, rel=1e-9, abs=1e-12)
    assert all(one[name] > 0 and one[f"{name}_floor"] > 0 for name in DISTANCES), "a comparison of zeros would say nothing"


def test_two_workers_measure_in_the_same_bins_of_the_angle(two_ranks: GlooProcesses, tmp_path: Path) -> None:
    small_files_with_angle(tmp_path, num_validation=31)
    settings = [small_trial(tmp_path, {"workers.per_trial": number, "training.polar_angle": True}) for number in (1, 2)]
    one = asdict(physics(ALONE, settings[0]))
    assert showers_of(settings[0]).monte_carlo.binning.num_angle_bins == NUM_ANGLE_BINS
    first, second = (asdict(found) for found in two_ranks.run(physics, settings[1]))
    assert first == second == pytest.approx(one, rel=1e-9, abs=1e-12)


def test_a_shower_is_generated_alike_in_any_company(files: Path) -> None:
    settings = settings_for(files, 1)
    state, _ = trained(settings, num_epochs=1)
    showers = showers_of(settings).validation
    whole = generated(settings, state, showers)
    order = np.random.default_rng(1).permutation(len(showers))
    torch.testing.assert_close(generated(settings, state, showers.take(order)), whole[order], rtol=1e-5, atol=1e-9)
    assert whole.sum() > 0
    assert len(set(whole.flatten(1).sum(1).tolist())) == len(showers), "every shower has its own noise"


def test_generated_cells_are_above_the_threshold_or_zero(files: Path) -> None:
    settings = small_trial(files, {"data.threshold_gev": 0.01})
    cells = generated(settings, TrainState(settings, ALONE), showers_of(settings).validation)
    assert bool(((cells == 0) | (cells >= 0.01)).all())
    assert bool((cells == 0).any())
    assert bool((cells > 0).any())


def test_generating_is_in_evaluation_mode_and_validation_gives_the_generator_back_for_training(files: Path) -> None:
    settings = settings_for(files, 1)
    state, showers = TrainState(settings, ALONE), showers_of(settings)
    before = checksum(state.generator)
    generated(settings, state, showers.validation)
    modes = [state.generator.training]
    validate(state, transform_of(settings), showers, ALONE, PhaseClock(), noise_seed=1)
    modes.append(state.generator.training)
    assert modes == [False, True]
    assert checksum(state.generator) == before


def test_two_workers_renormalise_an_average_alike(two_ranks: GlooProcesses, files: Path) -> None:
    def averaged(world_size: int) -> TrialSettings:
        changes = {"training.generator.normalisation": "batch", "training.generator_average": 0.9}
        return small_trial(files, {"workers.per_trial": world_size} | changes)

    one = asdict(physics(ALONE, averaged(1)))
    first, second = (asdict(found) for found in two_ranks.run(physics, averaged(2)))
    assert first == second
    assert first == pytest.approx(one, rel=1e-9, abs=1e-12)
    assert first["shower_distance"] != asdict(physics(ALONE, settings_for(files, 1)))["shower_distance"]


def test_the_polar_angle_is_passed_on(tmp_path: Path) -> None:
    settings = small_trial(small_files_with_angle(tmp_path), {"training.polar_angle": True})
    state, showers = TrainState(settings, ALONE), showers_of(settings).validation
    assert showers.polar_angle is not None
    turned = Showers(showers.cells, showers.incident_energy, showers.polar_angle + 0.5, showers.identity)
    assert not torch.allclose(generated(settings, state, showers), generated(settings, state, turned))


def broken_on_last_rank(ranks: Ranks, settings: TrialSettings, kind: str, step: int = FIRST_STEPS) -> str:
    """What this rank says when the last rank's generator makes showers without energy, or not finite, after so many steps."""
    showers = showers_of(settings, ranks)
    state = TrainState(settings, ranks)
    state.step = step
    if ranks.rank == ranks.world_size - 1:
        last = state.generator.output
        assert last is not None
        torch.nn.init.constant_(last.weight, float("nan") if kind == "not finite" else 0.0)
    try:
        validate(state, transform_of(settings), showers, ranks, PhaseClock(), noise_seed=1)
    except DivergedError as error:
        return str(error)
    return "nothing"


@pytest.mark.parametrize("kind", ["not finite", "empty"])
def test_a_generator_that_has_died_on_one_rank_is_refused_on_all(two_ranks: GlooProcesses, files: Path, kind: str) -> None:
    first, second = two_ranks.run(broken_on_last_rank, settings_for(files, 2), kind)
    assert first == second
    assert f"16 of 31 generated showers are {kind}" in first


@pytest.mark.parametrize("kind", ["not finite", "empty"])
def test_a_generator_that_has_died_is_refused_alone(files: Path, kind: str) -> None:
    assert f"31 of 31 generated showers are {kind}" in broken_on_last_rank(ALONE, settings_for(files, 1), kind)


def test_a_young_generator_may_make_nothing_but_empty_showers_and_is_as_far_from_the_monte_carlo_as_can_be(files: Path) -> None:
    settings, young = settings_for(files, 1), FIRST_STEPS - 1
    assert broken_on_last_rank(ALONE, settings, "empty", young) == "nothing"
    assert "not finite" in broken_on_last_rank(ALONE, settings, "not finite", young)
    state = TrainState(settings, ALONE)
    assert state.generator.output is not None
    torch.nn.init.constant_(state.generator.output.weight, 0.0)
    found = asdict(validate(state, transform_of(settings), showers_of(settings), ALONE, PhaseClock(), noise_seed=1))
    assert found["response"] == 1.0
    assert all(math.isfinite(value) for value in found.values())
    assert found["shower_distance"] > physics(ALONE, settings).shower_distance


def test_half_of_the_showers_may_be_empty_but_none_not_finite() -> None:
    refuse_empty(50, 100)
    refuse_not_finite(0, 100)
    with pytest.raises(DivergedError, match="51 of 100 generated showers are empty"):
        refuse_empty(51, 100)
    with pytest.raises(DivergedError, match="1 of 100 generated showers are not finite"):
        refuse_not_finite(1, 100)
