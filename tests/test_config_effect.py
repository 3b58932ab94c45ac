"""Knobs without effect are named with a reason, cannot be sampled, and do not change the digest; all others do."""

from __future__ import annotations

from typing import Any

import pytest
from test_config_study import make_study

from gan3d.config.effect import FIXED, OF_A_CPU, SPEED_ONLY, effective_settings, ineffective_knobs
from gan3d.config.keys import knobs
from gan3d.config.study import Study
from gan3d.config.training import TrialSettings


def trial(**sample: Any) -> TrialSettings:
    """Settings with knobs by their dotted keys, dots written as two underscores."""
    return make_study(search_space={}).trial_settings({key.replace("__", "."): value for key, value in sample.items()})


#: Knob, settings under which it does nothing, settings under which it acts.
CASES = [
    ("training.loss_weights.polar_angle", {}, {"training__polar_angle": True}),
    ("training.learning_rate_reference_batch", {}, {"training__learning_rate_rule": "linear"}),
    (
        "training.learning_rate_warmup_epochs",
        {"training__learning_rate_rule": "sqrt", "training__learning_rate_reference_batch": 16},
        {"training__learning_rate_rule": "sqrt", "training__learning_rate_reference_batch": 8},
    ),
    ("training.pretrain_epochs", {}, {"data__pretrain": ("cheap.h5",)}),
    ("training.response", {"training__loss_weights__deposited_energy": 0.0}, {}),
    ("training.matched_observables", {}, {"training__loss_weights__observables": 1.0}),
    *((key, {"workers__gpus_per_worker": 1}, {}) for key in OF_A_CPU),
    ("workers.shared_memory", {"workers__per_trial": 1}, {"workers__per_trial": 2}),
    ("training.discriminator.filters.2", {"training__discriminator__blocks": 2}, {"training__discriminator__blocks": 3}),
    ("training.discriminator.strides.3", {"training__discriminator__blocks": 3}, {}),
    ("training.scaling", {}, {"training__batch_per_worker": 8, "training__scaling": "weak"}),
    (
        "training.global_batch",
        {"training__batch_per_worker": 8, "training__scaling": "weak"},
        {"training__batch_per_worker": 8, "training__scaling": "strong"},
    ),
    (
        "training.batch_per_worker",
        {"training__batch_per_worker": 8, "training__scaling": "strong"},
        {"training__batch_per_worker": 8, "training__scaling": "weak"},
    ),
]


@pytest.mark.parametrize(("key", "idle", "acting"), CASES)
def test_a_knob_without_effect_is_named_with_its_reason(key: str, idle: dict[str, Any], acting: dict[str, Any]) -> None:
    assert ineffective_knobs(trial(**idle))[key].count(" ") > 3
    assert key not in ineffective_knobs(trial(**acting))


def other_value(key: str, settings: TrialSettings) -> Any:
    """Some value of the knob that differs from the one in force."""
    current: Any = settings
    for part in key.split("."):
        current = current[int(part)] if part.isdecimal() else getattr(current, part)
    if key == "data.max_train_showers":
        return 1000  # fewer would not fill a batch
    if key == "training.virtual_ranks":
        return 4  # of which each takes two showers
    candidates = [True, False, 1, 3, 4, 16, 32, 0.25, 0.5, "seed", "training_set", "group", "adam", "concatenate", "linear", "tf32"]
    candidates += ["rectified_normal", "measured", "contiguous", "strong", "hinge", "cosine", "fitted", "logarithm", "layers"]
    return next(value for value in candidates if knobs()[key].accepts(value) and value != current)


@pytest.mark.parametrize(
    "key", sorted(knobs().keys() - FIXED.keys() - {"training.global_batch", "training.batch_per_worker", "training.precision"})
)
def test_the_digest_changes_with_every_knob_that_acts_and_with_no_other(key: str) -> None:
    # The gradient penalty does not go with a batch that is normalised together.
    settings: dict[str, Any] = {
        "workers__cpus_per_worker": 64,
        "workers__convolutions": "plain",
        "training__discriminator__normalisation": "none",
    }
    if key in {"training.generator.cell_noise", "training.generator.impact", "training.generator.cell_spectrum"}:
        settings["training__generator__output"] = "rectified_normal"
    if key == "training.generator.cell_spectrum":
        settings["training__generator__layer_energies"] = "fitted"
    before = trial(**settings)
    after = trial(**settings | {key.replace(".", "__"): other_value(key, before)})
    assert (before.digest() == after.digest()) == (key in ineffective_knobs(before) and key in ineffective_knobs(after))


def test_the_digest_is_twelve_hex_digits_and_the_same_however_the_batch_is_written() -> None:
    strong, weak = trial(), trial(training__global_batch=None, training__batch_per_worker=8)
    assert len(strong.digest()) == 12
    assert int(strong.digest(), 16) >= 0
    assert strong != weak
    assert strong.digest() == weak.digest()
    assert strong.digest() != trial(training__seed=2).digest()


def test_an_expected_number_of_showers_is_no_effective_setting() -> None:
    expecting = make_study(search_space={}, data={"train": ["train.h5"], "validation": ["validation.h5"], "num_train_showers": 1000})
    assert expecting.trial_settings({}).digest() == trial().digest()


def test_effective_settings_hold_no_idle_knob() -> None:
    effective = effective_settings(trial())
    assert "polar_angle" not in effective["training"]["loss_weights"]
    assert "learning_rate_reference_batch" not in effective["training"]
    assert effective["training"]["batch_per_worker"] == 8
    assert effective["workers"]["threads_per_worker"] == 1


def test_a_knob_may_be_sampled_if_it_acts_in_some_sample() -> None:
    space = {"training.learning_rate_rule": {"choice": ["none", "linear"]}, "training.learning_rate_reference_batch": {"choice": [8, 16]}}
    assert make_study(search_space=space).num_trials == 4


def test_knobs_of_speed_may_be_sampled_for_an_objective_of_speed() -> None:
    words = {
        "workers.convolutions": ["measured", "plain"],
        "workers.onednn": [True, False],
        "workers.memory_format": ["channels_last", "contiguous"],
        "workers.shared_memory": [True, False],
    }
    for key in SPEED_ONLY:
        space = {key: {"choice": words.get(key, [1, 2])}}
        workers = {"per_trial": 2, "cpus_per_worker": 2} | ({"convolutions": "plain"} if key == "workers.memory_format" else {})
        study = make_study(search_space=space, objective={"metric": "timing.showers_per_second"}, workers=workers)
        assert study.search_space.ranges.keys() == {key}


@pytest.mark.parametrize("key", sorted(FIXED))
def test_fixed_knobs_are_keys_of_the_schema(key: str) -> None:
    assert key in knobs()
    assert Study.model_fields.keys() >= {key.split(".", maxsplit=1)[0]}


def test_the_portable_digest_is_the_same_wherever_files_lie_and_no_other() -> None:
    here, there = trial(data__train=("$DATA/train_[12].h5",)), trial(data__train=("/somewhere/else/train_[12].h5",))
    assert here.digest() != there.digest()
    assert here.portable_digest() == there.portable_digest()
    assert here.portable_digest() != trial(data__train=("$DATA/train_[34].h5",)).portable_digest()
    assert here.portable_digest() != trial(data__train=("$DATA/train_[12].h5",), training__seed=99).portable_digest()
