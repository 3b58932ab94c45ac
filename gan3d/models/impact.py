"""Where within a cell a shower's axis lies, and what that makes of every cell.

Particles hit a calorimeter anywhere. A shower that enters a cell near its edge shares its core out among two cells or four, and how many
cells hold how much, how wide the shower is and where its centre lies all follow from that one place. Here it is two numbers of the noise,
each turned into a place with the training showers' own quantiles, and a cell's energy is multiplied by

    exp(tilt . (u, v, u^2 - 1, u v, v^2 - 1) - constant),

with places (u, v) in standard deviations: for a Gaussian profile it is exact. The tilts start from a regression of the cells' energies on
where the showers' centres lie, and the constant, which is not trained, makes the factor about 1 on average at that start.

Legend: B showers, N training showers, X, Y transverse cells, L layers, C of these cells, Q quantiles.
"""

from __future__ import annotations

import torch
from torch import nn

from gan3d.config.training import Grid
from gan3d.models.layer_energies import LAST_SCORE, at_scores, normal_probability, scores
from gan3d.models.log_regression import LARGEST_EXPONENT, log_regression
from gan3d.physics.observables import first_moments

#: Terms of the exponent.
NUM_TERMS = 5
#: Least spread of the showers' centres [cells] that is divided by.
SMALLEST_SPREAD = 1e-6


class Impact(nn.Module):
    """From two numbers of the noise to the logarithm of a factor for each cell."""

    constant: torch.Tensor
    quantiles: torch.Tensor
    """(Q, 2): places along x and y, in standard deviations, at the normal scores `scores`."""

    def __init__(self, grid: Grid) -> None:
        super().__init__()
        self.tilt = nn.Parameter(torch.zeros(NUM_TERMS, *grid))
        self.register_buffer("constant", torch.zeros(grid))
        self.register_buffer("quantiles", scores()[:, None].repeat(1, 2))

    def forward(self, noise_B2: torch.Tensor) -> torch.Tensor:
        """(B, X, Y, L)."""
        terms = terms_of(self.places(noise_B2))
        found: torch.Tensor = (terms @ self.tilt.flatten(1) - self.constant.flatten()).view(-1, *self.constant.shape)
        return found

    def places(self, noise_B2: torch.Tensor) -> torch.Tensor:
        """Where the axis lies along x and y, (B, 2), in standard deviations; beyond the training showers' places nothing is."""
        return at_scores(self.quantiles, noise_B2.clamp(-LAST_SCORE, LAST_SCORE))

    @torch.no_grad()
    def fit_(self, share_NXYL: torch.Tensor, cells_NXYL: torch.Tensor) -> torch.Tensor:
        """Take places and tilts from showers [GeV]; returns the shares as they would be if all axes lay in the same place."""
        centre = first_moments(cells_NXYL)[:, :2].double()
        centre = (centre - centre.mean(dim=0)) / centre.std(dim=0).clamp_min(SMALLEST_SPREAD)
        self.quantiles.copy_(torch.quantile(centre, normal_probability(scores().double()), dim=0))
        terms = terms_of(centre).to(share_NXYL.dtype)
        relative = share_NXYL.flatten(1)
        tilt = log_regression(terms, relative)
        exponent = (terms @ tilt).clamp(-LARGEST_EXPONENT, LARGEST_EXPONENT)
        constant = exponent.exp().mean(dim=0).log()
        self.tilt.copy_(tilt.view_as(self.tilt))
        self.constant.copy_(constant.view_as(self.constant))
        return (relative * (constant - exponent).exp()).view_as(share_NXYL)

    @torch.no_grad()
    def start_as_(self, fitted: Impact) -> None:
        """Take what ``fit_`` found in another module."""
        self.load_state_dict(fitted.state_dict())


def terms_of(places_B2: torch.Tensor) -> torch.Tensor:
    """(B, `NUM_TERMS`), each with mean 0 where places have mean 0 and variance 1, and do not go together."""
    u, v = places_B2.unbind(1)
    return torch.stack([u, v, u.square() - 1, u * v, v.square() - 1], dim=1)
