"""Polar cells: no distance and no loss depends on where the angle 0 lies, in steps of a cell."""

from __future__ import annotations

import math

import pytest
import torch
from shower_makers import random_showers
from torch import Tensor

from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.models.observable_matching import NUM_MOMENTS, ObservableDistributions, mean_of_moments, moments
from gan3d.physics import observables
from gan3d.physics.binning import NUM_NODES, Binning
from gan3d.physics.distance import with_scalars
from gan3d.physics.readout import polar_centres
from gan3d.physics.sums import ShowerSums

GRID = (8, 5, 6)
POSITIONS = tuple(torch.from_numpy(values) for values in polar_centres(*GRID[:2]))
TURNS = (1, 3, 4, 6)


def turned_all_ways(num_showers: int, seed: int) -> tuple[Tensor, Tensor]:
    """Showers each of which is there at every angle, so that the set has no direction; and their incident energies."""
    cells, energy = random_showers(num_showers, seed, GRID)
    # About the axis, as showers are.
    cells = 0.9 * cells.mean(dim=1, keepdim=True) + 0.1 * cells
    return torch.cat([cells.roll(turn, 1) for turn in range(GRID[0])]), energy.repeat(GRID[0])


def to_one_side(cells: Tensor, turn: int) -> Tensor:
    """More energy around one of the angles."""
    angle = 2 * math.pi * (torch.arange(GRID[0]) - turn) / GRID[0]
    return cells * (1 + 0.5 * angle.cos())[:, None, None]


MONTE_CARLO, ENERGY = turned_all_ways(30, seed=1)
OTHER, OTHER_ENERGY = turned_all_ways(30, seed=2)
BINNING = Binning.from_incident_energy(GRID, ENERGY, is_polar=True)


def distances_of(cells: Tensor, monte_carlo: Tensor) -> dict[str, float]:
    generated, expected = ShowerSums(BINNING), ShowerSums(BINNING)
    generated.add(cells, OTHER_ENERGY)
    expected.add(monte_carlo, ENERGY)
    return with_scalars(generated, expected)


@pytest.mark.parametrize("turn", TURNS)
def test_turning_all_showers_changes_no_distance(turn: int) -> None:
    one_sided = to_one_side(MONTE_CARLO, 2)
    expected = distances_of(OTHER, one_sided)
    assert distances_of(OTHER.roll(turn, 1), one_sided.roll(turn, 1)) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("turn", TURNS)
def test_it_does_not_matter_which_side_generated_showers_lean_to(turn: int) -> None:
    expected = distances_of(to_one_side(OTHER, 0), MONTE_CARLO)
    assert expected["first_moments"] > 3 * distances_of(OTHER, MONTE_CARLO)["first_moments"]
    assert distances_of(to_one_side(OTHER, turn), MONTE_CARLO) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("turn", TURNS)
def test_turning_all_showers_does_not_change_the_loss(turn: int) -> None:
    lean, one_sided = to_one_side(OTHER, 0), to_one_side(MONTE_CARLO, 2)

    def loss(turn: int) -> Tensor:
        showers = ObservableDistributions.fit([(one_sided.double().roll(turn, 1), ENERGY)], positions=POSITIONS)
        return showers.distance(lean[::4].roll(turn, 1), OTHER_ENERGY[::4])

    torch.testing.assert_close(loss(turn), loss(0), rtol=1e-3, atol=0.0)


@pytest.mark.parametrize("num_angles", [1, 2, 3, 4, 7, 8, 50])
def test_axes_turned_by_an_angle_are_the_axes(num_angles: int) -> None:
    x, y = (torch.from_numpy(values) for values in polar_centres(num_angles, 3))
    axes = torch.stack(observables.axes_around((x, y)))
    turned = axes.roll(1, 1)
    both = torch.cat([axes, -axes])
    assert torch.equal(axes[0], x)
    assert all((one - both).abs().flatten(1).amax(dim=1).min() < 1e-12 for one in turned)


def test_on_four_angles_the_axes_are_x_and_y() -> None:
    x, y = (torch.from_numpy(values) for values in polar_centres(4, 3))
    torch.testing.assert_close(observables.axes_around((x, y)), (x, y))


def test_histograms_keep_the_means_of_the_moments() -> None:
    sums = ShowerSums(BINNING)
    sums.add(OTHER, OTHER_ENERGY)
    axes = observables.axes_around(POSITIONS)
    centre, variance = observables.moments_at(OTHER.double(), axes)
    depth = (observables.first_moments(OTHER.double())[:, 2:], observables.second_moments(OTHER.double())[:, 2:])
    expected = torch.cat([centre, depth[0], variance, depth[1]], dim=1)
    found = (sums["scalars"].sum(dim=0) * BINNING.nodes()).sum(dim=1) / len(OTHER)
    torch.testing.assert_close(found[: expected.shape[1]], expected.mean(dim=0))


def test_nodes_rise_and_reach_from_one_side_of_the_rings_to_the_other() -> None:
    nodes = BINNING.nodes()
    assert nodes.shape == (4 + 1 + 4 + 1 + 3 + 1, NUM_NODES)
    assert (nodes.diff(dim=1) > 0).all()
    assert nodes[:, 0].tolist() == [-5.0] * 4 + [0.0] * 10
    assert nodes[:, -1].tolist() == pytest.approx([5.0] * 4 + [5.0] + [25.0] * 4 + [6.25] + [1.0] * 4)


def test_sums_of_resampled_showers_are_those_of_the_showers() -> None:
    whole = ShowerSums(BINNING)
    whole.add(OTHER, OTHER_ENERGY)
    found = resampled_sums([(OTHER, OTHER_ENERGY)], resample_counts(len(OTHER), 1), BINNING)
    torch.testing.assert_close(found[0].vector, whole.vector)


def test_the_axes_together_weigh_as_x_and_y_do() -> None:
    assert observables.mean_over_axes(torch.tensor([1.0, 1.0, 1.0, 1.0, 4.0])) == 2.0
    assert observables.mean_over_axes(torch.tensor([[1.0, 3.0, 5.0]])).tolist() == [3.0]
    # A loss that is 1 in each column across, and 0 in all others: 4 of 11 columns on square cells.
    across = torch.zeros(3, 7 + 2 * 4)
    across[:, 1:5] = across[:, 6:10] = 1.0
    assert mean_of_moments(across, 4).item() == pytest.approx(4 / NUM_MOMENTS)
    assert moments(OTHER, OTHER_ENERGY, observables.axes_around(POSITIONS)).shape[1] == across.shape[1]
