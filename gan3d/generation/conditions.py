"""With which incident energies and polar angles showers are made: drawn, or as a file has them. N showers."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from gan3d.data.shower_file import open_shower_file
from gan3d.errors import ConfigError, DataError
from gan3d.generation.generator import CHUNK

Floats = NDArray[np.float32]


class Conditions(Protocol):
    """Of all showers; each chunk's can be told alone."""

    @property
    def num_showers(self) -> int:
        """How many."""
        ...

    @property
    def has_polar_angle(self) -> bool:
        """Whether each has an angle."""
        ...

    def of_chunk(self, number: int) -> tuple[Floats, Floats | None]:
        """Incident energies [GeV] and polar angles [rad] of the showers of one chunk, at most `CHUNK` of them."""
        ...


@dataclass(frozen=True, slots=True)
class Drawn:
    """Independent draws from ranges; a range of one value is that value."""

    num_showers: int
    energy_gev: tuple[float, float]
    polar_angle_rad: tuple[float, float] | None
    spectrum: Literal["uniform", "log_uniform"]
    seed: int

    def __post_init__(self) -> None:
        """Refuse what cannot be drawn.

        Raises:
            ConfigError: a range that does not rise, energies at or below 0, or angles that are not between 0 and pi.
        """
        low, high = self.energy_gev
        if not (0 < low <= high and math.isfinite(high)):
            message = f"energy = {low:g} to {high:g} GeV must be above 0, finite, and rise. Write the lower end first."
            raise ConfigError(message, key="energy")
        low, high = self.polar_angle_rad or (1.0, 1.0)
        if not 0 < low <= high < math.pi:
            found = f"angle = {math.degrees(low):g} to {math.degrees(high):g} degrees"
            message = f"{found} must lie between 0 and 180, and rise; 90 is normal incidence. Write the lower end first."
            raise ConfigError(message, key="angle")

    @property
    def has_polar_angle(self) -> bool:
        """Whether each has an angle."""
        return self.polar_angle_rad is not None

    def of_chunk(self, number: int) -> tuple[Floats, Floats | None]:
        """Of a stream of its own, beside that of the noise."""
        size = min(CHUNK, self.num_showers - number * CHUNK)
        random = np.random.default_rng([self.seed, number, 1])
        low, high = self.energy_gev
        energy = (
            np.exp(random.uniform(math.log(low), math.log(high), size))
            if self.spectrum == "log_uniform"
            else random.uniform(low, high, size)
        )
        angle = None if self.polar_angle_rad is None else random.uniform(*self.polar_angle_rad, size).astype(np.float32)
        return energy.astype(np.float32), angle


@dataclass(frozen=True, slots=True, eq=False)
class Listed:
    """Given one by one."""

    incident_energy: Floats
    polar_angle: Floats | None

    @classmethod
    def of_file(cls, path: Path, number: int | None = None) -> Listed:
        """Those of a shower file, in its order; the first ``number``, or all.

        Raises:
            ConfigError: the file has fewer.
            DataError: it cannot be read, or one of its showers has an energy or an angle that none can have.
        """
        layout = open_shower_file(path).layout
        if number is not None and number > len(layout.incident_energy):
            message = f"the file has conditions of {len(layout.incident_energy)} showers, not of {number}. Ask for at most as many."
            raise ConfigError(message, where=str(path), key="showers")
        angle = layout.polar_angle
        found = cls(layout.incident_energy[:number], None if angle is None else angle[:number])
        found._refuse_impossible(path)
        return found

    def _refuse_impossible(self, path: Path) -> None:
        """Files are read with such showers, which training drops."""
        kinds = [("incident energy", self.incident_energy, "GeV, which is no finite number above 0", np.inf)]
        if self.polar_angle is not None:
            kinds.append(("polar angle", self.polar_angle, "rad, which does not lie between 0 and pi", np.pi))
        for what, values, why, end in kinds:
            wrong = np.flatnonzero(~((values > 0) & (values < end)))
            if len(wrong):
                row = int(wrong[0])
                first = f", or ask for those before it with --showers {row}" if row else ""
                message = f"its {what} is {values[row]:g} {why}; so it is with {len(wrong)} of {len(values)} showers."
                message += f" Leave them out of the file{first}."
                raise DataError(message, file=str(path), index=row)

    @property
    def num_showers(self) -> int:
        """How many."""
        return len(self.incident_energy)

    @property
    def has_polar_angle(self) -> bool:
        """Whether each has an angle."""
        return self.polar_angle is not None

    def of_chunk(self, number: int) -> tuple[Floats, Floats | None]:
        """In their order."""
        part = slice(number * CHUNK, (number + 1) * CHUNK)
        return self.incident_energy[part], None if self.polar_angle is None else self.polar_angle[part]
