"""The response in bins of incident energy, with its statistical error."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from gan3d.validation.means import FEWEST, bins_of, error_of_difference, size_of_nothing
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
    logs = np.log(reference.incident_energy)
    trend = np.polynomial.Polynomial.fit(logs, reference.columns["response"], 2)
    relative = [table.columns["response"] / trend(np.log(table.incident_energy)) for table in (one, reference)]
    found = []
    for low, high, inside in bins_of(one.incident_energy, reference.incident_energy, NUM_BINS):
        ours, theirs = (values[rows] for values, rows in zip(relative, inside, strict=True))
        if min(len(ours), len(theirs)) >= FEWEST:
            # Both means are about 1.
            error, difference = error_of_difference(ours, theirs), float(ours.mean() / theirs.mean() - 1)
            found.append(ResponseBin(low, high, difference, error, size_of_nothing(error), len(ours)))
    return found
