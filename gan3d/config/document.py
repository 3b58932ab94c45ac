"""A YAML text as plain values, with the line of every key and list item.

Only the part of YAML that means the same to everybody: no tags, anchors, merge keys, repeated keys or numbers with a leading zero;
`1e-3` is a number, `yes` and `on` are words. Built from the parser's events, so nothing is ever constructed but
dict, list, str, int, float, bool and None.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import Any, NoReturn

import yaml

from gan3d.config.problem import Path, show
from gan3d.config.scalars import LEADING_ZERO, plain
from gan3d.errors import ConfigError

MAX_BYTES = 1_000_000
MAX_DEPTH = 16

#: The parser's words for what a user sees.
PLAIN_WORDS = {
    "a flow sequence": "a list in brackets",
    "a flow mapping": "keys in braces",
    "a block mapping": "a section",
    "a block collection": "a list",
    "a simple key": "a key",
    "<stream end>": "the end",
    "<block end>": "the end of the section",
    "<block mapping start>": "a key",
}


@dataclass(frozen=True, slots=True)
class Place:
    """A line of a file, or a `--set` on the command line (line 0)."""

    source: str
    line: int = 0

    def __str__(self) -> str:
        return f"{self.source}:{self.line}" if self.line else self.source


@dataclass(slots=True)
class Document:
    """Values and where each was written."""

    source: str
    text: str = ""
    data: Any = None
    places: dict[Path, Place] = field(default_factory=dict)


def read_document(path: FilePath, shown: str) -> Document:
    """Read a mapping from a YAML file; `shown` is how messages call it.

    Raises:
        ConfigError: no such file, not UTF-8, not YAML, or not a mapping.
    """
    document = parse_document(read_text(path, shown), shown)
    if document.data is None:
        message = "is empty. Write keys and values, as in studies/quickstart.yaml."
        raise ConfigError(message, where=f"{shown}:1")
    if not isinstance(document.data, dict):
        kind = "a list" if isinstance(document.data, list) else f"the single value {show(document.data)}"
        message = f"holds {kind} where keys and values are expected. Start with a key, as in `name: my_study`."
        raise ConfigError(message, where=f"{shown}:1")
    return document


def read_text(path: FilePath, shown: str) -> str:
    """The text of a small UTF-8 file.

    Raises:
        ConfigError: it is not one.
    """
    if path.is_dir():
        message = "is a folder. Name a YAML file in it."
        raise ConfigError(message, where=shown)
    try:
        raw = path.read_bytes() if path.stat().st_size <= MAX_BYTES else None
    except OSError as error:
        message = f"cannot be read ({(error.strerror or str(error)).lower()}). {_way_out(path)}"
        raise ConfigError(message, where=shown) from None
    if raw is None:
        message = f"holds more than {MAX_BYTES} bytes, so it is not a study or a search space. Check the path."
        raise ConfigError(message, where=shown)
    try:
        return raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        message = f"byte {error.start} is not UTF-8. Save the file as UTF-8."
        raise ConfigError(message, where=f"{shown}:{line}") from None


def _way_out(path: FilePath) -> str:
    """A study's name where a file is asked for is the commonest slip."""
    if not path.suffix and (file := FilePath("studies") / f"{path.name}.yaml").is_file():
        return f"This is asked for a study's file: {file}?"
    found = sorted(entry.name for entry in path.parent.glob("*.y*ml")) if path.parent.is_dir() else []
    return f"YAML files in {path.parent}: {', '.join(found)}." if found else f"{path.parent} holds no YAML file."


def parse_document(text: str, source: str, *, at: Path = (), lines: bool = True) -> Document:
    """Parse one YAML document; with `lines=False` every place is the bare `source` (a `--set`) and `at` is the key it sets.

    Raises:
        ConfigError: not YAML, or not the part of it that is accepted.
    """
    document = Document(source, text)
    builder = _Builder(document, iter(yaml.parse(text, Loader=yaml.SafeLoader)), lines=lines)
    try:
        document.data = builder.root(at)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise ConfigError(_syntax(error), where=str(Place(source, line if lines else 0))) from None
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        message = f"the character U+{_code(error.character):04X} is not allowed in YAML. Remove it."
        raise ConfigError(message, where=str(Place(source, line if lines else 0))) from None
    return document


def _code(character: str | int) -> int:
    return ord(character) if isinstance(character, str) else character


def _syntax(error: yaml.MarkedYAMLError) -> str:
    problem = error.problem or "cannot be read"
    if "'\\t'" in problem:
        return "a tab where YAML allows spaces only. Indent with spaces."
    if "mapping values are not allowed" in problem:
        return (
            "not valid YAML: a colon where a value was expected. Check the indentation of this line and the one above, or quote the value."
        )
    if "alias" in (error.context or ""):
        return "not valid YAML: a word that starts with * or & has another meaning. Quote it."
    start = f" that starts in line {error.context_mark.line + 1}" if error.context and error.context_mark else ""
    text = f"{error.context}{start}, {problem}" if error.context else problem
    for theirs, ours in PLAIN_WORDS.items():
        text = text.replace(theirs, ours)
    return f"not valid YAML: {text}. Check brackets, quotes and indentation here and on the line above."


class _Builder:
    """Turns events into values; refuses what would mean different things to different readers."""

    def __init__(self, document: Document, events: Iterator[yaml.Event], *, lines: bool) -> None:
        self.document, self.events, self.lines = document, events, lines

    def place(self, event: yaml.Event) -> Place:
        assert event.start_mark is not None
        return Place(self.document.source, event.start_mark.line + 1 if self.lines else 0)

    def refuse(self, event: yaml.Event, message: str) -> NoReturn:
        raise ConfigError(message, where=str(self.place(event)))

    def root(self, path: Path) -> Any:
        next(self.events)  # the stream starts
        event = next(self.events)
        if isinstance(event, yaml.StreamEndEvent):
            return None
        value = self.value(next(self.events), path)
        next(self.events)  # the document ends
        after = next(self.events)
        if not isinstance(after, yaml.StreamEndEvent):
            self.refuse(after, "a second document starts here (---). One file, one document: remove it.")
        return value

    def value(self, event: yaml.Event, path: Path) -> Any:
        key = ".".join(map(str, path))
        if isinstance(event, yaml.AliasEvent):
            self.refuse(
                event, f"{key} refers to an anchor (*{event.anchor}). Write the value out; quote it if the * starts a file pattern."
            )
        if getattr(event, "anchor", None) is not None:
            self.refuse(event, f"{key} has an anchor (&{getattr(event, 'anchor', '')}). Anchors are not accepted: write the value out.")
        if getattr(event, "tag", None) is not None:
            self.refuse(event, f"{key} has a tag ({getattr(event, 'tag', '')}). Tags are not accepted: write the plain value.")
        if len(path) > MAX_DEPTH:
            self.refuse(event, f"nested more than {MAX_DEPTH} levels deep. No key of a study is that deep: check the brackets.")
        self.document.places.setdefault(path, self.place(event))
        if isinstance(event, yaml.MappingStartEvent):
            return self.mapping(path)
        if isinstance(event, yaml.SequenceStartEvent):
            return self.sequence(path)
        assert isinstance(event, yaml.ScalarEvent)
        return self.scalar(event, key)

    def mapping(self, path: Path) -> dict[str, Any]:
        found: dict[str, Any] = {}
        while not isinstance(event := next(self.events), yaml.MappingEndEvent):
            if not isinstance(event, yaml.ScalarEvent):
                self.refuse(event, "a key must be a word. Check the indentation and brackets here.")
            key = event.value
            dotted = ".".join(map(str, (*path, key)))
            if key in found:
                first = self.document.places[(*path, key)]
                self.refuse(event, f"{dotted} is written twice, first in line {first.line}. Keep one of them.")
            if key == "<<":
                self.refuse(event, "<< (a merge key) is not accepted. Write the keys out.")
            self.document.places[(*path, key)] = self.place(event)
            found[key] = self.value(next(self.events), (*path, key))
        return found

    def sequence(self, path: Path) -> list[Any]:
        found: list[Any] = []
        while not isinstance(event := next(self.events), yaml.SequenceEndEvent):
            found.append(self.value(event, (*path, len(found))))
        return found

    def scalar(self, event: yaml.ScalarEvent, key: str) -> Any:
        text = event.value
        if event.style is not None:  # quoted, or a block of text
            return text
        if LEADING_ZERO.match(text):
            rule = f"{key} = {text} starts with a zero, which some readers take for octal"
            self.refuse(event, f"{rule}. Write {int(text)}, or quote it if it is text.")
        return plain(text)
