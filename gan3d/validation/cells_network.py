"""The low-level classifier's network: convolutions over cells, and what of a shower may be turned without changing what it is.

Without the second it is nearly blind: its area for 1,600 showers of the embedded Monte Carlo against as many of Geant4 is 0.72, with it
0.96. A shower mirrored across its axis, or on a ring turned about it, is as likely as the shower itself.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from gan3d.validation.classifier import Recipe

CHANNELS = (12, 24, 32)
UNITS = 64
DROPOUT = 0.2
#: Brings shares of the incident energy near 1: the brightest cells themselves, all others by their logarithm.
BRIGHT, FAINT = 300.0, 1e5
#: Brings the cotangent of polar angles of 60 to 120 degrees near 1.
STEEP = 3.0


class CellsNetwork(nn.Module):
    """From rows (N, K + X Y L), conditions (log10 of the incident energy, a polar angle) and cells over the energy, to a logit (N, 1)."""

    def __init__(self, grid: tuple[int, int, int], num_conditions: int = 1) -> None:
        super().__init__()
        self.grid = grid
        blocks: list[nn.Module] = []
        channels, size = 2, list(grid)
        for more in CHANNELS:
            blocks += [nn.Conv3d(channels, more, 3, stride=2, padding=1), nn.BatchNorm3d(more), nn.LeakyReLU(0.1)]
            channels, size = more, [(one + 1) // 2 for one in size]
        seen = channels * math.prod(size)
        self.convolutions = nn.Sequential(*blocks, nn.Flatten(), nn.Dropout(DROPOUT), nn.Linear(seen, UNITS), nn.LeakyReLU(0.1))
        self.out = nn.Sequential(nn.Linear(UNITS + num_conditions + 2 * grid[2], UNITS), nn.LeakyReLU(0.1), nn.Linear(UNITS, 1))

    def forward(self, rows: Tensor) -> Tensor:
        """Logits; with the layers' sums beside the convolutions, which see no further than a few cells."""
        cells = cells_of(rows, self.grid)
        faint = torch.log1p(FAINT * cells)
        layers = [BRIGHT * cells.sum((1, 2)), 10.0 * faint.mean((1, 2))]
        energy, angle = conditions_of(rows, self.grid).tensor_split([1], dim=1)
        seen = self.convolutions(torch.stack([BRIGHT * cells, faint / 3.0], dim=1))
        logits: Tensor = self.out(torch.cat([seen, energy, STEEP / torch.tan(angle), *layers], dim=1))
        return logits


def cells_of(rows: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(N, X, Y, L) of rows (N, K + X Y L)."""
    return rows[:, -math.prod(grid) :].reshape(-1, *grid)


def conditions_of(rows: Tensor, grid: tuple[int, int, int]) -> Tensor:
    """(N, K) of the same rows."""
    return rows[:, : -math.prod(grid)]


def cells_recipe(grid: tuple[int, int, int], *, is_polar: bool, has_polar_angle: bool) -> Recipe:
    """How to train on cells.

    Args:
        grid: (X, Y, L).
        is_polar: x is an angle about the shower's axis.
        has_polar_angle: showers come at angles in the plane of x, so that x cannot be mirrored, nor taken for y.
    """
    return Recipe(
        network=lambda rows: CellsNetwork(grid, rows.shape[1] - math.prod(grid)),
        augment=_turned(grid, is_polar=is_polar, has_polar_angle=has_polar_angle),
        epochs=30,
        patience=8,
        weight_decay=1e-2,
    )


def _turned(grid: tuple[int, int, int], *, is_polar: bool, has_polar_angle: bool) -> Callable[[Tensor], Tensor]:
    """Rows of a batch, all turned alike by what drawn numbers say."""

    def turned(rows: Tensor) -> Tensor:
        cells = cells_of(rows, grid)
        mirror_x, mirror_y, transpose = (torch.rand(3) < 0.5).tolist()
        if is_polar:
            cells = cells.roll(int(torch.randint(grid[0], (1,))), dims=1)
        if mirror_x and (is_polar or not has_polar_angle):
            cells = cells.flip(1)
        if mirror_y and not is_polar:
            cells = cells.flip(2)
        if transpose and grid[0] == grid[1] and not is_polar and not has_polar_angle:
            cells = cells.transpose(1, 2)
        return torch.cat([conditions_of(rows, grid), cells.flatten(1)], dim=1)

    return turned
