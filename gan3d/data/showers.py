"""A batch of showers as the files hold it, in the units of the project, before any threshold or transform."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

#: Polar angle of a shower along the calorimeter's normal.
NORMAL_INCIDENCE_RAD = np.pi / 2


@dataclass(frozen=True, slots=True)
class Showers:
    """Showers and their conditions, as numpy arrays on the CPU.

    Attributes:
        cells: (B, X, Y, L) float32, deposited energy per cell [GeV], no threshold applied.
        incident_energy: (B,) float32 [GeV].
        polar_angle: (B,) float32 [rad], or None where the files have none.
        identity: (B,) int64, the shower's index in its data set; seeds per-shower noise.
    """

    cells: NDArray[np.float32]
    incident_energy: NDArray[np.float32]
    polar_angle: NDArray[np.float32] | None
    identity: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.identity)

    @property
    def polar_angle_or_normal(self) -> NDArray[np.float64]:
        """(B,) [rad]; of normal incidence where the files have none."""
        if self.polar_angle is None:
            return np.full(len(self), NORMAL_INCIDENCE_RAD)
        return self.polar_angle.astype(np.float64)

    @staticmethod
    def empty(num_showers: int, grid: tuple[int, int, int], *, has_polar_angle: bool) -> Showers:
        """Room for ``num_showers``, to be filled by `put`; the system gives memory only as it is filled."""
        return Showers(
            cells=np.empty((num_showers, *grid), dtype=np.float32),
            incident_energy=np.empty(num_showers, dtype=np.float32),
            polar_angle=np.empty(num_showers, dtype=np.float32) if has_polar_angle else None,
            identity=np.empty(num_showers, dtype=np.int64),
        )

    def take(self, index: NDArray[np.int64] | slice) -> Showers:
        """Showers at ``index``, in its order; a copy, unless ``index`` is a slice."""
        polar_angle = None if self.polar_angle is None else self.polar_angle[index]
        return Showers(self.cells[index], self.incident_energy[index], polar_angle, self.identity[index])

    def put(self, index: NDArray[np.int64] | slice, showers: Showers) -> None:
        """Overwrite the showers at ``index``."""
        self.cells[index] = showers.cells
        self.incident_energy[index] = showers.incident_energy
        self.identity[index] = showers.identity
        if self.polar_angle is not None:
            assert showers.polar_angle is not None
            self.polar_angle[index] = showers.polar_angle
