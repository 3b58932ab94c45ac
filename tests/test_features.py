"""The challenge's vector of features: lengths from the axis, on square cells and on rings."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace

import numpy as np
import pytest
from small_study import SAMPLES

from gan3d.data.showers import Showers
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.validation.collection import read_all
from gan3d.validation.detector import Detector
from gan3d.validation.features import feature_names, features_of

LAYERS = 3


def features(cells: np.ndarray, detector: Detector) -> dict[str, np.ndarray]:
    showers = Showers(cells.astype(np.float32), np.full(len(cells), 50, np.float32), None, np.arange(len(cells)))
    found = features_of(showers, detector).high
    names = feature_names(cells.shape[3])
    assert found.shape == (len(cells), len(names))
    return dict(zip(names, found.T, strict=True))


def test_there_are_two_and_eight_for_each_layer_as_in_the_challenge() -> None:
    assert len(feature_names(45)) == 2 + 8 * 45
    assert len(set(feature_names(25))) == 202


@pytest.mark.parametrize("size", [(25, 25), (8, 5)])
def test_a_shower_on_the_axis_has_its_centres_where_an_empty_layer_has_them(size: tuple[int, int]) -> None:
    cells = np.zeros((2, *size, LAYERS))
    cells[:, :, :, :2] = 0.01  # all over, so around the middle of the grid
    cells[1, :, :, 1] = 0
    found = features(cells, Detector(np.ones(LAYERS)))
    for layer in range(LAYERS):
        assert found[f"centre_x_{layer}"] == pytest.approx(0, abs=1e-12)
        assert found[f"centre_y_{layer}"] == pytest.approx(0, abs=1e-12)
    assert found["width_r_2"] == pytest.approx(0)
    assert found["centre_r_2"] == pytest.approx(0)


def test_a_mirrored_shower_has_its_centres_on_the_other_side() -> None:
    cells = np.random.default_rng(1).random((5, 7, 6, LAYERS)) * 0.01
    detector = Detector(np.ones(LAYERS))
    found, mirrored = features(cells, detector), features(cells[:, ::-1], detector)
    for layer in range(LAYERS):
        assert mirrored[f"centre_x_{layer}"] == pytest.approx(-found[f"centre_x_{layer}"], abs=1e-6)
        assert np.abs(found[f"centre_x_{layer}"]).max() > 0.01
        for name in ("centre_y", "width_x", "width_y", "centre_r", "width_r", "energy", "occupancy"):
            assert mirrored[f"{name}_{layer}"] == pytest.approx(found[f"{name}_{layer}"], abs=1e-6)


def test_radii_are_those_of_the_cells_from_the_axis() -> None:
    """3 GeV in a cell 5 from the axis (3 along x, 4 along y), 1 GeV in the middle one."""
    cells = np.zeros((1, 9, 9, 1))
    cells[0, 4 + 3, 4 + 4, 0], cells[0, 4, 4, 0] = 3, 1
    found = features(cells, Detector(np.ones(1)))
    assert found["centre_r_0"][0] == pytest.approx(3.75)
    assert found["width_r_0"][0] == pytest.approx(5 * np.sqrt(0.75 * 0.25))
    assert (found["centre_x_0"][0], found["centre_y_0"][0]) == pytest.approx((2.25, 3.0))


def test_on_rings_the_radius_is_the_rings() -> None:
    """As HighLevelFeatures has it: the middle between a ring's edges, whatever the angle."""
    detector = Detector.of(calorimeter("calochallenge_2"))
    assert detector.is_polar
    cells = np.zeros((2, 16, 9, 45))
    cells[:, :, 2, 7] = 0.01
    cells[1, 3, 4, 7] = 0.16
    found = features(cells, detector)
    assert found["centre_r_7"] == pytest.approx([2.5, 3.5])
    assert found["width_r_7"] == pytest.approx([0, 1], abs=1e-6)
    assert found["centre_x_7"][0] == pytest.approx(0, abs=1e-12)


def test_a_detector_says_whether_its_cells_are_polar() -> None:
    assert not Detector.of(calorimeter("clic")).is_polar
    assert not Detector(np.ones(LAYERS)).is_polar


@pytest.mark.parametrize(
    ("name", "grid", "is_refused"),
    [
        ("clic", (25, 25, 25), False),
        ("clic_wide", (25, 25, 25), False),  # a window of it
        ("clic", (25, 25, 24), True),
        ("calochallenge_2", (16, 9, 45), False),
        ("calochallenge_2", (50, 18, 45), True),
    ],
)
def test_showers_of_other_layers_or_rings_are_refused(name: str, grid: tuple[int, int, int], *, is_refused: bool) -> None:
    detector = Detector.of(calorimeter(name))
    with pytest.raises(ConfigError, match=" x ".join(map(str, grid))) if is_refused else nullcontext():
        detector.refuse_other(grid)


def test_cells_at_or_below_the_threshold_are_not_seen_and_they_are_two_fifths_of_geant4s() -> None:
    geant4 = read_all([SAMPLES / "clic_10_100_test.h5"])
    detector = Detector.of(calorimeter("clic"))
    is_seen = geant4.cells > detector.threshold_gev
    seen = replace(geant4, cells=np.where(is_seen, geant4.cells, 0))
    assert is_seen.sum() / (geant4.cells > 0).sum() == pytest.approx(3 / 5, abs=0.02)
    assert seen.cells.sum() / geant4.cells.sum() == pytest.approx(27 / 28, abs=0.002)
    ours, theirs = (features_of(one.take(slice(0, 50)), detector) for one in (seen, geant4))
    np.testing.assert_array_equal(ours.high, theirs.high)
    np.testing.assert_array_equal(ours.low, theirs.low)
