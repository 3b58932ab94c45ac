"""Which recipe: the front of physics, time and cost, its knee, the cheapest that passes, and the one that is recommended."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from moocore import is_nondominated
from scipy import stats

from gan3d.scaling.draws import CONFIDENCE
from gan3d.verdict.quantity import Quantity
from gan3d.verdict.recipes import Recipe

#: In place of times and costs that are not known: no recipe is on the front for them.
NEVER = 1e12
#: A front of fewer recipes has no knee.
SMALLEST_FRONT = 3


def front_of(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those than which none is better or equal in distance, core-hours to the target and core-hours, and better in one; cheapest first.

    Core-hours, not hours: hours of recipes that were trained by teams of different sizes do not compare. Of recipes with as many cores each
    both order alike.
    """
    if not recipes:
        return []
    points = np.array([[one.distance.value, _known(one.core_hours_to_target.value), _known(one.core_hours.value)] for one in recipes])
    on_front = is_nondominated(points)
    return sorted((one for one, is_on in zip(recipes, on_front, strict=True) if is_on), key=lambda one: _known(one.core_hours.value))


def knee_of(front: Sequence[Recipe]) -> Recipe | None:
    """The recipe furthest below the straight line between the cheapest and the best, in distance by log core-hours, both scaled to 1.

    The knee of Das, Structural Optimization 18 (1999) 107, for two quantities; None of a front too small or without such a recipe.
    Recipes without a cost are left out.
    """
    priced = [one for one in front if math.isfinite(one.core_hours.value)]
    if len(priced) < SMALLEST_FRONT:
        return None
    cost = np.log([max(one.core_hours.value, 1e-12) for one in priced])
    distance = np.array([one.distance.value for one in priced])
    if np.ptp(cost) == 0 or np.ptp(distance) == 0:
        return None
    x, y = (cost - cost.min()) / np.ptp(cost), (distance - distance.min()) / np.ptp(distance)
    below = (1 - x) - y
    place = int(np.argmax(below))
    return priced[place] if below[place] > 0 else None


def cheapest_that_passes(recipes: Sequence[Recipe]) -> Recipe | None:
    """Of those whose trials were all held against the gate and passed."""
    passing = [one for one in recipes if one.passes]
    return min(passing, key=lambda one: _known(one.core_hours.value), default=None)


def recommended_of(recipes: Sequence[Recipe]) -> tuple[Recipe, str]:
    """The recipe to use, and the rule by which: passing the gate first, then being trained more than once, then being near.

    Without a recipe that passes: of those that were trained with several seeds the one with the smallest distance, unless that of one which
    was trained once is lower than luck makes it (`luck_limit`); of all, if none was trained with several.
    """
    passing = cheapest_that_passes(recipes)
    if passing is not None:
        return passing, "the cheapest whose trials all pass the gate"
    repeated = [one for one in recipes if one.distance.num_trials > 1]
    best = min(recipes, key=lambda one: one.distance.value)
    if not repeated:
        return best, "the smallest distance; none is known to pass the gate"
    sure = min(repeated, key=lambda one: one.distance.value)
    num_singles = sum(one.distance.num_trials == 1 for one in recipes)
    if best.distance.num_trials > 1 or best.distance.value >= luck_limit(sure.distance, num_singles):
        return sure, "the smallest mean distance of those trained with several seeds; none is known to pass the gate"
    luckiest = f"the luckiest of {num_singles} single trials would be" if num_singles > 1 else "a single lucky trial would be"
    return best, f"the smallest distance, lower than {luckiest}; none is known to pass the gate"


def luck_limit(repeated: Quantity, num_singles: int, alpha: float = 1 - CONFIDENCE) -> float:
    """Below it lies the smallest of so many single trials that are as good as the repeated ones in at most the share ``alpha`` of cases.

    The lower prediction limit for all of m further observations from a normal one, mean - t(1 - alpha / m, n - 1) s sqrt(1 + 1 / n)
    of n repeated ones of standard deviation s: Bonferroni's approximation, exact for m = 1, and too careful for many singles (Hahn 1970,
    doi.org/10.2307/2284349). It takes the singles to scatter as the repeated ones do.
    """
    n = repeated.num_trials
    factor = float(stats.t.ppf(1 - alpha / num_singles, n - 1)) * math.sqrt(1 + 1 / n)
    return repeated.value - factor * repeated.spread


def _known(value: float) -> float:
    return value if math.isfinite(value) else NEVER
