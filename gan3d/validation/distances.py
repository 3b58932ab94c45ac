"""The ten distances that training watches, and their mean, of showers of any origin: beside their floor, with errors.

Definitions, bins and sums are those of `gan3d.physics.distance`; errors are the bootstrap's over showers (`gan3d.generation.resampling`).
Other than in training, the two sides do not share their energies one by one: neither does the floor's.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch

from gan3d.data.showers import Showers
from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.physics.binning import Binning
from gan3d.physics.definitions import version_of
from gan3d.physics.distance import DISTANCES, with_scalars
from gan3d.physics.sums import ShowerSums
from gan3d.validation.collection import blocks
from gan3d.validation.detector import Detector
from gan3d.validation.table import angles_vary

#: The mean, the same at the lowest and at the highest energies, and its ten parts: as metrics are called, without `physics.`.
NAMES = ("shower_distance", "shower_distance_low_energy", "shower_distance_high_energy", *DISTANCES)
#: Of each side, for the errors.
NUM_RESAMPLES = 50


@dataclass(frozen=True, slots=True)
class Distances:
    """Name → distance and its standard error."""

    showers: dict[str, tuple[float, float]]
    floor: dict[str, tuple[float, float]]
    version: int
    """Of the definitions (`gan3d.physics.definitions`)."""


def shower_distances(ours: Showers, theirs: Showers, others: Showers, detector: Detector, threshold_gev: float, seed: int) -> Distances:
    """Of showers, and of other Monte Carlo, from the same Monte Carlo.

    Args:
        ours: of any origin; broken ones count as empty.
        theirs: Monte Carlo, whose incident energies, and polar angles where they vary, say where bins are.
        others: Monte Carlo, as many showers as ours: the floor.
        detector: says whether cells are polar, and what counts as read out.
        threshold_gev: fainter cells are 0, on all sides: that of a trial, which its showers have been through already.
        seed: of resamples.
    """
    binning = Binning.from_incident_energy(
        theirs.cells.shape[1:],
        theirs.incident_energy,
        threshold_gev=detector.threshold_gev,
        polar_angle=theirs.polar_angle if angles_vary(theirs.polar_angle) else None,
        is_polar=detector.is_polar,
    )
    first, known, second = (_sums(one, binning, threshold_gev, seed + place) for place, one in enumerate((ours, theirs, others)))
    version = version_of(is_polar=binning.is_polar, by_angle=bool(binning.angle_edges))
    return Distances(_estimated(first, known), _estimated(second, known), version)


def _sums(showers: Showers, binning: Binning, threshold_gev: float, seed: int) -> list[ShowerSums]:
    """Of all of them, then of each resample."""
    counts, angle = resample_counts(len(showers), NUM_RESAMPLES, seed), torch.from_numpy(showers.polar_angle_or_normal)
    return resampled_sums(_chunks(showers, threshold_gev), counts, binning, angle)


def _chunks(showers: Showers, threshold_gev: float) -> Iterator[tuple[torch.Tensor, torch.Tensor]]:
    for part in blocks(showers):
        cells = torch.from_numpy(part.cells)
        # What is not a number is not below the threshold: it is to be counted.
        yield torch.where(cells < threshold_gev, 0.0, cells), torch.from_numpy(part.incident_energy)


def _estimated(ours: list[ShowerSums], theirs: list[ShowerSums]) -> dict[str, tuple[float, float]]:
    # The outer bins are open and each holds showers of theirs: whatever energies ours have, some bin has both.
    found = [with_scalars(one, other) for one, other in zip(ours, theirs, strict=True)]
    return {name: (found[0][name], float(np.std([one[name] for one in found[1:]], ddof=1))) for name in NAMES}
