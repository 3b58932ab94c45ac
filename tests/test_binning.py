from __future__ import annotations

import numpy as np
import pytest
import torch
from shower_makers import GRID

from gan3d.physics.binning import MAX_ENERGY_BINS, MIN_SHOWERS_PER_ENERGY_BIN, NUM_NODES, Binning


def energies(num_showers: int, seed: int = 1) -> np.ndarray:
    return np.random.default_rng(seed).uniform(10, 500, num_showers).astype(np.float32)


@pytest.mark.parametrize("num_showers", [1, 59, 60, 119, 120, 200, 300, 1001])
def test_energy_bins_hold_about_equal_numbers_and_enough(num_showers: int) -> None:
    energy = energies(num_showers)
    binning = Binning.from_incident_energy(GRID, energy)
    counts = torch.bincount(binning.energy_bin(torch.from_numpy(energy)), minlength=binning.num_energy_bins)
    assert binning.num_energy_bins == max(1, min(MAX_ENERGY_BINS, num_showers // MIN_SHOWERS_PER_ENERGY_BIN))
    assert counts.sum() == num_showers
    assert counts.max() - counts.min() <= 1


@pytest.mark.parametrize("values", [[50.0] * 400, [10.0] * 300 + [20.0] * 100, [10.0] * 10 + [20.0] * 390])
def test_no_bin_is_empty_when_energies_repeat(values: list[float]) -> None:
    binning = Binning.from_incident_energy(GRID, np.array(values))
    counts = torch.bincount(binning.energy_bin(torch.tensor(values)), minlength=binning.num_energy_bins)
    assert counts.min() > 0


def test_order_and_type_of_the_energies_do_not_matter() -> None:
    energy = energies(300)
    binning = Binning.from_incident_energy(GRID, energy)
    assert binning == Binning.from_incident_energy(list(GRID), torch.from_numpy(energy[::-1].copy()))


@pytest.mark.parametrize("values", [[], [1.0, np.nan], [1.0, 0.0], [np.inf]])
def test_energies_that_are_not_positive_numbers_are_refused(values: list[float]) -> None:
    with pytest.raises(ValueError, match="finite and positive"):
        Binning.from_incident_energy(GRID, np.array(values))


@pytest.mark.parametrize("grid", [GRID, (25, 25, 25), (51, 51, 25), (1, 1, 1)])
def test_nodes_rise_and_cover_every_possible_value(grid: tuple[int, int, int]) -> None:
    nodes = Binning.from_incident_energy(grid, energies(10)).nodes()
    assert nodes.shape == (10, NUM_NODES)
    assert (nodes.diff(dim=1) > 0).all()
    assert (nodes[:, 0] == 0).all()
    lengths = [max(1, number - 1) for number in grid]
    expected = [*lengths, *[length**2 / 4 for length in lengths], 1, 1, 1, 1]
    assert nodes[:, -1].tolist() == pytest.approx(expected)


def test_spectrum_runs_from_the_threshold_to_the_incident_energy() -> None:
    binning = Binning.from_incident_energy(GRID, np.array([100.0]), threshold_gev=1e-3)
    found = binning.spectrum_bin(torch.tensor([1.001e-3, 9.99e-3, 1.001e-2, 99.9, 1e9], dtype=torch.float64))
    assert found.tolist() == [0, 7, 8, 39, 39]
    assert binning.num_spectrum_bins == 40
