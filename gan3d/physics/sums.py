"""Sums and histograms of showers per bin of incident energy (and polar angle): what the physics distance needs; all add up over ranks.

One flat float64 vector holds the tables, so that ranks merge them in a single all-reduce; counts are exact, sums agree to rounding
whatever the number of ranks.

Shape legend: B showers, X, Y transverse cells, L layers, E bins of the conditions, S scalar observables, K nodes.
"""

from __future__ import annotations

import torch
from torch import Tensor

from gan3d.physics import observables
from gan3d.physics.binning import Binning


class ShowerSums:
    """Additive accumulator of showers; empty when made.

    A shower with a cell that is not finite is counted in the table ``num_not_finite`` and enters as an empty shower: it cannot poison
    the sums, and as no Monte Carlo shower is empty it makes every distance larger.
    """

    __slots__ = ("_across", "_nodes", "_tables", "binning", "vector")

    def __init__(self, binning: Binning) -> None:
        """Zero showers in the bins of ``binning``."""
        self.binning = binning
        self.vector = torch.zeros(_length(binning), dtype=torch.float64)
        self._tables = _views(binning, self.vector)
        self._nodes, self._across = binning.nodes(), binning.across

    @classmethod
    def from_vector(cls, binning: Binning, vector: Tensor) -> ShowerSums:
        """The sums whose ``vector`` (any device) this is.

        Raises:
            ValueError: the vector's length is not that of the binning's tables.
        """
        sums = cls(binning)
        if vector.shape != sums.vector.shape:
            msg = f"a vector of shape {tuple(vector.shape)} does not fit the binning, which needs {tuple(sums.vector.shape)}"
            raise ValueError(msg)
        sums.vector.copy_(vector)
        return sums

    def __add__(self, other: ShowerSums) -> ShowerSums:
        """The sums of both sets of showers."""
        if self.binning != other.binning:
            msg = "sums of different binnings do not add"
            raise ValueError(msg)
        return ShowerSums.from_vector(self.binning, self.vector + other.vector)

    def __getitem__(self, name: str) -> Tensor:
        """The table of this name (``Binning.shapes``), a view of the vector; the first dimension is E."""
        return self._tables[name]

    def per_shower(self, name: str) -> Tensor:
        """The table of this name over the number of showers in each bin; 0 in a bin without showers."""
        table = self[name]
        return table / self["num_showers"].clamp(min=1.0).view(-1, *[1] * (table.ndim - 1))

    def per_cell(self) -> Tensor:
        """The cell-energy spectrum (E, C) over the number of cells above threshold."""
        spectrum = self["spectrum"]
        return spectrum / spectrum.sum(dim=1, keepdim=True).clamp(min=1.0)

    def response_and_resolution(self) -> tuple[Tensor, Tensor]:
        """Mean of the sampling fraction, and its standard deviation over that mean (0 where all showers are empty), each (E,)."""
        mean, mean_square = self.per_shower("sampling_fraction").unbind(dim=1)
        deviation = (mean_square - mean.square()).clamp(min=0.0).sqrt()
        return mean, torch.where(mean > 0, deviation / torch.where(mean > 0, mean, 1.0), 0.0)

    @torch.no_grad()
    def add(self, cells_BXYL: Tensor, incident_energy: Tensor, polar_angle: Tensor | None = None) -> None:
        """Add showers: cells (B, X, Y, L) [GeV] on any device, incident energies (B,) [GeV], polar angles (B,) [rad] for bins of these.

        Raises:
            ValueError: the cells are not of the binning's grid, or not as many as the energies; angles are missing.
        """
        if tuple(cells_BXYL.shape) != (len(incident_energy), *self.binning.grid):
            msg = f"cells of shape {tuple(cells_BXYL.shape)}: expected {(len(incident_energy), *self.binning.grid)}"
            raise ValueError(msg)
        in_bin = self.binning.bin_of(incident_energy, polar_angle)
        is_finite = torch.isfinite(cells_BXYL).flatten(1).all(dim=1)
        cells = torch.where(is_finite[:, None, None, None], cells_BXYL, 0.0).double()
        _add_rows(self["num_showers"], in_bin, torch.ones(len(cells), dtype=torch.float64))
        _add_rows(self["num_not_finite"], in_bin, (~is_finite).double().cpu())
        self._add_energies(cells, incident_energy, in_bin)
        self._add_cells(cells, in_bin)

    def _add_energies(self, cells: Tensor, incident_energy: Tensor, in_bin: Tensor) -> None:
        profiles = [profile.cpu() for profile in observables.profiles(cells)]
        fraction = profiles[2].sum(dim=1) / incident_energy.double().cpu()
        _add_rows(self["sampling_fraction"], in_bin, torch.stack([fraction, fraction.square()], dim=1))
        shares = [observables.normalised(profile) for profile in profiles]
        for name, share in zip(("profile_x", "profile_y", "profile_depth"), shares, strict=True):
            _add_rows(self[name], in_bin, share)
        scalars = [
            *observables.whole_moments(cells, shares, self._across),
            observables.layer_fractions_of(shares[2]),
            observables.occupancy(cells, self.binning.threshold_gev)[:, None].cpu(),
        ]
        _add_between_nodes(self["scalars"], in_bin, torch.cat(scalars, dim=1), self._nodes)

    def _add_cells(self, cells: Tensor, in_bin: Tensor) -> None:
        for name, position in zip(("maximum_x", "maximum_y", "maximum_depth"), observables.maximum_position(cells).cpu().T, strict=True):
            self[name].add_(_counts(in_bin, position, self[name].shape))
        is_read_out = cells.flatten(1) > self.binning.threshold_gev
        bin_of_cell = torch.repeat_interleave(in_bin.to(cells.device), is_read_out.sum(dim=1))
        spectrum_bin = self.binning.spectrum_bin(cells.flatten(1)[is_read_out])
        self["spectrum"].add_(_counts(bin_of_cell, spectrum_bin, self["spectrum"].shape).cpu())


def _length(binning: Binning) -> int:
    return sum(torch.Size(shape).numel() for shape in binning.shapes.values())


def _views(binning: Binning, vector: Tensor) -> dict[str, Tensor]:
    sizes = [torch.Size(shape).numel() for shape in binning.shapes.values()]
    parts = torch.split(vector, sizes)
    return {name: part.view(shape) for part, (name, shape) in zip(parts, binning.shapes.items(), strict=True)}


def _add_rows(table: Tensor, in_bin: Tensor, rows: Tensor) -> None:
    """Add ``rows`` (B, ...) to ``table`` (E, ...) at each shower's bin."""
    table.index_add_(0, in_bin, rows)


def _counts(in_bin: Tensor, position: Tensor, shape: torch.Size) -> Tensor:
    """How often each pair (bin, position) occurs, in ``shape`` (E, N), float64."""
    flat = in_bin * shape[1] + position
    return torch.bincount(flat, minlength=shape.numel()).view(shape).double()


def _add_between_nodes(table_ESK: Tensor, in_bin: Tensor, values_BS: Tensor, nodes_SK: Tensor) -> None:
    """Share every value between the two nodes around it, so that the histogram keeps the mean exactly (beyond the ends: the end node)."""
    num_scalars, num_nodes = nodes_SK.shape
    values_SB = values_BS.T.contiguous()
    upper = torch.searchsorted(nodes_SK, values_SB).clamp(1, num_nodes - 1)
    low, high = nodes_SK.gather(1, upper - 1), nodes_SK.gather(1, upper)
    weight = ((values_SB - low) / (high - low)).clamp(0.0, 1.0)
    row = in_bin[None, :] * num_scalars + torch.arange(num_scalars)[:, None]
    flat = (row * num_nodes + upper).flatten()
    counts = table_ESK.view(-1)
    counts.index_add_(0, flat, weight.flatten())
    counts.index_add_(0, flat - 1, 1.0 - weight.flatten())
