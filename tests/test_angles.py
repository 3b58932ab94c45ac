"""The angle that showers are measured at is their own; of those that were asked for another one, `gan3d validate` says so."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from benchmarks.planted_faults import angles_shuffled, inclined
from gan3d.cli.app import app
from gan3d.data.shower_file import write_clic_file
from gan3d.data.showers import Showers
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.observables import shower_angle
from gan3d.validation.angles import NUM_BINS, AngleBin, angles_in_bins
from gan3d.validation.detector import Detector

#: Its window holds most of showers at 60 to 120 degrees.
CLIC = calorimeter("clic")
DEPTH = Detector.of(CLIC).depth
#: Of how a shower's axis lies about its angle [rad]: what the window cuts off is in it.
MOST_SPREAD, MOST_BIAS = 0.05, 0.01


@pytest.fixture(scope="module")
def reference() -> Showers:
    return inclined(200, 1, CLIC)


@pytest.fixture(scope="module")
def good() -> Showers:
    return inclined(100, 2, CLIC)


def bins_of(showers: Showers, reference: Showers) -> list[AngleBin]:
    assert DEPTH is not None
    found = angles_in_bins(showers, reference, DEPTH)
    assert len(found) == NUM_BINS
    return found


def test_showers_are_measured_at_their_own_angle(reference: Showers) -> None:
    for one in bins_of(reference, reference):
        assert one.difference == 0
        assert one.spread == one.reference_spread < MOST_SPREAD
    bias = shower_angle(torch.from_numpy(reference.cells).double(), DEPTH).numpy() - reference.polar_angle_or_normal
    assert abs(bias.mean()) < MOST_BIAS


def test_good_showers_differ_by_their_statistical_error(good: Showers, reference: Showers) -> None:
    for one in bins_of(good, reference):
        assert abs(one.difference) < 4 * one.error
        assert 0.5 < one.spread / one.reference_spread < 2
        assert 0 < one.floor < one.error


def test_a_tilt_is_found_where_it_is(good: Showers, reference: Showers) -> None:
    asked = good.polar_angle_or_normal
    is_early = asked < 1.4
    tilted = replace(good, polar_angle=np.where(is_early, asked - 0.05, asked).astype(np.float32))
    first, last = (bins_of(tilted, reference)[place] for place in (0, -1))
    assert first.difference == pytest.approx(0.05, abs=4 * first.error)
    assert abs(last.difference) < 4 * last.error


def test_broken_and_empty_showers_are_left_out(good: Showers, reference: Showers) -> None:
    cells = good.cells.copy()
    cells[0], cells[1, 0, 0, 0] = 0, np.nan
    for one, other in zip(bins_of(replace(good, cells=cells), reference), bins_of(good.take(slice(2, None)), reference), strict=True):
        assert asdict(one) == pytest.approx(asdict(other))


def test_showers_at_few_angles_are_each_in_one_bin(good: Showers, reference: Showers) -> None:
    at_four, of_reference = (replace(one, polar_angle=np.resize(np.float32([1.1, 1.4, 1.7, 2.0]), len(one))) for one in (good, reference))
    assert DEPTH is not None
    found = angles_in_bins(at_four, of_reference, DEPTH)
    assert sum(one.num_showers for one in found) == len(good)
    (single,) = angles_in_bins(*(replace(one, polar_angle=np.full(len(one), 1.5, np.float32)) for one in (good, reference)), DEPTH)
    assert single.num_showers == len(good)


def test_showers_without_angles_count_as_of_normal_incidence(good: Showers, reference: Showers) -> None:
    normal = replace(good, polar_angle=None)
    assert (normal.polar_angle_or_normal == np.pi / 2).all()
    assert DEPTH is not None
    (middle,) = angles_in_bins(normal, reference, DEPTH)
    assert middle.num_showers == len(good)
    assert middle.spread > 5 * middle.reference_spread


def test_the_report_has_them_where_angles_vary_and_depths_are_known(good: Showers, reference: Showers, tmp_path: Path) -> None:
    for name, showers in (("reference", reference), ("good", good), ("shuffled", angles_shuffled(good))):
        write_clic_file(tmp_path / f"{name}.h5", showers)

    def validated(name: str, *options: str) -> str:
        words = ["validate", str(tmp_path / f"{name}.h5"), "--reference", str(tmp_path / "reference.h5"), "--quick", *options]
        return CliRunner().invoke(app, words).output

    found = json.loads(validated("shuffled", "--calorimeter", "clic", "--json").splitlines()[-1])
    assert len(found["angles"]) == NUM_BINS
    assert all(one["spread"] > 5 * one["reference_spread"] for one in found["angles"])
    assert found["not_measured"] == {}
    assert "[mrad]" in validated("good", "--calorimeter", "clic")
    undescribed = validated("good")
    assert "[mrad]" not in undescribed
    assert "shower angle not measured: layers' depths" in undescribed
