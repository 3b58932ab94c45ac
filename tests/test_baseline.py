from __future__ import annotations

import torch
from shower_makers import random_showers

from gan3d.physics.baseline import MeanShower
from gan3d.physics.observables import deposited_energy, normalised, profiles, sampling_fraction

CELLS, ENERGY = random_showers(100, seed=1)


def test_deposited_energy_is_proportional_to_the_incident_energy() -> None:
    showers = MeanShower.fit(CELLS, ENERGY)(torch.tensor([10.0, 20.0, 500.0]))
    assert showers.shape == (3, *CELLS.shape[1:])
    assert showers.dtype == ENERGY.dtype
    expected = sampling_fraction(CELLS, ENERGY).mean() * torch.tensor([10.0, 20.0, 500.0])
    torch.testing.assert_close(deposited_energy(showers), expected)


def test_all_showers_have_the_mean_shape_and_no_fluctuations() -> None:
    showers = MeanShower.fit(CELLS, ENERGY)(ENERGY)
    for profile in profiles(showers):
        shares = normalised(profile)
        torch.testing.assert_close(shares, shares[:1].expand_as(shares))
    weighted = (CELLS / ENERGY[:, None, None, None]).mean(dim=0)
    torch.testing.assert_close(showers[0] / ENERGY[0], weighted)
