"""The gate lets real Geant4 showers through, whose hottest cell is nearly always the middle one."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from small_study import SAMPLES

from gan3d.physics.calorimeter_file import calorimeter
from gan3d.validation.collection import blocks, halves, read_all
from gan3d.validation.detector import Detector
from gan3d.validation.gate import Finding, floor_of, judge
from gan3d.validation.statistics import commonest_value, least_spread, share_difference
from gan3d.validation.table import ObservableTable, joined, table_of

GEANT4 = Path(os.environ.get("GAN3D_GEANT4", SAMPLES.parents[2] / "shared" / "data" / "geant4"))
DETECTOR = Detector.of(calorimeter("clic"))
MIDDLE = 12


@pytest.fixture(scope="module")
def sample() -> ObservableTable:
    """The 1,080 showers that the project carries."""
    showers = read_all(sorted(SAMPLES.glob("clic_10_100_*.h5")))
    return joined(table_of(part, DETECTOR) for part in blocks(showers))


@pytest.fixture(scope="module")
def many(sample: ObservableTable) -> ObservableTable:
    """4,000, where they are."""
    paths = sorted(GEANT4.glob("clic_10_100_[1-5].h5"))
    return joined(table_of(part, DETECTOR) for part in blocks(read_all(paths))) if paths else sample


def findings(table: ObservableTable, number: int, seed: int) -> list[Finding]:
    """Of ``number`` showers against as many of twice as many others, as `gan3d validate` holds them."""
    rows = np.random.default_rng(seed).permutation(table.num_showers)[: 3 * number]
    reference = table.draw(rows[number:])
    theirs = reference.draw(halves(2 * number, number, seed).theirs)
    return judge(table.draw(rows[:number]), theirs, floor_of(reference, number, seed), seed)


def with_off_centre(table: ObservableTable, number: int) -> ObservableTable:
    """All but so many showers have their hottest cell in the middle along x; these have it beside."""
    table.columns["hottest_cell_x"][:] = MIDDLE
    table.columns["hottest_cell_x"][:number] = MIDDLE + 1
    return table


def test_a_reference_without_one_shower_off_the_middle_allows_some(sample: ObservableTable) -> None:
    rows = np.random.default_rng(1).permutation(sample.num_showers)
    reference = with_off_centre(sample.draw(rows[:200]), 0)
    theirs, floor = reference.draw(np.arange(100)), floor_of(reference, 100, seed=1)
    flagged = {}
    for number in (0, 1, 4, 40):
        ours = with_off_centre(sample.draw(rows[200:300]), number)
        found = {one.name: one for one in judge(ours, theirs, floor, seed=1)}
        flagged[number] = found["above/hottest_cell_x"].is_flagged
        assert not found["below/hottest_cell_x"].is_flagged
        assert not {"mean/hottest_cell_x", "spread/hottest_cell_x"} & set(found)
    assert flagged == {0: False, 1: False, 4: False, 40: True}


def test_shares_differ_in_units_that_hardly_depend_on_the_share() -> None:
    """One thousand pairs of 500 showers each: the spread is 1 / sqrt(2 N), and the mean none, from 1 in 100 on to the half."""
    random, number = np.random.default_rng(2), 500
    for share in (0.01, 0.05, 0.5):
        pairs = random.random((1000, 2, number)) < share
        found = np.array([share_difference(ours, theirs) for ours, theirs in pairs])
        assert found.std() == pytest.approx(least_spread("below/x", number), rel=0.1)
        assert abs(found.mean()) < 5 * found.std() / np.sqrt(1000)
    assert least_spread("mean/x", number) == 0


@pytest.mark.parametrize(("values", "expected"), [([], None), ([1, 2], None), ([1, 2, 2], 2), ([3, 3, 3], 3), ([1, 1, 2, 2], None)])
def test_the_commonest_value_is_that_of_more_than_half(values: list[float], expected: float | None) -> None:
    assert commonest_value(np.array(values, float)) == expected


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize(("number", "repeats"), [(100, 40), (400, 14)])
def test_geant4_against_disjoint_geant4_hardly_ever_gives_a_false_alarm(many: ObservableTable, number: int, repeats: int) -> None:
    number = min(number, many.num_showers // 3)
    worst = [findings(many, number, seed)[0] for seed in range(repeats)]
    assert sum(one.is_flagged for one in worst) <= 1, [one for one in worst if one.is_flagged]
    assert max(one.deviations for one in worst) < 6
