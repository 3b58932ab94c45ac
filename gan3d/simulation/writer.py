"""Writes showers as they come, in a layout of the field, and never leaves half a file behind.

Of square cells that of the CLIC files: `ECAL` (N, X, Y, L) float32 [GeV], `target` (N, 5) = PDG code, E, px, py, pz [GeV], `energy` (N, 1)
[GeV] and, for inclined showers, `theta` (N, 1) [rad], pi/2 being normal incidence. Of polar cells CaloChallenge's: `showers` (N, L * X * Y)
[MeV], whose attribute `cylinder` says (L, X, Y), and `incident_energies` (N, 1) [MeV].
"""

from __future__ import annotations

import os
from math import prod
from pathlib import Path
from types import TracebackType
from typing import Self

import h5py
import numpy as np

from gan3d.errors import DataError

ELECTRON_PDG_CODE = 11
MEV_PER_GEV = 1000.0
#: Showers per HDF5 chunk: what the smallest read decompresses.
_SHOWERS_PER_CHUNK = 4


class ShowerWriter:
    """A context manager; the file appears under its name when the block ends without an exception."""

    def __init__(self, path: Path, grid: tuple[int, int, int], *, is_polar: bool, has_polar_angle: bool) -> None:
        """Create a temporary file beside ``path``, whose folder is created where it is missing.

        Args:
            path: of the file.
            grid: cells along x, along y, and layers.
            is_polar: x and y are angles and rings about the shower's axis.
            has_polar_angle: showers come at an angle each.

        Raises:
            DataError: if nothing can be written there.
        """
        self._path = path
        self._has_polar_angle = has_polar_angle
        self._is_polar = is_polar
        self._partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        if path.is_dir():
            msg = "is a folder, not a file to write"
            raise DataError(msg, file=str(path))
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            self._file = h5py.File(self._partial, "w")
        except OSError as error:
            msg = f"cannot be written: {error}"
            raise DataError(msg, file=str(path)) from error
        if self._is_polar:
            self._create("showers", (prod(grid),), compression="gzip", shuffle=True)
            self._file["showers"].attrs["cylinder"] = (grid[2], *grid[:2])
            self._create("incident_energies", (1,))
            return
        self._create("ECAL", grid, compression="gzip", shuffle=True)
        self._file["ECAL"].attrs["unit"] = "GeV"  # which a reader would guess from the response, rightly for a detector of its kind only
        self._create("target", (5,))
        self._create("energy", (1,))
        if has_polar_angle:
            self._create("theta", (1,))

    def _create(self, name: str, row: tuple[int, ...], **how: object) -> None:
        num = _SHOWERS_PER_CHUNK if name in ("ECAL", "showers") else 1024
        self._file.create_dataset(name, (0, *row), np.float32, maxshape=(None, *row), chunks=(num, *row), **how)

    def append(self, cells: np.ndarray, energy_gev: np.ndarray, polar_angle_rad: np.ndarray) -> None:
        """Add showers: ``cells`` (B, X, Y, L) [GeV], incident energy (B,) [GeV], polar angle (B,) [rad]."""
        if self._is_polar:
            layers_first = cells.transpose(0, 3, 1, 2).reshape(len(cells), -1)
            rows = {"showers": MEV_PER_GEV * layers_first, "incident_energies": MEV_PER_GEV * energy_gev[:, None]}
        else:
            rows = {"ECAL": cells, "target": _target(energy_gev, polar_angle_rad), "energy": energy_gev[:, None]}
        if self._has_polar_angle:
            rows["theta"] = polar_angle_rad[:, None]
        for name, values in rows.items():
            data = self._file[name]
            data.resize(len(data) + len(values), axis=0)
            data[-len(values) :] = values

    def note(self, **facts: str | int) -> None:
        """Attributes of the file: where its showers come from."""
        self._file.attrs.update(facts)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        self._file.close()
        if kind is None:
            self._partial.replace(self._path)
        else:
            self._partial.unlink(missing_ok=True)


def _target(energy: np.ndarray, polar_angle: np.ndarray) -> np.ndarray:
    """(B, 5) PDG code and four-momentum of electrons, whose mass is neglected."""
    momentum = [energy * np.cos(polar_angle), np.zeros_like(energy), energy * np.sin(polar_angle)]
    return np.stack([np.full_like(energy, ELECTRON_PDG_CODE), energy, *momentum], axis=1)
