"""Showers as a table: one row per shower, one column per observable, small enough to be drawn from a thousand times."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics import observables
from gan3d.validation.detector import Detector

Array = NDArray[np.float64]

#: Standard deviation [rad] from which on polar angles count as varying: less moves a shower's end by less than a twentieth of a cell.
LEAST_ANGLE_SPREAD = 1e-3


@dataclass(frozen=True, slots=True)
class ObservableTable:
    """Observables of N showers. Rows of showers that are empty or not finite are left out, and counted."""

    columns: dict[str, Array]
    """Name → (N,)."""
    layer_shares: Array
    """(N, L) share of the deposited energy in each layer."""
    shape: Array
    """(N, X + Y + L) the three normalised profiles, to tell showers apart by."""
    incident_energy: Array
    """(N,) [GeV]."""
    polar_angle: Array
    """(N,) [rad]; normal incidence where files have none."""
    is_broken: NDArray[np.bool_]
    """(M,) of all M >= N showers: whether it was left out."""

    def __len__(self) -> int:
        return len(self.incident_energy)

    @property
    def matrix(self) -> Array:
        """(N, K) all columns side by side."""
        return np.stack(list(self.columns.values()), axis=1)

    @property
    def num_showers(self) -> int:
        """Showers looked at, M."""
        return len(self.is_broken)

    @property
    def digest(self) -> str:
        """Of all its numbers."""
        found = hashlib.sha256(json.dumps(list(self.columns)).encode())
        arrays = (*self.columns.values(), self.layer_shares, self.shape, self.incident_energy, self.polar_angle, self.is_broken)
        for values in arrays:
            found.update(f"{values.dtype} {values.shape}".encode())
            found.update(values.tobytes())
        return found.hexdigest()

    def draw(self, rows: NDArray[np.int64]) -> ObservableTable:
        """The showers at these places of all M, in their order."""
        place = np.cumsum(~self.is_broken) - 1
        broken = self.is_broken[rows]
        kept = place[rows[~broken]]
        return ObservableTable(
            {name: values[kept] for name, values in self.columns.items()},
            self.layer_shares[kept],
            self.shape[kept],
            self.incident_energy[kept],
            self.polar_angle[kept],
            broken,
        )


def joined(tables: Iterable[ObservableTable]) -> ObservableTable:
    """One below the other.

    Raises:
        ValueError: there is none.
    """
    parts = list(tables)
    if not parts:
        msg = "no tables to join"
        raise ValueError(msg)
    return ObservableTable(
        {name: np.concatenate([part.columns[name] for part in parts]) for name in parts[0].columns},
        np.concatenate([part.layer_shares for part in parts]),
        np.concatenate([part.shape for part in parts]),
        np.concatenate([part.incident_energy for part in parts]),
        np.concatenate([part.polar_angle for part in parts]),
        np.concatenate([part.is_broken for part in parts]),
    )


def angles_vary(polar_angle: NDArray[np.floating] | None) -> bool:
    """Whether showers come at angles (N,) [rad] of their own, which then are a condition as their energies are."""
    return polar_angle is not None and len(polar_angle) > 0 and float(np.std(polar_angle, dtype=np.float64)) > LEAST_ANGLE_SPREAD


def table_of(showers: Showers, detector: Detector) -> ObservableTable:
    """The observables of some showers in a detector.

    Raises:
        ConfigError: they are not of its grid.
    """
    detector.refuse_other(showers.cells.shape[1:])
    cells = torch.from_numpy(showers.cells).double()
    finite = torch.isfinite(cells).flatten(1).all(dim=1)
    cells = torch.where(finite[:, None, None, None], cells, 0.0)
    good = finite & (observables.deposited_energy(cells) > observables.EMPTY_SHOWER_GEV)
    cells = cells[good]
    energy = torch.from_numpy(showers.incident_energy).double()[good]
    profiles = observables.profiles(cells)
    shares = [observables.normalised(profile) for profile in profiles]
    weighted = profiles[2] * torch.from_numpy(detector.layer_weights)
    columns = {"response": weighted.sum(dim=1) / energy}
    first, second = observables.first_moments_of(shares), observables.second_moments_of(shares)
    if detector.positions is not None:
        first[:, :2], second[:, :2] = observables.moments_at(cells, detector.positions)
    columns |= _named("barycentre", first) | _named("variance", second)
    columns |= _named("hottest_cell", observables.maximum_position(cells).double())
    columns |= dict(zip(("first_third", "middle_third", "last_third"), observables.layer_fractions_of(shares[2]).T, strict=True))
    columns |= {"shower_maximum": observables.shower_maximum(profiles[2])}
    if not detector.is_polar:
        columns |= dict(zip(("slope_x", "slope_y"), observables.axis_slopes(cells).T, strict=True))
    columns |= {"occupancy": observables.occupancy(cells, detector.threshold_gev)} | cell_counts(cells)
    return ObservableTable(
        {name: values.numpy() for name, values in columns.items()},
        shares[2].numpy(),
        torch.cat(shares, dim=1).numpy(),
        energy.numpy(),
        showers.polar_angle_or_normal[good.numpy()],
        (~good).numpy(),
    )


def cell_counts(cells: torch.Tensor) -> dict[str, torch.Tensor]:
    """Root of the number of cells between two energies, each (B,): of a count of n the root has about the same spread for all n."""
    counts = observables.cell_spectrum(cells).to(cells.dtype)
    return {f"cells_1e{low:g}": column.sqrt() for low, column in zip(observables.CELL_ENERGY_EDGES, counts.T, strict=True)}


def _named(name: str, values: torch.Tensor) -> dict[str, torch.Tensor]:
    return {f"{name}_{axis}": column for axis, column in zip(("x", "y", "depth"), values.T, strict=True)}
