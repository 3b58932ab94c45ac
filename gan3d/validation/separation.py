"""Separation power of histograms: one number in [0, 1] for every column of high-level features."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

#: Bins between the reference's ends, and one more on either side for what lies outside.
NUM_BINS = 30


def separation_power(reference: Array, generated: Array) -> Array:
    """Triangular discrimination of each column of (N, K) and (M, K), shape (K,).

    S = 1/2 sum_i (h1_i - h2_i)^2 / (h1_i + h2_i) over histograms that sum to 1 (arXiv:2009.03796; CaloChallenge, code/evaluate.py). Bins
    are equally filled by the reference, so that tails do not decide where they are. For two sets of N showers from one source its mean is
    about (bins - 1) / (2 N): it means something beside its floor only.
    """
    return np.array([_of_column(ours, theirs) for ours, theirs in zip(generated.T, reference.T, strict=True)])


def _of_column(ours: Array, theirs: Array) -> float:
    edges = np.unique(np.quantile(theirs, np.linspace(0, 1, NUM_BINS + 1)))
    first, second = (_histogram(values, edges) for values in (ours, theirs))
    total = first + second
    difference = np.divide((first - second) ** 2, total, out=np.zeros_like(total), where=total > 0)
    return float(difference.sum() / 2)


def _histogram(values: Array, edges: Array) -> Array:
    counts = np.bincount(np.searchsorted(edges, values, side="right"), minlength=len(edges) + 1)
    return np.asarray(counts / len(values))
