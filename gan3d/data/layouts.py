"""The layouts in which the field keeps showers in HDF5: recognised by what a file holds, never by what it is called.

    CLIC            `ECAL` (N, X, Y, L) in GeV or in GeV x 50, incident energy in `energy` or in `target` [GeV], `theta` [rad] or none
    CaloChallenge   `showers` (N, cells) and `incident_energies` (N, 1), both in MeV; data sets 2 and 3, and others whose `showers` have
                    an attribute `cylinder`, (layers, angles, rings)

CaloChallenge's cells lie on a cylinder around the shower, (layer, alpha, r); they are delivered as (X, Y, L) = (alpha, r, layer).
Not covered: CaloChallenge's data set 1, whose layers differ in their number of cells.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import h5py
import numpy as np
from numpy.typing import NDArray

from gan3d.data.storage import Storage, storage_of
from gan3d.errors import DataError

GridShape = tuple[int, int, int]

CYLINDERS: dict[int, GridShape] = {6480: (45, 16, 9), 40500: (45, 50, 18)}
"""CaloChallenge data sets 2 and 3, (layer, alpha, r) by number of cells (CaloChallenge/homepage, README)."""
RAGGED = {368: "photons", 533: "pions"}
"""CaloChallenge data set 1 by number of cells."""
VARIABLE_ANGLE_SCALE = 50.0
"""The variable-angle CLIC files hold GeV x 50 (`dscale` of svalleco/3Dgan's loaders)."""
RESPONSE_BORDER = 0.15
"""Deposited over incident energy: about 0.02 in a CLIC file in GeV, about 1 in one in GeV x 50; the border is between, in the logarithm."""
RESPONSE_RANGE = (5e-4, 5.0)
"""Outside, the unit is neither."""
NUM_PROBED = 16
"""Showers read at a time to tell the unit."""


@dataclass(frozen=True, slots=True, eq=False)
class Layout:
    """How to read one file.

    Attributes:
        cells_name: the data set that holds the cells.
        grid: (X, Y, L) as delivered.
        cylinder: (layer, alpha, r) as stored, or None where the file holds (X, Y, L).
        gev_per_unit: what a stored cell is multiplied with.
        storage: how the cells lie in the file.
        incident_energy: (N,) float32 [GeV].
        polar_angle: (N,) float32 [rad] or None.
    """

    cells_name: str
    grid: GridShape
    cylinder: GridShape | None
    gev_per_unit: float
    storage: Storage
    incident_energy: NDArray[np.float32]
    polar_angle: NDArray[np.float32] | None

    @property
    def is_polar(self) -> bool:
        """Whether x and y are an angle and a radius."""
        return self.cylinder is not None

    def cells(self, stored: NDArray[Any]) -> NDArray[np.float32]:
        """Stored cells (B, ...) as (B, X, Y, L) float32 [GeV]."""
        cells = stored.astype(np.float32, copy=False)
        if self.gev_per_unit != 1.0:
            cells = cells * np.float32(self.gev_per_unit)
        if self.cylinder is not None:
            cells = np.ascontiguousarray(cells.reshape(-1, *self.cylinder).transpose(0, 2, 3, 1))
        return cells


def detect(file: h5py.File, path: str) -> Layout:
    """The layout of an open file.

    Raises:
        DataError: no known layout, a data set missing or of the wrong shape, an energy that is not positive, a unit that cannot be told.
    """
    if "showers" in file:
        return _calochallenge(file, path)
    if "ECAL" in file:
        return _clic(file, path)
    message = f"neither 'ECAL' (CLIC) nor 'showers' (CaloChallenge) is in the file; it holds {_names(file)}"
    raise DataError(message, file=path)


def _clic(file: h5py.File, path: str) -> Layout:
    ecal = _numbers(file, "ECAL", path)
    if ecal.ndim != 4 or 0 in ecal.shape[1:]:
        message = f"'ECAL' has shape {ecal.shape}; expected (showers, x, y, layers)"
        raise DataError(message, file=path)
    incident_energy = _checked_energy(_clic_energy(file, path), ecal.shape[0], path)
    return Layout(
        cells_name="ECAL",
        grid=tuple(ecal.shape[1:]),
        cylinder=None,
        gev_per_unit=_clic_unit(ecal, incident_energy, path),
        storage=storage_of(ecal),
        incident_energy=incident_energy,
        polar_angle=_clic_angle(file, len(incident_energy), path),
    )


def _calochallenge(file: h5py.File, path: str) -> Layout:
    showers = _numbers(file, "showers", path)
    num_cells = showers.shape[1] if showers.ndim == 2 else 0
    if num_cells in RAGGED:
        message = (
            f"this is CaloChallenge data set 1 ({RAGGED[num_cells]}, {num_cells} cells), whose layers differ in their number of cells: "
            "it has no (X, Y, L) grid; use data set 2 or 3"
        )
        raise DataError(message, file=path)
    cylinder = _cylinder(showers, num_cells, path)
    if cylinder is None:
        message = (
            f"'showers' has shape {showers.shape}; expected (showers, 6480) of CaloChallenge data set 2 or (showers, 40500) of data set 3"
        )
        raise DataError(message, file=path)
    layers, alpha, radius = cylinder
    energy_mev = _column(_numbers(file, "incident_energies", path), "incident_energies", path)
    return Layout(
        cells_name="showers",
        grid=(alpha, radius, layers),
        cylinder=cylinder,
        gev_per_unit=1e-3,
        storage=storage_of(showers),
        incident_energy=_checked_energy(energy_mev * 1e-3, showers.shape[0], path),
        polar_angle=None,
    )


def _cylinder(showers: h5py.Dataset, num_cells: int, path: str) -> GridShape | None:
    """(layer, alpha, r): what the file says of itself, or what is known of data sets with so many cells."""
    said = showers.attrs.get("cylinder")
    if said is None:
        return CYLINDERS.get(num_cells)
    numbers = tuple(int(number) for number in np.ravel(said))
    if len(numbers) != 3 or min(numbers) < 1 or int(np.prod(numbers)) != num_cells:
        message = f"the attribute 'cylinder' of 'showers' is {numbers}; expected (layers, angles, rings) of {num_cells} cells in all"
        raise DataError(message, file=path)
    layers, angles, rings = numbers
    return layers, angles, rings


def _clic_energy(file: h5py.File, path: str) -> NDArray[Any]:
    """Incident energy [GeV] from `energy` ((N,), (N, 1) or the older [:, 0, 1]) or column 1 of `target` ((N, k) or (N, 1, k))."""
    if "energy" in file:
        energy = _numbers(file, "energy", path)
        is_older = energy.ndim == 3 and energy.shape[1] >= 1 and energy.shape[2] >= 2
        return np.asarray(energy[:, 0, 1]) if is_older else _column(energy, "energy", path)
    if "target" in file:
        return _target_energy(_numbers(file, "target", path), path)
    message = f"the incident energy is missing: neither 'energy' nor 'target' is in the file; it holds {_names(file)}"
    raise DataError(message, file=path)


def _target_energy(target: h5py.Dataset, path: str) -> NDArray[Any]:
    is_table = target.ndim == 2 or (target.ndim == 3 and target.shape[1] == 1)
    if not is_table or target.shape[-1] < 2:
        message = f"'target' has shape {target.shape}; expected (showers, k) or (showers, 1, k) with the incident energy in column 1"
        raise DataError(message, file=path)
    values: NDArray[Any] = target[..., 1].reshape(-1)
    return values


def _column(data_set: h5py.Dataset, name: str, path: str) -> NDArray[Any]:
    if data_set.ndim not in (1, 2) or (data_set.ndim == 2 and data_set.shape[1] != 1):
        message = f"'{name}' has shape {data_set.shape}; expected (showers,) or (showers, 1)"
        raise DataError(message, file=path)
    values: NDArray[Any] = data_set[()].reshape(-1)
    return values


def _checked_energy(energy_gev: NDArray[Any], num_showers: int, path: str) -> NDArray[np.float32]:
    if num_showers == 0:
        message = "the file holds no shower"
        raise DataError(message, file=path)
    _check_length(len(energy_gev), num_showers, "incident energies", path)
    wrong = np.flatnonzero(energy_gev <= 0)
    if len(wrong):
        message = f"incident energy {energy_gev[wrong[0]]:g} GeV is not positive"
        raise DataError(message, file=path, index=int(wrong[0]))
    return energy_gev.astype(np.float32)


def _clic_angle(file: h5py.File, num_showers: int, path: str) -> NDArray[np.float32] | None:
    if "theta" not in file:
        return None
    angle = _column(_numbers(file, "theta", path), "theta", path)
    _check_length(len(angle), num_showers, "polar angles", path)
    wrong = np.flatnonzero((angle < 0) | (angle > np.pi))
    if len(wrong):
        message = f"'theta' is {angle[wrong[0]]:g}; expected a polar angle from 0 to pi, in rad"
        raise DataError(message, file=path, index=int(wrong[0]))
    return angle.astype(np.float32)


def _clic_unit(ecal: h5py.Dataset, incident_energy: NDArray[np.float32], path: str) -> float:
    """GeV per stored unit: what the file says of itself, or else the median of deposited over incident energy tells."""
    if ecal.attrs.get("unit") == "GeV":
        return 1.0
    response = _median_response(ecal, incident_energy)
    if response is None:
        message = "every shower is empty or not finite"
        raise DataError(message, file=path)
    if not RESPONSE_RANGE[0] <= response <= RESPONSE_RANGE[1]:
        message = (
            f"cannot tell the unit of 'ECAL': its showers' median of deposited over incident energy is {response:.3g}; "
            "about 0.02 means GeV, about 1 means GeV x 50. Set the attribute 'unit' of 'ECAL' to 'GeV' where that is so"
        )
        raise DataError(message, file=path)
    return 1.0 if response < RESPONSE_BORDER else 1.0 / VARIABLE_ANGLE_SCALE


def _median_response(ecal: h5py.Dataset, incident_energy: NDArray[np.float32]) -> float | None:
    """Of the first `NUM_PROBED` showers, or of the next ones where none of those is fit to be asked."""
    for start in range(0, len(incident_energy), NUM_PROBED):
        here = slice(start, start + NUM_PROBED)
        deposited = ecal[here].sum(axis=(1, 2, 3), dtype=np.float64)
        response = deposited / incident_energy[here]
        response = response[np.isfinite(response) & (response != 0)]
        if len(response):
            return float(np.median(response))
    return None


def _numbers(file: h5py.File, name: str, path: str) -> h5py.Dataset:
    data_set = file.get(name)
    if data_set is None:
        message = f"data set '{name}' is missing; the file holds {_names(file)}"
        raise DataError(message, file=path)
    if not isinstance(data_set, h5py.Dataset) or data_set.dtype.kind not in "fiu":
        message = f"'{name}' is not a data set of numbers"
        raise DataError(message, file=path)
    return data_set


def _check_length(num_values: int, num_showers: int, what: str, path: str) -> None:
    if num_values != num_showers:
        message = f"{num_values} {what} for {num_showers} showers"
        raise DataError(message, file=path)


def _names(file: h5py.File) -> str:
    return ", ".join(repr(name) for name in file) or "nothing"
