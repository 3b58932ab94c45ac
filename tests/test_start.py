from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trial import (
    ALONE,
    checksum,
    showers_of,
    small_files,
    small_files_with_angle,
    small_trial,
    trained,
    trained_in_two_parts,
)

from gan3d.training.clock import PhaseClock
from gan3d.training.start import observable_distributions, start_from
from gan3d.training.state import TrainState, transform_of
from gan3d.training.validate import validate

RECTIFIED = {"training.generator.output": "rectified_normal"}
RECIPE = RECTIFIED | {"training.loss_weights.observables": 10.0, "training.discriminator.strides": [1, 2, 1, 1]}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("files"))


def fresh(files: Path, changes: dict[str, Any]) -> TrainState:
    return TrainState(small_trial(files, changes), ALONE)


def test_a_rectified_normal_generator_starts_with_the_energy_and_far_better_physics_than_the_seeds(files: Path) -> None:
    found = {}
    for output in ("relu", "rectified_normal"):
        settings = small_trial(files, {"training.generator.output": output})
        state, showers = TrainState(settings, ALONE), showers_of(settings)
        start_from(showers.train, state, settings)
        found[output] = validate(state, transform_of(settings), showers, ALONE, PhaseClock(), noise_seed=1)
    assert found["rectified_normal"].response < 0.3
    assert found["rectified_normal"].shower_distance < 0.8 * found["relu"].shower_distance


def test_the_start_depends_on_the_seed_and_the_showers_only(files: Path) -> None:
    settings = small_trial(files, RECTIFIED)
    states = [TrainState(settings, ALONE) for _ in range(2)]
    for state in states:
        torch.rand(7)  # what others drew before does not matter
        start_from(showers_of(settings).train, state, settings)
    assert checksum(states[0].generator) == checksum(states[1].generator)


def test_the_next_trial_on_the_same_showers_reads_none_of_them_for_its_start(files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = small_trial(files, RECIPE)
    train = showers_of(settings).train
    first = fresh(files, RECIPE)
    start_from(train, first, settings)
    assert observable_distributions(train, settings, ALONE.device) is not None
    monkeypatch.setattr(train, "read", lambda _rows: pytest.fail("showers are read again"))
    second = fresh(files, RECIPE)
    start_from(train, second, settings)
    assert checksum(first.generator) == checksum(second.generator)
    assert observable_distributions(train, settings, ALONE.device) is not None


def test_another_transform_is_another_start(files: Path) -> None:
    states = [fresh(files, RECTIFIED | {"data.cell_scale": scale}) for scale in (30.0, 60.0)]
    settings = [small_trial(files, RECTIFIED | {"data.cell_scale": scale}) for scale in (30.0, 60.0)]
    for state, each in zip(states, settings, strict=True):
        start_from(showers_of(each).train, state, each)
    assert checksum(states[0].generator) != checksum(states[1].generator)


@pytest.mark.parametrize(("changes", "step"), [({}, 0), (RECTIFIED, 5)])
def test_the_seeds_generator_and_one_that_has_trained_are_left_alone(files: Path, changes: dict[str, Any], step: int) -> None:
    settings, state = small_trial(files, changes), fresh(files, changes)
    state.step = step
    before = checksum(state.generator)
    start_from(showers_of(settings).train, state, settings)
    assert checksum(state.generator) == before


def test_four_epochs_are_two_a_checkpoint_and_two(files: Path) -> None:
    settings = small_trial(files, RECIPE | {"training.epochs": 4})
    whole, _ = trained(settings)
    assert checksum(trained_in_two_parts(settings, first=2).generator) == checksum(whole.generator)


def test_showers_with_a_polar_angle_start_and_train(tmp_path: Path) -> None:
    settings = small_trial(small_files_with_angle(tmp_path), RECIPE | {"training.polar_angle": True, "training.epochs": 1})
    _, records = trained(settings)
    assert records[0].losses.generator_total > 0


def test_observables_are_matched_only_where_they_have_a_weight(files: Path) -> None:
    for weight in (0.0, 1.0):
        settings = small_trial(files, {"training.loss_weights.observables": weight})
        distributions = observable_distributions(showers_of(settings).train, settings, ALONE.device)
        assert (distributions is None) == (weight == 0.0)


def test_the_weight_of_observables_moves_the_generator_and_not_the_discriminators_first_step(files: Path) -> None:
    one_step = {"training.epochs": 1, "training.max_steps_per_epoch": 1}
    without, _ = trained(small_trial(files, one_step))
    matched, _ = trained(small_trial(files, one_step | {"training.loss_weights.observables": 10.0}))
    assert checksum(matched.generator) != checksum(without.generator)
    assert checksum(matched.discriminator) == checksum(without.discriminator)
