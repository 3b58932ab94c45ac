"""The schema as dotted keys: which keys exist, what each may be in words, and which one was probably meant."""

from __future__ import annotations

import difflib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic.fields import FieldInfo

from gan3d.config.problem import Path, Problem, show
from gan3d.config.settings import Says
from gan3d.config.training import TrialSettings

Schema = type[BaseModel]

#: `difflib` ratio from which a word counts as a misspelling of another; `batch` of `global_batch` has 0.59.
CLOSE = 0.55


@dataclass(frozen=True, slots=True)
class Field:
    """One place of the schema: its type with bounds, and its default (`...` if it must be written)."""

    kind: Any
    default: Any = ...

    @property
    def rule(self) -> str:
        """What a value must be, in words."""
        return f"must be {describe(self.kind)}"

    @property
    def section(self) -> Schema | None:
        """The settings class if keys follow below."""
        bare, _ = _unwrap(self.kind)
        return bare if isinstance(bare, type) and issubclass(bare, BaseModel) else None

    @property
    def words(self) -> tuple[str, ...]:
        """The words it may be, if it is one of some words."""
        bare, _ = _unwrap(self.kind)
        return tuple(value for value in get_args(bare) if isinstance(value, str)) if get_origin(bare) is Literal else ()

    @property
    def is_list(self) -> bool:
        """Whether its value is a list."""
        return get_origin(_unwrap(self.kind)[0]) is tuple

    @property
    def items(self) -> tuple[Any, ...]:
        """The types of a list of fixed length; empty for anything else."""
        bare, _ = _unwrap(self.kind)
        found = get_args(bare) if get_origin(bare) is tuple else ()
        return () if found[-1:] == (Ellipsis,) else found

    def accepts(self, value: Any) -> bool:
        """Whether a plain value lies within the type and its bounds."""
        try:
            _adapter(self.kind).validate_python(value, strict=True)
        except ValidationError:
            return False
        return True


@cache
def _adapter(kind: Any) -> TypeAdapter[Any]:
    return TypeAdapter(kind)


def fields_of(schema: Schema) -> dict[str, Field]:
    """The fields of one settings class by name."""
    return {name: _field(info) for name, info in schema.model_fields.items()}


def _field(info: FieldInfo) -> Field:
    kind: Any = Annotated[(info.annotation, *info.metadata)] if info.metadata else info.annotation
    return Field(kind, ... if info.is_required() else info.get_default(call_default_factory=True))


def field_at(schema: Schema, path: Path) -> Field | None:
    """The field at a path, or None if there is none."""
    here: Field | None = Field(schema)
    for part in path:
        if here is None:
            return None
        here = _step(here, part)
    return here


def _step(here: Field, part: str | int) -> Field | None:
    if here.section is not None:
        return fields_of(here.section).get(str(part))
    bare, _ = _unwrap(here.kind)
    if get_origin(bare) is not tuple or not isinstance(part, int):
        return None
    kinds = get_args(bare)
    if kinds[-1] is Ellipsis:
        return Field(kinds[0])
    if part >= len(kinds):
        return None
    return Field(kinds[part], here.default[part] if isinstance(here.default, tuple) else ...)


@cache
def knobs() -> Mapping[str, Field]:
    """Every single value of `TrialSettings` by its dotted key, list items by their position."""
    return types.MappingProxyType(dict(_leaves(TrialSettings, "")))


def _leaves(schema: Schema, prefix: str) -> Iterable[tuple[str, Field]]:
    for name, field in fields_of(schema).items():
        key = f"{prefix}{name}"
        if field.section is not None:
            yield from _leaves(field.section, f"{key}.")
        elif field.items:
            defaults = field.default if isinstance(field.default, tuple) else [...] * len(field.items)
            for position, kind in enumerate(field.items):
                yield f"{key}.{position}", Field(kind, defaults[position])
        else:
            yield key, field


def unknown(key: str, valid: Iterable[str], at: Path | None = None) -> Problem:
    """The problem of a key that does not exist; `valid` are the last parts of the keys at its place."""
    *above, last = key.split(".")
    names = list(valid)
    near = nearest(last, names)
    meant = ".".join([*above, near]) if near else _elsewhere(last)
    listed = f"Keys there: {', '.join(names)}." if names else "No keys are expected there."
    return Problem(key, f"; did you mean {meant}?" if meant else "", listed, at=at, lead="unknown key")


def _elsewhere(name: str) -> str | None:
    """The only knob of that name, wherever it is."""
    found = [key for key in knobs() if key.split(".")[-1] == name]
    return found[0] if len(found) == 1 else None


def nearest(word: str, words: Iterable[str]) -> str | None:
    """The closest word, if one is close."""
    found = difflib.get_close_matches(word, list(words), n=1, cutoff=CLOSE)
    return found[0] if found else None


def describe(kind: Any) -> str:
    """A type and its bounds in words: `a whole number from 1 to 1024`."""
    bare, bounds = _unwrap(kind)
    said = next((bound.text for bound in bounds if isinstance(bound, Says)), None)
    if said is not None:
        return said
    origin, parts = get_origin(bare), get_args(bare)
    if origin is None:
        return _describe_plain(bare, bounds)
    if origin is Literal:
        return "one of " + ", ".join(show(value) for value in parts)
    if origin is tuple:
        return _describe_list(parts, bounds)
    return " or ".join(describe(part) for part in parts)


def _describe_plain(bare: Any, bounds: list[Any]) -> str:
    if isinstance(bare, type) and issubclass(bare, BaseModel):
        return "a section of keys and values"
    words = {bool: "true or false", str: "text", int: "a whole number", float: "a number", types.NoneType: "null"}
    return f"{words[bare]}{_range_text(bounds)}"


def _describe_list(kinds: tuple[Any, ...], bounds: list[Any]) -> str:
    if kinds[-1] is Ellipsis:
        least = next((bound.min_length for bound in bounds if hasattr(bound, "min_length")), 0)
        return f"a list{' of at least one item' if least else ''}, each {describe(kinds[0])}"
    return f"a list of {len(kinds)}, each {describe(kinds[0])}"


def _range_text(bounds: list[Any]) -> str:
    found = {name: getattr(bound, name) for bound in bounds for name in ("ge", "gt", "le", "lt") if hasattr(bound, name)}
    if {"ge", "le"} <= found.keys():
        return f" from {show(found['ge'])} to {show(found['le'])}"
    words = {"ge": "of at least", "gt": "above", "le": "of at most", "lt": "below"}
    parts = [f"{words[name]} {show(value)}" for name, value in found.items()]
    return f" {' and '.join(parts)}" if parts else ""


def _unwrap(kind: Any) -> tuple[Any, list[Any]]:
    """The bare type and the flat list of its bounds."""
    if get_origin(kind) is not Annotated:
        return kind, []
    bare, *metadata = get_args(kind)
    bounds: list[Any] = []
    for item in metadata:
        bounds += item.metadata if isinstance(item, FieldInfo) else [item]
    inner, more = _unwrap(bare)
    return inner, [*more, *bounds]
