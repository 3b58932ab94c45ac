"""The simplest generator there is: the mean Monte Carlo shower scaled by the incident energy. A GAN has to beat it.

Shape legend: B showers, X, Y transverse cells, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True, slots=True)
class MeanShower:
    """Mean share of the incident energy deposited in each cell: right on average, without fluctuations and without change of shape."""

    cells_per_gev: Tensor
    """Deposited energy per GeV of incident energy, (X, Y, L)."""

    @classmethod
    def fit(cls, cells_BXYL: Tensor, incident_energy: Tensor) -> MeanShower:
        """The mean over training showers of cells [GeV] over incident energy (B,) [GeV]."""
        weights = 1.0 / incident_energy.double()
        return cls((cells_BXYL.double() * weights[:, None, None, None]).mean(dim=0))

    def __call__(self, incident_energy: Tensor) -> Tensor:
        """Showers of these incident energies (B,) [GeV]: cells (B, X, Y, L) [GeV] in the type of the energies."""
        return (incident_energy[:, None, None, None] * self.cells_per_gev).to(incident_energy.dtype)
