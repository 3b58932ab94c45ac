"""`--set dotted.key=value`: the same fields, the same checks, the same errors as in the file."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gan3d.config.document import Document, Place, parse_document
from gan3d.config.forbidden import FORBIDDEN
from gan3d.config.keys import field_at
from gan3d.config.problem import Path, show, split
from gan3d.config.stairs import STAIRS
from gan3d.config.study import Study
from gan3d.errors import ConfigError


@dataclass(frozen=True, slots=True)
class Override:
    """One `--set`: where it goes and the plain value."""

    text: str
    path: Path
    value: Any

    @property
    def place(self) -> Place:
        """How messages call it."""
        return Place(f"--set {self.text}")


def parse_override(text: str) -> Override:
    """Read `dotted.key=value`; the value is a YAML scalar, list or (for a range) mapping on one line.

    Raises:
        ConfigError: there is no key, no `=` or no value, or the value is not YAML.
    """
    where = f"--set {text}"
    key, equals, written = text.partition("=")
    key = key.strip()
    if not equals or not key or not all(key.split(".")):
        message = "is not of the form dotted.key=value. Write for example --set training.epochs=5."
        raise ConfigError(message, where=where, key=key)
    if not written.strip():
        message = f"{key} has no value. Write one after the =, or null to unset the key."
        raise ConfigError(message, where=where, key=key)
    path = _path(key)
    return Override(text, path, parse_document(written, where, at=path, lines=False).data)


def _path(key: str) -> Path:
    """Below `search_space.` the rest is one key, the knob's own dotted key.

    Below `search_space.stairs.` it is a stair's name and such a key, below `search_space.forbidden.` a combination's place and such a key.
    """
    above, dot, rest = key.partition(".")
    if above != "search_space" or not dot:
        return split(key)
    if not rest.startswith((f"{STAIRS}.", f"{FORBIDDEN}.")):
        return (above, rest)
    special, name, *knob = rest.split(".", maxsplit=2)
    return (above, special, *(split(name) if special == FORBIDDEN else (name,)), *knob)


def apply_override(document: Document, override: Override) -> None:
    """Replace or add one value in the document, and where it comes from.

    Raises:
        ConfigError: the key leads through something that has no keys or too few items.
    """
    node = document.data
    for length, part in enumerate(override.path[:-1]):
        document.places.setdefault(override.path[: length + 1], override.place)
        node = _below(node, part, override, length)
    last = override.path[-1]
    if isinstance(node, list):
        _check_position(node, last, override, len(override.path) - 1)
    node[last] = override.value
    for path in [path for path in document.places if path[: len(override.path)] == override.path]:
        del document.places[path]
    document.places[override.path] = override.place


def _below(node: Any, part: str | int, override: Override, length: int) -> Any:
    """The node one step down, made from the schema's default if the file does not have it."""
    here = override.path[: length + 1]
    if isinstance(node, list):
        _check_position(node, part, override, length)
    elif part not in node or node[part] is None:
        field = field_at(Study, here)
        node[part] = list(field.default) if field is not None and isinstance(field.default, tuple) else {}
    found = node[part]
    if not isinstance(found, dict | list):
        message = f"{'.'.join(map(str, here))} = {show(found)} is a single value, so nothing can be set below it. Set the key itself."
        raise ConfigError(message, where=str(override.place), key=".".join(map(str, here)))
    return found


def _check_position(node: list[Any], part: str | int, override: Override, length: int) -> None:
    if not isinstance(part, int) or part >= len(node):
        key = ".".join(map(str, override.path[:length]))
        message = f"{key} is a list of {len(node)}; {part} is none of its positions. Use {key}.0 to {key}.{len(node) - 1}."
        raise ConfigError(message, where=str(override.place), key=key)
