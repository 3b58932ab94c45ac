"""Everything that two sets of showers are asked, and every answer beside its floor."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from gan3d.data.showers import Showers
from gan3d.errors import DataError
from gan3d.physics.observables import EMPTY_SHOWER_GEV
from gan3d.validation import classifier, copies, coverage, features, frechet, separation, similarity
from gan3d.validation.cells_network import cells_recipe
from gan3d.validation.classifier import Recipe
from gan3d.validation.collection import blocks, halves
from gan3d.validation.detector import Detector
from gan3d.validation.features import feature_names, features_of
from gan3d.validation.gate import Finding, floor_of, judge
from gan3d.validation.profiles import ProfileDeviation, profile_deviations
from gan3d.validation.response import ResponseBin, response_in_bins
from gan3d.validation.table import angles_vary, joined, table_of

#: Showers of each kind that nearest neighbours are looked for among, at most.
MOST_NEIGHBOURS = 1000
#: Of each kind: with fewer, floors say nothing.
SMALLEST_NUMBER = 100
#: And of these that are neither empty nor broken: of fewer the gate has said enough.
SMALLEST_WHOLE = 50


@dataclass(frozen=True, slots=True)
class Beside:
    """A number with its error, and the same of the reference against itself."""

    value: float
    error: float
    floor: float
    floor_error: float


@dataclass(frozen=True, slots=True)
class Report:
    """All answers."""

    num_showers: int
    num_reference: int
    num_judged: int
    """Showers on each side of the gate and of all that has a floor."""
    findings: tuple[Finding, ...]
    """The gate's, worst first."""
    response: tuple[ResponseBin, ...]
    profiles: tuple[ProfileDeviation, ...]
    separation_powers: dict[str, tuple[float, float]]
    """Feature → separation power and its floor."""
    distances: dict[str, Beside]
    """`frechet`, `kernel`; `high_level_auc`, `high_level_divergence`, the same of `challenge` and `low_level`; `precision`, `recall`,
    `density`, `coverage`, `similarity_...` of each bin of energy, and `copies` where the training showers are known."""
    not_measured: dict[str, str]
    """Distance → why it is NaN."""

    @property
    def passes(self) -> bool:
        """Whether the gate lets it through."""
        return not any(one.is_flagged for one in self.findings)


def validate_showers(
    showers: Showers,
    reference: Showers,
    detector: Detector,
    *,
    training: Showers | None = None,
    seed: int = 1,
    is_quick: bool = False,
    progress: Callable[[str], None] = lambda _what: None,
) -> Report:
    """Hold showers against a reference.

    Half of the reference is what they are compared with, the other half is compared with it too: the floor. Both, and which showers are
    judged if there are more, are drawn by the seed: neither file need be in any order. What a generator gets the energies of is
    `collection.halves`.

    Args:
        showers: of any origin.
        reference: Monte Carlo, at least twice 100 showers; the better the more there are.
        detector: that both were made in.
        training: what a generator was trained on, if it may have learnt it by heart; none of the reference is in it.
        seed: of draws, folds and networks.
        is_quick: the gate, the response and the profiles only.
        progress: hears what is done next.

    Raises:
        DataError: grids differ, or there are too few showers.
    """
    if showers.cells.shape[1:] != reference.cells.shape[1:]:
        message = f"showers of {showers.cells.shape[1:]} cells cannot be held against those of {reference.cells.shape[1:]}"
        raise DataError(message)
    refuse_few(len(showers), len(reference))
    num_judged = min(len(showers), len(reference) // 2)
    progress("observables")
    ours, theirs = (joined(table_of(part, detector) for part in blocks(one)) for one in (showers, reference))
    progress("floor of the gate")
    places = halves(len(reference), num_judged, seed)
    findings = judge(ours, theirs.draw(places.theirs), floor_of(theirs, num_judged, seed), seed)
    powers: dict[str, tuple[float, float]] = {}
    distances: dict[str, Beside] = {}
    if not is_quick:
        # Other numbers than the halves': a file in the reference's order would have its energies shower by shower.
        judged = np.random.default_rng([seed, 1]).permutation(len(showers))[:num_judged]
        kept = _whole_ones(showers.take(judged), reference.take(places.theirs), reference.take(places.others))
        if len(kept.ours) >= SMALLEST_WHOLE:
            powers, distances = _slow(kept, Question(detector, training, seed, progress))
    response = tuple(response_in_bins(ours, theirs))
    profiles = tuple(profile_deviations(ours, theirs, showers.cells.shape[1:], num_judged, seed))
    return Report(len(showers), len(reference), num_judged, tuple(findings), response, profiles, powers, distances, _reasons(distances))


def refuse_few(num_showers: int, num_reference: int) -> None:
    """See that there are enough.

    Raises:
        DataError: there are not.
    """
    if num_showers < SMALLEST_NUMBER:
        message = f"{num_showers} showers are too few to be judged: at least {SMALLEST_NUMBER} are needed."
        raise DataError(message)
    if num_reference < 2 * SMALLEST_NUMBER:
        message = f"the reference has {num_reference} showers, at least {2 * SMALLEST_NUMBER} are needed. Add another --reference."
        raise DataError(message)


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked of showers beside the reference's."""

    detector: Detector
    training: Showers | None
    seed: int
    progress: Callable[[str], None]


class _Sides(NamedTuple):
    """Whole showers of equal number."""

    ours: Showers
    theirs: Showers
    """Half of the reference."""
    others: Showers
    """The reference's other half."""


def _whole_ones(*sides: Showers) -> _Sides:
    """Without empty and not finite ones, which the gate has counted; as many of each side as the side with fewest has."""
    totals = [one.cells.sum(axis=(1, 2, 3), dtype=np.float64) for one in sides]
    kept = [np.flatnonzero(np.isfinite(total) & (total > EMPTY_SHOWER_GEV)) for total in totals]
    number = min(map(len, kept))
    return _Sides(*(one.take(rows[:number]) for one, rows in zip(sides, kept, strict=True)))


def _reasons(distances: dict[str, Beside]) -> dict[str, str]:
    """Of what could not be measured."""
    reasons = {
        "frechet": f"fewer than {frechet.SHOWERS_PER_FEATURE} showers of each kind per feature, too few to take off what finite sets add",
        "copies": "the reference's showers are among the training showers: none of them is fresh",
    }
    return {name: why for name, why in reasons.items() if name in distances and math.isnan(distances[name].value)}


def _slow(sides: _Sides, asked: Question) -> tuple[dict[str, tuple[float, float]], dict[str, Beside]]:
    """What takes seconds to minutes."""
    seed, progress = asked.seed, asked.progress
    varies = angles_vary(sides.theirs.polar_angle)
    ours, theirs, others = (
        features.joined([features_of(part, asked.detector, has_polar_angle=varies) for part in blocks(one)]) for one in sides
    )
    progress("separation powers")
    pairs = zip(separation.separation_power(theirs.high, ours.high), separation.separation_power(theirs.high, others.high), strict=True)
    names = feature_names(sides.ours.cells.shape[3], has_polar_angle=varies)
    powers = dict(zip(names, ((float(a), float(b)) for a, b in pairs), strict=True))
    found: dict[str, Beside] = {}
    for name, measure in (("frechet", frechet.frechet_physics_distance), ("kernel", frechet.kernel_physics_distance)):
        progress(f"{name} distance")
        value, floor = measure(theirs.high, ours.high, seed), measure(theirs.high, others.high, seed)
        found[name] = Beside(value.value, value.error, floor.value, floor.error)
    observables = [joined(table_of(part, asked.detector) for part in blocks(one)).matrix for one in sides]
    kinds = {
        "high_level": [np.concatenate([one.high, more], axis=1) for one, more in zip((ours, theirs, others), observables, strict=True)],
        "challenge": [one.high for one in (ours, theirs, others)],
        "low_level": [one.low for one in (ours, theirs, others)],
    }
    showers = sides.ours
    num_x, num_y, num_layers = showers.cells.shape[1:]
    of_cells = cells_recipe((num_x, num_y, num_layers), is_polar=asked.detector.is_polar, has_polar_angle=showers.polar_angle is not None)
    for name, inputs in kinds.items():
        progress(f"{name.replace('_', '-')} classifier")
        found |= _separations(name, inputs, seed, of_cells if name == "low_level" else classifier.FEATURES)
    progress("precision, coverage and similarity")
    return powers, found | _neighbours(sides, asked) | _similarities(sides, asked)


def _separations(name: str, inputs: Sequence[NDArray[np.floating]], seed: int, recipe: Recipe) -> dict[str, Beside]:
    ours, theirs, others = inputs
    first, floor = (classifier.separation(theirs, one, seed, recipe) for one in (ours, others))
    return {
        f"{name}_auc": Beside(first.auc, first.auc_error, floor.auc, floor.auc_error),
        f"{name}_divergence": Beside(first.divergence, math.nan, floor.divergence, math.nan),
    }


def _neighbours(sides: _Sides, asked: Question) -> dict[str, Beside]:
    ours, theirs, others = (coverage.log_cells(one.cells[:MOST_NEIGHBOURS], asked.detector.threshold_gev) for one in sides)
    first, floor = coverage.coverage_of(theirs, ours), coverage.coverage_of(theirs, others)
    names = ("precision", "recall", "density", "coverage")
    found = {name: Beside(getattr(first, name), math.nan, getattr(floor, name), math.nan) for name in names}
    if asked.training is not None:
        learnt = coverage.log_cells(asked.training.cells, asked.detector.threshold_gev)
        found["copies"] = Beside(*copies.copied(ours, theirs, learnt), *copies.copied(others, theirs, learnt))
    return found


def _similarities(sides: _Sides, asked: Question) -> dict[str, Beside]:
    ours, others = (
        similarity.similarities(one, sides.theirs, asked.seed, is_polar=asked.detector.is_polar) for one in (sides.ours, sides.others)
    )
    return {name: Beside(*ours[name], *others[name]) for name in ours if name in others}
