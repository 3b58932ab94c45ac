"""A trial's state: four epochs are two, save, load, and two more, bit for bit; a misspelt attribute raises."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from chosen_paths import always
from small_trial import ALONE, checksum, small_files, small_files_with_angle, small_trial, some_epochs, trained, values

from gan3d.config.training import TrialSettings
from gan3d.models.convolution import PATHS
from gan3d.models.convolution import Path as ConvolutionPath
from gan3d.records import EpochRecord
from gan3d.training.checkpoint import load_state, save_state
from gan3d.training.state import TrainState, averaged_weights, transform_of

BATCH_NORM = {"training.generator.normalisation": "batch", "training.discriminator.normalisation": "batch"}
WARM_UP = {
    "training.learning_rate_rule": "linear",
    "training.learning_rate_reference_batch": 4,
    "training.learning_rate_warmup_epochs": 3.0,
}
#: Dropout (the seed's 0.2) and flips are on in all of them.
RECIPES: dict[str, dict[str, Any]] = {
    "group": {},
    "batch": BATCH_NORM,
    "batch_per_plane_seed_conditions": {
        "training.generator.normalisation": "batch_per_plane",
        "training.discriminator.normalisation": "batch_per_plane",
        "training.conditions": "seed",
        "training.response": "seed",
    },
    "warm_up_and_rule": BATCH_NORM | WARM_UP,
    "momentum_and_clipping": {"training.optimiser.momentum": 0.5, "training.gradient_clipping": 0.5},
    "adam": {"training.optimiser.name": "adam", "training.optimiser.momentum": 0.9, "training.optimiser.smoothing": 0.99},
    "rectified_normal_and_observables": {"training.generator.output": "rectified_normal", "training.loss_weights.observables": 1.0},
    "averaged_spectral_hinge": {
        "training.generator_average": 0.9,
        "training.generator.normalisation": "batch",
        "training.discriminator.normalisation": "spectral",
        "training.adversarial_loss": "hinge",
        "training.learning_rate_schedule": "cosine",
    },
    "small_cache": {"data.cache_megabytes_per_worker": 0},
}

#: The others run with the slow tests.
FAST = ("group", "warm_up_and_rule", "rectified_normal_and_observables", "averaged_spectral_hinge")


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("showers"))


def results(records: list[EpochRecord]) -> list[dict[str, float]]:
    """Losses and physics; time is the machine's."""
    return [{name: value for name, value in record.as_metrics().items() if not name.startswith("timing.")} for record in records]


def flat(content: Any, path: str = "") -> dict[str, Any]:
    """Every leaf of a nested state by its path."""
    if isinstance(content, dict | list):
        items = content.items() if isinstance(content, dict) else enumerate(content)
        return {name: leaf for key, value in items for name, leaf in flat(value, f"{path}/{key}").items()}
    return {path: content}


def assert_same_state(state: TrainState, expected: TrainState) -> None:
    found, wanted = flat(state.state_dict()), flat(expected.state_dict())
    assert found.keys() == wanted.keys()
    for path, leaf in wanted.items():
        same = torch.equal(found[path], leaf) if isinstance(leaf, torch.Tensor) else found[path] == leaf
        assert same, path


def assert_four_are_two_and_two(settings: TrialSettings, path: Path) -> None:
    whole, all_records = trained(settings)
    first, first_records = trained(settings, num_epochs=2)
    save_state(path, {"state": first.state_dict()})
    torch.manual_seed(987)  # a restarted process has another random state
    resumed = TrainState(settings, ALONE)
    resumed.load_state_dict(load_state(path)["state"])
    second_records = list(some_epochs(settings, resumed, None))
    assert [record.epoch for record in all_records] == [1, 2, 3, 4]
    assert [record.timing.epochs_since_start for record in second_records] == [1, 2], "the first one is a timing warm-up again"
    assert results(first_records) + results(second_records) == results(all_records)
    assert_same_state(resumed, whole)


@pytest.mark.parametrize("recipe", [pytest.param(name, marks=[] if name in FAST else pytest.mark.slow) for name in RECIPES])
def test_four_epochs_are_two_save_load_and_two(files: Path, tmp_path: Path, recipe: str) -> None:
    changes = {"training.epochs": 4, "training.max_steps_per_epoch": 2} | RECIPES[recipe]
    assert_four_are_two_and_two(small_trial(files, changes), tmp_path / "state.pt")


def test_four_epochs_are_two_and_two_with_polar_angles(tmp_path: Path) -> None:
    settings = small_trial(small_files_with_angle(tmp_path), {"training.epochs": 4, "training.polar_angle": True})
    assert_four_are_two_and_two(settings, tmp_path / "state.pt")


@pytest.mark.parametrize("path", PATHS)
def test_four_epochs_are_two_and_two_on_every_path_and_another_choice_at_the_resume_changes_nothing(
    files: Path, tmp_path: Path, path: ConvolutionPath
) -> None:
    settings = small_trial(files, {"training.epochs": 4, "training.max_steps_per_epoch": 2})
    with always(path):
        whole, _ = trained(settings)
        first, _ = trained(settings, num_epochs=2)
    save_state(tmp_path / "state.pt", {"state": first.state_dict()})
    resumed = TrainState(settings, ALONE)
    resumed.load_state_dict(load_state(tmp_path / "state.pt")["state"])
    with always("plain" if path != "plain" else "fourier"):
        list(some_epochs(settings, resumed, None))
    assert_same_state(resumed, whole)


def test_training_twice_is_the_same_and_the_seed_matters(files: Path) -> None:
    runs = [trained(small_trial(files, {"training.epochs": 1, "training.seed": seed})) for seed in (1, 1, 2)]
    first, again, other = (checksum(state.generator, state.discriminator) for state, _ in runs)
    assert first == again
    assert first != other
    assert results(runs[0][1]) == results(runs[1][1])


def test_a_misspelt_attribute_raises(files: Path) -> None:
    state = TrainState(small_trial(files), ALONE)
    with pytest.raises(AttributeError):
        state.epochs = 3  # type: ignore[attr-defined]


def test_fresh_states_of_one_seed_are_equal(files: Path) -> None:
    torch.manual_seed(5)
    first = TrainState(small_trial(files), ALONE)
    torch.manual_seed(6)
    assert_same_state(TrainState(small_trial(files), ALONE), first)
    other = TrainState(small_trial(files, {"training.seed": 2}), ALONE)
    assert checksum(other.generator) != checksum(first.generator)
    assert checksum(other.discriminator) != checksum(first.discriminator)


def test_the_optimisers_are_the_ones_asked_for(files: Path) -> None:
    state = TrainState(small_trial(files, {"training.generator.learning_rate": 0.002}), ALONE)
    (seed,) = state.generator_optimiser.param_groups
    assert isinstance(state.generator_optimiser, torch.optim.RMSprop)
    assert (seed["lr"], seed["alpha"], seed["eps"], seed["momentum"]) == (0.002, 0.9, 1e-7, 0.0)
    (other,) = state.discriminator_optimiser.param_groups
    assert other["lr"] == 0.001
    adam = TrainState(small_trial(files, RECIPES["adam"]), ALONE).generator_optimiser
    assert isinstance(adam, torch.optim.Adam)
    assert adam.param_groups[0]["betas"] == (0.9, 0.99)


def test_a_world_of_one_keeps_its_running_statistics(files: Path) -> None:
    state, _ = trained(small_trial(files, BATCH_NORM | {"training.epochs": 1}))
    before = values(state.discriminator)
    state.average_buffers(ALONE)
    assert all(torch.equal(value, before[name]) for name, value in values(state.discriminator).items())


def test_the_transform_is_that_of_the_data(files: Path) -> None:
    transform = transform_of(small_trial(files, {"data.threshold_gev": 1e-4, "data.cell_power": 0.85}))
    assert (transform.threshold_gev, transform.cell_scale, transform.cell_power) == (1e-4, 30.0, 0.85)


def test_the_average_follows_the_weights_by_its_decay_and_has_running_statistics_of_its_own(files: Path) -> None:
    changes = {"training.max_steps_per_epoch": 1, "training.generator_steps": 1, "training.generator.normalisation": "batch"}
    averaged = {"training.generator_average": 0.75}
    first, second = (trained(small_trial(files, changes | averaged), num_epochs=number)[0] for number in (1, 2))
    begun, ended = dict(first.generator.named_parameters()), dict(second.generator.named_parameters())
    assert second.average is not None
    for name, value in second.average.module.named_parameters():
        torch.testing.assert_close(value, 0.75 * begun[name] + 0.25 * ended[name])
    statistics, latest = (dict(network.named_buffers()) for network in (second.average.module, second.generator))
    means = [name for name in latest if name.endswith("running_mean")]
    assert means
    assert not any(torch.allclose(statistics[name], latest[name], rtol=1e-3) for name in means)


def test_the_average_is_judged_and_kept_and_does_not_change_how_the_networks_train(files: Path, tmp_path: Path) -> None:
    plain, averaged = ({"training.max_steps_per_epoch": 2} | change for change in ({}, {"training.generator_average": 0.9}))
    (without, of_latest), (state, of_average) = (trained(small_trial(files, changes)) for changes in (plain, averaged))
    assert checksum(state.generator, state.discriminator) == checksum(without.generator, without.discriminator)
    assert of_latest[-1].physics != of_average[-1].physics
    assert without.judged() is without.generator
    save_state(tmp_path / "state.pt", {"state": state.state_dict()})
    kept = averaged_weights(load_state(tmp_path / "state.pt")["state"])
    assert state.average is not None
    assert all(torch.equal(kept[name], value) for name, value in state.average.module.state_dict().items())
