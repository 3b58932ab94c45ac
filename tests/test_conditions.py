"""Conditions of generated showers: the training set's own, pair by pair, or the seed's uniform energies."""

from __future__ import annotations

import math

import pytest
import torch

from gan3d.training.conditions import SEED_RANGE_GEV, Conditions, SeedConditions, TrainingSetConditions
from gan3d.training.noise import Slots

NUM = 20_000
#: Far beyond chance for so many draws: 1.95 / sqrt(NUM) is passed once in a thousand times (Kolmogorov).
KOLMOGOROV = 1.95 / math.sqrt(NUM)


def slots(first: int = 0, count: int = NUM, *, step: int = 0) -> Slots:
    return Slots(1, step, NUM, first, count)


def training_set() -> TrainingSetConditions:
    """500 showers, more of them at low energies; the angle follows from the energy, so that pairs can be recognised."""
    energy = 10 + 90 * torch.rand(500, generator=torch.Generator().manual_seed(1)).square()
    return TrainingSetConditions(energy, energy.sqrt())


def kolmogorov(values: torch.Tensor, cumulative: torch.Tensor) -> float:
    """Largest distance of the values' cumulative distribution from the expected one at the same, sorted places."""
    steps = torch.arange(1, len(values) + 1) / len(values)
    return float((steps - cumulative).abs().max())


def test_the_training_sets_distribution_is_reproduced() -> None:
    known = training_set()
    drawn = known.draw(slots(), "test").incident_energy.sort().values
    ordered = known.incident_energy.sort().values
    places = torch.searchsorted(drawn, ordered, right=True) / len(drawn)
    assert kolmogorov(ordered, places) < KOLMOGOROV
    assert torch.isin(drawn, ordered).all()
    assert len(set(drawn.tolist())) == len(ordered), "every training shower's conditions are asked for"


def test_energy_and_angle_of_one_training_shower_stay_together() -> None:
    drawn = training_set().draw(slots(), "test")
    assert drawn.polar_angle is not None
    assert torch.equal(drawn.polar_angle, drawn.incident_energy.sqrt())


def test_without_angles_none_are_drawn() -> None:
    assert TrainingSetConditions(training_set().incident_energy, None).draw(slots(), "test").polar_angle is None
    assert SeedConditions(None).draw(slots(), "test").polar_angle is None


def test_the_seeds_energies_are_uniform_in_10_to_500_gev() -> None:
    drawn = SeedConditions(None).draw(slots(), "test").incident_energy.sort().values
    low, high = SEED_RANGE_GEV
    assert (low, high) == (10, 500)
    assert low <= float(drawn[0]) < low + 1
    assert high - 1 < float(drawn[-1]) <= high
    assert drawn.dtype == torch.float32
    assert kolmogorov(drawn, (drawn - low) / (high - low)) < KOLMOGOROV


def test_the_seeds_angles_are_the_training_sets_and_independent_of_the_energy() -> None:
    angles = training_set().polar_angle
    assert angles is not None
    drawn = SeedConditions(angles).draw(slots(), "test")
    assert drawn.polar_angle is not None
    assert torch.isin(drawn.polar_angle, angles).all()
    assert abs(float(torch.corrcoef(torch.stack([drawn.incident_energy, drawn.polar_angle]))[0, 1])) < 0.03


@pytest.mark.parametrize("conditions", [training_set(), SeedConditions(training_set().polar_angle)], ids=["training_set", "seed"])
def test_ranks_together_ask_for_what_one_rank_asks_for(conditions: TrainingSetConditions | SeedConditions) -> None:
    one = conditions.draw(slots(), "test")
    halves = [conditions.draw(slots(first, NUM // 2), "test") for first in (0, NUM // 2)]
    assert torch.equal(torch.cat([half.incident_energy for half in halves]), one.incident_energy)
    angles = [half.polar_angle for half in halves if half.polar_angle is not None]
    assert one.polar_angle is not None
    assert torch.equal(torch.cat(angles), one.polar_angle)


def test_every_step_and_draw_asks_for_others() -> None:
    conditions = training_set()
    first = conditions.draw(slots(), "discriminator.conditions").incident_energy
    for other in (conditions.draw(slots(step=1), "discriminator.conditions"), conditions.draw(slots(), "generator.0.conditions")):
        assert float((first == other.incident_energy).double().mean()) < 0.05


def test_conditions_move_to_a_device_whole() -> None:
    moved = Conditions(torch.ones(2), torch.ones(2)).to(torch.device("meta"))
    assert moved.incident_energy.device.type == "meta"
    assert moved.polar_angle is not None
    assert moved.polar_angle.device.type == "meta"
    assert Conditions(torch.ones(2), None).to(torch.device("meta")).polar_angle is None
