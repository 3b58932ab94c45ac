"""What a reader of the answer might take for known, and is not: one sentence each, with the way to know it."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from gan3d.verdict.recipes import Recipe
from gan3d.verdict.teams import Curve

BATCH = "training.global_batch"


def of_physics(recommended: Recipe, recipes: Sequence[Recipe]) -> Iterator[str]:
    """Of the recommended recipe's distance and gate."""
    if recommended.distance.num_trials == 1:
        yield (
            f"{recommended.name} was trained once: its distance is the luckiest of {len(recipes)} recipes and has no interval "
            f"(gan3d confirm {recommended.study} trains it again)."
        )
    if not any(one.gates for one in recipes):
        yield "No trial was held against the gate (gan3d validate TRIAL --reference FILE --json > FILE, then --validation FILE)."
    elif recommended.passes is None:
        yield f"{recommended.name} was not held against the gate."


def of_scaling(recommended: Recipe, curves: Sequence[Curve]) -> Iterator[str]:
    """Of times and costs on other numbers of workers."""
    if not curves:
        yield "No scaling study: how times and costs change with the number of workers is not known."
    elif all(curve.sizes[-1].workers <= curve.cores for curve in curves):
        largest = max(curve.sizes[-1].workers for curve in curves)
        yield f"No team was larger than one machine ({largest} workers, {curves[0].cores} cores): there was no network between nodes."
    batch = recommended.settings.get(BATCH)
    for curve in curves:
        if curve.kind == "weak":
            yield f"Weak scaling ({curve.study}) lets the batch grow with the workers; what that does to the physics is not in it."
        elif curve.fixed_batch != batch:
            yield (
                f"Strong scaling ({curve.study}) was measured with batch {curve.fixed_batch}, {recommended.name} has {batch}: "
                "its efficiency is carried over."
            )


def of_cost(recommended: Recipe) -> Iterator[str]:
    """Of energy and money."""
    if "declared" in recommended.energy_source:
        yield "Energy is declared (watts per core times core-hours), not measured."
    if not math.isfinite(recommended.money.value):
        yield "No price was declared (cost.price_per_core_hour), so there is no cost in money."
