"""Where the sums and histograms of the physics distance have their bins.

Plain numbers made from the grid and from the conditions of the whole validation set, which every rank knows: so all ranks have the same
bins without talking to each other, and generated showers cannot move them. Where generated showers are conditioned on the polar angle,
every bin of incident energy is cut into bins of it: a generator that ignored its angle would have the right showers only on average.

Shape legend: B showers, E bins of the conditions, S scalar observables, K nodes of a scalar's histogram, C bins of log10 cell energy.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from gan3d.physics.observables import READOUT_THRESHOLD_GEV, axes_around
from gan3d.physics.readout import polar_centres

#: Most incident-energy bins; fewer where the validation set is small.
MAX_ENERGY_BINS = 5
#: Fewer bins have a lower floor, more bins see a wrong dependence on the incident energy. On 200 Geant4 showers (CLIC stack,
#: 10-100 GeV) three bins separated scaled, smeared and shifted showers from the floor better than one, two, four or five.
MIN_SHOWERS_PER_ENERGY_BIN = 60
#: Polar-angle bins that each of these is cut into, where generated showers are conditioned on the angle. On simulated showers (CLIC stack,
#: 10-100 GeV, 60-120 degrees) those that ignored their angle were at 1.9 floors with three bins, 400 or 1000 showers, at 1.4 with two.
NUM_ANGLE_BINS = 3
#: Nodes of a scalar's histogram: for a 25-cell axis one every 0.05 cells, a sixth of the barycentre's spread in the CLIC stack.
NUM_NODES = 512
#: Bins of log10 cell energy per decade.
SPECTRUM_BINS_PER_DECADE = 8

#: The scalar observables of a shower and how many columns each has on square cells, in the order of the scalars' histograms.
SCALAR_COLUMNS = {"first_moments": 3, "second_moments": 3, "layer_fractions": 3, "occupancy": 1}


@dataclass(frozen=True, slots=True)
class Binning:
    """Every edge of every histogram; equal on all ranks of a trial."""

    grid: tuple[int, int, int]
    """Cells along x, y and layers."""
    energy_edges_gev: tuple[float, ...]
    """Inner edges of the incident-energy bins, rising; the outer bins are open."""
    threshold_gev: float
    """Cells above it count for the occupancy and the cell-energy spectrum."""
    spectrum_decades: int
    """Decades of cell energy above the threshold; hotter cells go to the last bin."""
    angle_edges: tuple[float, ...] = ()
    """Inner edges of the polar-angle bins [rad], rising; none: showers of all angles are taken together."""
    is_polar: bool = False
    """Whether x and y of the grid are angles and rings around the shower. Moments across it then are those of the cells' places."""

    @classmethod
    def from_incident_energy(
        cls,
        grid: Sequence[int],
        incident_energy: Tensor | np.ndarray,
        *,
        threshold_gev: float = READOUT_THRESHOLD_GEV,
        max_energy_bins: int = MAX_ENERGY_BINS,
        polar_angle: Tensor | np.ndarray | None = None,
        is_polar: bool = False,
    ) -> Binning:
        """Bins for a validation set of these incident energies (N,) [GeV], and polar angles (N,) [rad] where generated showers have theirs.

        Energy bins hold equal numbers of showers, at least ``MIN_SHOWERS_PER_ENERGY_BIN``; their edges are energies of the set, so none
        is empty. A cell cannot hold more than the incident energy, which ends the spectrum. Angle bins hold equal numbers, too.

        Raises:
            ValueError: no incident energies, or one that is not finite and positive.
        """
        energy = torch.as_tensor(incident_energy).double().cpu()
        if energy.numel() == 0 or not bool(torch.isfinite(energy).all()) or float(energy.min()) <= 0:
            msg = f"incident energies must be finite and positive, at least one of them; got {energy.numel()} showers"
            raise ValueError(msg)
        num_x, num_y, num_layers = grid
        decades = max(1, math.ceil(math.log10(float(energy.max()) / threshold_gev)))
        angle_edges: tuple[float, ...] = ()
        if polar_angle is not None:
            angle_edges = _quantile_edges(torch.as_tensor(polar_angle).double().cpu(), NUM_ANGLE_BINS)
        num_energy_bins = min(max_energy_bins, energy.numel() // ((len(angle_edges) + 1) * MIN_SHOWERS_PER_ENERGY_BIN))
        edges = _quantile_edges(energy, max(1, num_energy_bins))
        return cls((num_x, num_y, num_layers), edges, threshold_gev, decades, angle_edges, is_polar)

    @property
    def num_energy_bins(self) -> int:
        """Number of incident-energy bins."""
        return len(self.energy_edges_gev) + 1

    @property
    def num_angle_bins(self) -> int:
        """Number of polar-angle bins that each of these is cut into."""
        return len(self.angle_edges) + 1

    @property
    def num_bins(self) -> int:
        """Number of bins of both, E: those of the lowest energies first, among these that of the smallest angles."""
        return self.num_energy_bins * self.num_angle_bins

    @property
    def num_spectrum_bins(self) -> int:
        """Number of bins of log10 cell energy, C."""
        return self.spectrum_decades * SPECTRUM_BINS_PER_DECADE

    @property
    def across(self) -> tuple[Tensor, ...] | None:
        """Positions (X, Y) of polar cells along each axis that moments are taken along [widths of a ring]; None: along x and y by index."""
        if not self.is_polar:
            return None
        x, y = polar_centres(*self.grid[:2])
        return axes_around((torch.from_numpy(x), torch.from_numpy(y)))

    @property
    def scalar_columns(self) -> dict[str, int]:
        """``SCALAR_COLUMNS``, with as many moments as there are axes across the shower, and one along the depth."""
        if (axes := self.across) is None:
            return SCALAR_COLUMNS
        return SCALAR_COLUMNS | dict.fromkeys(("first_moments", "second_moments"), len(axes) + 1)

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        """Name and shape of every table of ``ShowerSums``, in the order of its flat vector."""
        bins = self.num_bins
        num_x, num_y, num_layers = self.grid
        return {
            "num_showers": (bins,),
            "num_not_finite": (bins,),
            "sampling_fraction": (bins, 2),
            "profile_x": (bins, num_x),
            "profile_y": (bins, num_y),
            "profile_depth": (bins, num_layers),
            "scalars": (bins, sum(self.scalar_columns.values()), NUM_NODES),
            "spectrum": (bins, self.num_spectrum_bins),
            "maximum_x": (bins, num_x),
            "maximum_y": (bins, num_y),
            "maximum_depth": (bins, num_layers),
        }

    def energy_bin(self, incident_energy: Tensor) -> Tensor:
        """Bin of each incident energy (B,) [GeV], int64; an edge belongs to the bin above it."""
        return _bin_of(incident_energy, self.energy_edges_gev)

    def bin_of(self, incident_energy: Tensor, polar_angle: Tensor | None = None) -> Tensor:
        """Bin of showers of these incident energies (B,) [GeV] and polar angles (B,) [rad], int64.

        Raises:
            ValueError: there are bins of the polar angle and no angles.
        """
        energy_bin = self.energy_bin(incident_energy)
        if not self.angle_edges:
            return energy_bin
        if polar_angle is None:
            msg = "showers are binned by polar angle, and these have none"
            raise ValueError(msg)
        return energy_bin * self.num_angle_bins + _bin_of(polar_angle, self.angle_edges)

    def spectrum_bin(self, cell_energy: Tensor) -> Tensor:
        """Bin of log10 energy of cells above the threshold (any shape) [GeV], int64."""
        decades = torch.log10(cell_energy / self.threshold_gev)
        return (decades * SPECTRUM_BINS_PER_DECADE).long().clamp(0, self.num_spectrum_bins - 1)

    def nodes(self) -> Tensor:
        """Nodes of the scalars' histograms over everything a shower can have, shape (S, K).

        Second moments and occupancy sit near the lower end of their range: their nodes are the squares of evenly spaced numbers. Across
        polar cells the range is from one side of the outermost ring to the other, and barycentres sit near its middle: squares with a sign.
        """
        unit = torch.linspace(0.0, 1.0, NUM_NODES, dtype=torch.float64)
        lengths = [float(max(1, number - 1)) for number in self.grid]
        first = [length * unit for length in lengths]
        second = [(0.5 * length * unit).square() for length in lengths]
        if (axes := self.across) is not None:
            radius, both = float(self.grid[1]), torch.linspace(-1.0, 1.0, NUM_NODES, dtype=torch.float64)
            first[:2] = [radius * both * both.abs()] * len(axes)
            second[:2] = [(radius * unit).square()] * len(axes)
        return torch.stack([*first, *second, unit, unit, unit, unit.square()])


def _bin_of(values: Tensor, edges: tuple[float, ...]) -> Tensor:
    return torch.bucketize(values.double().cpu(), torch.tensor(edges, dtype=torch.float64), right=True)


def _quantile_edges(values: Tensor, num_bins: int) -> tuple[float, ...]:
    """Inner edges, values themselves, of so many bins of equal numbers; of fewer where values repeat."""
    ordered = values.sort().values
    inner = {float(ordered[values.numel() * number // num_bins]) for number in range(1, num_bins)}
    return tuple(sorted(edge for edge in inner if edge > float(ordered[0])))
