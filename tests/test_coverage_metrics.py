"""Precision, recall, density, coverage and separation powers on sets whose answers are known."""

from __future__ import annotations

import weakref
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sklearn.metrics import pairwise_distances
from small_study import SAMPLES

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.physics.observables import READOUT_THRESHOLD_GEV
from gan3d.validation.collection import BLOCK, read_in_blocks
from gan3d.validation.copies import NEAREST, copied, nearest
from gan3d.validation.coverage import coverage_of, log_cells
from gan3d.validation.separation import Headline, headline_powers, separation_power
from gan3d.validation.similarity import similarities


def points(number: int, seed: int, shift: float = 0.0) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((number, 3)) + shift


def test_of_one_source_everything_is_near_one() -> None:
    found = coverage_of(points(500, 1), points(500, 2))
    assert found.precision > 0.9
    assert found.recall > 0.9
    assert found.density == pytest.approx(1, abs=0.1)
    assert found.coverage == pytest.approx(0.97, abs=0.03)


def test_of_what_is_far_away_everything_is_zero() -> None:
    found = coverage_of(points(100, 1), points(100, 2, shift=100.0))
    assert (found.precision, found.recall, found.density, found.coverage) == (0, 0, 0, 0)


def test_a_collapsed_set_is_precise_and_covers_nothing() -> None:
    reference = points(500, 1)
    collapsed = np.repeat(0.5 * points(5, 2), 100, axis=0) + 1e-3 * points(500, 3)
    found = coverage_of(reference, collapsed)
    assert found.precision > 0.9
    assert found.recall < 0.1
    assert found.coverage < 0.2


def test_copies_are_told_from_fresh_showers() -> None:
    training, fresh = points(400, 1), points(400, 2)
    by_heart, error = found_copied(training + 1e-3 * points(400, 3), fresh, training)
    new, error_of_new = found_copied(points(400, 4), fresh, training)
    assert by_heart == 1
    assert new == pytest.approx(NEAREST, abs=4 * error_of_new)
    assert 0 < error < error_of_new < 0.03


def test_training_showers_are_no_fresh_ones() -> None:
    training = points(400, 1)
    found = found_copied(training, np.concatenate([training[:100], points(900, 2)]), training)
    assert np.isnan(found).all(), "a generator that knows them by heart would be told to have copied nothing"
    assert np.isfinite(found_copied(training, points(1000, 2), training)).all()


def found_copied(showers: np.ndarray, fresh: np.ndarray, training: np.ndarray) -> tuple[float, float]:
    return copied(nearest(showers, [training]), nearest(fresh, [training]))


def test_the_nearest_of_blocks_is_the_nearest_of_all() -> None:
    training = log_cells(np.random.default_rng(1).exponential(1e-3, (401, 30)), READOUT_THRESHOLD_GEV)
    showers = np.concatenate([training[:7], log_cells(np.random.default_rng(2).exponential(1e-3, (50, 30)), READOUT_THRESHOLD_GEV)])
    whole = pairwise_distances(showers, training).min(axis=1)
    np.testing.assert_allclose(nearest(showers, np.array_split(training, 9)), whole, rtol=1e-6, atol=1e-6)
    assert whole[:7].max() < 1e-6
    assert whole[7:].min() > 0.1


def test_no_more_than_the_block_at_hand_and_the_one_before_are_held(tmp_path: Path) -> None:
    number = 3 * BLOCK + 7
    made = Showers(np.ones((number, 3, 3, 3), np.float32), np.full(number, 10.0, np.float32), None, np.arange(number))
    write_clic_file(tmp_path / "one.h5", made)
    write_clic_file(tmp_path / "two.h5", made.take(slice(0, 5)))
    read, alive = list[int](), list[weakref.ref[np.ndarray]]()

    def counted() -> Iterator[np.ndarray]:
        for block in read_in_blocks([tmp_path / "one.h5", tmp_path / "two.h5"]):
            cells = block.cells.reshape(len(block), -1)
            assert sum(one() is not None for one in alive) <= 1
            alive.append(weakref.ref(cells))
            read.append(len(cells))
            yield cells

    assert nearest(np.zeros((2, 27), np.float32), counted()) == pytest.approx(np.full(2, 27**0.5))
    assert read == [BLOCK, BLOCK, BLOCK, 7, 5]
    with pytest.raises(DataError, match=r"its grid \(3, 3, 3\) is not that of what is validated, \(4, 4, 4\)"):
        read_in_blocks([tmp_path / "one.h5"], like=(4, 4, 4))


def test_among_the_cells_of_real_showers_the_floor_is_far_from_one() -> None:
    """Geant4 against Geant4: neighbours in thousands of dimensions are no nearer than others."""
    file = open_shower_file(SAMPLES / "clic_10_100_train.h5")
    cells = log_cells(file.read(0, 600).cells, READOUT_THRESHOLD_GEV)
    order = np.random.default_rng(1).permutation(len(cells))
    found = coverage_of(cells[order[:300]], cells[order[300:]])
    assert found.precision < 0.8
    assert found.recall < 0.8
    assert found.coverage > 0.9
    broken = coverage_of(cells[order[:300]], np.zeros_like(cells[order[300:]]))
    assert broken.coverage < found.coverage / 2


def test_cells_are_their_decades_above_the_threshold() -> None:
    assert log_cells(np.array([[0.0, 1e-5, 3e-3, 0.03]]), 3e-4)[0] == pytest.approx([-1, -1, 1, 2])


def test_separation_power_is_one_for_what_never_meets_and_small_for_one_source() -> None:
    same, apart = separation_power(points(2000, 1), points(2000, 2)), separation_power(points(2000, 1), points(2000, 2, 50.0))
    assert apart == pytest.approx(np.ones(3), abs=0.005)
    # Chi squared: (bins - 1) / (2 N), with bins of (N + N) showers; as its definition says.
    assert same.mean() == pytest.approx(31 / (2 * 2000), rel=0.5)


def test_headlines_are_of_the_response_overall_and_per_bin_and_of_cells() -> None:
    random = np.random.default_rng(1)
    one, other = (made_headline(random, scale=1.0) for _ in range(2))
    names = [
        "deposited_over_incident_energy",
        *(f"deposited_over_incident_energy_{bin}_gev" for bin in ("10_to_40", "40_to_70", "70_to_100")),
    ]
    same = headline_powers(one, other)
    assert list(same) == [*names, "cell_energy"]
    assert max(same.values()) < 0.05
    high = headline_powers(one, made_headline(random, scale=1.1, above_gev=70.0))
    assert high[names[3]] > 0.8
    assert 0.8 > high[names[0]] > 3 * same[names[0]]
    assert high[names[1]] < 0.05
    assert high["cell_energy"] > 3 * same["cell_energy"]


def made_headline(random: np.random.Generator, scale: float, above_gev: float = 0.0) -> Headline:
    """2,000 showers, a response of 2 % and 2 % of spread, scaled above an energy; of their 8 cells every other one is read out."""
    energy = random.permutation(np.linspace(10, 100, 2000))
    factor = np.where(energy > above_gev, scale, 1.0) if above_gev else np.full(2000, scale)
    cells = np.zeros((2000, 2, 2, 2), np.float32)
    cells[..., 0] = (random.normal(0.02, 0.0004, 2000) * energy * factor / 4)[:, None, None]
    cells[..., 1] = 1e-5
    return Headline.of(Showers(cells, energy.astype(np.float32), None, np.arange(2000)), READOUT_THRESHOLD_GEV)


def test_headlines_are_without_cells_that_are_not_read_out() -> None:
    found = made_headline(np.random.default_rng(1), scale=1.0)
    assert len(found.cell_energy) == 2000 * 4
    assert found.deposited_energy / found.incident_energy == pytest.approx(np.full(2000, 0.02), rel=0.1)


def test_showers_alike_are_more_similar() -> None:
    random = np.random.default_rng(1)
    energy, number = np.linspace(10, 100, 60, dtype=np.float32), np.arange(60)
    different = Showers(random.random((60, 12, 12, 6), dtype=np.float32) * 1e-2, energy, None, number)
    alike = Showers(np.repeat(different.cells[:1], 60, axis=0), energy, None, number)
    found, collapsed = (similarities(showers, different, 1) for showers in (different, alike))
    assert len(found) == len(collapsed) == 6
    for name, (value, error) in found.items():
        assert value + 5 * error < collapsed[name][0] == pytest.approx(1)
