"""A study's derived numbers, its samples, and that dumping and loading it changes nothing."""

from __future__ import annotations

from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Annotated, Any, Literal, get_args, get_origin

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from gan3d.config.keys import Field, describe, field_at, knobs
from gan3d.config.load import dump_study, load_study
from gan3d.config.problem import split
from gan3d.config.study import Study, value_at, with_value
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError

BASE: dict[str, Any] = {
    "name": "example",
    "question": "Which?",
    "search_space": {"training.generator.filters.1": {"choice": [16, 32]}, "training.global_batch": {"choice": [16, 32]}},
    "workers": {"per_trial": 2},
    "training": {"global_batch": 16},
    "data": {"train": ["train.h5"], "validation": ["validation.h5"]},
}


def make_study(**changes: Any) -> Study:
    return Study.model_validate(BASE | changes)


def test_a_sample_is_merged_into_nested_settings_and_lists() -> None:
    trial = make_study().trial_settings({"training.generator.filters.1": 32, "training.global_batch": 32})
    assert trial.training.generator.filters == (64, 32, 6)
    assert (trial.global_batch, trial.batch_per_worker, trial.world_size) == (32, 16, 2)
    assert trial.training.discriminator == make_study().training.discriminator


@pytest.mark.parametrize(
    ("sample", "message"),
    [
        ({"training.global_batch": 15}, r"training\.global_batch = 15 is not divisible by workers\.per_trial = 2\. Nearest: 14, 16"),
        ({"training.generator.filters.1": 0}, r"training\.generator\.filters\.1 = 0 must be a whole number from 1 to 1024"),
        ({"training.epoch": 3}, r"unknown key training\.epoch; did you mean training\.epochs\?"),
        ({"training.generator.filters": [1, 2, 3]}, r"unknown key training\.generator\.filters"),
        ({"training.epochs": True}, r"training\.epochs = true must be a whole number"),
    ],
)
def test_a_sample_is_checked_again_when_its_trial_starts(sample: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=rf"^study example, sample \{{.*\}}: {message}"):
        make_study().trial_settings(sample)


def test_exactly_one_batch_derives_the_other() -> None:
    strong = make_study().trial_settings({"workers.per_trial": 4})
    weak = make_study(training={"batch_per_worker": 4}, search_space={}).trial_settings({"workers.per_trial": 4})
    assert (strong.global_batch, strong.batch_per_worker) == (weak.global_batch, weak.batch_per_worker) == (16, 4)


def test_scaling_says_which_of_two_batches_holds() -> None:
    study = make_study(
        training={"global_batch": 32, "batch_per_worker": 4},
        search_space={"training.scaling": {"choice": ["strong", "weak"]}, "workers.per_trial": {"choice": [1, 2, 8]}},
    )
    found = [(trial.global_batch, trial.batch_per_worker) for trial in map(study.trial_settings, study.search_space.grid())]
    assert found == [(32, 32), (32, 16), (32, 4), (4, 4), (8, 4), (32, 4)]
    digests = [study.trial_settings(sample).digest() for sample in study.search_space.grid()]
    assert digests[2] == digests[5], "the same training, whichever name it has"
    assert len(set(digests)) == 5


def test_a_batch_that_does_not_hold_is_not_checked() -> None:
    both = {"global_batch": 32, "batch_per_worker": 5}
    assert make_study(training=both | {"scaling": "strong"}, search_space={}).trial_settings({}).batch_per_worker == 16
    assert make_study(training=both | {"scaling": "weak"}, search_space={}).trial_settings({"workers.per_trial": 3}).global_batch == 15


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"global_batch": 32, "batch_per_worker": 4}, r"Exactly one of them is given.*or say with training\.scaling: strong or weak which"),
        ({"global_batch": 32, "scaling": "weak"}, r"training\.scaling = weak keeps batch_per_worker, but.*Give training\.batch_per_worker"),
        ({"batch_per_worker": 4, "scaling": "strong"}, r"training\.scaling = strong keeps global_batch, but.*Give training\.global_batch"),
        ({"scaling": "strong"}, r"training\.scaling = strong keeps global_batch, but there is no training\.global_batch"),
        ({"global_batch": 33, "batch_per_worker": 4, "scaling": "strong"}, r"training\.global_batch = 33 is not divisible"),
    ],
)
def test_scaling_without_its_batch_is_refused(training: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        make_study(training=training, search_space={})


@pytest.mark.parametrize(("rule", "factor"), [("none", 1.0), ("sqrt", 2.0), ("linear", 4.0)])
def test_learning_rates_grow_by_their_rule(rule: str, factor: float) -> None:
    study = make_study(training={"global_batch": 32, "learning_rate_rule": rule}, search_space={})
    assert study.trial_settings({}).learning_rate_factor == factor


def test_the_number_of_trials_is_as_written_or_the_grid_or_ten() -> None:
    continuous = {"training.generator.learning_rate": {"min": 1e-4, "max": 1e-2}}
    assert make_study(trials={"number": 3}).num_trials == 3
    assert make_study(sampler={"name": "grid"}).num_trials == 4
    assert make_study().num_trials == 4
    assert make_study(search_space=continuous).num_trials == 10
    assert make_study(search_space={}).num_trials == 1


def test_the_largest_world_size_is_found() -> None:
    assert make_study().max_world_size == 2
    assert make_study(search_space={"workers.per_trial": {"choice": [1, 8, 4]}}).max_world_size == 8
    assert make_study(search_space={"workers.per_trial": {"min": 1, "max": 2}}).max_world_size == 2


def test_the_default_sample_is_the_settings_as_written() -> None:
    study = make_study(training={"global_batch": 32, "generator": {"filters": [16, 30, 16]}})
    sample = study.default_sample
    assert sample == {"training.generator.filters.1": 32, "training.global_batch": 32}
    assert study.search_space.contains(sample)


def test_the_direction_follows_the_metric() -> None:
    assert make_study().objective.direction == "minimize"
    assert make_study(objective={"metric": "timing.showers_per_second"}).objective.direction == "maximize"
    assert make_study(objective={"metric": "timing.epoch_seconds"}).objective.direction == "minimize"


def test_every_sample_of_a_loaded_study_makes_a_trial() -> None:
    study = make_study()
    assert [study.trial_settings(sample).global_batch for sample in study.search_space.grid()] == [16, 32, 16, 32]


def test_replacing_a_value_leaves_the_original_alone() -> None:
    before = {"a": {"b": (1, 2), "c": 3}, "d": 4}
    after = with_value(before, ("a", "b", 1), 5)
    assert after == {"a": {"b": (1, 5), "c": 3}, "d": 4}
    assert before == {"a": {"b": (1, 2), "c": 3}, "d": 4}
    assert value_at(after, ("a", "b", 1)) == 5


# --- dump → load ---------------------------------------------------------------------------------------------------------------------

#: Knobs bound to others by a rule; the strategy below sets them so that the rule holds.
BOUND = {
    "training.conditions",
    "workers.elastic",
    "training.global_batch",
    "training.batch_per_worker",
    "training.scaling",
    "training.learning_rate_warmup_epochs",
    "training.precision",
    "training.generator.kernel",
    "training.generator.layer_energies",
    "training.generator.cell_noise",
    "training.generator.cell_spectrum",
    "training.generator.impact",
    "training.generator.noise_dim",
    "training.gradient_penalty",
    "data.cells",
    "data.cell_curve",
    "data.pretrain",
    *(f"training.discriminator.strides.{block}" for block in range(4)),
    "workers.threads_per_worker",
    "workers.memory_format",
    "data.num_train_showers",
    "data.max_train_showers",
    "data.train",
    "data.validation",
}


def values_of(kind: Any) -> st.SearchStrategy[Any]:
    """Any value the type and its bounds allow."""
    bounds: dict[str, Any] = {}
    while get_origin(kind) is Annotated:
        kind, *metadata = get_args(kind)
        for item in metadata:
            for bound in [*getattr(item, "metadata", ()), item]:
                bounds |= {name: getattr(bound, name) for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)}
    if get_origin(kind) is Literal:
        return st.sampled_from(get_args(kind))
    if get_origin(kind) is not None:
        return st.one_of([st.none() if part is type(None) else values_of(part) for part in get_args(kind)])
    if kind is bool:
        return st.booleans()
    if kind is int:
        return st.integers(bounds.get("ge", 0), min(bounds.get("le", 10**12), bounds.get("lt", 10**13) - 1))
    if kind is str:
        return TEXT.map(lambda text: f"/{text}")
    assert kind is float
    return st.floats(
        bounds.get("ge", bounds.get("gt", 0)),
        bounds.get("le", bounds.get("lt", 1e300)),
        exclude_min="gt" in bounds,
        exclude_max="lt" in bounds,
        allow_subnormal=False,
    )


#: A sentence: one line, no control characters.
TEXT = st.text(st.characters(exclude_categories=["Cc", "Cs", "Zl", "Zp"]), min_size=1, max_size=40).filter(lambda text: text.strip() != "")


@st.composite
def studies(draw: st.DrawFn) -> Study:
    """A valid study with any values in any of its fields."""
    data: Any = {"training": {"batch_per_worker": 2}, "workers": {}, "data": {"train": ["a"], "validation": ["b"], "grid": [25, 25, 25]}}
    data["training"] |= {
        "generator": {"filters": [64, 6, 6]},
        "discriminator": {"filters": [32, 8, 8, 8]},
        "optimiser": {},
        "loss_weights": {},
    }
    free = sorted(knobs().keys() - BOUND)
    for key in draw(st.lists(st.sampled_from(free), unique=True, max_size=12)):
        *above, last = split(key)
        value_at(data, tuple(above))[last] = draw(values_of(knobs()[key].kind))
    data["data"] |= {"train": draw(st.lists(TEXT, min_size=1, max_size=3)), "validation": ["validation.h5"]}
    space: dict[str, Any] = {"training.generator_steps": {"min": 1, "max": draw(st.integers(2, 10))}}
    if draw(st.booleans()):
        ends = sorted(draw(st.lists(st.floats(1e-12, 1e12), unique=True, min_size=2, max_size=2)))
        space["training.generator.learning_rate"] = {"min": ends[0], "max": ends[1], "log": draw(st.booleans())}
    if draw(st.booleans()):
        space["stairs"] = {"as written": {}, "smaller": {"training.loss_weights.validity": draw(st.sampled_from([3, 0.3]))}}
    name = draw(st.from_regex(r"[a-z0-9][a-z0-9_]{0,20}", fullmatch=True))
    return Study.model_validate({**data, "name": name, "question": draw(TEXT), "search_space": space})


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(studies())
def test_dump_then_load_is_the_identity(study: Study) -> None:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "study.yaml"
        path.write_text(dump_study(study), encoding="utf-8")
        assert load_study(path).study == study


@given(studies())
@settings(max_examples=30, deadline=None, suppress_health_check=[HealthCheck.too_slow])
def test_trial_settings_survive_json(study: Study) -> None:
    trial = study.trial_settings({})
    again = TrialSettings.model_validate_json(trial.model_dump_json())
    assert again == trial
    assert again.digest() == trial.digest()


@pytest.mark.parametrize("text", ["1e3", "1.5", "0x10", "010", "yes", "null", "~", "12:30:45", "2026-01-01", "- a", "a: b", "*", "é", "#a"])
def test_text_that_looks_like_something_else_stays_text(text: str, tmp_path: Path) -> None:
    study = make_study(question=text)
    (tmp_path / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    assert load_study(tmp_path / "study.yaml").study.question == text


# --- the schema in words -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("key", "words"),
    [
        ("training.epochs", "a whole number from 1 to 100000"),
        ("training.generator.learning_rate", "a number above 0"),
        ("training.discriminator.dropout", "a number of at least 0 and below 1"),
        ("training.global_batch", "a whole number of at least 1 or null"),
        ("training.optimiser.name", "one of rmsprop, adam"),
        ("training.polar_angle", "true or false"),
        ("data.train", "a list of at least one path or file pattern"),
    ],
)
def test_every_type_is_said_in_words(key: str, words: str) -> None:
    assert describe(knobs()[key].kind) == words


def test_every_knob_has_words_and_is_found_at_its_key() -> None:
    for key, knob in knobs().items():
        assert describe(knob.kind)
        found = field_at(TrialSettings, split(key))
        assert found is not None
        assert found.kind == knob.kind
        assert found.default == knob.default


def test_a_field_accepts_only_its_own_kind() -> None:
    whole = Field(int)
    assert whole.accepts(3)
    assert not whole.accepts(3.0)
    assert not whole.accepts(True)
    assert not whole.accepts("3")
    assert Field(float).accepts(3)


RULES: dict[str, Any] = {
    "training.learning_rate_rule": {"choice": ["none", "sqrt", "linear"]},
    "training.virtual_ranks": {"choice": [1, 4]},
}


def test_a_distinct_grid_leaves_out_what_trains_alike() -> None:
    """At the reference batch all rules are one; the study has a grid of six samples, four of which differ."""
    training = {"batch_per_worker": 8}
    study = make_study(training=training, search_space=RULES, sampler={"name": "grid", "distinct": True}, workers={"per_trial": 1})
    found = [(sample["training.learning_rate_rule"], sample["training.virtual_ranks"]) for sample in study.grid]
    assert found == [("none", 1), ("none", 4), ("sqrt", 4), ("linear", 4)]
    assert study.num_trials == 4
    assert make_study(training=training, search_space=RULES, sampler={"name": "grid"}, workers={"per_trial": 1}).num_trials == 6


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"sampler": {"name": "tpe", "distinct": True}}, r"sampler\.distinct = true thins a grid, but.*Set sampler\.name to grid"),
        (
            {"sampler": {"name": "grid", "distinct": True, "blocks": "training.virtual_ranks"}},
            r"sampler\.distinct = true contradicts sampler\.blocks",
        ),
        (
            {"sampler": {"name": "grid", "distinct": True}, "trials": {"number": 5}},
            r"trials\.number = 5 exceeds the number of samples that train differently, 4\. Lower it to at most 4",
        ),
    ],
)
def test_a_distinct_grid_that_cannot_be(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        make_study(training={"batch_per_worker": 8}, search_space=RULES, workers={"per_trial": 1}, **changes)


def test_virtual_ranks_count_as_ranks() -> None:
    study = make_study(training={"batch_per_worker": 4, "virtual_ranks": 3}, search_space={}, workers={"per_trial": 2})
    trial = study.trial_settings({})
    assert (trial.num_ranks, trial.global_batch, trial.batch_per_worker, trial.local_batch) == (6, 24, 4, 12)
    with pytest.raises(ConfigError, match=r"global_batch = 16 is not divisible by workers\.per_trial = 2 and training\.virtual_ranks = 3"):
        make_study(training={"global_batch": 16}, search_space={}, workers={"per_trial": 2}).trial_settings({"training.virtual_ranks": 3})
