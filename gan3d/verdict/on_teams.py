"""What recipes take on teams that scaling studies measured: which team to form, and which recipe is at the target first on it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import Any

from gan3d.verdict.quantity import Quantity
from gan3d.verdict.recipes import Recipe
from gan3d.verdict.teams import Curve, TeamSize, on_team


def recommended_teams(recipe: Recipe, curves: Sequence[Curve], least_efficiency: float) -> Iterator[dict[str, Any]]:
    """Of each curve the team that is recommended, and what it makes of the recipe; energy and money go with core-hours."""
    for curve in curves:
        size = curve.recommended(least_efficiency)
        hours, core_hours = on_team(recipe.hours, recipe.core_hours, recipe.workers, size, curve)
        _, kwh = on_team(recipe.hours, recipe.kwh, recipe.workers, size, curve)
        _, money = on_team(recipe.hours, recipe.money, recipe.workers, size, curve)
        row: dict[str, Any] = {"study": curve.study, "kind": curve.kind, "predicted_on": curve.predicted_on, "size": asdict(size)}
        row["num_trials"] = recipe.hours.num_trials
        for name, quantity in (("wall_hours", hours), ("core_hours", core_hours), ("kwh", kwh), ("money", money)):
            row |= flat(name, quantity)
        yield row | {"known": known_how(recipe, size, curve), "energy_source": recipe.energy_source, "currency": recipe.currency}


def fastest(recipes: Sequence[Recipe], curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    """For each number of workers: the recipe that is at the target first, on the fastest team of at most so many.

    First by the median over its trials, so that one lucky trial of several is not enough, and on that team, whatever team each recipe
    was trained by. Teams that trained recipes and are on no curve have lines of their own.
    """
    reaching = reaching_of(recipes)
    if reaching:
        teams = [(one.workers, curve.at_most(one.workers), curve) for curve in curves for one in curve.sizes]
        yield from _with_own(_on_curves(teams, reaching), [(one.workers, one) for one in reaching])


def fastest_on_nodes(recipes: Sequence[Recipe], curves: Sequence[Curve]) -> Iterator[dict[str, Any]]:
    """The same for each number of nodes on which teams are known to have been."""
    reaching = reaching_of(recipes)
    if reaching:
        teams = [(most, curve.on_at_most(most), curve) for curve in curves for most in sorted({one.nodes for one in curve.sizes} - {0})]
        yield from _with_own(_on_curves(teams, reaching), [(one.nodes, one) for one in reaching if one.nodes])


def reaching_of(recipes: Sequence[Recipe]) -> list[Recipe]:
    """Those of which more than half of the trials came to the target."""
    return [one for one in recipes if math.isfinite(one.hours_to_target.value)]


def known_how(recipe: Recipe, size: TeamSize, curve: Curve) -> str:
    """What a recipe takes on a team of a curve: `measured`, `scaled` by the curve, or taken to scale ideally (`ideal`) from beyond it.

    `predicted` where the cost model predicts the curve.
    """
    if size.workers == recipe.workers:
        return "measured"
    if curve.predicted_on:
        return "predicted"
    return "scaled" if curve.sizes[0].workers <= recipe.workers <= curve.sizes[-1].workers else "ideal"


def flat(name: str, quantity: Quantity) -> dict[str, float]:
    """Beside other columns of a row: its value and the ends of its interval."""
    return {name: quantity.value, f"{name}_low": quantity.low, f"{name}_high": quantity.high}


def _on_curves(teams: Sequence[tuple[int, TeamSize, Curve]], reaching: Sequence[Recipe]) -> list[dict[str, Any]]:
    """A line for each, without what a prediction leads back to: the teams that trained the recipes."""
    lines = [{"at_most": most} | _first_on(size, curve, reaching) for most, size, curve in teams]
    return [one for one in lines if not (one["predicted_on"] and one["known"] == "measured")]


def _with_own(on_curves: list[dict[str, Any]], own: Sequence[tuple[int, Recipe]]) -> Iterator[dict[str, Any]]:
    """Lines of curves and of teams that trained recipes and are on none, by size: by themselves, or by what curves say of smaller teams."""
    lines = list(on_curves)
    for most in {size for size, _ in own} - {row["at_most"] for row in on_curves}:
        smaller = [_on_its_own(recipe) for size, recipe in own if size <= most] + [row for row in on_curves if row["at_most"] <= most]
        lines.append(min(smaller, key=lambda row: float(row["hours_to_target"])) | {"at_most": most})
    yield from sorted(lines, key=lambda row: int(row["at_most"]))


def _first_on(size: TeamSize, curve: Curve, reaching: Sequence[Recipe]) -> dict[str, Any]:
    """The recipe that is first on this team."""
    taken = [on_team(one.hours_to_target, one.core_hours_to_target, one.workers, size, curve) for one in reaching]
    place = min(range(len(taken)), key=lambda number: taken[number][0].value)
    best, (hours, core_hours) = reaching[place], taken[place]
    team: dict[str, Any] = {"study": curve.study, "kind": curve.kind, "predicted_on": curve.predicted_on}
    team |= {"workers": size.workers, "nodes": size.nodes or None}
    return team | {"known": known_how(best, size, curve)} | _told(best, hours, core_hours)


def _on_its_own(recipe: Recipe) -> dict[str, Any]:
    """A recipe on the team that trained it."""
    team: dict[str, Any] = {"study": recipe.study, "kind": None, "predicted_on": ""}
    team |= {"workers": recipe.workers, "nodes": recipe.nodes or None, "known": "measured"}
    return team | _told(recipe, recipe.hours_to_target, recipe.core_hours_to_target)


def _told(recipe: Recipe, hours: Quantity, core_hours: Quantity) -> dict[str, Any]:
    told = {"recipe": recipe.name, "num_reached": recipe.num_reached, "num_trials": recipe.hours_to_target.num_trials}
    return told | flat("hours_to_target", hours) | flat("core_hours_to_target", core_hours)
