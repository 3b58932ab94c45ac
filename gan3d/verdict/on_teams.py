"""What recipes take on teams that scaling studies measured: which team to form, and which recipe is at the target first on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gan3d.verdict.quantity import Quantity
from gan3d.verdict.recipes import Recipe
from gan3d.verdict.teams import Curve, on_team


def recommended_teams(recipe: Recipe, curves: Sequence[Curve], least_efficiency: float) -> Iterator[dict[str, Any]]:
    """Of each curve the team that is recommended, and what it makes of the recipe; energy and money go with core-hours."""
    for curve in curves:
        size = curve.recommended(least_efficiency)
        hours, core_hours = on_team(recipe.hours, recipe.core_hours, recipe.workers, size, curve)
        _, kwh = on_team(recipe.hours, recipe.kwh, recipe.workers, size, curve)
        _, money = on_team(recipe.hours, recipe.money, recipe.workers, size, curve)
        row: dict[str, Any] = {"study": curve.study, "kind": curve.kind, "size": asdict(size), "num_trials": recipe.hours.num_trials}
        for name, quantity in (("wall_hours", hours), ("core_hours", core_hours), ("kwh", kwh), ("money", money)):
            row |= flat(name, quantity)
        yield row | {"energy_source": recipe.energy_source, "currency": recipe.currency}


def fastest(recipes: Sequence[Recipe], curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    """For each number of workers: the recipe that is at the target first, on the fastest team of at most so many.

    First by the median over its trials, so that one lucky trial of several is not enough, and on that team, whatever team each recipe
    was trained by.
    """
    reaching = [one for one in recipes if math.isfinite(one.hours_to_target.value)]
    for curve in curves if reaching else ():
        for most in [size.workers for size in curve.sizes]:
            size = curve.at_most(most)
            taken = [on_team(one.hours_to_target, one.core_hours_to_target, one.workers, size, curve) for one in reaching]
            place = min(range(len(taken)), key=lambda number: taken[number][0].value)
            best, (hours, core_hours) = reaching[place], taken[place]
            named = {"study": curve.study, "kind": curve.kind, "at_most": most, "workers": size.workers, "recipe": best.name}
            told = {"num_reached": best.num_reached, "num_trials": best.hours_to_target.num_trials}
            yield named | told | flat("hours_to_target", hours) | flat("core_hours_to_target", core_hours)


def flat(name: str, quantity: Quantity) -> dict[str, float]:
    """Beside other columns of a row: its value and the ends of its interval."""
    return {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}
