"""The angle that showers are measured at, beside the polar angle that they were made for, in bins of the latter."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.physics.observables import shower_angle
from gan3d.validation.collection import blocks
from gan3d.validation.means import FEWEST, bins_of, error_of_difference, size_of_nothing
from gan3d.validation.sides import is_whole

Array = NDArray[np.float64]

#: Bins with about equally many reference showers.
NUM_BINS = 3


@dataclass(frozen=True, slots=True)
class AngleBin:
    """Of one bin of polar angles, all in rad: measured angles minus the showers' own."""

    low: float
    high: float
    difference: float
    """Mean of it, minus the reference's mean: what the axis of a shower leaves behind is none of the generator's."""
    error: float
    """Statistical error of that, of both sets."""
    floor: float
    """What a perfect generator has on average: `size_of_nothing` of the error."""
    spread: float
    """Standard deviation of measured minus own angles."""
    reference_spread: float
    num_showers: int


def angles_in_bins(one: Showers, reference: Showers, depth: torch.Tensor) -> list[AngleBin]:
    """Smallest angles first; bins with too few showers of either kind are left out.

    Args:
        one: showers of any origin; without angles they count as of normal incidence.
        reference: Monte Carlo.
        depth: (L,) of layers [edges of a cell].
    """
    ours, theirs = (np.concatenate(list(_asked_and_missed(part, depth))) for part in (one, reference))
    found = []
    for low, high, inside in bins_of(ours[:, 0], theirs[:, 0], NUM_BINS):
        here, there = (side[rows, 1] for side, rows in zip((ours, theirs), inside, strict=True))
        if min(len(here), len(there)) >= FEWEST:
            difference, error = float(here.mean() - there.mean()), error_of_difference(here, there)
            spread, other = (float(side.std(ddof=1)) for side in (here, there))
            found.append(AngleBin(low, high, difference, error, size_of_nothing(error), spread, other, len(here)))
    return found


def _asked_and_missed(showers: Showers, depth: torch.Tensor) -> Iterator[Array]:
    """(B, 2) of each block: the polar angle and by how much the measured one is more [rad]; without empty and broken showers."""
    for block in blocks(showers):
        kept = block.take(np.flatnonzero(is_whole(block)))
        asked = kept.polar_angle_or_normal
        yield np.stack([asked, shower_angle(torch.from_numpy(kept.cells).double(), depth).numpy() - asked], axis=1)
