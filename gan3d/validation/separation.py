"""Separation power of histograms: one number in [0, 1] for every column of high-level features, and for the challenge's two headlines."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Self

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.validation.collection import blocks

Array = NDArray[np.float64]

#: Bins between the reference's ends, and one more on either side for what lies outside.
NUM_BINS = 30
#: Bins of incident energy with about equally many reference showers, in each of which the response is looked at too.
NUM_ENERGY_BINS = 3


@dataclass(frozen=True, slots=True)
class Headline:
    """Of N showers what the CaloChallenge shows first."""

    incident_energy: Array
    """(N,) [GeV]."""
    deposited_energy: Array
    """(N,) [GeV]."""
    cell_energy: Array
    """[GeV] of all their cells that are read out, in one row."""

    @classmethod
    def of(cls, showers: Showers, threshold_gev: float) -> Self:
        """Cells below the threshold are taken as 0."""
        deposited, read_out = [], []
        for part in blocks(showers):
            is_read_out = part.cells > threshold_gev
            deposited.append(part.cells.sum(axis=(1, 2, 3), dtype=np.float64, where=is_read_out))
            read_out.append(part.cells[is_read_out].astype(np.float64))
        return cls(showers.incident_energy.astype(np.float64), np.concatenate(deposited), np.concatenate(read_out))


def headline_powers(reference: Headline, generated: Headline) -> dict[str, float]:
    """Of deposited over incident energy, in all and in bins of incident energy, and of the energies of all cells that are read out.

    As CaloChallenge/homepage, code/evaluate.py, has them (Etot/Einc, cell energies), with this file's bins.
    """
    theirs, ours = (one.deposited_energy / one.incident_energy for one in (reference, generated))
    found = {"deposited_over_incident_energy": _of_column(ours, theirs)}
    for low, high in pairwise(np.quantile(reference.incident_energy, np.linspace(0, 1, NUM_ENERGY_BINS + 1))):
        sides = [
            values[(one.incident_energy >= low) & (one.incident_energy <= high)]
            for values, one in zip((ours, theirs), (generated, reference), strict=True)
        ]
        found[f"deposited_over_incident_energy_{low:.0f}_to_{high:.0f}_gev"] = _of_column(*sides)
    return found | {"cell_energy": _of_column(generated.cell_energy, reference.cell_energy)}


def separation_power(reference: Array, generated: Array) -> Array:
    """Triangular discrimination of each column of (N, K) and (M, K), shape (K,).

    S = 1/2 sum_i (h1_i - h2_i)^2 / (h1_i + h2_i) over histograms that sum to 1 (arXiv:2009.03796; CaloChallenge, code/evaluate.py). Bins
    are equally filled by the reference, so that tails do not decide where they are. For two sets of N showers from one source its mean is
    about (bins - 1) / (2 N): it means something beside its floor only.
    """
    return np.array([_of_column(ours, theirs) for ours, theirs in zip(generated.T, reference.T, strict=True)])


def _of_column(ours: Array, theirs: Array) -> float:
    if not len(ours) or not len(theirs):
        # Nothing on one side only: histograms that never meet.
        return float(len(ours) != len(theirs))
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, NUM_BINS + 1)))
    first, second = (_histogram(values, edges) for values in (ours, theirs))
    total = first + second
    difference = np.divide((first - second) ** 2, total, out=np.zeros_like(total), where=total > 0)
    return float(difference.sum() / 2)


def _histogram(values: Array, edges: Array) -> Array:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.asarray(counts / len(values))
