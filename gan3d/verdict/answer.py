"""The answer to "which architecture, batch size and learning rate, on how many nodes, at what cost and with which fidelity"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gan3d.verdict import unknown
from gan3d.verdict.choice import cheapest_that_passes, front_of, knee_of, recommended_of
from gan3d.verdict.evidence import Gated, Records
from gan3d.verdict.recipes import Recipe, best_distances, recipes_of
from gan3d.verdict.teams import LEAST_EFFICIENCY, Curve, curves_of, on_team

#: Where no target is given: so much above the best distance of all trials.
NEAR = 1.1


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked beside the studies."""

    target: float | None = None
    """Distance that counts as reached; None: a tenth above the best one."""
    least_efficiency: float = LEAST_EFFICIENCY


@dataclass(frozen=True, slots=True, eq=False)
class Answer:
    """All of it."""

    studies: tuple[Records, ...]
    recipes: tuple[Recipe, ...]
    front: tuple[Recipe, ...]
    knee: Recipe | None
    cheapest_passing: Recipe | None
    recommended: Recipe
    rule: str
    target: float
    is_target_given: bool
    curves: tuple[Curve, ...]
    timings: tuple[dict[str, Any], ...]
    asked: Asked

    def as_document(self) -> dict[str, Any]:
        """As JSON has it: quantities with their intervals, null where nothing is known."""
        found = {
            "studies": [_study(one) for one in self.studies],
            "target": {"distance": self.target, "given": self.is_target_given},
            "recommended": _recipe(self.recommended) | {"rule": self.rule},
            "workers": self._workers(),
            "knee": None if self.knee is None else self.knee.name,
            "cheapest_that_passes_the_gate": None if self.cheapest_passing is None else self.cheapest_passing.name,
            "fastest_on_at_most": list(self.fastest()),
            "front": [one.name for one in self.front],
            "recipes": [_recipe(one) for one in self.recipes],
            "scaling": [asdict(one) for one in self.curves],
            "generation": list(self.timings),
            "not_measured": list(self.not_measured()),
        }
        cleaned: dict[str, Any] = _plain(found)
        return cleaned

    def sentence(self) -> str:
        """What is recommended and why, in one sentence."""
        recipe = self.recommended
        gate = {True: "passes the gate", False: "does not pass the gate", None: "was not held against the gate"}[recipe.passes]
        floor = f", floor {recipe.floor:.3g}" if math.isfinite(recipe.floor) else ""
        told = f"shower distance {recipe.distance.value:.3g}{floor}, {recipe.core_hours.value:.3g} core-hours"
        return f"{recipe.name} ({self.rule}): {told}; {gate}."

    def _workers(self) -> list[dict[str, Any]]:
        """Of each curve the team that is recommended, and what it makes of the recommended recipe."""
        rows = []
        for curve in self.curves:
            size = curve.recommended(self.asked.least_efficiency)
            recipe = self.recommended
            hours, core_hours = on_team(recipe.hours.value, recipe.core_hours.value, recipe.workers, size, curve)
            rows.append(
                {
                    "study": curve.study,
                    "kind": curve.kind,
                    "size": asdict(size),
                    "wall_hours": hours,
                    "core_hours": core_hours,
                    "kwh": recipe.kwh.value * core_hours / recipe.core_hours.value if recipe.core_hours.value else math.nan,
                    "money": recipe.money.value * core_hours / recipe.core_hours.value if recipe.core_hours.value else math.nan,
                }
            )
        return rows

    def fastest(self) -> Iterator[dict[str, Any]]:
        """For each number of workers: the recipe that is at the target first, on the fastest team of at most so many."""
        reaching = [one for one in self.recipes if one.num_reached]
        if not reaching:
            return
        best = min(reaching, key=lambda one: one.hours_to_target.value)
        for curve in self.curves:
            for most in [size.workers for size in curve.sizes]:
                size = curve.at_most(most)
                spent = (best.hours_to_target.value, best.core_hours_to_target.value)
                hours, core_hours = on_team(*spent, best.workers, size, curve)
                named = {"study": curve.study, "kind": curve.kind, "at_most": most, "workers": size.workers, "recipe": best.name}
                yield named | {"hours_to_target": hours, "core_hours_to_target": core_hours}

    def not_measured(self) -> Iterator[str]:
        """What a reader might take for known, and is not."""
        yield from unknown.of_physics(self.recommended, self.recipes)
        yield from unknown.of_scaling(self.recommended, self.curves)
        yield from unknown.of_cost(self.recommended)
        if not self.timings:
            yield "Generation was not timed (gan3d benchmark generation ... --output FILE, then --generation FILE)."
        if not self.is_target_given:
            yield f"No target was given: times are to a distance of {self.target:.4g}, a tenth above the best of all trials."


def answer_of(
    records: Sequence[Records], gates: Sequence[Gated] = (), timings: Sequence[dict[str, Any]] = (), asked: Asked | None = None
) -> Answer:
    """Join them.

    Raises:
        ConfigError: none of the studies has physics.
    """
    asked = asked or Asked()
    searches = [one for one in records if one.has_physics and not one.is_of_scaling] or [one for one in records if one.has_physics]
    best = float(best_distances(searches).min())
    target = asked.target if asked.target is not None else NEAR * best
    recipes = [recipe for one in searches for recipe in recipes_of(one, target, gates)]
    front = front_of(recipes)
    recommended, rule = recommended_of(recipes)
    return Answer(
        studies=tuple(records),
        recipes=tuple(recipes),
        front=tuple(front),
        knee=knee_of(front),
        cheapest_passing=cheapest_that_passes(recipes),
        recommended=recommended,
        rule=rule,
        target=target,
        is_target_given=asked.target is not None,
        curves=tuple(curves_of(records)),
        timings=tuple(timings),
        asked=asked,
    )


def _study(records: Records) -> dict[str, Any]:
    core_hours = records.trials["core_hours"].sum() if "core_hours" in records.trials else math.nan
    return {
        "name": records.info.name,
        "question": records.info.question,
        "kind": "scaling" if records.is_of_scaling else "search",
        "state": records.info.state,
        "trials": len(records.trials),
        "states": {str(name): int(number) for name, number in records.trials["state"].value_counts().items()},
        "core_hours": float(core_hours),
        "run_id": records.info.run_id,
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    return asdict(recipe) | {"passes_the_gate": recipe.passes}


def _plain(value: Any) -> Any:
    """Without what JSON has no word for: NaN and infinities become null."""
    if isinstance(value, dict):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
