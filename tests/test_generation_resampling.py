"""A resample's sums are those of its showers added one by one."""

from __future__ import annotations

import pytest
import torch
from shower_makers import GRID, random_showers

from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.physics.binning import Binning
from gan3d.physics.sums import ShowerSums

CELLS, ENERGY = random_showers(130, seed=1)
BINNING = Binning.from_incident_energy(GRID, ENERGY)


def chunks(size: int) -> list[tuple[torch.Tensor, torch.Tensor]]:
    return list(zip(CELLS.split(size), ENERGY.split(size), strict=True))


def test_every_resample_holds_as_many_showers_as_there_are() -> None:
    counts = resample_counts(130, 20, seed=3)
    assert counts.shape == (21, 130)
    assert torch.equal(counts[0], torch.ones(130, dtype=torch.float64))
    assert torch.equal(counts.sum(dim=1), torch.full((21,), 130.0, dtype=torch.float64))
    assert torch.equal(counts, resample_counts(130, 20, seed=3))
    assert not torch.equal(counts, resample_counts(130, 20, seed=4))


@pytest.mark.parametrize("size", [1, 64, 130])
def test_sums_of_resamples_are_those_of_their_showers(size: int) -> None:
    counts = resample_counts(130, 3)
    found = resampled_sums(chunks(size), counts, BINNING)
    for row, sums in zip(counts, found, strict=True):
        index = torch.repeat_interleave(torch.arange(130), row.long())
        expected = ShowerSums(BINNING)
        expected.add(CELLS[index], ENERGY[index])
        torch.testing.assert_close(sums.vector, expected.vector, rtol=1e-9, atol=1e-9)


def test_showers_of_one_energy_are_told_apart() -> None:
    energy = torch.full((130,), 50.0)
    binning = Binning.from_incident_energy(GRID, energy)
    (sums,) = resampled_sums([(CELLS, energy)], resample_counts(130, 0), binning)
    expected = ShowerSums(binning)
    expected.add(CELLS, energy)
    torch.testing.assert_close(sums.vector, expected.vector, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("number", [100, 200])
def test_counts_of_other_showers_are_refused(number: int) -> None:
    with pytest.raises(ValueError, match=f"130 showers do not fit the counts of {number}"):
        resampled_sums([(CELLS, ENERGY)], resample_counts(number, 2), BINNING)
