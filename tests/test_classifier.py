"""A classifier says one half of what is the same, and nearly one of what is not."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import norm
from torch import nn

from gan3d.validation import classifier
from gan3d.validation.cells_network import cells_recipe
from gan3d.validation.classifier import separation


def points(number: int, shift: float = 0.0, seed: int = 1) -> np.ndarray:
    found = np.random.default_rng(seed).standard_normal((number, 5))
    found[:, 0] += shift
    return found


def test_of_one_source_it_says_one_half() -> None:
    found = separation(points(500), points(500, seed=2), 1)
    assert abs(found.auc - 0.5) < 4 * max(found.auc_error, 0.02)
    assert found.divergence < 0.05


def test_of_two_gaussians_it_comes_near_what_is_best() -> None:
    """Neyman and Pearson: the area for two Gaussians a distance d apart is Phi(d / sqrt(2))."""
    found = separation(points(1000), points(1000, 1.0, seed=2), 1)
    best = float(norm.cdf(1 / np.sqrt(2)))
    assert best - 0.06 < found.auc < best + 0.03
    assert 0.05 < found.divergence < 0.3


def test_it_sees_a_correlation_that_no_single_feature_shows() -> None:
    one, other = points(1000), points(1000, seed=2)
    other[:, 1] = other[:, 0] + 0.1 * other[:, 1]
    assert separation(one, other, 1).auc > 0.9


def test_the_same_seed_says_the_same() -> None:
    one, other = points(100), points(100, 0.5, seed=2)
    assert separation(one, other, 3) == separation(one, other, 3)


def test_no_shower_is_judged_by_a_classifier_that_has_seen_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """A classifier that knows its training showers by heart, and nothing else, is worth one half."""

    class ByHeart(nn.Module):
        def __init__(self, rows: np.ndarray, labels: np.ndarray) -> None:
            super().__init__()
            self.known = {tuple(row): label - 0.5 for row, label in zip(rows, labels, strict=True)}

        def forward(self, rows: torch.Tensor) -> torch.Tensor:
            return torch.tensor([[self.known.get(tuple(row), 0.0)] for row in rows.numpy()])

    monkeypatch.setattr(classifier, "_trained", lambda training, _stopping, _recipe: ByHeart(*training))
    assert separation(points(200), points(200, 3.0, seed=2), 1).auc == 0.5


GRID = (8, 8, 5)


def spots(number: int, distance: int, seed: int) -> np.ndarray:
    """Rows of an energy and cells: two bright ones of the same layer, this far apart somewhere."""
    random = np.random.default_rng(seed)
    cells = np.zeros((number, *GRID), np.float32)
    for shower in cells:
        x, y, layer = random.integers(8 - distance), random.integers(8), random.integers(5)
        shower[x, y, layer] = shower[x + distance, y, layer] = 0.004
    return np.concatenate([np.full((number, 1), 1.7, np.float32), cells.reshape(number, -1)], axis=1)


def test_cells_are_told_by_what_lies_beside_what() -> None:
    recipe = cells_recipe(GRID, is_polar=False, has_polar_angle=False)
    assert separation(spots(300, 1, seed=1), spots(300, 3, seed=2), 1, recipe).auc > 0.95
    same = separation(spots(300, 1, seed=1), spots(300, 1, seed=2), 1, recipe)
    assert abs(same.auc - 0.5) < 4 * max(same.auc_error, 0.03)


def test_the_network_of_cells_sees_every_condition() -> None:
    """The same cells at other angles, which stand behind the energy."""
    recipe = cells_recipe(GRID, is_polar=False, has_polar_angle=True)
    kinds = [np.insert(spots(200, 1, seed), 1, angle, axis=1) for seed, angle in ((1, 1.2), (2, 1.9))]
    assert separation(*kinds, 1, recipe).auc > 0.95


@pytest.mark.parametrize(
    ("is_polar", "has_polar_angle", "number"),
    [(False, False, 8), (False, True, 2), (True, False, 2 * 4), (True, True, 2 * 4)],
    ids=["square", "inclined", "ring", "ring with angles"],
)
def test_showers_are_turned_in_as_many_ways_as_they_look_the_same(is_polar: bool, has_polar_angle: bool, number: int) -> None:
    grid = (4, 4, 2)
    rows = torch.arange(33.0)[None]
    with torch.random.fork_rng():
        torch.manual_seed(1)
        turn = cells_recipe(grid, is_polar=is_polar, has_polar_angle=has_polar_angle).augment
        found = {tuple(turn(rows)[0].tolist()) for _ in range(400)}
    assert len(found) == number
    for one in found:
        assert sorted(one) == rows[0].tolist()
        assert one[0] == 0  # the energy stays
        layer = torch.tensor(one[1:]).unflatten(0, grid) % 2
        assert layer[..., 0].unique().tolist() == [1.0], "layers stay in their order"
