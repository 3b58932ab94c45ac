"""What has to be known of a detector to look at its showers: how layers weigh, what counts as read out, where cells are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.layouts import GridShape, Layout
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter import Calorimeter
from gan3d.physics.observables import READOUT_THRESHOLD_GEV, Positions
from gan3d.physics.readout import PolarCells, polar_centres

#: Of CaloChallenge's data sets 2 and 3 [GeV]: 0.5 keV over their sampling fraction of 0.033 (CaloChallenge/homepage, code/evaluate.py).
CALOCHALLENGE_THRESHOLD_GEV = 1.515e-5


@dataclass(frozen=True, slots=True)
class Detector:
    """Of showers on one grid."""

    layer_weights: NDArray[np.float64]
    """(L,) of each layer's energy in the response.

    Its thickness in radiation lengths over the first layer's. For the CLIC stack 1 and 1.9: its absorbers double after 17 layers, and with
    equal weights the response spreads by how late a shower begins (at 50 GeV by 6 % instead of 3 %).
    """
    threshold_gev: float = READOUT_THRESHOLD_GEV
    """A cell with more counts as read out."""
    positions: Positions | None = None
    """x and y of each cell's centre, each (X, Y), where they are not its indices."""
    is_polar: bool = False
    """x is an angle about the shower's axis, and y a ring around it."""
    grid: GridShape | None = None
    """Cells along x and y (or angles and rings) and layers, where they are known."""
    depth: torch.Tensor | None = None
    """(L,) of the middle of each layer's sensitive slabs [edges of a cell], of square cells whose layers are described."""

    @classmethod
    def of(cls, calorimeter: Calorimeter) -> Self:
        """A described one."""
        weights = np.asarray(calorimeter.layer_x0 / calorimeter.layer_x0[0])
        cells, threshold = calorimeter.cells, calorimeter.readout_threshold_gev
        if isinstance(cells, PolarCells):
            return cls(weights, threshold, _tensors(cells.centres()), is_polar=True, grid=calorimeter.grid)
        depth = torch.from_numpy(calorimeter.sensitive_depth_mm / cells.edge_mm)
        return cls(weights, threshold, grid=calorimeter.grid, depth=depth)

    @classmethod
    def told_by(cls, layout: Layout) -> Self:
        """What a file tells: layers weigh alike."""
        angles, rings, layers = layout.grid
        if layout.is_polar:
            return cls(np.ones(layers), CALOCHALLENGE_THRESHOLD_GEV, _tensors(polar_centres(angles, rings)), True, layout.grid)
        return cls(np.ones(layers), grid=layout.grid)

    def refuse_other(self, grid: tuple[int, ...]) -> None:
        """See that showers of these cells (X, Y, L) can be this detector's: square cells may be a window of its own ones.

        Raises:
            ConfigError: they have other layers, or are not on its rings.
        """
        fits = grid[2] == len(self.layer_weights) and (self.positions is None or grid[:2] == tuple(self.positions[0].shape))
        if not fits:
            own = " x ".join(map(str, self.grid)) if self.grid else f"of {len(self.layer_weights)} layers"
            message = (
                f"showers on a grid of {' x '.join(map(str, grid))} cells are not of the calorimeter that is named, whose grid is {own}."
                " Name the one that they were made in with --calorimeter, or leave that out: layers weigh alike then."
            )
            raise ConfigError(message, key="calorimeter")

    def centres(self, num_x: int, num_y: int) -> Positions:
        """Place of each cell's centre along x and y from the axis, each (X, Y): square cells are counted from the middle of the grid."""
        if self.positions is not None:
            return self.positions
        x, y = (torch.arange(number, dtype=torch.float64) - (number - 1) / 2 for number in (num_x, num_y))
        return x[:, None].expand(num_x, num_y), y[None, :].expand(num_x, num_y)


def _tensors(centres: tuple[NDArray[np.float64], NDArray[np.float64]]) -> Positions:
    x, y = centres
    return torch.from_numpy(x), torch.from_numpy(y)
