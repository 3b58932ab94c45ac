"""Choose Monte Carlo showers of the same incident energies as the validation set's: what a perfect generator would have produced.

Without matching, two Monte Carlo sets also differ by their incident energies, which generated showers share with the validation set.
Their floor is too high (occupancy, 200 Geant4 showers of 10-100 GeV: 0.21 instead of 0.14 in three energy bins, 0.11 instead of 0.05 in
one), and is none at all where the training set covers another range.
"""

from __future__ import annotations

import numpy as np

#: A shower's partner is drawn from this many showers nearest in incident energy.
NUM_NEIGHBOURS = 16


def matched_draws(candidate_energy: np.ndarray, incident_energy: np.ndarray, *, num_draws: int = 5, seed: int = 0) -> list[np.ndarray]:
    """For each draw, one candidate of about the same energy for each incident energy: indices into the candidates, shape (N,) int64.

    Within a draw a candidate is taken twice only where all its neighbours are gone, as when there are fewer candidates than showers.
    The same on every rank for the same arguments.

    Raises:
        ValueError: no candidates.
    """
    if len(candidate_energy) == 0:
        msg = "no candidates to draw from"
        raise ValueError(msg)
    order = np.argsort(candidate_energy, kind="stable")
    window = min(NUM_NEIGHBOURS, len(order))
    place = np.searchsorted(candidate_energy[order], incident_energy)
    first = np.clip(place - window // 2, 0, len(order) - window)
    random = np.random.default_rng(seed)
    return [order[_one_draw(first, window, len(order), random)] for _ in range(num_draws)]


def _one_draw(first: np.ndarray, window: int, num_candidates: int, random: np.random.Generator) -> np.ndarray:
    """Sorted places of the partners, (N,): in random order each shower takes a random free neighbour."""
    is_taken = np.zeros(num_candidates, dtype=bool)
    partner = np.empty(len(first), dtype=np.int64)
    for shower in random.permutation(len(first)):
        neighbours = np.arange(first[shower], first[shower] + window)
        free = neighbours[~is_taken[neighbours]]
        partner[shower] = random.choice(free if len(free) else neighbours)
        is_taken[partner[shower]] = True
    return partner
