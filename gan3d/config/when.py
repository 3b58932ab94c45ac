"""Ranges that are sampled only where another knob has certain values: a block's filters only where there is the block."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from gan3d.config.keys import nearest
from gan3d.config.problem import Path, Problem, show

#: Plain conditions: key of a sampled knob → the values at which a range is sampled.
Conditions = Mapping[str, tuple[Any, ...]]


def is_met(conditions: Conditions, sample: Mapping[str, Any]) -> bool:
    """Whether a sample has all that a range needs; a knob that is not sampled there has no value."""
    return all(key in sample and sample[key] in values for key, values in conditions.items())


def parents_first(conditions: Mapping[str, Conditions]) -> list[str]:
    """All keys, each behind those that its range needs, else in the order written; those that need each other are left out."""
    found: list[str] = []
    waiting = list(conditions)
    while ready := next((key for key in waiting if all(parent in found for parent in conditions[key])), None):
        found.append(ready)
        waiting.remove(ready)
    return found


def when_problems(ranges: Mapping[str, Any]) -> Iterator[Problem]:
    """What is wrong with the conditions of a space's plain ranges, each of which is otherwise in order."""
    conditional = {key: one["when"] for key, one in ranges.items() if isinstance(one, dict) and "when" in one}
    count = 0
    for key, when in conditional.items():
        for problem in _problems(key, when, ranges):
            count += 1
            yield problem
    if count or not conditional:
        return
    needs = {key: conditional.get(key, {}) for key in ranges}
    circle = [key for key in ranges if key not in parents_first(needs)]
    if circle:
        yield Problem(f"{circle[0]}: when", f"is circular: {', '.join(circle)} need each other", "Remove one.", at=_at(circle[0]))


def _problems(key: str, when: Any, ranges: Mapping[str, Any]) -> Iterator[Problem]:
    form = "Write when: {training.discriminator.blocks: [3, 4]}."
    if not isinstance(when, dict) or not when:
        yield Problem(f"{key}: when", "must name a sampled key and its values", form, when, at=_at(key))
        return
    for parent, values in when.items():
        at: Path = (*_at(key), parent)
        if parent not in ranges or parent == key:
            near = nearest(parent, [other for other in ranges if other != key])
            rule = f"needs another key of the search space{f'; did you mean {near}?' if near else ''}"
            yield Problem(f"{key}: when", rule, "Sample that key, or remove the condition.", parent, at=at)
        elif not isinstance(values, list | tuple) or not values:
            yield Problem(f"{key}: when.{parent}", "must be a list of values", form, values, at=at)
        else:
            strange = [value for value in values if not _may_be(ranges[parent], value)]
            if strange:
                rule = f"is never {show(strange[0])}: it would be needed by {key}"
                yield Problem(f"{key}: when.{parent}", rule, "Use values that the other range proposes.", list(values), at=at)


def _may_be(written: Mapping[str, Any], value: Any) -> bool:
    """Whether a plain range proposes a value."""
    if "choice" in written:
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in written["choice"])
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    low, high, step = written["min"], written["max"], written.get("step") or 1
    return bool(low <= value <= high and (value - low) % step == 0)


def _at(key: str) -> Path:
    return ("search_space", key, "when")
