"""Everything that two sets of showers are asked, and every answer beside its floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.validation import classifier, copies, coverage, features, frechet, separation, similarity
from gan3d.validation.angles import AngleBin, angles_in_bins
from gan3d.validation.cells_network import cells_recipe
from gan3d.validation.classifier import Recipe
from gan3d.validation.collection import Halves, blocks, halves
from gan3d.validation.detector import Detector
from gan3d.validation.distances import Distances, shower_distances
from gan3d.validation.features import feature_names, features_of
from gan3d.validation.gate import Finding, floor_of, judge
from gan3d.validation.profiles import ProfileDeviation, profile_deviations
from gan3d.validation.refusals import refuse_showers
from gan3d.validation.response import ResponseBin, response_in_bins
from gan3d.validation.sides import Most, Sides, most_of_files, whole_ones, with_more
from gan3d.validation.table import angles_vary, joined, table_of

#: Showers of each kind that nearest neighbours are looked for among, at most.
MOST_NEIGHBOURS = 1000
#: Of each kind that are neither empty nor broken: of fewer the gate has said enough.
SMALLEST_WHOLE = 50


@dataclass(frozen=True, slots=True)
class Beside:
    """A number with its error, and the same of the reference against itself."""

    value: float
    error: float
    floor: float
    floor_error: float
    num_showers: int
    """Of each kind, for the value."""
    num_floor: int
    """And for the floor."""


@dataclass(frozen=True, slots=True)
class Report:
    """All answers."""

    num_showers: int
    num_reference: int
    num_judged: int
    """Showers on each side of the gate and of all floors."""
    findings: tuple[Finding, ...]
    """The gate's, worst first."""
    response: tuple[ResponseBin, ...]
    angles: tuple[AngleBin, ...]
    """None where polar angles do not vary, or layers' depths are not known."""
    profiles: tuple[ProfileDeviation, ...]
    physics: dict[str, Beside]
    """The ten distances of `gan3d.physics.distance` and their mean, over all energies and at the lowest and highest: `distances.NAMES`."""
    physics_version: int
    """Of their definitions: only distances of one are compared."""
    separation_powers: dict[str, tuple[float, float]]
    """Feature, or headline of `separation.headline_powers`, → separation power and its floor."""
    distances: dict[str, Beside]
    """`frechet`, `kernel`; `high_level_auc`, `high_level_divergence`, the same of `challenge` and `low_level`; `precision`, `recall`,
    `density`, `coverage`, `similarity_...` of each bin of energy, and `copies` where the training showers are known."""
    not_measured: dict[str, str]
    """Distance, or distance and `floor` where only that, → why it is NaN."""

    @property
    def passes(self) -> bool:
        """Whether the gate lets it through."""
        return not any(one.is_flagged for one in self.findings)


@dataclass(frozen=True, slots=True)
class Known:
    """Of the generator that showers are of."""

    training: Iterable[Showers] | None = None
    """What it was trained on, in blocks, if it may have learnt it by heart; none of the reference is in it."""
    threshold_gev: float = 0.0
    """For the ten distances fainter cells are 0, the reference's too."""
    more: Showers | None = None
    """Its showers with energies of the half that the others are held against, in its order, while these have those of the other half;
    only for what takes the whole reference."""


NOTHING = Known()


def validate_showers(
    showers: Showers,
    reference: Showers,
    detector: Detector,
    *,
    known: Known = NOTHING,
    seed: int = 1,
    is_quick: bool = False,
    progress: Callable[[str], None] = lambda _what: None,
) -> Report:
    """Hold showers against a reference.

    Half of the reference is what they are compared with, the other half is compared with it too: the floor. Both, and which showers are
    judged if there are more, are drawn by the seed: neither file need be in any order. What a generator gets the energies of is
    `collection.halves`. Classifiers, Frechet and kernel distances need many showers, and their size means something without a floor of as
    many: they take all showers and the whole reference, as far as there are as many of both. Their floor is between halves.

    Args:
        showers: of any origin.
        reference: Monte Carlo, at least twice 100 showers; the better the more there are.
        detector: that both were made in.
        known: of who made the showers.
        seed: of draws, folds and networks.
        is_quick: the gate, the response, the profiles and the ten distances only.
        progress: hears what is done next.

    Raises:
        DataError: grids differ, or there are too few showers.
    """
    refuse_showers(showers, reference)
    num_judged = min(len(showers), len(reference) // 2)
    progress("observables")
    ours, theirs = (joined(table_of(part, detector) for part in blocks(one)) for one in (showers, reference))
    progress("floor of the gate")
    places = halves(len(reference), num_judged, seed)
    findings = judge(ours, theirs.draw(places.theirs), floor_of(theirs, num_judged, seed), seed)
    sides = _sides(showers, reference, places, seed)
    progress("ten distances")
    physics = shower_distances(*sides, detector, known.threshold_gev, seed)
    powers, found = dict[str, tuple[float, float]](), dict[str, Beside]()
    if not is_quick:
        more = known.more
        most = most_of_files(showers, reference, num_judged, seed) if more is None else with_more(showers, more, reference, places)
        powers, found = _slow(whole_ones(*sides), most, Question(detector, known.training, seed, progress))
    angles, no_angles = _angles(showers, reference, detector)
    return Report(
        num_showers=len(showers),
        num_reference=len(reference),
        num_judged=num_judged,
        findings=tuple(findings),
        response=tuple(response_in_bins(ours, theirs)),
        angles=angles,
        profiles=tuple(profile_deviations(ours, theirs, showers.cells.shape[1:], num_judged, seed)),
        physics=_beside(physics, num_judged),
        physics_version=physics.version,
        separation_powers=powers,
        distances=found,
        not_measured=_reasons(found) | no_angles,
    )


def _sides(showers: Showers, reference: Showers, places: Halves, seed: int) -> Sides:
    """Those that are judged, and both halves."""
    # Other numbers than the halves': a file in the reference's order would have its energies shower by shower.
    judged = np.random.default_rng([seed, 1]).permutation(len(showers))[: len(places.theirs)]
    return Sides(showers.take(judged), reference.take(places.theirs), reference.take(places.others))


def _angles(showers: Showers, reference: Showers, detector: Detector) -> tuple[tuple[AngleBin, ...], dict[str, str]]:
    """Of showers whose polar angles vary, or why not."""
    if not angles_vary(reference.polar_angle):
        return (), {}
    if detector.depth is None:
        return (), {"shower angle": "layers' depths are those of a calorimeter that --calorimeter names"}
    return tuple(angles_in_bins(showers, reference, detector.depth)), {}


def _beside(found: Distances, number: int) -> dict[str, Beside]:
    return {name: Beside(*found.showers[name], *found.floor[name], number, number) for name in found.showers}


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of showers beside the reference's."""

    detector: Detector
    training: Iterable[Showers] | None
    seed: int
    progress: Callable[[str], None]


def _reasons(distances: dict[str, Beside]) -> dict[str, str]:
    """Of what could not be measured."""
    reasons = {
        "frechet": f"fewer than {frechet.SHOWERS_PER_FEATURE} showers of each kind per feature, too few to take off what finite sets add",
        "copies": "the reference's showers are among the training showers: none of them is fresh",
    }
    found = {}
    for name, why in reasons.items():
        one = distances.get(name)
        if one is not None and math.isnan(one.floor):
            found[name if math.isnan(one.value) else f"{name} floor"] = why
    return found


def _slow(sides: Sides, most: Most | None, asked: Question) -> tuple[dict[str, tuple[float, float]], dict[str, Beside]]:
    """What takes seconds to minutes; nothing of too few."""
    if len(sides.ours) < SMALLEST_WHOLE:
        return {}, {}
    seed, progress = asked.seed, asked.progress
    every = sides if most is None else (*sides, most.ours, most.theirs)
    varies = angles_vary(sides.theirs.polar_angle)
    seen = [features.joined([features_of(part, asked.detector, has_polar_angle=varies) for part in blocks(one)]) for one in every]
    ours, theirs, others = seen[:3]
    progress("separation powers")
    pairs = zip(separation.separation_power(theirs.high, ours.high), separation.separation_power(theirs.high, others.high), strict=True)
    names = feature_names(sides.ours.cells.shape[3], has_polar_angle=varies)
    powers = dict(zip(names, ((float(a), float(b)) for a, b in pairs), strict=True))
    headlines = [separation.Headline.of(one, asked.detector.threshold_gev) for one in sides]
    first, of_floor = (separation.headline_powers(headlines[1], headlines[place]) for place in (0, 2))
    powers |= {name: (first[name], of_floor[name]) for name in first}
    found: dict[str, Beside] = {}
    # Last two of as many as there are, or of what the floor has too.
    high = [one.high for one in (ours, theirs, others, *(seen[3:] or seen[:2]))]
    for name, measure in (("frechet", frechet.frechet_physics_distance), ("kernel", frechet.kernel_physics_distance)):
        progress(f"{name} distance")
        value, floor = measure(high[4], high[3], seed), measure(high[1], high[2], seed)
        found[name] = Beside(value.value, value.error, floor.value, floor.error, len(high[3]), len(high[2]))
    observables = [joined(table_of(part, asked.detector) for part in blocks(one)).matrix for one in every]
    kinds = {
        "high_level": [np.concatenate([one.high, more], axis=1) for one, more in zip(seen, observables, strict=True)],
        "challenge": [one.high for one in seen],
        "low_level": [one.low for one in seen],
    }
    num_x, num_y, num_layers = sides.ours.cells.shape[1:]
    of_cells = cells_recipe((num_x, num_y, num_layers), is_polar=asked.detector.is_polar, has_polar_angle=varies)
    for name, inputs in kinds.items():
        progress(f"{name.replace('_', '-')} classifier")
        recipe = of_cells if name == "low_level" else classifier.FEATURES
        found |= _separations(name, inputs, seed, recipe, are_pairs=most is not None and most.are_pairs)
    progress("precision, coverage and similarity")
    return powers, found | _neighbours(sides, asked) | _similarities(sides, asked)


def _separations(name: str, inputs: Sequence[NDArray[np.floating]], seed: int, recipe: Recipe, *, are_pairs: bool) -> dict[str, Beside]:
    """Of ours, theirs and others, and if there are more of the first two also of these."""
    most_ours, most_theirs = inputs[3:] or inputs[:2]
    first = classifier.separation(most_theirs, most_ours, seed, recipe, are_pairs=are_pairs)
    floor = classifier.separation(inputs[1], inputs[2], seed, recipe)
    numbers = len(most_ours), len(inputs[2])
    return {
        f"{name}_auc": Beside(first.auc, first.auc_error, floor.auc, floor.auc_error, *numbers),
        f"{name}_divergence": Beside(first.divergence, first.divergence_error, floor.divergence, floor.divergence_error, *numbers),
    }


def _neighbours(sides: Sides, asked: Question) -> dict[str, Beside]:
    ours, theirs, others = (coverage.log_cells(one.cells[:MOST_NEIGHBOURS], asked.detector.threshold_gev) for one in sides)
    first, floor = coverage.coverage_of(theirs, ours), coverage.coverage_of(theirs, others)
    names = ("precision", "recall", "density", "coverage")
    numbers = len(ours), len(others)
    found = {name: Beside(getattr(first, name), math.nan, getattr(floor, name), math.nan, *numbers) for name in names}
    if asked.training is not None:
        asked.progress("copies of training showers")
        learnt = _log_cells_of(asked.training, asked.detector.threshold_gev)
        distance = np.split(copies.nearest(np.concatenate([ours, theirs, others]), learnt), [len(ours), len(ours) + len(theirs)])
        found["copies"] = Beside(*copies.copied(distance[0], distance[1]), *copies.copied(distance[2], distance[1]), *numbers)
    return found


def _log_cells_of(training: Iterable[Showers], threshold_gev: float) -> Iterator[NDArray[np.float32]]:
    """Block by block, without showers that are not finite."""
    for block in training:
        yield coverage.log_cells(block.cells[np.isfinite(block.cells).all(axis=(1, 2, 3))], threshold_gev)


def _similarities(sides: Sides, asked: Question) -> dict[str, Beside]:
    ours, others = (
        similarity.similarities(one, sides.theirs, asked.seed, is_polar=asked.detector.is_polar) for one in (sides.ours, sides.others)
    )
    return {name: Beside(*ours[name], *others[name], len(sides.ours), len(sides.others)) for name in ours if name in others}
