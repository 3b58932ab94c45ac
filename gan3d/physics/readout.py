"""How a calorimeter's layers are read out: squares around the shower, or rings around it that are divided in angles."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np


class Place(NamedTuple):
    """Where points lie: indices along the grid's first two axes, and whether they are read out at all."""

    column: np.ndarray
    row: np.ndarray
    is_inside: np.ndarray


@dataclass(frozen=True, slots=True)
class SquareCells:
    """Square cells, the same number of them in both directions; X and Y of the grid are x and y."""

    edge_mm: float = 5.1
    across: int = 25

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along the grid's first two axes."""
        return self.across, self.across

    @property
    def impact_spread_mm(self) -> float:
        """How far from the centre a shower's axis may lie, along x and y: anywhere in the central cell."""
        return self.edge_mm / 2

    def place(self, x_mm: np.ndarray, y_mm: np.ndarray) -> Place:
        """Of points in the plane of a layer, from the window's centre."""
        x, y = (values / self.edge_mm + self.across / 2 for values in (x_mm, y_mm))
        is_inside = (x >= 0) & (x < self.across) & (y >= 0) & (y < self.across)
        return Place(np.floor(x).astype(np.int64), np.floor(y).astype(np.int64), is_inside)

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """X and y of each cell's centre from the window's centre, in edges, each (X, Y)."""
        middle = np.arange(self.across) - (self.across - 1) / 2
        x, y = np.meshgrid(middle, middle, indexing="ij")
        return x, y


@dataclass(frozen=True, slots=True)
class PolarCells:
    """Rings of one width around the shower's axis, cut into equal angles (CaloChallenge, data sets 2 and 3); X is the angle, Y the ring."""

    angles: int
    rings: int
    ring_mm: float

    @property
    def shape(self) -> tuple[int, int]:
        """Cells along the grid's first two axes."""
        return self.angles, self.rings

    @property
    def impact_spread_mm(self) -> float:
        """Cells are counted from the shower's axis."""
        return 0.0

    def place(self, x_mm: np.ndarray, y_mm: np.ndarray) -> Place:
        """Of points in the plane of a layer, from the axis."""
        turn = np.arctan2(y_mm, x_mm) / (2 * np.pi) % 1.0
        # A turn just below 1 may be rounded up to it.
        column = np.minimum(np.floor(turn * self.angles).astype(np.int64), self.angles - 1)
        row = np.floor(np.hypot(x_mm, y_mm) / self.ring_mm).astype(np.int64)
        return Place(column, row, row < self.rings)

    def centres(self) -> tuple[np.ndarray, np.ndarray]:
        """X and y of each cell's centre from the axis, in widths of a ring, each (X, Y)."""
        return polar_centres(self.angles, self.rings)


def polar_centres(angles: int, rings: int) -> tuple[np.ndarray, np.ndarray]:
    """X and y of the centres of cells on rings of width 1, each (angles, rings)."""
    turn = 2 * np.pi * (np.arange(angles) + 0.5)[:, None] / angles
    radius = np.arange(rings) + 0.5
    return radius * np.cos(turn), radius * np.sin(turn)
