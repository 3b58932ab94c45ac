from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import asdict, fields
from itertools import pairwise

import pytest
import torch
from shower_makers import GRID, geant4_showers, random_showers
from torch import Tensor

from gan3d.physics.binning import Binning
from gan3d.physics.by_energy import ENERGIES, SEPARATIONS, separations
from gan3d.physics.distance import (
    DISTANCES,
    distances,
    monte_carlo_floor,
    physics_distance,
    shower_distance,
    with_scalars,
)
from gan3d.physics.matching import matched_draws
from gan3d.physics.sums import ShowerSums
from gan3d.records import PhysicsDistance

MONTE_CARLO, ENERGY = random_showers(200, seed=1)
OTHER = random_showers(200, seed=2)[0]
BINNING = Binning.from_incident_energy(GRID, ENERGY)
TOTAL_VARIATIONS = ("longitudinal_profile", "transverse_profile", "cell_energy_spectrum", "maximum_position")


SCALARS = ("shower_distance", "shower_distance_low_energy", "shower_distance_high_energy")


def sums_of(cells: Tensor, energy: Tensor = ENERGY, binning: Binning = BINNING) -> ShowerSums:
    sums = ShowerSums(binning)
    sums.add(cells, energy)
    return sums


def from_monte_carlo(cells: Tensor) -> dict[str, float]:
    return with_scalars(sums_of(cells), sums_of(MONTE_CARLO))


def normal(*shape: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(5))


def test_names_are_those_of_the_record() -> None:
    powers = [f"{name}_{energy}_energy" for name in SEPARATIONS for energy in ENERGIES]
    shifts = {f"response_shift_{energy}_energy{ending}" for energy in ENERGIES for ending in ("", "_error")}
    floors = {name + ending for name in (*SCALARS, *DISTANCES, *powers) for ending in ("", "_floor")}
    assert {entry.name for entry in fields(PhysicsDistance)} == floors | shifts


def test_scalars_of_single_bins_are_the_scalar_of_their_showers() -> None:
    found = from_monte_carlo(OTHER)
    inner = torch.tensor(BINNING.energy_edges_gev)
    assert len(inner) > 1
    for name, chosen in (("low", inner[0] > ENERGY), ("high", inner[-1] <= ENERGY)):
        alone = with_scalars(sums_of(OTHER[chosen], ENERGY[chosen]), sums_of(MONTE_CARLO[chosen], ENERGY[chosen]))
        assert found[f"shower_distance_{name}_energy"] == pytest.approx(alone["shower_distance"], rel=1e-12)
        assert found[f"shower_distance_{name}_energy"] != found["shower_distance"]


def test_a_set_has_no_distance_from_itself() -> None:
    assert set(from_monte_carlo(MONTE_CARLO).values()) == {0.0}


def test_order_of_the_showers_does_not_matter() -> None:
    order = torch.randperm(200, generator=torch.Generator().manual_seed(3))
    found = with_scalars(sums_of(OTHER[order], ENERGY[order]), sums_of(MONTE_CARLO))
    assert found == pytest.approx(from_monte_carlo(OTHER), rel=1e-12)


@pytest.mark.parametrize("parts", [(200,), (100, 100), (67, 66, 67), (199, 1)])
def test_ranks_merged_in_any_order_give_the_same_distance(parts: tuple[int, ...]) -> None:
    vectors = [sums_of(c, e).vector for c, e in zip(torch.split(OTHER, list(parts)), torch.split(ENERGY, list(parts)), strict=True)]
    for ordered in (vectors, vectors[::-1]):
        merged = ShowerSums.from_vector(BINNING, torch.stack(ordered).sum(dim=0))
        assert with_scalars(merged, sums_of(MONTE_CARLO)) == pytest.approx(from_monte_carlo(OTHER), rel=1e-12, abs=1e-12)


def test_total_variations_are_symmetric_and_at_most_one() -> None:
    there, back = distances(sums_of(OTHER), sums_of(MONTE_CARLO)), distances(sums_of(MONTE_CARLO), sums_of(OTHER))
    for name in TOTAL_VARIATIONS:
        assert there[name] == pytest.approx(back[name], rel=1e-12)
    for name in TOTAL_VARIATIONS:
        assert from_monte_carlo(torch.zeros_like(OTHER))[name] == pytest.approx(1.0)


SMEARING: dict[str, tuple[Callable[[float], Tensor], tuple[float, ...]]] = {
    "cells smeared": (lambda size: (OTHER * (1 + size * normal(*OTHER.shape))).clamp(min=0), (0.0, 0.4, 0.8, 1.6)),
    "showers smeared": (lambda size: OTHER * (1 + size * normal(200, 1, 1, 1)).clamp(min=0), (0.0, 0.15, 0.3, 0.6)),
    "response scaled up": (lambda size: OTHER * (1 + size), (0.0, 0.1, 0.2, 0.4, 0.8)),
    "response scaled down": (lambda size: OTHER * (1 - size), (0.0, 0.1, 0.2, 0.4, 0.8)),
    "shifted along x": (lambda size: OTHER.roll(int(size), 1), (0, 1, 2, 3)),
    "shifted in depth": (lambda size: OTHER.roll(int(size), 3), (0, 1, 2, 3)),
    "replaced by a mean": (lambda size: (1 - size) * OTHER + size * OTHER.roll(1, 0), (0.0, 0.25, 0.5)),
}


@pytest.mark.parametrize("kind", SMEARING)
def test_the_scalar_grows_with_smearing(kind: str) -> None:
    smeared, sizes = SMEARING[kind]
    found = [from_monte_carlo(smeared(size))["shower_distance"] for size in sizes]
    assert all(smaller < larger for smaller, larger in pairwise(found)), found


def test_each_distance_sees_what_it_is_named_after() -> None:
    scaled, shifted, deeper = (from_monte_carlo(cells) for cells in (1.2 * MONTE_CARLO, MONTE_CARLO.roll(1, 1), MONTE_CARLO.roll(1, 3)))
    assert scaled["response"] == pytest.approx(0.2, rel=1e-6)
    for name in ("resolution", "longitudinal_profile", "transverse_profile", "first_moments", "layer_fractions", "maximum_position"):
        assert scaled[name] == pytest.approx(0.0, abs=1e-6)
    assert scaled["occupancy"] > 0.05
    assert scaled["cell_energy_spectrum"] > 0.0
    assert shifted["response"] == shifted["longitudinal_profile"] == shifted["cell_energy_spectrum"] == 0.0
    assert min(shifted[name] for name in ("transverse_profile", "first_moments", "maximum_position")) > 0.1
    assert deeper["transverse_profile"] == deeper["occupancy"] == 0.0
    assert min(deeper[name] for name in ("longitudinal_profile", "first_moments", "layer_fractions", "maximum_position")) > 0.05


def test_wasserstein_counts_standard_deviations() -> None:
    """All showers of one layer, moved by exactly one standard deviation of their depth."""
    layers = torch.tensor([3, 5]).repeat(30)
    cells = torch.zeros(60, *GRID)
    cells[torch.arange(60), 4, 5, layers] = 0.02 * ENERGY[:60]
    binning = Binning.from_incident_energy(GRID, ENERGY[:60])
    found = distances(sums_of(cells.roll(1, 3), ENERGY[:60], binning), sums_of(cells, ENERGY[:60], binning))
    assert 3 * found["first_moments"] == pytest.approx(1.0, rel=1e-3)


def test_a_generator_without_fluctuations_has_no_resolution() -> None:
    per_gev = (MONTE_CARLO / ENERGY[:, None, None, None]).mean(dim=0)
    found = from_monte_carlo(per_gev * ENERGY[:, None, None, None])
    assert found["resolution"] == pytest.approx(1.0, abs=1e-3)
    assert found["response"] < 0.05


def test_a_wrong_dependence_on_the_incident_energy_is_seen() -> None:
    shuffled = MONTE_CARLO[torch.randperm(200, generator=torch.Generator().manual_seed(3))]
    assert from_monte_carlo(shuffled)["shower_distance"] > 1.5 * from_monte_carlo(OTHER)["shower_distance"]


@pytest.mark.parametrize("value", [0.0, float("nan"), float("inf"), 1e30])
def test_broken_showers_are_far_away_but_finite(value: float) -> None:
    found = from_monte_carlo(torch.full_like(OTHER, value))
    assert 0.4 < found["shower_distance"] < 1.0
    broken = OTHER.clone()
    broken[:20] = value
    assert from_monte_carlo(OTHER)["shower_distance"] < from_monte_carlo(broken)["shower_distance"] < found["shower_distance"]


def test_the_scalar_is_bounded_and_linear_for_small_distances() -> None:
    assert shower_distance(dict.fromkeys(DISTANCES, 1e-6)) == pytest.approx(1e-6, rel=1e-5)
    assert shower_distance(dict.fromkeys(DISTANCES, 0.0) | {"resolution": 1e12}) == pytest.approx(0.1)


def test_floor_is_the_mean_over_draws_and_goes_into_the_record() -> None:
    monte_carlo = sums_of(MONTE_CARLO)
    draws = [sums_of(random_showers(200, seed)[0]) for seed in (7, 8)]
    floor = monte_carlo_floor(draws, monte_carlo)
    bins = torch.arange(BINNING.num_bins)
    single = [with_scalars(draw, monte_carlo) | separations(draw, monte_carlo, bins) for draw in draws]
    assert floor == pytest.approx({name: (single[0][name] + single[1][name]) / 2 for name in single[0]})
    record = asdict(physics_distance(sums_of(OTHER), monte_carlo, floor))
    assert {name: record[name] for name in floor} == from_monte_carlo(OTHER) | separations(sums_of(OTHER), monte_carlo, bins)
    assert {name: record[f"{name}_floor"] for name in floor} == floor


def test_floor_falls_with_the_number_of_showers() -> None:
    floors = []
    for number in (40, 160, 640):
        binning = Binning.from_incident_energy(GRID, ENERGY, max_energy_bins=1)
        draws = [sums_of(*random_showers(number, seed), binning) for seed in (3, 4, 5)]
        floors.append(monte_carlo_floor(draws, sums_of(*random_showers(number, 6), binning))["shower_distance"])
    assert floors[0] > 1.4 * floors[1] > 1.4 * 1.4 * floors[2]


def test_sets_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(ValueError, match="different binnings"):
        distances(sums_of(OTHER), sums_of(OTHER, ENERGY, Binning.from_incident_energy(GRID, ENERGY[:100])))
    with pytest.raises(ValueError, match="no incident-energy bin"):
        distances(ShowerSums(BINNING), sums_of(MONTE_CARLO))
    with pytest.raises(ValueError, match="at least one draw"):
        monte_carlo_floor([], sums_of(MONTE_CARLO))


def test_real_showers_are_near_each_other_and_far_from_distorted_ones() -> None:
    cells, energy = geant4_showers("validation")
    candidates, candidate_energy = geant4_showers("train")
    binning = Binning.from_incident_energy((25, 25, 25), energy)
    start = time.process_time()
    monte_carlo = sums_of(cells, energy, binning)
    assert time.process_time() - start < 1.0
    draws = [candidates[row] for row in matched_draws(candidate_energy.numpy(), energy.numpy(), num_draws=3)]
    floor = monte_carlo_floor([sums_of(draw, energy, binning) for draw in draws], monte_carlo)
    assert floor["shower_distance"] < 0.12
    assert floor["response"] < 0.03
    for distorted in (1.2 * draws[0], draws[0].roll(1, 1), draws[0].roll(1, 3), draws[0].mean(dim=0).expand_as(cells)):
        assert distances_scalar(distorted, energy, monte_carlo) > 1.3 * floor["shower_distance"]


def distances_scalar(cells: Tensor, energy: Tensor, monte_carlo: ShowerSums) -> float:
    return shower_distance(distances(sums_of(cells, energy, monte_carlo.binning), monte_carlo))
