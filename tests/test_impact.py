"""Where a shower enters its cell: places as the training showers', cells that follow them, and what the regression finds."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from small_trial import small_trial
from test_observable_matching import around

from gan3d.config.training import TrialSettings
from gan3d.models.impact import Impact, terms_of
from gan3d.models.layer_energies import LAST_SCORE
from gan3d.models.log_regression import LARGEST_EXPONENT, log_regression
from gan3d.physics.observables import first_moments, second_moments


def entering(num_showers: int = 2000, seed: int = 1) -> torch.Tensor:
    """Gaussian showers of equal energy whose axes lie anywhere in one cell."""
    random = torch.Generator().manual_seed(seed)
    centre = torch.rand(num_showers, 3, generator=random) - 0.5
    centre[:, 2] = 0.0
    return around(centre + 4, torch.ones(num_showers))


@pytest.fixture(scope="module")
def fitted() -> tuple[Impact, torch.Tensor]:
    """And the showers as they would be if all entered in the same place."""
    impact, cells = Impact(tuple(entering(1).shape[1:])), entering()  # type: ignore[arg-type]
    return impact, impact.fit_(cells, cells)


def test_showers_enter_where_training_showers_do(fitted: tuple[Impact, torch.Tensor]) -> None:
    places = fitted[0].places(torch.randn(20_000, 2, generator=torch.Generator().manual_seed(2)))
    assert places.abs().max() < 1.9  # a uniform distribution ends at the root of 3
    torch.testing.assert_close(places.std(dim=0), torch.ones(2), atol=0.03, rtol=0.0)
    quarters = torch.tensor([0.25, 0.5, 0.75])
    torch.testing.assert_close(torch.quantile(places[:, 0], quarters), 3**0.5 * (2 * quarters - 1), atol=0.08, rtol=0.0)
    assert abs(torch.corrcoef(places.T)[0, 1].item()) < 0.03


def test_beyond_the_training_showers_places_nothing_is(fitted: tuple[Impact, torch.Tensor]) -> None:
    far, further = fitted[0].places(torch.tensor([[LAST_SCORE, -LAST_SCORE], [40.0, -40.0]]))
    assert torch.equal(far, further)


@torch.no_grad()
def test_cells_follow_the_place(fitted: tuple[Impact, torch.Tensor]) -> None:
    impact, still = fitted
    noise = torch.randn(2000, 2, generator=torch.Generator().manual_seed(3))
    made, cells = impact(noise).exp() * still.mean(dim=0), entering(seed=4)
    torch.testing.assert_close(first_moments(made)[:, :2].std(dim=0), first_moments(cells)[:, :2].std(dim=0), rtol=0.05, atol=0.0)
    torch.testing.assert_close(second_moments(made).mean(dim=0), second_moments(cells).mean(dim=0), rtol=0.05, atol=0.0)
    place = impact.places(noise)
    for axis in (0, 1):
        assert torch.corrcoef(torch.stack([first_moments(made)[:, axis], place[:, axis]]))[0, 1] > 0.99


@torch.no_grad()
def test_on_average_over_places_a_cell_keeps_its_energy(fitted: tuple[Impact, torch.Tensor]) -> None:
    impact, _ = fitted
    noise = torch.randn(20_000, 2, generator=torch.Generator().manual_seed(5))
    held = entering().mean(dim=0) > 1e-4
    torch.testing.assert_close(impact(noise).exp().mean(dim=0)[held], torch.ones(int(held.sum())), rtol=0.05, atol=0.0)


@torch.no_grad()
def test_showers_that_all_enter_in_one_place_leave_every_cell_as_it_is() -> None:
    cells = around(torch.full((64, 3), 4.0), torch.ones(64))
    impact = Impact(tuple(cells.shape[1:]))  # type: ignore[arg-type]
    torch.testing.assert_close(impact.fit_(cells, cells), cells, rtol=1e-4, atol=1e-6)
    factors = impact(torch.randn(20, 2, generator=torch.Generator().manual_seed(1))).exp()
    torch.testing.assert_close(factors, torch.ones_like(factors), rtol=1e-3, atol=0.0)


def test_without_the_place_cells_vary_less(fitted: tuple[Impact, torch.Tensor]) -> None:
    _, still = fitted
    cells = entering()
    held = cells.mean(dim=0) > 1e-3
    assert (still.std(dim=0)[held] < 0.3 * cells.std(dim=0)[held]).all()


def test_the_regression_finds_what_the_energies_were_made_with() -> None:
    random = torch.Generator().manual_seed(6)
    terms = terms_of(torch.randn(4000, 2, generator=random, dtype=torch.float64).clamp(-1.8, 1.8))
    wanted = torch.tensor([[0.4, -0.3, 0.1, 0.2, -0.1], [0.0, 0.0, 0.0, 0.0, 0.0]], dtype=torch.float64).T
    energies = (terms @ wanted).exp() * torch.empty(4000, 2, dtype=torch.float64).exponential_(generator=random)
    torch.testing.assert_close(log_regression(terms, energies), wanted, atol=0.08, rtol=0.0)


def test_cells_that_nothing_or_one_shower_hit_are_left_alone() -> None:
    terms = terms_of(torch.randn(500, 2, generator=torch.Generator().manual_seed(7)))
    energies = torch.zeros(500, 2)
    energies[3, 1] = 1.0
    found = log_regression(terms, energies)
    assert not found[:, 0].any()
    assert found.isfinite().all()
    assert (terms @ found).abs().max() < LARGEST_EXPONENT


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training.generator.output": "relu"}, "impact"),
        ({"training.polar_angle": True}, "impact"),
        ({"data.cells": "polar"}, "impact"),
        ({"training.generator.noise_dim": 1}, "fewer than the 2 numbers"),
        ({"training.generator.noise_dim": 14, "training.generator.layer_energies": "fitted"}, "fewer than the 15 numbers"),
    ],
)
def test_what_it_does_not_go_with_is_refused(tmp_path: Path, changes: dict[str, object], said: str) -> None:
    plain: dict[str, object] = {"training.generator.output": "rectified_normal", "training.generator.impact": "fitted"}
    assert isinstance(small_trial(tmp_path, plain), TrialSettings)
    with pytest.raises(ValueError, match=said):
        small_trial(tmp_path, plain | changes)
