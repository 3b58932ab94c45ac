"""Samples read back from frames: each value is the range's own again."""

from __future__ import annotations

import numpy as np
import pytest

from gan3d.config.space import SearchSpace
from gan3d.search.sample_rows import sample_of

RATE, NOISE, NAME = "training.generator.learning_rate", "training.generator.noise_dim", "training.optimiser.name"
SPACE = {
    RATE: {"min": 1e-5, "max": 1e-1, "log": True},
    NOISE: {"min": 16, "max": 256},
    NAME: {"choice": ["adam", "rmsprop"]},
}


@pytest.mark.parametrize(
    ("value", "one", "own"),
    [
        (16.0, {"choice": [8, 16]}, 16),
        ("none", {"choice": ["none", "sqrt"]}, "none"),
        ("None", {"choice": [None, 2]}, None),
        (True, {"choice": [True, False]}, True),
        (np.int64(3), {"min": 1, "max": 4}, 3),
        (0.3, {"min": 0.1, "max": 0.5, "step": 0.1}, 0.3),
    ],
)
def test_a_frame_s_value_is_found_again_in_its_range(value, one, own):
    keys = {bool: "workers.onednn", type(None): "workers.threads_per_worker", str: "training.learning_rate_rule"}
    key = keys.get(type(own), "training.optimiser.momentum" if isinstance(own, float) else NOISE)
    found = sample_of({key: value}, SearchSpace(ranges={key: one}))
    assert found == {key: own}
    assert type(found[key]) is type(own)


def test_values_that_are_not_in_the_range_and_gaps_are_absent():
    space = SearchSpace(ranges=SPACE)
    assert sample_of({RATE: 1.0, NOISE: float("nan"), NAME: "sgd"}, space) == {}
