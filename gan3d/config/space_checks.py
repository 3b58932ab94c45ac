"""What must hold for each range of a search space: its key, its form, and that every value it can propose is one the schema accepts."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any

from gan3d.config.effect import FIXED
from gan3d.config.forbidden import FORBIDDEN
from gan3d.config.keys import Field, field_at, knobs, nearest, unknown
from gan3d.config.problem import Path, Problem, show
from gan3d.config.stairs import STAIRS
from gan3d.config.training import TrialSettings

#: Up to so many values of a range are each checked against the schema; of a longer one, both ends.
MAX_VALUES_CHECKED = 1_000
FORM = "Write {choice: [8, 16]} or {min: 1, max: 4}, with step: 1 or log: true if needed."


def space_problems(ranges: Mapping[str, Any]) -> Iterator[Problem]:
    """Every problem of a search space's plain values, range by range."""
    for key, written in ranges.items():
        problem = key_problem(key, ("search_space", key))
        if problem is not None:
            yield problem
        else:
            yield from _range_problems(key, written, knobs()[key])


def key_problem(key: str, at: Path) -> Problem | None:
    """Why a key that was written at some place is no knob of a search space; None if it is one."""
    if key in FIXED:
        return Problem(key, f"cannot be sampled: {FIXED[key]}", "Set it in the study's file.", at=at)
    if key in knobs():
        return None
    section = field_at(TrialSettings, tuple(int(part) if part.isdecimal() else part for part in key.split(".")))
    if section is not None and section.items:
        return Problem(key, "is a list", f"Sample its items: {key}.0 to {key}.{len(section.items) - 1}.", at=at)
    if section is not None:
        names = ", ".join(f"{key}.{name}" for name in section.section.model_fields) if section.section else ""
        return Problem(key, "is a section, not a single value", f"Write whole dotted keys: {names}.", at=at)
    return _unknown_knob(key, at)


def _unknown_knob(key: str, at: Path) -> Problem:
    """List the keys at the deepest place that exists; suggest from all knobs, for a part may be missing."""
    parts = key.split(".")
    if parts[0] in (
        "name",
        "question",
        "search_space",
        "sampler",
        "scheduler",
        "objective",
        "trials",
        "cost",
        "budget",
        "figures",
        "warm_start",
    ):
        return Problem(key, "belongs to the study, not to a trial", "It cannot be sampled: set it in the study's file.", at=at)
    near = nearest(key, [*knobs(), STAIRS, FORBIDDEN])
    prefix = _deepest(parts[:-1])
    below = sorted({name.removeprefix(prefix).split(".")[0] for name in knobs() if name.startswith(prefix)})
    meant = f"; did you mean {near}?" if near else ""
    return Problem(key, meant, f"Keys there: {', '.join(below)}.", at=at, lead="unknown key")


def _deepest(parts: list[str]) -> str:
    while parts:
        prefix = ".".join([*parts, ""])
        if any(name.startswith(prefix) for name in knobs()):
            return prefix
        parts = parts[:-1]
    return ""


def _range_problems(key: str, written: Any, knob: Field) -> Iterator[Problem]:
    at: Path = ("search_space", key)
    if not isinstance(written, dict) or not written.keys() & {"choice", "min", "max"}:
        yield Problem(key, "is not a range", FORM, written, at=at)
        return
    allowed = ("choice", "when") if "choice" in written else ("min", "max", "step", "log", "when")
    for name in written.keys() - set(allowed):
        known = name in ("choice", "min", "max", "step", "log")
        if known:
            yield Problem(key, f"mixes choice with {name}", FORM, at=(*at, name))
        else:
            yield unknown(f"{key}.{name}", ("choice", "min", "max", "step", "log", "when"), at=(*at, name))
        return
    yield from _choice(key, written["choice"], knob) if "choice" in written else _between(key, written, knob)


def _choice(key: str, values: Any, knob: Field) -> Iterator[Problem]:
    at: Path = ("search_space", key, "choice")
    if not isinstance(values, list | tuple) or not values:
        yield Problem(f"{key}: choice", "must be a list of at least two values", FORM, values, at=at)
        return
    if len(values) == 1:
        yield Problem(f"{key}: choice", "has one value, so nothing is searched", f"Set {key} in the study's file.", list(values), at=at)
        return
    for position, value in enumerate(values):
        here = (*at, position)
        if not knob.accepts(value):
            hint = f"; did you mean {close}?" if isinstance(value, str) and (close := nearest(value, knob.words)) else ""
            yield Problem(f"{key}: choice", f"{knob.rule}{hint}", "Correct or remove this value.", value, at=here)
        elif any(value == other and isinstance(value, bool) == isinstance(other, bool) for other in values[:position]):
            yield Problem(f"{key}: choice", "is listed twice", "Remove one of them.", value, at=here)


def _between(key: str, written: Mapping[str, Any], knob: Field) -> Iterator[Problem]:
    at: Path = ("search_space", key)
    for name in ("min", "max"):
        if name not in written:
            yield Problem(f"{key}: {name}", "is missing", FORM, at=at)
            return
    for name in ("min", "max", "step"):
        if name in written and (isinstance(written[name], bool) or not isinstance(written[name], int | float)):
            yield Problem(f"{key}: {name}", "must be a number", FORM, written[name], at=(*at, name))
            return
    if not isinstance(written.get("log", False), bool):
        yield Problem(f"{key}: log", "must be true or false", "Write log: true, or leave it out.", written["log"], at=(*at, "log"))
        return
    problem = _order(key, written) or _step(key, written)
    if problem is not None:
        yield problem
        return
    yield from _proposals(key, written, knob)


def _order(key: str, written: Mapping[str, Any]) -> Problem | None:
    low, high = written["min"], written["max"]
    at: Path = ("search_space", key)
    if not (math.isfinite(low) and math.isfinite(high)):
        return Problem(f"{key}: min", "must be finite, as must", "Write two numbers.", low, ((f"{key}: max", high),), at=at)
    if low >= high:
        way_out = "Swap them." if low > high else f"One value is no range: set {key} in the study's file."
        return Problem(f"{key}: min", "is not below", way_out, low, ((f"{key}: max", high),), at=(*at, "min"))
    if written.get("log") and low <= 0:
        return Problem(f"{key}: min", "must be above 0 with log: true", "Raise min or remove log.", low, at=(*at, "min"))
    return None


def _step(key: str, written: Mapping[str, Any]) -> Problem | None:
    step = written.get("step")
    if step is None:
        return None
    at: Path = ("search_space", key, "step")
    span = written["max"] - written["min"]
    if written.get("log"):
        return Problem(f"{key}: step", "cannot be combined with log: true", "Keep one, or list the values as a choice.", step, at=at)
    if not 0 < step <= span:
        rule = f"must be above 0 and at most max - min = {show(span)}"
        return Problem(f"{key}: step", rule, "Choose a step in that range.", step, at=at)
    if not is_fractional(key) and not isinstance(step, int):
        return Problem(f"{key}: step", f"must be a whole number, as {key} is", "Round it.", step, at=at)
    if not math.isclose(span / step, round(span / step), abs_tol=1e-9):
        top = written["min"] + int(span / step + 1e-9) * step
        way_out = f"max would never be proposed: set max to {top:.12g} or change the step."
        return Problem(f"{key}: step", f"does not divide max - min = {show(span)}", way_out, step, at=at)
    return None


def _proposals(key: str, written: Mapping[str, Any], knob: Field) -> Iterator[Problem]:
    """Every value of a short range, both ends of a long one."""
    for name in ("min", "max"):
        if not knob.accepts(written[name]):
            yield Problem(f"{key}: {name}", knob.rule, _narrower(knob), written[name], at=("search_space", key, name))
            return
    low, high = written["min"], written["max"]
    step = written.get("step") or (None if is_fractional(key) else 1)
    if step is None or (high - low) / step > MAX_VALUES_CHECKED:
        return
    for position in range(round((high - low) / step) + 1):
        value = low + position * step
        if not knob.accepts(value):
            yield Problem(f"{key} = {show(value)}", f"would be proposed, but {knob.rule}", _narrower(knob), at=("search_space", key))
            return


def _narrower(knob: Field) -> str:
    return "Narrow the range." if " number" in knob.rule else "List the values: {choice: [...]}."


def is_fractional(key: str) -> bool:
    """Whether the knob takes numbers with a fraction."""
    return knobs()[key].accepts(0.123456789)
