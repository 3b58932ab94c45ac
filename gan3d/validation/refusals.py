"""What cannot be judged: too few showers, or showers of which it is not known what to hold them against."""

from __future__ import annotations

import numpy as np

from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.validation.loading import refuse_other_grid

#: Of each kind: with fewer, floors say nothing.
SMALLEST_NUMBER = 100


def refuse_showers(showers: Showers, reference: Showers) -> None:
    """See that the ones can be held against the others.

    Raises:
        DataError: they cannot, and why.
    """
    refuse_other_grid(showers.cells.shape[1:], reference)
    refuse_few(len(showers), len(reference))
    refuse_unconditioned(showers, reference)


def refuse_few(num_showers: int, num_reference: int) -> None:
    """See that there are enough.

    Raises:
        DataError: there are not.
    """
    if num_showers < SMALLEST_NUMBER:
        message = f"{num_showers} showers are too few to be judged: at least {SMALLEST_NUMBER} are needed."
        raise DataError(message)
    if num_reference < 2 * SMALLEST_NUMBER:
        message = f"the reference has {num_reference} showers, at least {2 * SMALLEST_NUMBER} are needed. Add another --reference."
        raise DataError(message)


def refuse_unconditioned(*sides: Showers) -> None:
    """See that every shower's incident energy and polar angle are numbers: it can be held against those of the same only.

    Raises:
        DataError: one's is not.
    """
    for one in sides:
        is_known = np.isfinite(one.incident_energy) & (one.incident_energy > 0) & np.isfinite(one.polar_angle_or_normal)
        wrong = np.flatnonzero(~is_known)
        if len(wrong):
            first = wrong[0]
            message = (
                f"shower {one.identity[first]} is of {one.incident_energy[first]:g} GeV at {one.polar_angle_or_normal[first]:g} rad"
                f" ({len(wrong)} such showers): only of energies above 0 and angles it is known what to hold them against. Leave them out."
            )
            raise DataError(message)
