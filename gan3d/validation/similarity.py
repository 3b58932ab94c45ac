"""Structural similarity within bins of incident energy: generated showers more alike than Monte Carlo showers are a collapsed mode."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from gan3d.data.showers import Showers

#: Bins of the incident energy, about equally full of reference showers.
NUM_BINS = 3
#: Pairs of showers in each.
NUM_PAIRS = 100
#: Dynamic ranges [GeV]: 3DGAN's analysis takes 1 to 1e-6; small ones look at the halo, large ones at the core.
RANGES = (1e-2, 1e-4)


def similarities(showers: Showers, reference: Showers, seed: int) -> dict[str, tuple[float, float]]:
    """Mean similarity of two random ``showers`` of a bin of the reference's energies, and its error, by bin and dynamic range.

    Layers are channels and weights Gaussian, as in svalleco/3Dgan, keras/analysis. A bin with fewer than two showers is left out.
    """
    edges = np.quantile(reference.incident_energy, np.linspace(0, 1, NUM_BINS + 1))
    random, found = np.random.default_rng(seed), dict[str, tuple[float, float]]()
    for low, high in pairwise(edges):
        members = np.flatnonzero((showers.incident_energy >= low) & (showers.incident_energy <= high))
        if len(members) < 2:
            continue
        pairs = [random.choice(members, 2, replace=False) for _ in range(NUM_PAIRS)]
        for data_range in RANGES:
            values = [_similarity(showers.cells[first], showers.cells[second], data_range) for first, second in pairs]
            name = f"similarity_{low:.0f}_to_{high:.0f}_gev_range_{data_range:g}"
            found[name] = (float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(NUM_PAIRS)))
    return found


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32], data_range: float) -> float:
    found = structural_similarity(one, other, channel_axis=2, gaussian_weights=True, data_range=data_range)  # type: ignore[no-untyped-call]
    return float(found)
