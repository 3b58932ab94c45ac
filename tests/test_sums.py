from __future__ import annotations

import pytest
import torch
from shower_makers import GRID, random_showers

from gan3d.physics import observables
from gan3d.physics.binning import Binning
from gan3d.physics.sums import ShowerSums

CELLS, ENERGY = random_showers(200, seed=1)
BINNING = Binning.from_incident_energy(GRID, ENERGY)


def sums_of(cells: torch.Tensor, energy: torch.Tensor) -> ShowerSums:
    sums = ShowerSums(BINNING)
    sums.add(cells, energy)
    return sums


def test_sums_are_those_of_the_observables() -> None:
    sums = sums_of(CELLS, ENERGY)
    in_bin = BINNING.energy_bin(ENERGY) == 1
    cells, energy = CELLS[in_bin].double(), ENERGY[in_bin]
    assert sums["num_showers"][1] == in_bin.sum()
    fraction = observables.sampling_fraction(cells, energy)
    torch.testing.assert_close(sums["sampling_fraction"][1], torch.stack([fraction.sum(), fraction.square().sum()]))
    mean_depth = observables.normalised(observables.profiles(cells)[2])
    torch.testing.assert_close(sums["profile_depth"][1], mean_depth.sum(dim=0))
    assert sums["spectrum"][1].sum() == (cells > BINNING.threshold_gev).sum()
    hottest = torch.bincount(observables.maximum_position(cells)[:, 2], minlength=GRID[2])
    assert sums["maximum_depth"][1].tolist() == hottest.tolist()


def test_response_and_resolution_are_those_of_the_showers() -> None:
    response, resolution = sums_of(CELLS, ENERGY).response_and_resolution()
    for number in range(BINNING.num_energy_bins):
        in_bin = BINNING.energy_bin(ENERGY) == number
        fraction = observables.sampling_fraction(CELLS[in_bin].double(), ENERGY[in_bin])
        assert response[number].item() == pytest.approx(fraction.mean().item())
        assert resolution[number].item() == pytest.approx((fraction.std(correction=0) / fraction.mean()).item())


def test_histograms_of_scalars_keep_counts_and_means() -> None:
    sums, cells = sums_of(CELLS, ENERGY), CELLS.double()
    groups = (observables.first_moments(cells), observables.second_moments(cells), observables.layer_fractions(cells))
    expected = torch.cat([*groups, observables.occupancy(cells)[:, None]], dim=1)
    histograms = sums["scalars"].sum(dim=0)
    torch.testing.assert_close(histograms.sum(dim=1), torch.full((10,), 200.0, dtype=torch.float64))
    torch.testing.assert_close((histograms * BINNING.nodes()).sum(dim=1) / 200, expected.mean(dim=0))


@pytest.mark.parametrize("parts", [(200,), (100, 100), (67, 1, 132), (0, 200)])
def test_parts_in_any_order_add_up_to_the_whole(parts: tuple[int, ...]) -> None:
    pieces = [sums_of(c, e) for c, e in zip(torch.split(CELLS, list(parts)), torch.split(ENERGY, list(parts)), strict=True)]
    whole = sums_of(CELLS, ENERGY)
    for ordered in (pieces, pieces[::-1]):
        merged = ShowerSums(BINNING)
        for piece in ordered:
            merged = merged + piece
        torch.testing.assert_close(merged.vector, whole.vector, rtol=1e-13, atol=1e-13)


def test_vector_and_back_is_the_identity_and_a_view() -> None:
    sums = sums_of(CELLS, ENERGY)
    again = ShowerSums.from_vector(BINNING, sums.vector)
    assert torch.equal(again.vector, sums.vector)
    again.vector.mul_(2)
    assert torch.equal(again["num_showers"], 2 * sums["num_showers"])


def test_a_shower_that_is_not_finite_is_counted_and_enters_as_empty() -> None:
    broken, empty = CELLS.clone(), CELLS.clone()
    empty[[3, 150]] = 0.0
    broken[3, 0, 0, 0], broken[150, 1, 2, 3] = torch.nan, torch.inf
    found, expected = sums_of(broken, ENERGY), sums_of(empty, ENERGY)
    assert found["num_not_finite"].sum() == 2
    found["num_not_finite"].zero_()
    assert torch.equal(found.vector, expected.vector)


def test_wrong_shapes_are_refused() -> None:
    with pytest.raises(ValueError, match="expected"):
        ShowerSums(BINNING).add(CELLS[:, 1:], ENERGY)
    with pytest.raises(ValueError, match="expected"):
        ShowerSums(BINNING).add(CELLS, ENERGY[1:])
    with pytest.raises(ValueError, match="does not fit"):
        ShowerSums.from_vector(BINNING, torch.zeros(3))
    with pytest.raises(ValueError, match="different binnings"):
        ShowerSums(BINNING) + ShowerSums(Binning.from_incident_energy(GRID, ENERGY[:100]))
