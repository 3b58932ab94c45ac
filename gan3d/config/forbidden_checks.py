"""What must hold for forbidden combinations: their form, that each can come up, and that they leave something to propose."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping
from typing import TYPE_CHECKING, Any

from gan3d.config.forbidden import FORBIDDEN, Combination, Entry, Interval, entry_holds
from gan3d.config.keys import nearest, unknown
from gan3d.config.pieces import representatives
from gan3d.config.problem import Path, Problem, show
from gan3d.config.stairs import STAIRS

if TYPE_CHECKING:
    from gan3d.config.ranges import Range
    from gan3d.config.space import SearchSpace

AT: Path = ("search_space", FORBIDDEN)
FORM = "Write - {training.global_batch: [64, 128], training.generator.learning_rate: {max: 3.0e-4}}."
ENTRY_FORM = "Write a list of values, or {min: 1, max: 4}, of which one suffices."


def form_problems(written: Any, sampled: Collection[str], stairs: Any) -> Iterator[Problem]:
    """Every problem of the plain form; ``sampled`` are the keys of a sample, ``stairs`` a staircase's plain values if there is one."""
    if not isinstance(written, list | tuple):
        yield Problem(FORBIDDEN, "must be a list of combinations", FORM, written, at=AT)
        return
    for place, combination in enumerate(written):
        if not isinstance(combination, dict) or not combination:
            rule = "must be sampled keys with the values that must not meet"
            yield Problem(f"{FORBIDDEN}.{place}", rule, FORM, combination, at=(*AT, place))
            continue
        for key, entry in combination.items():
            name, at = f"{FORBIDDEN}.{place}.{key}", (*AT, place, key)
            problem = _key_problem(key, sampled, stairs, name, at) or _entry_problem(entry, name, at)
            if problem is not None:
                yield problem


def _key_problem(key: str, sampled: Collection[str], stairs: Any, name: str, at: Path) -> Problem | None:
    if key in sampled:
        return None
    changes = stairs.items() if isinstance(stairs, dict) else ()
    if changing := [stair for stair, change in changes if isinstance(change, dict) and key in change]:
        way_out = f"Name stairs by their names: {{{STAIRS}: [{', '.join(map(show, changing))}]}}."
        return Problem(name, "is changed by stairs, not sampled on its own", way_out, at=at)
    near = nearest(key, sampled)
    listed = f"Sampled keys: {', '.join(sampled)}." if sampled else f"Nothing is sampled: remove {FORBIDDEN}."
    return Problem(name, f"is not a key of the search space{f'; did you mean {near}?' if near else ''}", listed, at=at)


def _entry_problem(entry: Any, name: str, at: Path) -> Problem | None:
    if not isinstance(entry, dict | list | tuple) or not entry or (isinstance(entry, list | tuple) and not all(map(_is_plain, entry))):
        return Problem(name, "must be values or the ends between which they lie", ENTRY_FORM, entry, at=at)
    if not isinstance(entry, dict):
        return None
    for end in entry:
        if end not in ("min", "max"):
            return unknown(f"{name}.{end}", ("min", "max"), at=(*at, end))
        if isinstance(entry[end], bool) or not isinstance(entry[end], int | float) or not math.isfinite(entry[end]):
            return Problem(f"{name}.{end}", "must be a finite number", ENTRY_FORM, entry[end], at=(*at, end))
    if len(entry) == 2 and entry["min"] > entry["max"]:
        return Problem(f"{name}.min", "is above", "Swap them.", entry["min"], ((f"{name}.max", entry["max"]),), at=(*at, "min"))
    return None


def _is_plain(value: Any) -> bool:
    return isinstance(value, int | float | str | bool | None)


def forbidden_problems(space: SearchSpace) -> Iterator[Problem]:
    """Combinations that can never come up, and those that leave nothing, of a space that is otherwise in order."""
    count = 0
    for place, combination in enumerate(space.forbidden):
        for key, entry in combination.entries.items():
            problem = _value_problem(space.ranges[key], entry, f"{FORBIDDEN}.{place}.{key}", (*AT, place, key))
            problem = problem or _condition_problem(space, combination, place, key)
            if problem is not None:
                count += 1
                yield problem
    if not count and not space.allows({}):
        yield _nothing_left(space)


def forbidden_problem(place: int, combination: Combination) -> Problem:
    """Why a sample for which a combination holds is no trial."""
    rule = f"forbids this sample: {combination.text}"
    return Problem(f"{FORBIDDEN}.{place}", rule, "Choose another one, or remove the combination.", at=(*AT, place))


def _value_problem(one: Range, entry: Entry, name: str, at: Path) -> Problem | None:
    """Why an entry never holds, or as good as never."""
    if isinstance(entry, Interval):
        return _interval_problem(one, entry, name, at)
    if strange := [value for value in entry if not one.contains(value)]:
        return Problem(name, f"is never {show(strange[0])}", "Use values that its range proposes.", list(entry), at=at)
    if one.num_values is None:
        rule = "lists single numbers of a continuous range, which are hardly ever proposed"
        return Problem(name, rule, "Write the ends between which they lie: {min: ..., max: ...}.", list(entry), at=at)
    return None


def _interval_problem(one: Range, entry: Interval, name: str, at: Path) -> Problem | None:
    numbers = [value for value in one.ends if isinstance(value, int | float) and not isinstance(value, bool)]
    if not numbers:
        return Problem(name, "is no number", f"List values of it: [{show(one.ends[0])}].", _plain(entry), at=at)
    low, high = min(numbers), max(numbers)
    for end, value in _plain(entry).items():
        if not low <= value <= high:
            rule = f"lies outside its range, {show(low)} to {show(high)}"
            return Problem(f"{name}.{end}", rule, "Use an end within it, or leave this one out.", value, at=(*at, end))
    if not any(entry_holds(entry, value) for value in representatives(one, [entry])):
        return Problem(name, "holds for none of the values of its range", "Use ends between which there is one.", _plain(entry), at=at)
    return None


def _plain(entry: Interval) -> dict[str, int | float]:
    return {end: value for end, value in (("min", entry.min), ("max", entry.max)) if value is not None}


def _condition_problem(space: SearchSpace, combination: Combination, place: int, key: str) -> Problem | None:
    """Whether a key is sampled only where another entry of the combination does not hold."""
    for parent, values in _all_needed(space, key).items():
        entry = combination.entries.get(parent)
        if entry is not None and not any(entry_holds(entry, value) for value in values):
            needed = f"is sampled only when {parent} is {' or '.join(map(show, values))}, which the combination excludes"
            at: Path = (*AT, place, key)
            return Problem(f"{FORBIDDEN}.{place}.{key}", needed, "It never comes up: remove it, or correct one of both.", at=at)
    return None


def _all_needed(space: SearchSpace, key: str) -> Mapping[str, tuple[Any, ...]]:
    """What a range needs, and what those need."""
    needed = dict(space.conditions[key])
    for parent in space.conditions[key]:
        needed = {**_all_needed(space, parent), **needed}
    return needed


def _nothing_left(space: SearchSpace) -> Problem:
    """Whether it is one combination alone that forbids everything, or all of them together."""
    for place, combination in enumerate(space.forbidden):
        if not space.model_copy(update={FORBIDDEN: (combination,)}).allows({}):
            rule = "forbids every sample: its entries hold for all values"
            return Problem(f"{FORBIDDEN}.{place}", rule, "Narrow one of them, or remove it.", at=(*AT, place))
    return Problem(FORBIDDEN, "leaves no sample of the search space", "Remove or narrow a combination.", at=AT)
