"""A curve that gives generated cells the energy spectrum of the training showers'.

How many cells hold how much is a property of the detector as well as of showers: a silicon cell that a single particle crosses holds about
the same energy everywhere, and few hold less. What a network makes of smooth functions of noise has no such edge, and far more cells
below it. So its cells go through

    ln f(E) = ln E - sum over knots k of bend_k relu(t_k - ln E),

straight lines in logarithms. It leaves bright cells alone and 0 at 0. Knots and bends start where the untrained generator has as many cells
above each of some energies as the training showers have (histogram matching, as of images); the bends are trained like all else.

Legend: B showers, X, Y transverse cells, L layers, J knots.
"""

from __future__ import annotations

import torch
from torch import nn

from gan3d.physics import observables

#: Numbers of training showers' cells above these energies [log10 GeV] are matched; cells brighter than the last are left alone.
EDGES = tuple(-4.5 + quarter / 4 for quarter in range(11))
#: The same in GeV, falling.
MATCHED_GEV = tuple(10**edge for edge in reversed(EDGES))
#: Fainter cells all have its factor [GeV].
FAINTEST_GEV = 1e-9
#: Least distance of two knots, in natural logarithms.
SMALLEST_DISTANCE = 0.05


def numbers_above(cells_BXYL: torch.Tensor) -> torch.Tensor:
    """Of each shower [GeV] how many cells are above each of `MATCHED_GEV`, shape (B, J)."""
    return observables.cell_spectrum(cells_BXYL, EDGES).flip(1).cumsum(dim=1)


class CellSpectrum(nn.Module):
    """From cells in GeV to cells in GeV."""

    knots: torch.Tensor
    """(J,): natural logarithms of energies [GeV], falling."""

    def __init__(self) -> None:
        super().__init__()
        self.bend = nn.Parameter(torch.zeros(len(MATCHED_GEV)))
        self.register_buffer("knots", torch.tensor(MATCHED_GEV).log())

    def forward(self, cells_gev: torch.Tensor) -> torch.Tensor:
        """Cells of any shape, >= 0."""
        logarithm = cells_gev.clamp_min(FAINTEST_GEV).log()
        down = torch.zeros_like(logarithm)
        for knot, bend in zip(self.knots.unbind(), self.bend.unbind(), strict=True):
            down = down + bend * torch.relu(knot - logarithm)
        curved: torch.Tensor = cells_gev * torch.exp(-down)
        return curved

    @torch.no_grad()
    def fit_(self, generated_gev: torch.Tensor, numbers_J: torch.Tensor) -> None:
        """Take knots and bends from generated cells, of any shape, made without the curve; so many are to be above `MATCHED_GEV`."""
        generated = generated_gev.flatten().sort(descending=True).values
        knots = generated[numbers_J.clamp_max(len(generated) - 1)].clamp_min(FAINTEST_GEV).log()
        onto = knots.new_tensor(MATCHED_GEV).log()
        for knot in range(1, len(knots)):
            knots[knot] = torch.minimum(knots[knot], knots[knot - 1] - SMALLEST_DISTANCE)
        slopes = onto.diff() / knots.diff()
        # Brighter than the first knot the slope is 1, fainter than the last it goes on.
        bends = torch.cat([slopes[:1] - 1, slopes.diff(), slopes.new_zeros(1)])
        self.knots.copy_(knots)
        self.bend.copy_(bends)
