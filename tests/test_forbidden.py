"""Laws of forbidden combinations: what is left is what a look at every sample leaves, in the grid, in blocks, in the plan."""

from __future__ import annotations

import io
import itertools
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from pydantic import ValidationError
from rich.console import Console
from small_study import load_small_study

from gan3d.cli.plan_tables import plan_tables
from gan3d.config.load import dump_study, load_study
from gan3d.config.schema import study_json_schema
from gan3d.config.space import SearchSpace
from gan3d.search.blocks import ordered_grid
from gan3d.search.plan import Plan, make_plan
from gan3d.search.resources import Cluster, Node

jsonschema = pytest.importorskip("jsonschema")  # comes with ray

FILTERS, BATCH, SEED = "training.generator.filters.0", "training.global_batch", "training.seed"
RATE, DROPOUT = "training.generator.learning_rate", "training.discriminator.dropout"
FINITE: dict[str, Any] = {FILTERS: {"choice": [16, 32]}, BATCH: {"min": 8, "max": 24, "step": 8}, SEED: {"choice": [1, 2]}}
SMALL_WIDE = {FILTERS: [32], BATCH: {"max": 16}}


def space_of(*forbidden: Mapping[str, Any], ranges: Mapping[str, Any] = FINITE) -> SearchSpace:
    return SearchSpace.model_validate({**ranges, "forbidden": list(forbidden)})


# --- against a look at every sample ------------------------------------------------------------------------------------------------------

KEYS = ("training.discriminator.blocks", "training.discriminator.filters.3", "training.generator_steps", "training.discriminator.dropout")
VALUES: dict[str, list[Any]] = dict(zip(KEYS, ([2, 3, 4], [16, 32, 48], [1, 2, 3, 4], [0.1, 0.2, 0.3]), strict=True))
RANGES: dict[str, Any] = {
    KEYS[0]: {"choice": VALUES[KEYS[0]]},
    KEYS[1]: {"min": 16, "max": 48, "step": 16, "when": {KEYS[0]: [3, 4]}},
    KEYS[2]: {"min": 1, "max": 4},
    KEYS[3]: {"min": 0.1, "max": 0.3, "step": 0.1},
}


@st.composite
def combinations(draw: st.DrawFn) -> dict[str, Any]:
    """Any one that can come up."""
    found: dict[str, Any] = {}
    for key in draw(st.lists(st.sampled_from(KEYS), min_size=1, unique=True)):
        values = VALUES[key]
        if draw(st.booleans()):
            found[key] = draw(st.lists(st.sampled_from(values), min_size=1, unique=True))
        else:
            low, high = sorted(draw(st.lists(st.sampled_from(values), min_size=2, max_size=2)))
            found[key] = draw(st.sampled_from([{"min": low}, {"max": high}, {"min": low, "max": high}]))
    return found


def holds(combination: Mapping[str, Any], sample: Mapping[str, Any]) -> bool:
    """By what the words say, without the code that is tested."""
    for key, entry in combination.items():
        if key not in sample:
            return False
        low, high = (entry.get("min", 0), entry.get("max", 99)) if isinstance(entry, dict) else (0, 99)
        if not low <= sample[key] <= high or (isinstance(entry, list) and sample[key] not in entry):
            return False
    return True


@settings(max_examples=150, deadline=None)
@example([{KEYS[0]: [2]}, {KEYS[1]: [16, 32, 48]}])
@given(st.lists(combinations(), min_size=1, max_size=5))
def test_what_is_left_is_what_a_look_at_every_sample_leaves(forbidden: list[dict[str, Any]]) -> None:
    wanting = [{KEYS[0]: one[KEYS[0]]} for one in forbidden if KEYS[0] in one and KEYS[1] in one]
    assume(all(any(holds(one, {KEYS[0]: value}) for value in (3, 4)) for one in wanting))
    every = list(SearchSpace.model_validate(RANGES).grid())
    left = [sample for sample in every if not any(holds(one, sample) for one in forbidden)]
    if not left:
        with pytest.raises(ValidationError, match=r"forbids every sample|leaves no sample"):
            space_of(*forbidden, ranges=RANGES)
        return
    space = space_of(*forbidden, ranges=RANGES)
    assert list(space.grid()) == left
    assert space.grid_size == len(left)
    assert [space.contains(sample) for sample in every] == [sample in left for sample in every]
    for sample in every:
        for count in range(len(sample)):
            given_values = dict(list(sample.items())[:count])
            begins = any(given_values.items() <= other.items() for other in left)
            assert space.allows(given_values) == begins, given_values


@pytest.mark.parametrize("log", [False, True])
def test_between_continuous_ends_something_is_left_or_not(log: bool) -> None:
    ranges = {RATE: {"min": 1e-4, "max": 1e-2, "log": log}, BATCH: {"choice": [8, 16]}}
    space = space_of({RATE: {"max": 3e-4}}, {RATE: {"min": 4e-4}, BATCH: [16]}, ranges=ranges)
    assert space.grid_size is None
    assert [space.allows({RATE: rate}) for rate in (2e-4, 3e-4, 3.5e-4, 4e-4)] == [False, False, True, True]
    assert [space.allows({RATE: 4e-4, BATCH: batch}) for batch in (8, 16)] == [True, False]
    with pytest.raises(ValidationError, match="leaves no sample"):
        space_of({RATE: {"max": 3e-4}}, {RATE: {"min": 3e-4}}, ranges=ranges)


def test_a_range_too_long_to_be_listed_is_looked_through_all_the_same() -> None:
    ranges = {SEED: {"min": 0, "max": 4_000_000_000}, BATCH: {"choice": [8, 16]}}
    space = space_of({SEED: {"min": 7}, BATCH: [8]}, {SEED: [3, 5, 6]}, ranges=ranges)
    assert space.grid_size == 2 * 4_000_000_001, "an upper limit"
    assert [space.allows({SEED: seed, BATCH: 8}) for seed in (2, 3, 4, 6, 7)] == [True, False, True, False, False]
    with pytest.raises(ValidationError, match=r"forbidden\.0\.training\.seed = .* holds for none"):
        space_of({DROPOUT: [0.1], SEED: {"min": 0.2, "max": 0.8}}, ranges=ranges | {DROPOUT: {"choice": [0.1, 0.2]}})


def test_steps_of_fractions_are_the_numbers_one_would_write() -> None:
    ranges = {DROPOUT: {"min": 0.1, "max": 0.5, "step": 0.1}, BATCH: {"choice": [8, 16]}}
    for entry in ([0.3], {"min": 0.3, "max": 0.3}, {"max": 0.3}):
        assert space_of({DROPOUT: entry, BATCH: [8]}, ranges=ranges).forbidden_by({DROPOUT: 0.1 + 2 * 0.1, BATCH: 8}) == 0
    assert space_of({DROPOUT: {"max": 0.2}, BATCH: [8]}, ranges=ranges).forbidden_by({DROPOUT: 0.1 + 2 * 0.1, BATCH: 8}) is None


def test_true_is_not_1_and_a_word_is_no_number() -> None:
    ranges = {"training.generator.kernel": {"choice": ["seed", 3, 5]}, "training.polar_angle": {"choice": [False, True]}}
    space = space_of({"training.generator.kernel": {"min": 4}, "training.polar_angle": [True]}, ranges=ranges)
    assert space.grid_size == 5
    assert space.forbidden_by({"training.generator.kernel": "seed", "training.polar_angle": True}) is None
    assert space.forbidden_by({"training.generator.kernel": 5, "training.polar_angle": 1}) is None


# --- a study with them -------------------------------------------------------------------------------------------------------------------


def study(folder: Path, *forbidden: Mapping[str, Any], ranges: Mapping[str, Any] = FINITE, **changes: Any) -> Any:
    return load_small_study(folder, {**ranges, "forbidden": list(forbidden)}, **changes).study


def test_a_grid_leaves_them_out(tmp_path: Path) -> None:
    asked = study(tmp_path, SMALL_WIDE)
    assert asked.num_trials == asked.search_space.grid_size == len(asked.grid) == 12 - 4
    assert not any(sample[FILTERS] == 32 and sample[BATCH] <= 16 for sample in ordered_grid(asked))


def test_blocks_are_whole_without_them(tmp_path: Path) -> None:
    asked = study(tmp_path, SMALL_WIDE, sampler={"name": "grid", "blocks": SEED}, trials={"number": 4})
    blocks = itertools.groupby(ordered_grid(asked), key=lambda sample: sample[SEED])
    held = [{(sample[FILTERS], sample[BATCH]) for sample in samples} for _, samples in blocks]
    assert held == [{(16, 8), (16, 16), (16, 24), (32, 24)}] * 2


def test_a_distinct_grid_keeps_the_first_that_is_not_forbidden(tmp_path: Path) -> None:
    """At the reference batch all rules train alike: without the first of them the second is the one that is kept."""
    rule = "training.learning_rate_rule"
    ranges = {rule: {"choice": ["none", "sqrt", "linear"]}, BATCH: {"choice": [16, 32]}}
    training = {"epochs": 3, "global_batch": 16, "learning_rate_reference_batch": 16}
    found = study(tmp_path, {rule: ["none"], BATCH: [16]}, ranges=ranges, sampler={"name": "grid", "distinct": True}, training=training)
    assert [tuple(sample.values()) for sample in found.grid] == [("none", 32), ("sqrt", 16), ("sqrt", 32), ("linear", 32)]


def test_what_only_forbidden_samples_break_is_no_mistake(tmp_path: Path) -> None:
    """A batch that two workers cannot share: refused, unless it is forbidden."""
    ranges = {BATCH: {"choice": [15, 16]}, "workers.per_trial": {"choice": [1, 2]}, RATE: {"min": 1e-4, "max": 1e-3}}
    asked = study(tmp_path, {BATCH: [15], "workers.per_trial": [2]}, ranges=ranges, sampler={"name": "random"})
    assert asked.num_trials == 10


def test_a_forbidden_sample_is_no_trial_and_says_why(tmp_path: Path) -> None:
    asked = study(tmp_path, {SEED: [2], BATCH: [24]}, SMALL_WIDE)
    found, problems = asked.settings_or_problems({FILTERS: 32, BATCH: 8, SEED: 1})
    assert found is None
    text = "forbidden.1 forbids this sample: {training.generator.filters.0: [32], training.global_batch: {max: 16}}."
    assert [problem.sentence() for problem in problems] == [f"{text} Choose another one, or remove the combination."]
    assert asked.trial_settings({FILTERS: 32, BATCH: 24, SEED: 1}).global_batch == 24


def test_settings_as_written_that_are_forbidden_are_no_first_sample(tmp_path: Path) -> None:
    """As written: 4 filters, moved to 16, a batch of 16, seed 1."""
    assert study(tmp_path, SMALL_WIDE).default_sample == {FILTERS: 16, BATCH: 16, SEED: 1}
    assert study(tmp_path, {FILTERS: [16], SEED: [1]}).default_sample is None


def test_a_staircase_may_be_forbidden_by_its_names(tmp_path: Path) -> None:
    stairs = {"low": {}, "high": {"training.generator.filters.1": 16}}
    asked = study(
        tmp_path,
        {"stairs": ["low"], SEED: [1, 2]},
        {"stairs": ["high"], BATCH: [8]},
        ranges={"stairs": stairs, **FINITE, SEED: {"choice": [1, 2, 3]}},
    )
    assert {(sample["stairs"], sample[SEED], sample[BATCH]) for sample in asked.grid} == {
        *(("low", 3, batch) for batch in (8, 16, 24)),
        *(("high", seed, batch) for seed in (1, 2, 3) for batch in (16, 24)),
    }


def test_dump_then_load_keeps_them(tmp_path: Path) -> None:
    asked = study(tmp_path, SMALL_WIDE, {FILTERS: [16], SEED: [1]})
    (tmp_path / "again.yaml").write_text(dump_study(asked), encoding="utf-8")
    assert load_study(tmp_path / "again.yaml").study == asked
    bare = asked.search_space.model_dump(mode="json")
    assert bare == {**FINITE, "forbidden": [SMALL_WIDE, {FILTERS: [16], SEED: [1]}]}
    assert SearchSpace.model_validate(asked.search_space.model_dump()) == asked.search_space
    assert "forbidden" not in SearchSpace.model_validate(FINITE).model_dump()


def test_overrides_add_change_and_remove_them(tmp_path: Path) -> None:
    load_small_study(tmp_path, {**FINITE, "forbidden": [SMALL_WIDE]})
    for change, size in ((f"0.{BATCH}=[8]", 10), (f"0.{SEED}=[2]", 10), (f"0={{{SEED}: [2]}}", 6), (None, 12)):
        text = f"search_space.forbidden{f'.{change}' if change else '=[]'}"
        assert load_study(tmp_path / "small.yaml", [text]).study.search_space.grid_size == size, text


def test_they_validate_against_the_published_schema(tmp_path: Path) -> None:
    study(tmp_path, SMALL_WIDE)
    data, schema = yaml.safe_load((tmp_path / "small.yaml").read_text(encoding="utf-8")), study_json_schema()
    jsonschema.validate(data, schema)
    for wrong in ({}, {FILTERS: 32}, {FILTERS: []}, {FILTERS: {}}, {FILTERS: {"mx": 1}}, {"training.epoch": [1]}):
        data["search_space"]["forbidden"] = [wrong]
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(data, schema)


# --- the plan ----------------------------------------------------------------------------------------------------------------------------


def plan(folder: Path, *forbidden: Mapping[str, Any], ranges: Mapping[str, Any] = FINITE, **changes: Any) -> Plan:
    loaded = load_small_study(folder, {**ranges, "forbidden": list(forbidden)}, **changes)
    return make_plan(loaded, Cluster((Node(128, 0, 512.0),), "a large machine"))


def page(planned: Plan) -> str:
    console = Console(width=200, file=io.StringIO(), record=True)
    for part in plan_tables(planned):
        console.print(part)
    return console.export_text()


def test_a_plan_says_what_is_forbidden(tmp_path: Path) -> None:
    planned = plan(tmp_path, SMALL_WIDE, {BATCH: {"min": 24}, SEED: [1, 2], FILTERS: [16]})
    assert planned.as_dict()["forbidden"] == ({FILTERS: [32], BATCH: {"max": 16}}, {BATCH: {"min": 24}, SEED: [1, 2], FILTERS: [16]})
    assert set(planned.ranges) == set(FINITE)
    text = page(planned)
    assert "generator.filters.0 32 with global_batch up to 16" in text
    assert "global_batch from 24 with seed 1 or 2 with generator.filters.0 16" in text
    assert (planned.num_trials, planned.grid_size, len(planned.samples)) == (6, 6, 6)
    assert "also the settings as written" not in text


def test_a_plan_says_that_the_settings_as_written_are_forbidden(tmp_path: Path) -> None:
    text = page(plan(tmp_path, {FILTERS: [16], SEED: [1]}, sampler={"name": "random"}))
    assert "also the settings as written: the sampler begins without them" in text
    assert "forbidden" not in page(plan(tmp_path))


def test_sizes_of_a_plan_are_those_that_are_left(tmp_path: Path) -> None:
    """The largest batch is left to no filters, the smallest to few only; what lies between the ends counts."""
    spans = plan(tmp_path, {BATCH: [24], FILTERS: [16, 32]}, {BATCH: [8], FILTERS: [32]})
    assert (spans.global_batch.least, spans.global_batch.most) == (8, 16)
    ends = plan(tmp_path, {BATCH: [8]}, {BATCH: [24]}, ranges={**FINITE, RATE: {"min": 1e-4, "max": 1e-3}}, sampler={"name": "random"})
    assert (ends.global_batch.least, ends.global_batch.most) == (16, 16)
