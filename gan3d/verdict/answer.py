"""The answer to "which architecture, batch size and learning rate, on how many nodes, at what cost and with which fidelity"."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np

from gan3d.errors import ConfigError
from gan3d.verdict import unknown
from gan3d.verdict.choice import cheapest_that_passes, front_of, knee_of, recommended_of
from gan3d.verdict.evidence import Gated, Records
from gan3d.verdict.measure import Measure
from gan3d.verdict.names import with_names_of_their_own
from gan3d.verdict.on_teams import fastest, fastest_on_nodes, recommended_teams
from gan3d.verdict.recipes import Recipe, best_distances, first_measure, recipes_of
from gan3d.verdict.teams import LEAST_EFFICIENCY, Curve, curves_of

#: Where no target is given: so much above the best distance of all trials that are ranked.
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
    measure: Measure
    """Of the first study: recipes with it are ranked."""
    recipes: tuple[Recipe, ...]
    not_ranked: tuple[Recipe, ...]
    """Those with another measure."""
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
    stray_gates: tuple[Gated, ...] = ()
    """Those of trials that are none of any recipe."""

    def as_document(self) -> dict[str, Any]:
        """As JSON has it: quantities with their intervals, null where nothing is known."""
        found = {
            "studies": [_study(one) for one in self.studies],
            "target": {"distance": self.target, "given": self.is_target_given},
            "recommended": _recipe(self.recommended) | {"rule": self.rule},
            "workers": list(recommended_teams(self.recommended, self.curves, self.asked.least_efficiency)),
            "knee": None if self.knee is None else self.knee.name,
            "cheapest_that_passes_the_gate": None if self.cheapest_passing is None else self.cheapest_passing.name,
            "fastest_on_at_most": list(self.fastest()),
            "fastest_on_at_most_nodes": list(fastest_on_nodes(self.recipes, self.curves)),
            "front": [one.name for one in self.front],
            "measured_on": self.measure.in_words(),
            "recipes": [_recipe(one) for one in self.recipes],
            "not_ranked": [_recipe(one) for one in self.not_ranked],
            "scaling": [asdict(one) for one in self.curves],
            "generation": list(self.timings),
            "exported": [{"recipe": one.name} | asdict(gate) for one in (*self.recipes, *self.not_ranked) for gate in one.exported],
            "not_measured": list(self.not_measured()),
        }
        cleaned: dict[str, Any] = _plain(found)
        return cleaned

    def sentence(self) -> str:
        """What is recommended and why, in one sentence."""
        recipe = self.recommended
        held = f"{recipe.num_held} of {recipe.distance.num_trials} trials held against it"
        unheld = f"whether it passes the gate is not known, {held}" if recipe.num_held else "was not held against the gate"
        gate = {True: "passes the gate", False: "does not pass the gate", None: unheld}[recipe.passes]
        floor = f", floor {recipe.floor:.3g}" if math.isfinite(recipe.floor) else ""
        cost = f"{recipe.core_hours.value:.3g} core-hours" if math.isfinite(recipe.core_hours.value) else "core-hours not known"
        told = f"shower distance {recipe.distance.value:.3g}{floor}, {cost}"
        return f"{recipe.name} ({self.rule}): {told}; {gate}."

    def fastest(self) -> Iterator[dict[str, Any]]:
        """For each number of workers the recipe that is at the target first."""
        return fastest(self.recipes, self.curves)

    def _without_recipes(self) -> list[str]:
        """Names of scaling studies with physics beside searches."""
        told = {one.study for one in (*self.recipes, *self.not_ranked)}
        return [one.info.name for one in self.studies if one.has_physics and one.info.name not in told]

    def not_measured(self) -> Iterator[str]:
        """What a reader might take for known, and is not."""
        yield from unknown.of_physics(self.recommended, self.recipes)
        yield from unknown.of_gates(self.recommended, self.recipes, self.stray_gates)
        for one in (*self.recipes, *self.not_ranked):
            yield from unknown.of_states(one)
        yield from unknown.of_ranking(self.measure, self.recipes, self.not_ranked, self._without_recipes())
        yield from unknown.of_scaling(self.recommended, self.recipes, self.curves)
        yield from unknown.of_cost(self.recommended, self.studies)
        if not self.timings:
            yield "Generation was not timed (gan3d benchmark generation ... --output FILE, then --generation FILE)."
        if not self.is_target_given:
            yield f"No target was given: times are to a distance of {self.target:.4g}, a tenth above the best of all that are ranked."


def answer_of(
    records: Sequence[Records],
    gates: Sequence[Gated] = (),
    timings: Sequence[dict[str, Any]] = (),
    asked: Asked | None = None,
    predictions: Sequence[Curve] = (),
) -> Answer:
    """Join them. Recipes are ranked that were measured on the same showers as the first study's.

    Raises:
        ConfigError: none of the studies has physics.
    """
    asked = asked or Asked()
    measures = [(one, own) for one in records if (own := first_measure(one)) is not None]
    if not measures:
        message = "none of these studies has held showers against Monte Carlo: there is no physics to judge."
        raise ConfigError(message)
    measures = [(one, own) for one, own in measures if not one.is_of_scaling] or measures
    searches, measure = [one for one, _ in measures], measures[0][1]
    target = asked.target
    if target is None:
        target = NEAR * min(distance for one in searches for distance in best_distances(one, measure))
    found = with_names_of_their_own([recipe for one in searches for recipe in recipes_of(one, target, gates)])
    recipes, not_ranked = ([one for one in found if (one.measure == measure) == is_same] for is_same in (True, False))
    front = front_of(recipes)
    recommended, rule = recommended_of(recipes)
    return Answer(
        studies=tuple(records),
        measure=measure,
        recipes=tuple(recipes),
        not_ranked=tuple(not_ranked),
        front=tuple(front),
        knee=knee_of(front),
        cheapest_passing=cheapest_that_passes(recipes),
        recommended=recommended,
        rule=rule,
        target=target,
        is_target_given=asked.target is not None,
        curves=(*curves_of(records), *predictions),
        timings=tuple(timings),
        asked=asked,
        stray_gates=tuple(gate for gate in gates if not any(recipe.is_told_of(gate) for recipe in found)),
    )


def _study(records: Records) -> dict[str, Any]:
    costs = records.costs
    return {
        "name": records.info.name,
        "question": records.info.question,
        "kind": "scaling" if records.is_of_scaling else "search",
        "state": records.info.state,
        "trials": len(records.trials),
        "states": {str(name): int(number) for name, number in records.trials["state"].value_counts().items()},
        "core_hours": float(costs.sum(min_count=1)),
        "trials_without_cost": int(costs.isna().sum()),
        "run_id": records.info.run_id,
    }


def _recipe(recipe: Recipe) -> dict[str, Any]:
    held = {"trials": recipe.num_held, "of": recipe.distance.num_trials}
    return asdict(recipe) | {"passes_the_gate": recipe.passes, "held_against_the_gate": held}


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
