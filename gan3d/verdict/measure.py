"""Against which showers a distance was measured: only distances with the same measure are ranked.

A distance means something only beside the floor for the same showers (``gan3d.physics.distance``): of two recipes that are equally good the
one that was held against fewer showers, or against easier ones, has another distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import PurePath
from typing import Self

from gan3d.config.training import Data
from gan3d.physics.definitions import FIRST_VERSION


@dataclass(frozen=True, slots=True)
class Measure:
    """What all distances that are ranked have in common."""

    validation: tuple[str, ...]
    """Names of the validation files, wherever they lie."""
    max_showers: int | None
    """Only the first so many of them; None: all."""
    grid: tuple[int, int, int]
    crop: bool
    cells: str
    threshold_gev: float
    """Below it cells are zero in both sets."""
    readout_threshold_gev: float
    """Above it cells count as read out."""
    version: int
    """Of the distances' definitions."""

    @classmethod
    def of(cls, data: Data, version: int = FIRST_VERSION) -> Self:
        """Of a trial."""
        names = tuple(PurePath(path).name for path in data.validation)
        thresholds = (data.threshold_gev, data.readout_threshold_gev)
        return cls(names, data.max_validation_showers, data.grid, data.crop, data.cells, *thresholds, version)

    def in_words(self) -> str:
        """The showers."""
        part = "all" if self.max_showers is None else f"the first {self.max_showers}"
        return f"{', '.join(self.validation)} ({part})"

    def difference(self, other: Measure) -> str:
        """How it differs, to go on with from "measured"."""
        if (self.validation, self.max_showers) != (other.validation, other.max_showers):
            return f"on {self.in_words()} instead of {other.in_words()}"
        kinds = ("grid", "crop", "cells", "threshold_gev", "readout_threshold_gev", "version")
        names = [name for name in kinds if getattr(self, name) != getattr(other, name)]
        told = (f"{name.replace('_', ' ')} {getattr(self, name)} instead of {getattr(other, name)}" for name in names)
        return f"with {', '.join(told)}"
