"""The calorimeter's response: how much of the incident energy is deposited in the cells, on average."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Self

import numpy as np
import torch
from numpy.polynomial import Polynomial
from numpy.typing import ArrayLike, NDArray

from gan3d.physics.transform import ENERGY_UNIT_GEV

#: Deposited energy of the CLIC calorimeter over the incident one, both in 100 GeV, so in percent: coefficients of rising powers.
#: Source: svalleco/3Dgan, branch Energy-gan, keras/EcalEnergyTrain.py (an electron of 100 GeV deposits 2.02 GeV in the cells).
SEED_PERCENT = (2.21, -0.28, 0.11, -0.023, 0.0018)
#: Highest incident energy of the seed's showers [GeV].
SEED_HIGHEST_GEV = 500.0
#: A fit has at most the seed's degree, and for every degree so many showers and so many distinct energies.
MAX_DEGREE = 4
SHOWERS_PER_DEGREE = 50
ENERGIES_PER_DEGREE = 2


@dataclass(frozen=True, slots=True)
class ResponseCurve:
    """Deposited energy [GeV] expected at an incident energy [GeV]: incident energy times a sampling fraction.

    The sampling fraction is a polynomial of the incident energy in 100 GeV. Outside of the fitted energies it keeps the value it
    has at their end, so the deposited energy grows linearly there.
    """

    coefficients: tuple[float, ...]
    """Of rising powers of the incident energy in 100 GeV."""
    lowest_gev: float
    """Lowest fitted incident energy."""
    highest_gev: float
    """Highest fitted incident energy."""

    def __call__(self, incident_energy: torch.Tensor) -> torch.Tensor:
        """Expected deposited energy [GeV] at incident energies [GeV] of any shape."""
        energy = incident_energy.clamp(self.lowest_gev, self.highest_gev) / ENERGY_UNIT_GEV
        fraction = torch.zeros_like(energy)
        for coefficient in reversed(self.coefficients):
            fraction = fraction * energy + coefficient
        return incident_energy * fraction

    @classmethod
    def seed(cls) -> Self:
        """The CLIC calorimeter's."""
        return cls(tuple(percent / 100 for percent in SEED_PERCENT), 0.0, SEED_HIGHEST_GEV)

    @classmethod
    def fit(cls, incident_energy: ArrayLike, deposited_energy: ArrayLike) -> Self:
        """The curve of a set of showers; energies [GeV], shape (N,). Showers whose incident energy is not positive do not count.

        Least squares of the sampling fraction, weighted with the incident energy: a sampling calorimeter's relative resolution
        goes as 1 / sqrt(E), so its variance as 1 / E. With few showers or few energies the degree is lower, down to a constant.
        """
        incident, deposited = np.asarray(incident_energy, np.float64), np.asarray(deposited_energy, np.float64)
        usable = np.isfinite(deposited) & np.isfinite(incident) & (incident > 0)
        incident, deposited = incident[usable], deposited[usable]
        if not len(incident):
            msg = "a response curve needs at least one shower of positive incident energy"
            raise ValueError(msg)
        lowest, highest = float(incident.min()), float(incident.max())
        return cls(_coefficients(incident / ENERGY_UNIT_GEV, deposited / incident), lowest, highest)


def _coefficients(energy: NDArray[np.float64], fraction: NDArray[np.float64]) -> tuple[float, ...]:
    """Coefficients of rising powers of the energy; a constant where the polynomial is not positive at every shower."""
    degree = min(MAX_DEGREE, len(energy) // SHOWERS_PER_DEGREE, (len(np.unique(energy)) - 1) // ENERGIES_PER_DEGREE)
    if degree:
        fitted = Polynomial.fit(energy, fraction, degree, w=np.sqrt(energy))
        if (fitted(energy) > 0).all():
            return tuple(float(coefficient) for coefficient in fitted.convert().coef)
    return (float(np.average(fraction, weights=energy)),)
