"""Conditions of generated showers: incident energy and polar angle, drawn as the training set has them or as the seed did."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from gan3d.training.noise import Slots

#: Range of the seed's incident energies [GeV] (svalleco/3Dgan, Energy-gan: uniform in 0.1-5 x 100 GeV).
SEED_RANGE_GEV = (10.0, 500.0)


@dataclass(frozen=True, slots=True)
class Conditions:
    """What a generated shower is asked for; tensors of shape (B,)."""

    incident_energy: torch.Tensor
    polar_angle: torch.Tensor | None

    def to(self, device: torch.device) -> Conditions:
        """The same on a device."""
        angle = None if self.polar_angle is None else self.polar_angle.to(device)
        return Conditions(self.incident_energy.to(device), angle)

    def part(self, part: slice) -> Conditions:
        """Those of some of the showers."""
        return Conditions(self.incident_energy[part], None if self.polar_angle is None else self.polar_angle[part])


@dataclass(frozen=True, slots=True)
class TrainingSetConditions:
    """Draws the conditions of a random training shower, energy and angle together."""

    incident_energy: torch.Tensor
    polar_angle: torch.Tensor | None

    def draw(self, slots: Slots, draw: str) -> Conditions:
        """Conditions of this rank's showers."""
        rows = (slots.uniform(draw) * len(self.incident_energy)).long()
        return Conditions(self.incident_energy[rows], None if self.polar_angle is None else self.polar_angle[rows])


@dataclass(frozen=True, slots=True)
class SeedConditions:
    """The seed's: incident energy uniform in 10-500 GeV; a polar angle, where asked for, from the training set."""

    polar_angle: torch.Tensor | None

    def draw(self, slots: Slots, draw: str) -> Conditions:
        """Conditions of this rank's showers."""
        low, high = SEED_RANGE_GEV
        energy = (low + (high - low) * slots.uniform(draw)).float()
        if self.polar_angle is None:
            return Conditions(energy, None)
        rows = (slots.uniform(draw + ".angle") * len(self.polar_angle)).long()
        return Conditions(energy, self.polar_angle[rows])
