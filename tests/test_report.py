"""Every answer beside its floor: from files in any order, on small grids, and with a reason where there is none."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch
from shower_layouts import make_showers

from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.physics.binning import Binning
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.distance import monte_carlo_floor, with_scalars
from gan3d.physics.sums import ShowerSums
from gan3d.simulation.simulate import LogUniform, shower_batch
from gan3d.validation.classifier import separation
from gan3d.validation.collection import blocks, halves
from gan3d.validation.detector import Detector
from gan3d.validation.refusals import SMALLEST_NUMBER, refuse_few
from gan3d.validation.report import Known, Report, validate_showers
from gan3d.validation.sides import MOST_COMPARED, most_of_files, whole_ones, with_more

GRID = (6, 5, 4)
DETECTOR = Detector(np.ones(GRID[2]))


def sorted_showers(number: int, seed: int) -> Showers:
    showers = make_showers(number, GRID, seed=seed)
    return showers.take(np.argsort(showers.incident_energy))


@pytest.fixture(scope="module")
def report() -> Report:
    """More showers than are judged, both files sorted by energy, and a reference that was trained on."""
    reference = sorted_showers(2 * SMALLEST_NUMBER, seed=1)
    return validate_showers(sorted_showers(400, seed=2), reference, DETECTOR, known=Known(training=blocks(reference)))


def test_files_that_are_sorted_by_energy_are_judged_like_others(report: Report) -> None:
    assert report.passes, report.findings[0]
    assert len(report.separation_powers) == 2 + 8 * GRID[2] + 5
    value, floor = report.separation_powers["incident_energy"]
    assert value < 2 * floor, "the lowest energies alone would be judged"


def test_what_is_not_measured_has_its_reason(report: Report) -> None:
    assert set(report.not_measured) == {"frechet floor", "copies"}
    assert "are among the training showers" in report.not_measured["copies"]
    assert "too few to take off" in report.not_measured["frechet floor"]
    assert [name for name, one in report.distances.items() if math.isnan(one.value)] == ["copies"]
    assert {name for name, one in report.distances.items() if math.isnan(one.floor)} == {"frechet", "copies"}
    assert any(name.startswith("similarity") for name in report.distances)


def test_the_ten_distances_are_those_of_training_from_half_of_the_reference() -> None:
    """More showers than are judged, and a quick report: what they are is asked of the definitions themselves."""
    reference, showers = make_showers(2 * SMALLEST_NUMBER, GRID, seed=1), make_showers(SMALLEST_NUMBER, GRID, seed=2)
    showers.cells[0, 0, 0, 0] = np.nan
    threshold_gev = float(np.quantile(reference.cells, 0.3))
    report = validate_showers(showers, reference, DETECTOR, known=Known(threshold_gev=threshold_gev), is_quick=True)
    places = halves(len(reference), SMALLEST_NUMBER, seed=1)
    theirs = reference.take(places.theirs)
    binning = Binning.from_incident_energy(GRID, theirs.incident_energy)
    ours, known, others = (sums_of(binning, one, threshold_gev) for one in (showers, theirs, reference.take(places.others)))
    found, floor = with_scalars(ours, known), monte_carlo_floor([others], known)
    assert set(report.physics) == set(found)
    for name, one in report.physics.items():
        assert one.value == pytest.approx(found[name], rel=1e-9), name
        assert one.floor == pytest.approx(floor[name], rel=1e-9), name
        assert 0 < one.error < 1, name


def sums_of(binning: Binning, showers: Showers, threshold_gev: float) -> ShowerSums:
    sums, cells = ShowerSums(binning), torch.from_numpy(showers.cells)
    angle = torch.from_numpy(showers.polar_angle_or_normal)
    sums.add(torch.where(cells < threshold_gev, 0.0, cells), torch.from_numpy(showers.incident_energy), angle)
    return sums


def test_the_ten_distances_see_the_angles_and_the_detectors_threshold_as_those_of_training_do() -> None:
    random, threshold_gev = np.random.default_rng(1), 1e-5
    both = [make_showers(number, GRID, seed=number) for number in (2 * SMALLEST_NUMBER, SMALLEST_NUMBER)]
    reference, showers = (replace(one, polar_angle=random.uniform(1, 2, len(one)).astype(np.float32)) for one in both)
    report = validate_showers(showers, reference, replace(DETECTOR, threshold_gev=threshold_gev), is_quick=True)
    theirs = reference.take(halves(len(reference), SMALLEST_NUMBER, seed=1).theirs)
    binning = Binning.from_incident_energy(GRID, theirs.incident_energy, threshold_gev=threshold_gev, polar_angle=theirs.polar_angle)
    assert binning.num_angle_bins == 3
    found = with_scalars(sums_of(binning, showers, 0), sums_of(binning, theirs, 0))
    assert {name: one.value for name, one in report.physics.items()} == pytest.approx(found)
    assert report.physics_version == 2
    normal = [replace(one, polar_angle=None) for one in (showers, reference)]
    assert validate_showers(*normal, DETECTOR, is_quick=True).physics_version == 1


@pytest.mark.parametrize(
    ("changed", "value", "told"),
    [
        ("incident_energy", np.nan, "of nan GeV"),
        ("incident_energy", np.inf, "of inf GeV"),
        ("incident_energy", 0.0, "of 0 GeV"),
        ("incident_energy", -5.0, "of -5 GeV"),
        ("polar_angle", np.nan, "at nan rad"),
    ],
)
@pytest.mark.parametrize("is_reference", [False, True])
def test_a_shower_of_unknown_energy_or_angle_is_named(changed: str, value: float, told: str, *, is_reference: bool) -> None:
    reference, showers = make_showers(2 * SMALLEST_NUMBER, GRID, seed=1), make_showers(SMALLEST_NUMBER, GRID, seed=2)
    values = np.full(2 * SMALLEST_NUMBER if is_reference else SMALLEST_NUMBER, 1.5, np.float32)
    values[[17, 30]] = value
    changes = {changed: values}
    sides = (showers, replace(reference, **changes)) if is_reference else (replace(showers, **changes), reference)
    with pytest.raises(DataError, match=rf"shower 17 is .*{told}.* \(2 such showers\)"):
        validate_showers(*sides, DETECTOR, is_quick=True)


def test_profiles_of_very_many_columns_have_a_furthest_place() -> None:
    grid = (128, 4, 4)
    sides = [make_showers(number, grid, seed=number) for number in (2 * SMALLEST_NUMBER, SMALLEST_NUMBER)]
    found = validate_showers(sides[1], sides[0], Detector(np.ones(4)), is_quick=True).profiles
    assert [one.axis for one in found] == ["x", "y", "depth"]
    assert 0 < found[0].share < 0.02


def test_halves_are_of_all_energies_and_the_same_when_asked_again() -> None:
    theirs, others = halves(1001, 500, seed=3)
    assert len(set(theirs) | set(others)) == 1000
    assert abs(theirs.mean() - others.mean()) < 5 * 1001 / math.sqrt(6 * 500)
    np.testing.assert_array_equal(halves(1001, 500, seed=3).others, others)


def test_sides_have_as_many_showers_each_when_broken_ones_are_left_out() -> None:
    sides = [make_showers(20, GRID, seed=seed) for seed in range(3)]
    sides[0].cells[3] = 0
    sides[0].cells[7] = np.nan
    sides[2].cells[0, 0, 0, 0] = np.inf
    kept = whole_ones(*sides)
    assert [len(one) for one in kept] == [18, 18, 18]
    assert all(np.isfinite(one.cells).all() for one in kept)
    np.testing.assert_array_equal(kept.ours.identity, [*range(3), *range(4, 7), *range(8, 20)])


def test_what_needs_many_takes_the_whole_reference_and_floors_take_halves(report: Report) -> None:
    many = {name for name, one in report.distances.items() if one.num_showers == 2 * SMALLEST_NUMBER}
    kinds = ("high_level", "challenge", "low_level")
    assert many == {"frechet", "kernel", *(f"{kind}_{what}" for kind in kinds for what in ("auc", "divergence"))}
    assert {one.num_floor for one in report.distances.values()} == {SMALLEST_NUMBER}
    assert {one.num_showers for name, one in report.distances.items() if name not in many} == {SMALLEST_NUMBER}


def test_a_files_most_showers_are_as_many_of_both_and_none_where_there_are_no_more_than_are_judged() -> None:
    reference = make_showers(200, GRID, seed=1)
    assert most_of_files(make_showers(100, GRID, seed=2), reference, 100, seed=1) is None
    for number in (150, 200, 300):
        most = most_of_files(make_showers(number, GRID, seed=2), reference, 100, seed=1)
        assert most is not None
        assert len(most.ours) == len(most.theirs) == min(number, 200)
        assert len(set(most.theirs.identity)) == len(most.theirs)
        assert not most.are_pairs


def test_a_generators_most_showers_have_the_energies_of_the_reference_row_by_row() -> None:
    reference, places = make_showers(201, GRID, seed=1), halves(201, 100, seed=3)
    ours, more = (reference.take(rows) for rows in (places.others, places.theirs))
    ours.cells[4] = 0
    broken = reference.take(slice(None))
    broken.cells[places.theirs[9]] = np.nan
    most = with_more(ours, more, broken, places)
    assert most.are_pairs
    assert len(most.ours) == len(most.theirs) == 198 <= MOST_COMPARED
    np.testing.assert_array_equal(most.ours.incident_energy, most.theirs.incident_energy)
    np.testing.assert_array_equal(most.ours.cells, most.theirs.cells)


def test_a_perfect_generator_with_the_references_energies_is_not_told_apart() -> None:
    """Where the two of a pair could be in different folds, a network knew by its energy that the other one was of the other kind."""
    random = np.random.default_rng(1)
    energy = random.uniform(0, 1, (300, 8))
    areas = {are_pairs: [separation(energy, energy, seed, are_pairs=are_pairs).auc for seed in range(3)] for are_pairs in (True, False)}
    assert np.mean(areas[True]) == pytest.approx(0.5, abs=0.01)
    assert np.mean(areas[False]) < 0.48


@pytest.mark.parametrize(
    ("num_showers", "num_reference", "message"),
    [
        (99, 1000, "99 showers are too few to be judged: at least 100"),
        (1000, 199, "the reference has 199 showers, at least 200 are needed. Add another --reference."),
        (1, 1, "1 showers are too few"),
    ],
)
def test_too_few_are_refused(num_showers: int, num_reference: int, message: str) -> None:
    with pytest.raises(DataError, match=message):
        refuse_few(num_showers, num_reference)


@pytest.mark.slow
def test_all_of_it_on_the_cylinder_of_calochallenge() -> None:
    """16 angles x 9 rings: a window of 11 cells does not fit."""
    described = calorimeter("calochallenge_2")
    found = shower_batch(described, num_showers=300, incident_energy_gev=LogUniform(1, 1000), seed=1)
    showers = Showers(found.cells, found.incident_energy, None, np.arange(300))
    report = validate_showers(showers.take(slice(0, 100)), showers.take(slice(100, 300)), Detector.of(described))
    assert report.passes, report.findings[0]
    assert len(report.separation_powers) == 2 + 8 * 45 + 5
    similar = {name: one for name, one in report.distances.items() if name.startswith("similarity")}
    assert len(similar) == 6
    for name, one in similar.items():
        assert abs(one.value - one.floor) < 5 * math.hypot(one.error, one.floor_error), name
    assert report.distances["low_level_auc"].value == pytest.approx(0.5, abs=0.2)
