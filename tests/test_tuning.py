from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import nn

from gan3d.models import tuning
from gan3d.models.convolution import PATHS, Convolution, Path, Shape
from gan3d.models.fourier.kernel import Kernel
from gan3d.models.tuning import Arithmetic, Use, fastest_path, measured_paths, paths_of, set_paths, uses_in_discriminator, uses_in_generator

needs_kernel = pytest.mark.skipif(Kernel.here() is None, reason="no kernel was compiled here")
SHAPE = Shape((1, 6, 6, 6), (3, 1, 3, 3, 3), (1, 1, 1))
#: Seconds of paths of which a test says nothing.
SLOW: dict[Path, float] = dict.fromkeys(PATHS, 9.0)
USES = (Use(2, of_cells=False, of_weight=True), Use(1, of_cells=True, of_weight=False))


@pytest.fixture(autouse=True)
def _nothing_measured_before() -> Iterator[None]:
    fastest_path.cache_clear()
    yield
    fastest_path.cache_clear()


def network() -> nn.Sequential:
    return nn.Sequential(Convolution(1, 3, 3, padding=1), nn.ReLU(), Convolution(3, 2, 3, stride=2), Convolution(2, 2, 3))


def seconds_are(monkeypatch: pytest.MonkeyPatch, seconds: dict[Path, float]) -> list[Path]:
    """A clock for paths; returns the list of those that were measured."""
    measured: list[Path] = []

    def clock(_shape: Shape, _batch: int, path: Path, _uses: tuple[Use, ...], _limit: float) -> float:
        measured.append(path)
        return seconds[path]

    monkeypatch.setattr(tuning, "seconds_per_step", clock)
    return measured


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [
        (SLOW | {"plain": 1.0, "fourier_backward": 0.5, "fourier": 0.3}, "fourier"),
        (SLOW | {"plain": 1.0, "fourier_backward": 0.3, "fourier": 0.5}, "fourier_backward"),
        (SLOW | {"plain": 1.0, "shifted_sums": 0.2, "fourier": 0.5}, "shifted_sums"),
        (SLOW | {"plain": 1.0, "fourier_backward": 0.95, "fourier": 0.97}, "plain"),
        (SLOW | {"plain": 1.0, "fourier_backward": 2.0, "fourier": 3.0}, "plain"),
    ],
    ids=["fastest", "second fastest", "shifted sums", "too close", "slower"],
)
def test_the_fastest_path_is_taken_if_it_is_worth_it(monkeypatch: pytest.MonkeyPatch, seconds: dict[Path, float], expected: str) -> None:
    seconds_are(monkeypatch, seconds)
    assert fastest_path(SHAPE, 2, Arithmetic.here(), USES) == expected


def test_a_shape_is_measured_once_per_process(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = seconds_are(monkeypatch, dict.fromkeys(PATHS, 1.0))
    for _ in range(2):
        fastest_path(SHAPE, 2, Arithmetic.here(), USES)
    assert sorted(measured) == sorted(PATHS)


def test_paths_that_a_shape_does_not_have_are_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    measured = seconds_are(monkeypatch, dict.fromkeys(PATHS, 1.0))
    monkeypatch.setattr(Kernel, "here", lambda: None)
    fastest_path(SHAPE, 2, Arithmetic.here(), USES)
    assert measured == ["shifted_sums", "plain"]
    fastest_path(Shape((2, 6, 6, 6), (3, 2, 3, 3, 3), (1, 1, 1)), 2, Arithmetic.here(), USES)
    assert measured == ["shifted_sums", "plain", "plain"]


@needs_kernel
@pytest.mark.parametrize("path", PATHS)
def test_a_measurement_runs_every_use_and_is_longer_with_more_of_them(path: Path) -> None:
    once, often = (tuning.seconds_per_step(SHAPE, 2, path, (Use(times, of_cells=True, of_weight=True),)) for times in (1, 1000))
    assert 0 < once < often


@pytest.mark.parametrize(("limit", "expected", "left"), [(9.0, 3.0, []), (4.0, 5.0, [3.0, 4.0])], ids=["the shortest", "given up"])
def test_the_shortest_repetition_counts_unless_the_first_is_hopeless(
    monkeypatch: pytest.MonkeyPatch, limit: float, expected: float, left: list[float]
) -> None:
    seconds = [5.0, 3.0, 4.0]
    monkeypatch.setattr(tuning, "elapsed", lambda _work: seconds.pop(0))
    assert tuning.seconds_per_step(SHAPE, 1, "plain", USES[1:], limit) == expected
    assert seconds == left


def test_a_path_is_given_up_by_the_fastest_so_far(monkeypatch: pytest.MonkeyPatch) -> None:
    limits: list[float] = []
    seconds = iter([2.0, 1.0, 4.0, 4.0])
    monkeypatch.setattr(tuning, "seconds_per_step", lambda _shape, _batch, _path, _uses, limit: limits.append(limit) or next(seconds))
    monkeypatch.setattr(Shape, "paths", PATHS)
    fastest_path(SHAPE, 2, Arithmetic.here(), USES)
    assert limits == [float("inf"), 2.0 * tuning.HOPELESS, tuning.HOPELESS, tuning.HOPELESS]


@needs_kernel
def test_measuring_leaves_random_numbers_and_gradients_alone() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    with torch.no_grad():
        fastest_path(SHAPE, 2, Arithmetic.here(), USES)
        assert not torch.is_grad_enabled()
    assert torch.equal(torch.rand(1), expected)


@needs_kernel
def test_only_convolutions_with_a_choice_are_measured_and_the_first_is_told_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds_are(monkeypatch, SLOW | {"plain": 1.0, "fourier_backward": 0.5, "fourier": 0.3})
    layers = network()
    layers(torch.rand(1, 1, 9, 9, 9))
    asked: list[bool] = []
    paths = measured_paths(layers, 8, lambda is_first: asked.append(is_first) or USES)
    assert paths == {"0": "fourier", "3": "fourier"}
    assert asked == [True, False]
    set_paths(layers, paths)
    assert paths_of(layers) == {"0": "fourier", "2": "plain", "3": "fourier"}


def test_a_network_that_was_not_called_has_nothing_to_measure() -> None:
    assert measured_paths(network(), 8, uses_in_generator(1)) == {}


def test_uses_are_those_of_a_training_step() -> None:
    assert uses_in_generator(2)(False) == (Use(1, of_cells=False, of_weight=False), Use(2, of_cells=True, of_weight=True))
    frozen = Use(2, of_cells=True, of_weight=False)
    assert uses_in_discriminator(2)(True) == (Use(2, of_cells=False, of_weight=True), frozen)
    assert uses_in_discriminator(2)(False) == (Use(2, of_cells=True, of_weight=True), frozen)
