"""The response in bins of incident energy, with its statistical error."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from gan3d.validation.means import FEWEST, error_of_difference, size_of_nothing
from gan3d.validation.table import ObservableTable

#: Bins with about equally many reference showers.
NUM_BINS = 3


@dataclass(frozen=True, slots=True)
class ResponseBin:
    """Mean response of one bin, relative to the reference's."""

    low_gev: float
    high_gev: float
    difference: float
    """Mean response over the reference's, minus 1."""
    error: float
    """Statistical error of that, of both sets."""
    floor: float
    """What a perfect generator has on average: `size_of_nothing` of the error."""
    num_showers: int


def response_in_bins(one: ObservableTable, reference: ObservableTable) -> list[ResponseBin]:
    """Lowest energies first. Differences of the incident energies within a bin are divided out by the reference's own trend."""
    edges = np.quantile(reference.incident_energy, np.linspace(0, 1, NUM_BINS + 1))
    logs = np.log(reference.incident_energy)
    trend = np.polynomial.Polynomial.fit(logs, reference.columns["response"], 2)
    relative = [table.columns["response"] / trend(np.log(table.incident_energy)) for table in (one, reference)]
    found = []
    for low, high in pairwise(edges):
        ours, theirs = (values[_inside(table.incident_energy, low, high)] for values, table in zip(relative, (one, reference), strict=True))
        if min(len(ours), len(theirs)) >= FEWEST:
            # Both means are about 1.
            error, difference = error_of_difference(ours, theirs), float(ours.mean() / theirs.mean() - 1)
            found.append(ResponseBin(float(low), float(high), difference, error, size_of_nothing(error), len(ours)))
    return found


def _inside(energy: NDArray[np.float64], low: float, high: float) -> NDArray[np.bool_]:
    return np.asarray((energy >= low) & (energy <= high))
