"""Choose Monte Carlo showers of the same conditions as the validation set's: what a perfect generator would have produced.

Conditions are the incident energy and, where generated showers are conditioned on it, the polar angle. Without matching, two Monte Carlo
sets also differ by their incident energies, which generated showers share with the validation set. Their floor is too high (occupancy,
200 Geant4 showers of 10-100 GeV: 0.21 instead of 0.14 in three energy bins, 0.11 instead of 0.05 in one), and is none at all where the
training set covers another range.
"""

from __future__ import annotations

import math

import numpy as np

#: A shower's partner is drawn from this many showers nearest in incident energy.
NUM_NEIGHBOURS = 16
#: Showers whose neighbours' angles are compared at once: tens of megabytes with a hundred thousand candidates.
SHOWERS_AT_ONCE = 1024


def matched_draws(
    candidate_energy: np.ndarray,
    incident_energy: np.ndarray,
    *,
    polar_angles: tuple[np.ndarray, np.ndarray] | None = None,
    num_draws: int = 5,
    seed: int = 0,
) -> list[np.ndarray]:
    """For each draw, one candidate of about the same energy for each incident energy: indices into the candidates, shape (N,) int64.

    With ``polar_angles`` [rad], of the candidates and of the showers, it is of about the same angle, too. Within a draw a candidate is
    taken twice only where all its neighbours are gone, as when there are fewer candidates than showers. The same on every rank for the
    same arguments.

    Raises:
        ValueError: no candidates.
    """
    if len(candidate_energy) == 0:
        msg = "no candidates to draw from"
        raise ValueError(msg)
    order = np.argsort(candidate_energy, kind="stable")
    near = _near_in_energy(candidate_energy[order], incident_energy, NUM_NEIGHBOURS)
    if polar_angles is not None:
        near = _near_in_both(candidate_energy[order], incident_energy, polar_angles[0][order], polar_angles[1])
    random = np.random.default_rng(seed)
    return [order[_one_draw(near, len(order), random)] for _ in range(num_draws)]


def _near_in_energy(rising_energy: np.ndarray, incident_energy: np.ndarray, number: int) -> np.ndarray:
    """Places of so many candidates around each incident energy, (N, number); of all where there are fewer."""
    window = min(number, len(rising_energy))
    place = np.searchsorted(rising_energy, incident_energy)
    return np.clip(place - window // 2, 0, len(rising_energy) - window)[:, None] + np.arange(window)


def _near_in_both(
    rising_energy: np.ndarray, incident_energy: np.ndarray, candidate_angle: np.ndarray, polar_angle: np.ndarray
) -> np.ndarray:
    """Places of the candidates that are nearest in angle among those near in energy, (N, NUM_NEIGHBOURS).

    The same share is taken of all by energy and of these by angle: neither is matched at the cost of the other.
    """
    number = max(NUM_NEIGHBOURS, math.ceil(math.sqrt(NUM_NEIGHBOURS * len(rising_energy))))
    found = []
    for rows in np.array_split(np.arange(len(incident_energy)), -(-len(incident_energy) // SHOWERS_AT_ONCE)):
        near = _near_in_energy(rising_energy, incident_energy[rows], number)
        difference = np.abs(candidate_angle[near] - polar_angle[rows, None])
        found.append(np.take_along_axis(near, np.argsort(difference, axis=1, kind="stable")[:, :NUM_NEIGHBOURS], axis=1))
    return np.concatenate(found)


def _one_draw(near: np.ndarray, num_candidates: int, random: np.random.Generator) -> np.ndarray:
    """Sorted places of the partners, (N,): in random order each shower takes a random free one of its neighbours ``near`` (N, W)."""
    is_taken = np.zeros(num_candidates, dtype=bool)
    partner = np.empty(len(near), dtype=np.int64)
    for shower in random.permutation(len(near)):
        neighbours = near[shower]
        free = neighbours[~is_taken[neighbours]]
        partner[shower] = random.choice(free if len(free) else neighbours)
        is_taken[partner[shower]] = True
    return partner
