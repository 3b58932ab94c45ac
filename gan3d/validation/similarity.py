"""Structural similarity within bins of incident energy: generated showers more alike than Monte Carlo showers are a collapsed mode."""

from __future__ import annotations

from functools import partial
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray
from skimage.metrics import structural_similarity

from gan3d.data.showers import Showers

#: Bins of the incident energy, about equally full of reference showers.
NUM_BINS = 3
#: Pairs of showers in each.
NUM_PAIRS = 100
#: Cells from the middle of a window to its edge, and the standard deviation of its weights [cells]: 11 cells, as everywhere.
REACH, WINDOW_SPREAD = 5, 1.5
#: Dynamic ranges [GeV]: 3DGAN's analysis takes 1 to 1e-6; small ones look at the halo, large ones at the core.
RANGES = (1e-2, 1e-4)


def similarities(showers: Showers, reference: Showers, seed: int, *, is_polar: bool = False) -> dict[str, tuple[float, float]]:
    """Mean similarity of two random ``showers`` of a bin of the reference's energies, and its error, by bin and dynamic range.

    Layers are channels and weights Gaussian, as in svalleco/3Dgan, keras/analysis; the window of 11 x 11 cells is made smaller, with its
    weights, where the grid does not hold it. A bin with fewer than two showers is left out; there are none at all where no window fits.

    Args:
        showers: two of which are compared at a time.
        reference: says where bins of energy are.
        seed: of pairs.
        is_polar: x is an angle and y a ring: a window goes round, and across the axis.
    """
    num_x, num_y, _ = showers.cells.shape[1:]
    reach = min(REACH, num_x - 1, num_y - 1) if is_polar else min(REACH, (min(num_x, num_y) - 1) // 2)
    if reach < 1:
        return {}
    whole = partial(surrounded, reach=reach) if is_polar else np.asarray
    edges = np.quantile(reference.incident_energy, np.linspace(0, 1, NUM_BINS + 1))
    random, found = np.random.default_rng(seed), dict[str, tuple[float, float]]()
    for low, high in pairwise(edges):
        members = np.flatnonzero((showers.incident_energy >= low) & (showers.incident_energy <= high))
        if len(members) < 2:
            continue
        pairs = [random.choice(members, 2, replace=False) for _ in range(NUM_PAIRS)]
        for data_range in RANGES:
            values = [_similarity(*(whole(showers.cells[place]) for place in pair), reach=reach, data_range=data_range) for pair in pairs]
            name = f"similarity_{low:.0f}_to_{high:.0f}_gev_range_{data_range:g}"
            found[name] = (float(np.mean(values)), float(np.std(values, ddof=1) / np.sqrt(NUM_PAIRS)))
    return found


def surrounded(cells: NDArray[np.float32], reach: int) -> NDArray[np.float32]:
    """Polar cells (X, Y, L) with their neighbours up to ``reach`` cells away: round in the angle, and on the axis' other side."""
    # A window about the first ring, where most of the energy is, would else reach beyond the grid and be left out.
    across = np.roll(cells, len(cells) // 2, axis=0)[:, :reach][:, ::-1]
    return np.pad(np.concatenate([across, cells], axis=1), ((reach, reach), (0, 0), (0, 0)), mode="wrap")


def _similarity(one: NDArray[np.float32], other: NDArray[np.float32], *, reach: int, data_range: float) -> float:
    """Mean over windows that lie wholly within the cells."""
    weights = {"gaussian_weights": True, "sigma": WINDOW_SPREAD * reach / REACH, "win_size": 2 * reach + 1}
    found = structural_similarity(one, other, channel_axis=2, data_range=data_range, **weights)  # type: ignore[no-untyped-call]
    return float(found)
