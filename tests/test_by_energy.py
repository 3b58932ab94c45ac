"""Response and separation powers at low, middle and high incident energies."""

from __future__ import annotations

from dataclasses import asdict

import numpy as np
import pytest
import torch
from shower_makers import GRID, random_showers
from torch import Tensor

from gan3d.physics.binning import Binning
from gan3d.physics.by_energy import ENERGIES, energy_ranges, response_shifts, separation_power, separations
from gan3d.physics.distance import monte_carlo_floor, physics_distance
from gan3d.physics.sums import ShowerSums

MONTE_CARLO, ENERGY = random_showers(300, seed=1)
OTHER = random_showers(300, seed=2)[0]
BINNING = Binning.from_incident_energy(GRID, ENERGY)
BINS = torch.arange(BINNING.num_bins)


def sums_of(cells: Tensor, energy: Tensor = ENERGY, binning: Binning = BINNING) -> ShowerSums:
    sums = ShowerSums(binning)
    sums.add(cells, energy)
    return sums


def test_a_response_that_is_wrong_at_low_energies_is_seen_there_with_its_sign() -> None:
    factor = torch.where(BINNING.energy_edges_gev[0] > ENERGY, 0.9, 1.0)
    found = response_shifts(sums_of(MONTE_CARLO * factor[:, None, None, None]), sums_of(MONTE_CARLO), BINS)
    assert found["response_shift_low_energy"] == pytest.approx(-0.1, rel=1e-5)
    assert found["response_shift_middle_energy"] == found["response_shift_high_energy"] == pytest.approx(0.0, abs=1e-9)


def test_the_error_is_the_spread_of_the_shift_over_samples() -> None:
    """Sampling fractions of a spread of 8 %: 40 samples of 300 showers."""
    random = np.random.default_rng(1)
    found = []
    for _ in range(40):
        pair = []
        for _ in range(2):
            cells = torch.zeros(300, *GRID)
            cells[:, 4, 5, 6] = 0.02 * ENERGY * torch.from_numpy(random.normal(1, 0.08, 300)).float()
            pair.append(sums_of(cells))
        found.append(response_shifts(*pair, BINS))
    for name in ENERGIES:
        shifts, errors = ([one[f"response_shift_{name}_energy{ending}"] for one in found] for ending in ("", "_error"))
        assert np.std(shifts) == pytest.approx(np.mean(errors), rel=0.3)
        number = 60 * (3 if name == "middle" else 1)
        assert np.mean(errors) == pytest.approx(0.08 * (2 / number) ** 0.5, rel=0.1)


@pytest.mark.parametrize(
    ("one", "other", "expected"),
    [
        ([0.5, 0.5, 0.0], [0.5, 0.5, 0.0], 0.0),
        ([1.0, 0.0, 0.0], [0.0, 0.5, 0.5], 1.0),
        ([1.0, 0.0], [0.5, 0.5], 0.5 * (0.25 / 1.5 + 0.25 / 0.5)),
        ([0.0, 0.0], [0.5, 0.5], 1.0),
        ([0.0, 0.0], [0.0, 0.0], 0.0),
    ],
)
def test_separation_power_of_two_histograms(one: list[float], other: list[float], expected: float) -> None:
    assert float(separation_power(torch.tensor([one]), torch.tensor([other]))) == pytest.approx(expected)


def test_separation_powers_see_moved_and_fainter_showers_at_their_energies() -> None:
    is_high = BINNING.energy_edges_gev[-1] <= ENERGY
    moved = torch.where(is_high[:, None, None, None], (0.5 * OTHER).roll(2, 3), OTHER)
    found, floor = (separations(sums_of(cells), sums_of(MONTE_CARLO), BINS) for cells in (moved, OTHER))
    for kind in ("spectrum_separation", "maximum_separation"):
        assert found[f"{kind}_high_energy"] > 3 * floor[f"{kind}_high_energy"]
        assert found[f"{kind}_low_energy"] == floor[f"{kind}_low_energy"]
        assert found[f"{kind}_middle_energy"] == floor[f"{kind}_middle_energy"]
        assert all(0 < value < 1 for value in floor.values())


@pytest.mark.parametrize(
    ("bins", "num_angle_bins", "expected"),
    [
        ([0, 1, 2, 3, 4], 1, ([0], [1, 2, 3], [4])),
        ([0, 1], 1, ([0], [0, 1], [1])),
        ([0], 1, ([0], [0], [0])),
        ([1, 2, 3, 5, 8], 3, ([1, 2], [3, 5], [8])),
    ],
)
def test_middle_energies_are_between_low_and_high_ones(bins: list[int], num_angle_bins: int, expected: tuple[list[int], ...]) -> None:
    found = energy_ranges(torch.tensor(bins), num_angle_bins)
    assert tuple(chosen.tolist() for chosen in found.values()) == expected


def test_the_floor_of_fewer_showers_is_that_of_as_many() -> None:
    """Squares of differences fall as one over the number of showers."""
    binning = Binning.from_incident_energy(GRID, ENERGY, max_energy_bins=1)
    monte_carlo = sums_of(MONTE_CARLO, binning=binning)
    many = [random_showers(300, seed) for seed in range(3, 9)]
    few = [(cells[::3], energy[::3]) for cells, energy in many]
    whole, part = (monte_carlo_floor([sums_of(*one, binning) for one in draws], monte_carlo) for draws in (many, few))
    assert part["maximum_separation_low_energy"] == pytest.approx(whole["maximum_separation_low_energy"], rel=0.25)


def test_all_are_in_the_record_and_finite_even_where_all_showers_are_empty() -> None:
    monte_carlo = sums_of(MONTE_CARLO)
    floor = monte_carlo_floor([sums_of(OTHER)], monte_carlo)
    found = asdict(physics_distance(sums_of(torch.zeros_like(OTHER)), monte_carlo, floor))
    assert np.isfinite(list(found.values())).all()
    assert [found[f"response_shift_{name}_energy"] for name in ENERGIES] == [-1.0] * 3
    assert [found[f"spectrum_separation_{name}_energy"] for name in ENERGIES] == pytest.approx([1.0] * 3)
