"""Precision, recall, density and coverage (arXiv:2002.09797): is each generated shower like a real one, and every real one met?

After CaloChallenge/homepage, code/evaluate.py: nearest neighbours among log10 of the cells, those without energy set to a tenth of the
threshold. A copy of a training shower is precise too: ``copies`` looks for that.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import pairwise_distances

Array = NDArray[np.floating]

#: Neighbours within which a shower is at home.
NEIGHBOURS = 5


@dataclass(frozen=True, slots=True)
class Coverage:
    """Of a perfect generator what the floor is: 1, but for statistics and with coverage 0.97, among points of few dimensions only.

    A shower has thousands of cells, and neighbours there are no nearer than others: of Geant4 against Geant4 a precision of 0.5 is
    perfect (docs/validation.md).
    """

    precision: float
    """Share of generated showers within the neighbourhood of some reference shower."""
    recall: float
    """Share of reference showers within the neighbourhood of some generated one."""
    density: float
    """Reference neighbourhoods a generated shower lies in, over the neighbours of each."""
    coverage: float
    """Share of reference showers with a generated one in their neighbourhood."""


def log_cells(cells: Array, threshold_gev: float) -> NDArray[np.float32]:
    """(N, cells): log10 of the energy over the threshold, and -1 below it."""
    flat = cells.reshape(len(cells), -1)
    return np.log10(np.where(flat > threshold_gev, flat / threshold_gev, 0.1)).astype(np.float32)


def coverage_of(reference: Array, generated: Array) -> Coverage:
    """Of features (N, K) and (M, K), such as `log_cells`."""
    between = pairwise_distances(reference, generated)
    real_reach, generated_reach = _reach(reference), _reach(generated)
    is_inside = between < real_reach[:, None]
    return Coverage(
        precision=float(is_inside.any(axis=0).mean()),
        recall=float((between < generated_reach[None, :]).any(axis=1).mean()),
        density=float(is_inside.sum(axis=0).mean() / NEIGHBOURS),
        coverage=float((between.min(axis=1) < real_reach).mean()),
    )


def _reach(points: Array) -> Array:
    """Distance to the neighbour that counts as the last, shape (N,)."""
    return np.asarray(np.partition(pairwise_distances(points), NEIGHBOURS, axis=1)[:, NEIGHBOURS])
