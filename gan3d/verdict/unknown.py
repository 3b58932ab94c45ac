"""What a reader of the answer might take for known, and is not: one sentence each, with the way to know it."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Collection, Iterator, Sequence

from gan3d.verdict.evidence import Gated, Records
from gan3d.verdict.measure import Measure
from gan3d.verdict.recipes import Recipe
from gan3d.verdict.teams import Curve

BATCH = "training.global_batch"
#: Floors of the same showers differ by rounding only.
SAME_FLOOR = 1e-6


def of_physics(recommended: Recipe, recipes: Sequence[Recipe]) -> Iterator[str]:
    """Of the recommended recipe's distance."""
    if recommended.distance.num_trials == 1:
        yield (
            f"{recommended.name} was trained once: its distance is the luckiest of {len(recipes)} recipes and has no interval "
            f"(gan3d confirm {recommended.study} trains it again)."
        )
    if max(recommended.num_epochs, default=1) > 1:
        yield (
            f"The distance of {recommended.name} is that of the best of {between(recommended.num_epochs)} epochs, chosen on the same "
            "validation showers that measure it; on others it is larger on average (analysis/held_out.py measures it there)."
        )


def of_gates(recommended: Recipe, recipes: Sequence[Recipe], strays: Sequence[Gated]) -> Iterator[str]:
    """Which trials were not held against the gate, and whether all that were had the same chance to pass; ``strays``: of other trials."""
    for gate in strays:
        yield f"{gate.file} tells of no trial of a recipe of these studies: what the gate found there is left out."
    if not any(one.gates for one in recipes):
        yield "No trial was held against the gate (gan3d validate TRIAL --reference FILE --json > FILE, then --validation FILE)."
        return
    for one in recipes:
        if one.gates and one.not_held:
            known = "" if one.passes is False else ": whether it passes is not known"
            missing = ", ".join(map(str, one.not_held))
            yield f"{one.num_held} of {one.distance.num_trials} trials of {one.name} were held against the gate, not {missing}{known}."
    if not recommended.gates:
        yield f"{recommended.name} was not held against the gate."
    showers = {gate.num_showers for one in recipes for gate in one.gates}
    if len(showers) > 1:
        yield (
            f"The gate was held with {between(showers)} showers: the fault that it sees shrinks as one over the root of their number, "
            "so to pass with few is easier than with many."
        )


def of_states(recipe: Recipe) -> Iterator[str]:
    """Of documents of a recipe's trials that tell of other states than its distance does, or may."""
    for gate in recipe.other_states:
        yield (
            f"{gate.file} tells of epoch {gate.epoch} of a trial of {recipe.name}, whose distance is that of epoch "
            f"{', '.join(map(str, sorted(set(recipe.best_epochs))))}: what the gate found there is left out."
        )
    if silent := [gate.file for gate in recipe.gates if gate.epoch is None]:
        told = "does not say which epoch it tells" if len(silent) == 1 else "do not say which epochs they tell"
        yield f"{', '.join(silent)} {told} of: taken for those of the distance of {recipe.name}."
    states = {gate.settings: {one.parent for one in recipe.gates if one.settings == gate.settings and one.parent} for gate in recipe.gates}
    for found in states.values():
        if len(found) > 1:
            yield (
                f"{len(found)} different states of one trial of {recipe.name} were held against the gate, as of a study run twice: "
                "which of them the distance is of is not recorded."
            )


def of_ranking(measure: Measure, recipes: Sequence[Recipe], not_ranked: Sequence[Recipe], others: Sequence[str]) -> Iterator[str]:
    """What was left out of the ranking, and what is in it although it may not be the same; ``others``: studies without a recipe."""
    for study in others:
        yield f"The trials of {study} are not ranked as recipes: they differ in their numbers of workers."
    differences = Counter((one.study, one.measure.difference(measure)) for one in not_ranked)
    for (study, difference), number in differences.items():
        yield (
            f"{number} recipe{'s' if number > 1 else ''} of {study} {'are' if number > 1 else 'is'} not ranked: measured {difference}. "
            "Only distances that are measured as those of the first study are ranked."
        )
    floors = {one.study: one.floor for one in recipes if math.isfinite(one.floor)}
    if floors and not math.isclose(min(floors.values()), max(floors.values()), rel_tol=SAME_FLOOR):
        told = ", ".join(f"{study} {floor:.4g}" for study, floor in floors.items())
        yield (
            f"Validation files of the same names, but other floors ({told}): either these are other showers, and their distances are no "
            "ranking, or the training showers are, of which the floor is drawn."
        )


def between(numbers: Collection[int]) -> str:
    """One number, or from the smallest to the largest."""
    low, high = min(numbers), max(numbers)
    return str(low) if low == high else f"{low} to {high}"


def of_scaling(recommended: Recipe, recipes: Sequence[Recipe], curves: Sequence[Curve]) -> Iterator[str]:
    """Of times and costs on other numbers of workers."""
    if not curves:
        yield "No scaling study: how times and costs change with the number of workers is not known."
    measured = [curve for curve in curves if not curve.predicted_on]
    for curve in curves:
        if curve.predicted_on:
            yield f"Teams on {curve.predicted_on} are predicted by the cost model from {curve.study}, not measured."
    if measured and all(_is_on_one_node(curve) for curve in measured):
        largest = max(curve.sizes[-1].workers for curve in measured)
        yield f"No team was larger than one machine ({largest} workers, {measured[0].cores} cores): there was no network between nodes."
    yield from _of_sizes(recipes, measured)
    yield from _of_batches(recommended, curves)


def _of_sizes(recipes: Sequence[Recipe], measured: Sequence[Curve]) -> Iterator[str]:
    """Of teams that were not measured, or not placed."""
    unplaced = {curve.study for curve in measured if not all(one.nodes for one in curve.sizes)}
    for study in sorted(unplaced | {one.study for one in recipes if not one.nodes}):
        yield f"On how many nodes the workers of {study} were is not recorded: its teams are told by their workers."
    for workers in sorted({one.workers for one in recipes}):
        missing = [curve.study for curve in measured if not curve.sizes[0].workers <= workers <= curve.sizes[-1].workers]
        if missing:
            trained = f"{workers} worker{'s' if workers > 1 else ''}"
            names = ", ".join(dict.fromkeys(missing))
            yield f"{names} measured nothing as far as {trained}, as recipes have: ideal scaling is taken beyond."


def _of_batches(recommended: Recipe, curves: Sequence[Curve]) -> Iterator[str]:
    """Of curves of other batches than the recommended recipe's."""
    batch = recommended.settings.get(BATCH)
    for curve in curves:
        if curve.kind == "weak":
            yield f"Weak scaling ({_called(curve)}) lets the batch grow with the workers; what that does to the physics is not in it."
        elif curve.fixed_batch != batch:
            yield (
                f"Strong scaling ({_called(curve)}) is that of batch {curve.fixed_batch}, {recommended.name} has {batch}: "
                "its efficiency is carried over."
            )


def _called(curve: Curve) -> str:
    return f"{curve.study}, predicted on {curve.predicted_on}" if curve.predicted_on else curve.study


def _is_on_one_node(curve: Curve) -> bool:
    """By its records, else by the cores of the driver's machine."""
    largest = curve.sizes[-1]
    return largest.nodes == 1 if largest.nodes else largest.workers <= curve.cores


def of_cost(recommended: Recipe, studies: Sequence[Records]) -> Iterator[str]:
    """Of core-hours, energy and money."""
    for one in studies:
        if missing := int(one.costs.isna().sum()):
            yield (
                f"{missing} of {len(one.trials)} trials of {one.info.name} {'has' if missing == 1 else 'have'} no cost (trials that run or "
                "were killed have none): the study's core-hours are without them, and recipes of such trials alone are listed, not drawn."
            )
    if "declared" in recommended.energy_source:
        yield "Energy is declared (watts per core times core-hours), not measured."
    if not math.isfinite(recommended.money.value):
        yield "No price was declared (cost.price_per_core_hour), so there is no cost in money."
