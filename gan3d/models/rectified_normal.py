"""Cells as rectified normals: each is off below its own threshold, and starts from the training showers' mean and spread.

Legend: B showers, C channels, X, Y transverse cells, L layers, N training showers.

A calorimeter cell is mostly empty, and where it is not, its energy spreads over decades. The simplest variable of that kind is a
normal one cut off at zero (the tobit model: Tobin, Econometrica 26 (1958) 24). In network units a cell of a shower of energy E is

    cell = E ** cell_power * scale(E) * relu(location(E) + fluctuation),    fluctuation = sum over channels of weight * feature,

with location, log scale (parabolas in log E, straight lines at first) and weights of its own: a locally connected output, as in LAGAN
(de Oliveira et al., arXiv:1701.05927), since a calorimeter is not invariant under translations. Where fluctuations are standard normal,
the mean and the second moment of the cell's energy in GeV determine location and scale; so an untrained generator has the right energy in
every cell, and training is left with what makes showers differ: correlations.

A fluctuation may have ``own * noise`` of the cell's own beside the features', for what a network makes of some hundred numbers goes
together in neighbouring cells; and the scale may go with where in a cell the shower enters (`gan3d.models.impact`).
"""

from __future__ import annotations

import math

import torch
from torch import nn

from gan3d.config.training import Grid
from gan3d.models.impact import Impact
from gan3d.physics.transform import Transform

#: Least and largest location: a cell that fires once in 4000 showers, and one whose energy is all but fixed.
LOCATIONS = (-3.5, 10.0)
#: Locations at which the moments are tabled, and standard normal numbers by which they are integrated; both within 1e-3.
NUM_LOCATIONS, NUM_POINTS, LAST_POINT = 1351, 3201, 8.0
#: Share of the incident energy given to a cell that no training shower hit, so that its logarithm is finite; below any threshold.
NEVER_HIT = 1e-12
#: Share of all showers in what is taken for a half of them: a rare cell that only one half hit has a finite slope in log E.
POOLED = 0.1
#: How far beyond the two reference energies the slopes are followed, in units of their distance; further out a cell keeps its share.
FURTHEST = 1.5
#: Least spread of a fluctuation that is divided by.
SMALLEST_SPREAD = 1e-3
#: Of a fluctuation's variance, the part that is the cell's own at first, where it has noise.
OWN_SHARE = 0.5
#: Smallest ratio of the two reference energies; below it the showers say nothing about the change with energy.
SMALLEST_LEVER = 1.01


class RectifiedNormal(nn.Module):
    """From features to cells in network units; see the top of the file."""

    log_energy: torch.Tensor
    """Logarithms of the two reference energies [GeV], to which location and log scale belong."""
    cell_power: torch.Tensor
    """The transform's: by this power of the incident energy a cell grows that keeps its share."""

    def __init__(self, num_features: int, grid: Grid, *, cell_noise: bool = False, impact_at: int | None = None) -> None:
        """``impact_at``: the first of two numbers of the noise that say where the shower enters; None: they do not."""
        super().__init__()
        self.impact_at, self.impact = impact_at, Impact(grid) if impact_at is not None else None
        self.own = nn.Parameter(torch.full(grid, math.sqrt(OWN_SHARE))) if cell_noise else None
        self.weight = nn.Parameter(torch.randn(num_features, *grid) / math.sqrt(num_features))
        # At either reference energy, and by how much more at the energy between them than on a straight line.
        self.location = nn.Parameter(torch.zeros(3, *grid))
        self.log_scale = nn.Parameter(torch.zeros(3, *grid))
        self.register_buffer("log_energy", torch.tensor([0.0, 1.0]))
        self.register_buffer("cell_power", torch.tensor(1.0))

    @property
    def num_noise(self) -> int:
        """Of the cells' own."""
        return 0 if self.own is None else self.own.numel()

    def forward(self, features_BCXYL: torch.Tensor, incident_energy_B: torch.Tensor, noise_BZ: torch.Tensor) -> torch.Tensor:
        """Cells (B, X, Y, L) in network units, >= 0; features may reach beyond the grid, energies are in GeV.

        The cells' own noise is the last `num_noise` numbers of ``noise_BZ``.
        """
        low, high = self.log_energy
        log_energy = incident_energy_B.log()[:, None, None, None]
        upper = ((log_energy - low) / (high - low)).clamp(-FURTHEST, 1 + FURTHEST)
        bend = 4 * upper * (1 - upper)
        location, log_scale = (torch.lerp(three[0], three[1], upper) + bend * three[2] for three in (self.location, self.log_scale))
        fluctuation = self.fluctuation(features_BCXYL)
        if self.own is not None:
            fluctuation = fluctuation + self.own * noise_BZ[:, -self.num_noise :].view(-1, *self.own.shape)
        exponent = log_scale + self.cell_power * log_energy
        if self.impact is not None and self.impact_at is not None:
            exponent = exponent + self.cell_power * self.impact(noise_BZ[:, self.impact_at : self.impact_at + 2])
        cells: torch.Tensor = torch.relu(location + fluctuation) * exponent.exp()
        return cells

    def fluctuation(self, features_BCXYL: torch.Tensor) -> torch.Tensor:
        """What varies with the features, (B, X, Y, L)."""
        x, y, layers = self.weight.shape[1:]
        # Channels last, as features lie in memory: torch is many times slower on operands of different formats, gradients included.
        features_BXYLC = features_BCXYL.permute(0, 2, 3, 4, 1)[:, :x, :y, :layers]
        return (features_BXYLC * self.weight.permute(1, 2, 3, 0).contiguous()).sum(dim=-1)

    @torch.no_grad()
    def fit_(self, cells_NXYL: torch.Tensor, incident_energy_N: torch.Tensor, transform: Transform) -> None:
        """Take location and scale from showers [GeV]: at the mean log energy of their lower half, and of their upper half."""
        self.cell_power.fill_(transform.cell_power)
        # Shares of the incident energy: its spread is none of the cell's.
        share = torch.where(cells_NXYL >= transform.threshold_gev, cells_NXYL, 0.0) / incident_energy_N[:, None, None, None]
        if self.impact is not None:
            share = self.impact.fit_(share, cells_NXYL)
        order = incident_energy_N.argsort()
        middle = (len(order) + 1) // 2
        for place, rows in enumerate((order[:middle], order[-middle:])):
            self.log_energy[place] = incident_energy_N[rows].log().mean()
            mean, square = (torch.lerp(power[rows].mean(dim=0), power.mean(dim=0), POOLED) for power in (share, share.square()))
            ratio = torch.where(mean > 0, square / mean.square().clamp_min(torch.finfo(mean.dtype).tiny), float(len(order)))
            location, scale = location_and_scale(mean.clamp_min(NEVER_HIT), ratio, transform)
            self.location[place], self.log_scale[place] = location, scale.log()
        if self.log_energy[1] - self.log_energy[0] < math.log(SMALLEST_LEVER):
            self.log_energy[1] = self.log_energy[0] + 1
            self.location[1], self.log_scale[1] = self.location[0], self.log_scale[0]

    @torch.no_grad()
    def start_as_(self, fitted: RectifiedNormal) -> None:
        """Take what ``fit_`` found in another module for the same grid; weights stay."""
        for name in ("log_energy", "cell_power", "location", "log_scale"):
            getattr(self, name).copy_(getattr(fitted, name))
        if self.impact is not None and fitted.impact is not None:
            self.impact.start_as_(fitted.impact)

    @torch.no_grad()
    def standardise_(self, features_BCXYL: torch.Tensor) -> None:
        """Make the fluctuations of these features, with the cells' own, have mean 0 and variance 1 in every cell."""
        fluctuation = self.fluctuation(features_BCXYL)
        spread = fluctuation.std(dim=0).clamp_min(SMALLEST_SPREAD)
        if self.own is not None:
            spread = spread / math.sqrt(1 - OWN_SHARE)
            self.own.fill_(math.sqrt(OWN_SHARE))
        self.weight.div_(spread)
        self.location[:2].sub_(fluctuation.mean(dim=0) / spread)


def location_and_scale(mean: torch.Tensor, ratio: torch.Tensor, transform: Transform) -> tuple[torch.Tensor, torch.Tensor]:
    """Location and scale of rectified normals in network units.

    Args:
        mean: Mean energy [GeV] of each cell, any shape.
        ratio: Mean square over squared mean of that energy, same shape; falls with the location, which is kept in ``LOCATIONS``.
        transform: Between GeV and network units.
    """
    locations, log_mean, log_ratio = moments_of_rectified_normals(1 / transform.cell_power)
    location = interpolated(-ratio.double().log(), -log_ratio, locations)
    scaled = (transform.cell_scale * mean.double()).log() - interpolated(location, locations, log_mean)
    return location.to(mean.dtype), (scaled * transform.cell_power).exp().to(mean.dtype)


def moments_of_rectified_normals(power: float) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """For ``relu(location + standard normal) ** power``: locations, log mean, log of mean square over squared mean."""
    locations = torch.linspace(*LOCATIONS, NUM_LOCATIONS, dtype=torch.float64)
    points = torch.linspace(-LAST_POINT, LAST_POINT, NUM_POINTS, dtype=torch.float64)
    density = torch.softmax(-0.5 * points.square(), dim=0)
    energies = torch.relu(locations[:, None] + points) ** power
    log_mean = (energies @ density).log()
    return locations, log_mean, (energies.square() @ density).log() - 2 * log_mean


def interpolated(at: torch.Tensor, known_at: torch.Tensor, known: torch.Tensor) -> torch.Tensor:
    """Straight lines through (``known_at`` rising, ``known``), constant beyond their ends."""
    right = torch.searchsorted(known_at, at.contiguous()).clamp(1, len(known_at) - 1)
    share = ((at - known_at[right - 1]) / (known_at[right] - known_at[right - 1])).clamp(0, 1)
    return torch.lerp(known[right - 1], known[right], share)
