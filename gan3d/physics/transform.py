"""Cells in GeV to the numbers the networks see, and back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

#: Networks see incident energies in this unit [GeV] (the seed's).
ENERGY_UNIT_GEV = 100.0

#: Of scaled cells, so that a young generator's are finite: 9e8 times the unit.
LARGEST_LOGARITHM = 20.6


@dataclass(frozen=True, slots=True)
class Transform:
    """``cells_network = (cell_scale * GeV) ** cell_power`` where ``GeV >= threshold_gev``, else 0.

    With the curve ``logarithm`` the power is that of ``ln(1 + cell_scale * GeV)``.
    The seed's fixed-angle showers: scale 1, power 1; its variable-angle showers: power 0.85, which lifts faint cells.
    """

    threshold_gev: float
    """Read-out threshold [GeV]: fainter cells become 0."""
    cell_scale: float
    """Multiplies GeV."""
    cell_power: float
    """Exponent, in (0, 1]."""
    curve: Literal["power", "logarithm"] = "power"
    """What the power is taken of."""

    def to_network(self, cells_gev: torch.Tensor) -> torch.Tensor:
        """Network units of cells of any shape; a cell below the threshold is 0 and has gradient 0."""
        is_read_out = (cells_gev >= self.threshold_gev) & (cells_gev > 0)
        # Powers are taken of read-out cells only: the gradient of 0 ** 0.85 is infinite, and 0 * inf is not a number.
        scaled = self.cell_scale * torch.where(is_read_out, cells_gev, 1.0)
        if self.curve == "logarithm":
            scaled = scaled.log1p()
        return torch.where(is_read_out, scaled if self.cell_power == 1 else scaled**self.cell_power, 0.0)

    def to_gev(self, cells: torch.Tensor) -> torch.Tensor:
        """Energies [GeV] of cells in network units (any shape, >= 0): the exact inverse above the threshold.

        No threshold is applied here: a generator must feel the gradient of cells it makes too faint.
        The power is at least 1, so the gradient at 0 is finite.
        """
        scaled = cells if self.cell_power == 1 else cells ** (1 / self.cell_power)
        if self.curve == "logarithm":
            scaled = scaled.clamp(max=LARGEST_LOGARITHM).expm1()
        return scaled / self.cell_scale
