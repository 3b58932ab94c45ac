"""From what is wrong to what the user reads: every problem gets its file and line, every message its way out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from pydantic import BaseModel, ValidationError

from gan3d.config.document import Place
from gan3d.config.keys import Field, field_at, fields_of, nearest, unknown
from gan3d.config.problem import Contradictions, Path, Problem, show, split
from gan3d.errors import ConfigError

MAX_SHOWN = 8


def problems_of(error: ValidationError, schema: type[BaseModel], data: Any) -> list[Problem]:
    """What pydantic found, in the project's words; `data` are the plain values it was given."""
    found: list[Problem] = []
    for entry in error.errors(include_url=False):
        cause = entry.get("ctx", {}).get("error")
        if isinstance(cause, Contradictions):
            found += cause.problems
            continue
        problem = _structural(entry["type"], entry["loc"], schema, data)
        if problem.path not in {other.path for other in found}:
            found.append(problem)
    return found


def _structural(kind: str, location: Path, schema: type[BaseModel], data: Any) -> Problem:
    key = ".".join(map(str, location))
    if kind == "extra_forbidden":
        parent = field_at(schema, location[:-1])
        assert parent is not None
        return unknown(key, parent.section.model_fields if parent.section else ())
    if kind == "missing" and not isinstance(location[-1], int):
        field = field_at(schema, location)
        assert field is not None
        return Problem(key, "is missing", _what_to_add(field))
    while (field := field_at(schema, location)) is None or (kind == "missing" and isinstance(location[-1], int)):
        location, kind = location[:-1], ""
    return _wrong_value(location, field, _value_at(data, location))


def _what_to_add(field: Field) -> str:
    if field.section is None:
        return f"Add it: it {field.rule}."
    needed = [name for name, below in fields_of(field.section).items() if below.default is ...]
    return f"Add it as a section with the keys {', '.join(needed or fields_of(field.section))}."


def _wrong_value(location: Path, field: Field, value: Any) -> Problem:
    key = ".".join(map(str, location))
    return Problem(key, field.rule, _way_out(field, value), value)


def _way_out(field: Field, value: Any) -> str:
    near = nearest(value, field.words) if isinstance(value, str) else None
    if near:
        return f"Did you mean {near}?"
    if field.section is not None:
        return f"Write its keys below it, indented: {', '.join(fields_of(field.section))}."
    if field.is_list and not isinstance(value, list):
        return f"Write a list: [{'...' if value is None or isinstance(value, dict) else show(value)}]."
    if field.default is ...:
        return "Correct the value."
    default = list(field.default) if isinstance(field.default, tuple) else field.default
    return f"Correct the value, or leave it out for the default, {show(default)}."


def _value_at(data: Any, path: Path) -> Any:
    for part in path:
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return None
    return data


def config_error(problems: Iterable[Problem], places: Mapping[Path, Place]) -> ConfigError:
    """One error that tells all problems, in the order of their lines."""
    located = sorted(((find_place(problem.path, places), problem) for problem in problems), key=_by_line)
    lines = [
        f"{place}: {problem.sentence(partial(_aside, here=place, places=places, others_at=dict(problem.others_at)))}"
        for place, problem in located
    ]
    more = [f"… and {len(lines) - MAX_SHOWN} more."] if len(lines) > MAX_SHOWN else []
    place, first = located[0]
    text = "\n".join([*lines[:MAX_SHOWN], *more]).removeprefix(f"{place}: ")
    return ConfigError(text, where=str(place), key=first.key)


def _by_line(located: tuple[Place, Problem]) -> tuple[str, int]:
    return located[0].source, located[0].line


def find_place(path: Path, places: Mapping[Path, Place]) -> Place:
    """Where the value at a path was written, or the nearest section above it."""
    for length in range(len(path), -1, -1):
        if path[:length] in places:
            return places[path[:length]]
    return Place("the study")


def _aside(key: str, *, here: Place, places: Mapping[Path, Place], others_at: Mapping[str, Path]) -> str:
    """` (line 12)` where another key was written, or that it is a default; nothing for what is no key."""
    place = find_place(others_at[key], places) if key in others_at else places.get(("search_space", key)) or places.get(split(key))
    if place is None:
        return " (the default)" if "." in key and " " not in key else ""
    if not place.line:
        return f" ({place.source})"
    return f" (line {place.line})" if place.source == here.source else f" ({place})"
