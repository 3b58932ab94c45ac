"""Which recipe: the front of physics, time and cost, its knee, the cheapest that passes, and the one that is recommended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from moocore import is_nondominated

from gan3d.verdict.recipes import Recipe

#: In place of times and costs that are not known: no recipe is on the front for them.
NEVER = 1e12
#: A front of fewer recipes has no knee.
SMALLEST_FRONT = 3


def front_of(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those than which none is better or equal in distance, hours to the target and core-hours, and better in one; cheapest first."""
    if not recipes:
        return []
    points = np.array([[one.distance.value, _known(one.hours_to_target.value), _known(one.core_hours.value)] for one in recipes])
    on_front = is_nondominated(points)
    return sorted((one for one, is_on in zip(recipes, on_front, strict=True) if is_on), key=lambda one: _known(one.core_hours.value))


def knee_of(front: Sequence[Recipe]) -> Recipe | None:
    """The recipe furthest below the straight line between the cheapest and the best, in distance by log core-hours, both scaled to 1.

    The knee of Das, Structural Optimization 18 (1999) 107, for two quantities; None of a front too small or without such a recipe.
    """
    if len(front) < SMALLEST_FRONT:
        return None
    cost = np.log([max(one.core_hours.value, 1e-12) for one in front])
    distance = np.array([one.distance.value for one in front])
    if np.ptp(cost) == 0 or np.ptp(distance) == 0:
        return None
    x, y = (cost - cost.min()) / np.ptp(cost), (distance - distance.min()) / np.ptp(distance)
    below = (1 - x) - y
    place = int(np.argmax(below))
    return front[place] if below[place] > 0 else None


def cheapest_that_passes(recipes: Sequence[Recipe]) -> Recipe | None:
    """Of those whose trials all passed the gate."""
    passing = [one for one in recipes if one.passes]
    return min(passing, key=lambda one: _known(one.core_hours.value), default=None)


def recommended_of(recipes: Sequence[Recipe]) -> tuple[Recipe, str]:
    """The recipe to use, and the rule by which: passing the gate first, then being trained more than once, then being near.

    Without a recipe that passes: of those that were trained with several seeds, else of all, the one with the smallest distance.
    """
    passing = cheapest_that_passes(recipes)
    if passing is not None:
        return passing, "the cheapest whose trials all pass the gate"
    repeated = [one for one in recipes if one.distance.num_trials > 1]
    best = min(recipes, key=lambda one: one.distance.value)
    if repeated:
        sure = min(repeated, key=lambda one: one.distance.value)
        # One lucky trial is no reason, unless no repeated recipe comes near it.
        if not best.distance.value < sure.distance.low:
            return sure, "the smallest mean distance of those trained with several seeds; none is known to pass the gate"
    return best, "the smallest distance; none is known to pass the gate"


def _known(value: float) -> float:
    return value if math.isfinite(value) else NEVER
