"""The furthest place of each mean profile is found, with its sign, its error and what Monte Carlo has against itself."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from gan3d.data.showers import Showers
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.validation.collection import blocks, read_all
from gan3d.validation.detector import Detector
from gan3d.validation.profiles import SMALLEST_SHARE, ProfileDeviation, profile_deviations
from gan3d.validation.table import ObservableTable, joined, table_of

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "geant4"
GRID = (25, 25, 25)
DETECTOR = Detector.of(calorimeter("clic"))


def tabulated(showers: Showers) -> ObservableTable:
    return joined(table_of(part, DETECTOR) for part in blocks(showers))


@pytest.fixture(scope="module")
def geant4() -> Showers:
    return read_all([SAMPLES / f"clic_10_100_{name}.h5" for name in ("train", "test")], 600)


@pytest.fixture(scope="module")
def halves(geant4: Showers) -> tuple[Showers, Showers]:
    order = np.random.default_rng(1).permutation(len(geant4))
    return geant4.take(order[:200]), geant4.take(order[200:])


def found(ours: Showers, theirs: Showers) -> dict[str, ProfileDeviation]:
    return {one.axis: one for one in profile_deviations(tabulated(ours), tabulated(theirs), GRID, len(ours), seed=1)}


def test_monte_carlo_deviates_from_itself_by_about_the_floor(halves: tuple[Showers, Showers]) -> None:
    deviations = found(*halves)
    assert list(deviations) == ["x", "y", "depth"]
    for one in deviations.values():
        assert one.share > SMALLEST_SHARE
        assert abs(one.deviation) < 2.5 * one.floor
        assert abs(one.deviation) < 5 * one.error
        assert 0.3 * one.error < one.floor < 5 * one.error


def test_a_layer_with_too_much_energy_is_named_and_the_rest_is_not_blamed(halves: tuple[Showers, Showers]) -> None:
    ours, theirs = halves
    cells = ours.cells.copy()
    cells[..., 9] *= 1.5
    one = found(Showers(cells, ours.incident_energy, None, ours.identity), theirs)["depth"]
    share = tabulated(theirs).layer_shares.mean(axis=0)[9]
    assert (one.place, one.share) == (9, pytest.approx(share))
    assert one.deviation == pytest.approx(1.5 / (1 + 0.5 * share) - 1, abs=4 * one.error)


def test_shares_are_of_the_reference_and_faint_layers_are_not_looked_at(halves: tuple[Showers, Showers]) -> None:
    ours, theirs = halves
    mean = tabulated(theirs).layer_shares.mean(axis=0)
    faint = int(mean.argmin())
    assert mean[faint] < SMALLEST_SHARE / 3
    cells = ours.cells.copy()
    cells[..., faint] *= 2.0
    one = found(Showers(cells, ours.incident_energy, None, ours.identity), theirs)["depth"]
    assert one.place != faint
    assert abs(one.deviation) < 2.5 * one.floor


def test_of_no_showers_nothing_is_said(geant4: Showers) -> None:
    broken = Showers(np.zeros_like(geant4.cells[:5]), geant4.incident_energy[:5], None, geant4.identity[:5])
    assert profile_deviations(tabulated(broken), tabulated(geant4), GRID, 5, seed=1) == []
