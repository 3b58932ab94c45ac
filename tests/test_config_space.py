"""Laws of the search space: its size is its grid's, its samples lie in it, and every one of them makes a trial."""

from __future__ import annotations

import math
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from gan3d.config.keys import knobs
from gan3d.config.ranges import Between, Choice
from gan3d.config.space import SearchSpace

FINITE: dict[str, Any] = {
    "training.generator.filters.0": {"min": 16, "max": 64, "step": 16},
    "training.generator_steps": {"min": 1, "max": 3},
    "training.optimiser.name": {"choice": ["rmsprop", "adam"]},
    "training.discriminator.dropout": {"min": 0.1, "max": 0.3, "step": 0.1},
}
CONTINUOUS: dict[str, Any] = {
    "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
    "training.polar_angle": {"choice": [False, True]},
    "training.gradient_clipping": {"choice": [None, 1.0]},
}


@st.composite
def ranges(draw: st.DrawFn) -> Between:
    """Any valid range of whole or fractional numbers."""
    low = draw(st.integers(-50, 50))
    if draw(st.booleans()):
        step = draw(st.integers(1, 5) | st.none())
        return Between(min=low, max=low + (step or 1) * draw(st.integers(1, 20)), step=step)
    step_size = draw(st.sampled_from([0.1, 0.25, 0.3, 1.0]) | st.none())
    return Between(min=float(low), max=low + (step_size or 0.7) * draw(st.integers(1, 20)), step=step_size)


def test_the_grid_size_is_the_product_of_the_ranges() -> None:
    space = SearchSpace(ranges=FINITE)
    assert space.grid_size == 4 * 3 * 2 * 3
    samples = list(space.grid())
    assert len(samples) == len({tuple(sample.values()) for sample in samples}) == space.grid_size


def test_a_continuous_range_has_no_grid_size() -> None:
    assert SearchSpace(ranges=FINITE | CONTINUOUS).grid_size is None


def test_an_empty_space_is_one_sample() -> None:
    space = SearchSpace(ranges={})
    assert space.grid_size == 1
    assert list(space.grid()) == list(space.corners()) == [{}]


@pytest.mark.parametrize("written", [FINITE, CONTINUOUS, FINITE | CONTINUOUS])
def test_corners_lie_in_the_space_and_are_all_different(written: dict[str, Any]) -> None:
    space = SearchSpace(ranges=written)
    corners = list(space.corners())
    assert len(corners) == space.num_corners == math.prod(len(one.ends) for one in space.ranges.values())
    assert all(space.contains(corner) for corner in corners)
    assert all(corner not in corners[:position] for position, corner in enumerate(corners))


def test_grid_samples_lie_in_the_space_and_in_the_schema() -> None:
    space = SearchSpace(ranges=FINITE)
    for sample in space.grid():
        assert space.contains(sample)
        assert all(knobs()[key].accepts(value) for key, value in sample.items())


def test_steps_of_fractions_are_the_numbers_one_would_write() -> None:
    dropout = SearchSpace(ranges=FINITE).ranges["training.discriminator.dropout"]
    assert dropout.values == (0.1, 0.2, 0.3)
    assert dropout.contains(0.1 + 2 * 0.1)  # 0.30000000000000004, as a sampler may compute it
    assert not dropout.contains(0.15)
    assert not dropout.contains(0.4)


def test_edges_join_the_ends_of_every_two_ranges() -> None:
    space = SearchSpace(ranges=FINITE)
    edges = list(space.edges())
    assert all(space.contains(edge) for edge in edges)
    seen = {(one, other) for edge in edges for one in edge.items() for other in edge.items()}
    for first in space.corners():
        assert {(one, other) for one in first.items() for other in first.items()} <= seen


def test_a_range_of_a_fractional_knob_is_fractional_however_it_is_written() -> None:
    written: dict[str, Any] = {
        "training.loss_weights.validity": {"min": 1, "max": 10},
        "training.generator_steps": {"min": 1, "max": 10},
    }
    space = SearchSpace(ranges=written)
    weight, steps = space.ranges.values()
    assert isinstance(weight, Between)
    assert isinstance(steps, Between)
    assert not weight.is_integer
    assert weight.num_values is None
    assert weight.contains(2.5)
    assert steps.is_integer
    assert steps.num_values == 10
    assert not steps.contains(2.5)


@given(ranges(), st.integers(-100, 100) | st.floats(-100, 100))
def test_the_nearest_value_lies_in_the_range_and_is_never_farther_than_another(one: Between, value: float) -> None:
    near = one.nearest(value)
    assert one.contains(near)
    assert isinstance(near, int | float)
    for other in one.values or one.ends:
        assert abs(near - value) <= abs(other - value) + 1e-9


@given(ranges())
def test_every_value_of_a_range_is_its_own_nearest(one: Between) -> None:
    values = one.values or one.ends
    assert [one.nearest(value) for value in values] == pytest.approx(list(values))
    assert (values[0], values[-1]) == (one.min, one.max)
    assert len(values) == (one.num_values or 2)


def test_a_choice_takes_true_and_1_for_different_values() -> None:
    assert Choice(choice=(1, 2)).contains(1)
    assert not Choice(choice=(1, 2)).contains(True)
    assert not Choice(choice=(False, True)).contains(1)
    assert Choice(choice=(8, 32)).nearest(24) in (8, 32)
    assert Choice(choice=(8, 32)).nearest(25) == 32
    assert Choice(choice=("rmsprop", "adam")).nearest("sgd") == "rmsprop"


def test_a_sample_with_a_missing_or_a_foreign_key_is_outside() -> None:
    space = SearchSpace(ranges=FINITE)
    sample = next(space.grid())
    assert space.contains(sample)
    assert not space.contains({key: value for key, value in sample.items() if key != "training.optimiser.name"})
    assert not space.contains({**sample, "training.epochs": 3})


def test_a_dumped_space_is_what_one_would_write() -> None:
    written: dict[str, Any] = {
        "training.generator_steps": {"min": 1, "max": 3},
        "training.generator.learning_rate": {"min": 1e-4, "max": 1e-2, "log": True},
        "training.polar_angle": {"choice": [False, True]},
    }
    space = SearchSpace(ranges=written)
    assert space.model_dump(mode="json") == written
    assert SearchSpace.model_validate(space.model_dump()) == space


BLOCKS: dict[str, Any] = {
    "training.discriminator.filters.3": {"choice": [16, 32], "when": {"training.discriminator.blocks": [4]}},
    "training.discriminator.blocks": {"min": 2, "max": 4},
    "training.discriminator.strides.3": {"choice": [1, 2], "when": {"training.discriminator.filters.3": [32]}},
}


def test_a_range_with_a_condition_is_sampled_only_where_it_is_met() -> None:
    space = SearchSpace.model_validate(BLOCKS)
    filters, blocks, strides = BLOCKS
    assert list(space.conditions) == [blocks, filters, strides], "what is needed comes first"
    assert [tuple(sample.values()) for sample in space.grid()] == [(2,), (3,), (16, 4), (32, 4, 1), (32, 4, 2)]
    assert space.grid_size == 5
    for sample in space.grid():
        assert space.contains(sample)
        assert not space.contains(sample | {filters: 16, strides: 1})
    assert not space.contains({blocks: 4})
    assert space.model_dump(mode="json") == BLOCKS
    assert {tuple(sample.values()) for sample in space.corners()} == {(2,), (16, 4), (32, 4, 1), (32, 4, 2)}


@pytest.mark.parametrize(
    ("when", "message"),
    [
        ({"training.discriminator.block": [4]}, "needs another key of the search space; did you mean training.discriminator.blocks?"),
        ({"training.discriminator.blocks": [5]}, "is never 5"),
        ({"training.discriminator.blocks": 4}, "must be a list of values"),
        ({}, "must name a sampled key and its values"),
        ({"training.discriminator.strides.3": [1]}, "is circular"),
        ({"training.discriminator.filters.3": [16]}, "needs another key"),
    ],
)
def test_conditions_that_cannot_be_met_are_refused(when: Any, message: str) -> None:
    written = {**BLOCKS, "training.discriminator.filters.3": {"choice": [16, 32], "when": when}}
    with pytest.raises(ValidationError, match=re.escape(message)):
        SearchSpace.model_validate(written)
