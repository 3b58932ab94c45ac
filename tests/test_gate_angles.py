"""The polar angle is a condition: where it varies, showers are held to it, and where it does not nothing changes."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
import pytest
from shower_layouts import make_showers

from benchmarks.planted_faults import angles_shuffled, inclined
from gan3d.data.showers import Showers
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.readout import SquareCells
from gan3d.validation.collection import blocks
from gan3d.validation.detector import Detector
from gan3d.validation.features import feature_names, features_of
from gan3d.validation.gate import Finding, Floor, floor_of, judge
from gan3d.validation.refusals import SMALLEST_NUMBER
from gan3d.validation.report import Report, validate_showers
from gan3d.validation.separation import NUM_ENERGY_BINS
from gan3d.validation.statistics import above_trend
from gan3d.validation.table import ObservableTable, angles_vary, joined, table_of

NUMBER = 500
#: The middle of the window of the variable-angle showers: it holds what is within 60 to 120 degrees, and is simulated in half the time.
WIDE = replace(calorimeter("clic_wide"), cells=SquareCells(5.1, 25))
DETECTOR = Detector.of(WIDE)


def tabulated(showers: Showers) -> ObservableTable:
    return joined(table_of(part, DETECTOR) for part in blocks(showers))


@pytest.fixture(scope="module")
def reference() -> ObservableTable:
    return tabulated(inclined(2 * NUMBER, 1, WIDE))


@pytest.fixture(scope="module")
def floor(reference: ObservableTable) -> Floor:
    return floor_of(reference, NUMBER, seed=1)


@pytest.fixture(scope="module")
def good() -> Showers:
    return inclined(NUMBER, 2, WIDE)


@pytest.fixture(scope="module")
def found(reference: ObservableTable, floor: Floor) -> Callable[[Showers], dict[str, Finding]]:
    return lambda showers: {one.name: one for one in judge(tabulated(showers), reference, floor, seed=1)}


def test_showers_of_their_own_angles_pass(good: Showers, found: Callable[[Showers], dict[str, Finding]]) -> None:
    findings = found(good)
    assert not any(one.is_flagged for one in findings.values())
    assert {"mean/polar_angle", "spread/polar_angle", "low_tail/polar_angle", "high_tail/polar_angle"} <= set(findings)


def test_angles_shuffled_are_flagged_by_the_slope_of_the_axis(good: Showers, found: Callable[[Showers], dict[str, Finding]]) -> None:
    findings = found(angles_shuffled(good))
    assert next(iter(findings)) == "spread/slope_x", "worst first"
    assert findings["spread/slope_x"].deviations > 20
    assert not findings["mean/polar_angle"].is_flagged, "the angles themselves are those of the reference"


def test_showers_without_angles_count_as_of_normal_incidence(good: Showers, found: Callable[[Showers], dict[str, Finding]]) -> None:
    findings = found(replace(good, polar_angle=None))
    assert findings["spread/polar_angle"].is_flagged
    assert findings["spread/slope_x"].is_flagged


def test_where_angles_do_not_vary_numbers_are_those_without_angles() -> None:
    showers = make_showers(300, (6, 5, 4), seed=1)
    ours = []
    for angle in (None, np.full(300, np.pi / 2, np.float32)):
        table = table_of(replace(showers, polar_angle=angle), Detector(np.ones(4)))
        ours.append(judge(table, table.draw(np.arange(100)), floor_of(table, 100, seed=1, num_draws=5), seed=1))
    assert ours[0] == ours[1]
    assert not any("polar_angle" in one.name for one in ours[0])


@pytest.mark.parametrize(
    ("angle", "expected"),
    [(None, False), ([], False), ([1.5708, 1.5708], False), ([1.5708, 1.5709], False), ([1.5, 1.6], True)],
)
def test_angles_vary_by_more_than_roundings(angle: list[float] | None, expected: bool) -> None:
    assert angles_vary(None if angle is None else np.array(angle, np.float32)) == expected


def test_the_trend_with_the_angle_is_the_references() -> None:
    """Of a reference that is a parabola in ln E and in the cotangent nothing is left, and of others what they have above it."""
    random = np.random.default_rng(1)
    energies, angles = tuple(random.uniform(2, 5, (2, 100))), tuple(random.uniform(1.1, 2.0, (2, 100)))
    values = [3 + 2 * e - e**2 + 4 / np.tan(a) + 5 / np.tan(a) ** 2 for e, a in zip(energies, angles, strict=True)]
    ours, theirs = above_trend(values[0] + 7, values[1], energies, angles)
    assert ours == pytest.approx(np.full(100, 7), abs=1e-9)
    assert theirs == pytest.approx(np.zeros(100), abs=1e-9)


def test_features_have_the_angle_behind_the_energy(good: Showers) -> None:
    few = good.take(slice(0, 5))
    without, having = (features_of(few, DETECTOR, has_polar_angle=has) for has in (False, True))
    names = feature_names(25, has_polar_angle=True)
    assert names == ("incident_energy", "polar_angle", *feature_names(25)[1:])
    np.testing.assert_array_equal(having.high[:, 1], few.polar_angle)
    np.testing.assert_array_equal(np.delete(having.high, 1, axis=1), without.high)
    np.testing.assert_array_equal(having.low[:, 1], few.polar_angle)
    np.testing.assert_array_equal(np.delete(having.low, 1, axis=1), without.low)
    bare = features_of(replace(few, polar_angle=None), DETECTOR, has_polar_angle=True)
    np.testing.assert_array_equal(bare.high[:, 1], np.full(5, np.pi / 2))


@pytest.fixture(scope="module")
def report() -> Report:
    """Of small showers that know nothing of the angles that they are given."""
    grid, random = (6, 5, 4), np.random.default_rng(1)
    sides = [make_showers(number, grid, seed=number) for number in (SMALLEST_NUMBER, 2 * SMALLEST_NUMBER)]
    ours, theirs = (replace(one, polar_angle=random.uniform(1, 2, len(one)).astype(np.float32)) for one in sides)
    return validate_showers(ours, theirs, Detector(np.ones(4)))


def test_a_report_of_showers_at_angles_has_it_as_a_feature_and_as_a_number_of_the_gate(report: Report) -> None:
    assert len(report.separation_powers) == 3 + 8 * 4 + 2 + NUM_ENERGY_BINS
    assert "polar_angle" in report.separation_powers
    assert "mean/polar_angle" in {one.name for one in report.findings}
    assert report.passes
    assert 0 <= report.distances["low_level_auc"].value <= 1
