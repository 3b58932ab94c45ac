"""The peer's benchmark as far as it goes without TensorFlow: its protocol, the work it expects, gan3d's side of the comparison."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.peer.comparison import ratios
from benchmarks.peer.equality import expected_passes, one_step, relative_difference, seed_settings, with_constants
from benchmarks.peer.processes import ROOT, PeerProcess
from gan3d.models.work import discriminator_multiply_adds, generator_convolutions, generator_multiply_adds, step_multiply_adds

#: A process that writes where its answers go, and can die.
TALKATIVE = """
import os
from benchmarks.peer.line_protocol import peak_memory, serve
def double(number):
    print("what a library says")
    os.write(1, b"what its C++ says, without an end of line")
    return {"doubled": 2 * number}
def die():
    raise ValueError("no more")
serve({"double": double, "die": die, "peak_memory": peak_memory})
"""


@pytest.fixture
def talkative(tmp_path: Path) -> Iterator[PeerProcess]:
    with PeerProcess(sys.executable, "-c", TALKATIVE, log=tmp_path / "errors.log") as process:
        yield process


@pytest.fixture(scope="module")
def step() -> tuple[dict[str, Any], dict[str, Any]]:
    """What Keras would be given, and what gan3d made of it."""
    return one_step(with_constants(seed_settings()))


def test_answers_are_answers_whatever_libraries_print(talkative: PeerProcess) -> None:
    assert talkative("double", number=4) == {"doubled": 8}
    assert talkative("double", number=0.5) == {"doubled": 1.0}
    assert 1 < talkative("peak_memory") < 1000


def test_a_dead_process_says_why(talkative: PeerProcess) -> None:
    with pytest.raises(RuntimeError, match=r"(?s)died at die.*ValueError: no more"):
        talkative("die")


def test_the_seeds_step_passes_convolutions_as_counted_by_hand() -> None:
    found = expected_passes(seed_settings())
    # Four layers each; the generator runs 3 times, the discriminator 4 times; 2 updates each.
    counts = {name: work["count"] for name, work in found.items()}
    assert counts == {"forward": 3 * 4 + 4 * 4, "input gradient": 2 * 4 + 2 * 3 + 2 * 4, "weight gradient": 2 * 4 + 2 * 4}


def test_convolutions_are_all_of_a_steps_work_but_the_dense_layers() -> None:
    training, grid = seed_settings().training, (25, 25, 25)
    generator, dense = generator_multiply_adds(training.generator, grid)
    assert generator == dense + sum(layer.multiply_adds for layer in generator_convolutions(training.generator, grid))
    heads = 2 * training.discriminator.filters[-1] * 11**3
    # The dense layer: 3 times forward, 2 weight gradients. The heads: 4 times forward, 4 input and 2 weight gradients.
    convolutions = sum(work["multiply_adds"] for work in expected_passes(seed_settings()).values())
    assert convolutions == step_multiply_adds(training, grid) - 5 * dense - 10 * heads
    assert discriminator_multiply_adds(training.discriminator, grid)[0] > heads


def test_every_weight_of_the_seed_has_its_name_and_shape_in_keras(step: tuple[dict[str, Any], dict[str, Any]]) -> None:
    given, found = step
    weights = {name: values for name, values in given.items() if not name.startswith(("draws.", "showers."))}
    trainable = {name: values for name, values in weights.items() if "moving" not in name}
    # With statistics per depth plane; the published 946,210 are with statistics per channel.
    assert sum(values.size for values in trainable.values()) == 946_202
    assert weights["generator.dense.kernel"].shape == (200, 3136)
    assert weights["generator.convolution2.kernel"].shape == (6, 5, 8, 64, 6)
    assert weights["discriminator.convolution1.kernel"].shape == (5, 5, 5, 1, 32)
    assert weights["discriminator.validity.kernel"].shape == (8 * 11**3, 1)
    assert {name.removeprefix("square.") for name in found if name.startswith("square.")} == set(trainable)
    assert {name: found[f"square.{name}"].shape for name in trainable} == {name: values.shape for name, values in trainable.items()}


def test_a_step_at_learning_rate_0_moves_statistics_and_every_gradient(step: tuple[dict[str, Any], dict[str, Any]]) -> None:
    given, found = step
    assert found["losses"].shape == (2, 4)
    for name, values in found.items():
        assert name == "output.cells" or values.any(), name
        if "moving" in name:
            assert relative_difference(values, given[name]) > 1e-3, name


def test_ratios_are_within_a_round() -> None:
    (row,) = ratios("case", {"gan3d": [1.0, 2.0, 4.0], "naive": [3.0, 8.0]})
    assert (row.case, row.variant, row.value, row.rounds) == ("case", "naive", 3.5, 2)


def test_the_environment_is_pinned_exactly() -> None:
    lines = (ROOT / "benchmarks" / "peer" / "requirements.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"#.*|[a-z0-9-]+==[0-9.]+", line) for line in lines)
