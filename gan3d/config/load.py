"""YAML files and `--set` overrides → `Study`, with file and line in every error; and back."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from gan3d.config.document import Document, parse_document, read_document
from gan3d.config.overrides import apply_override, parse_override
from gan3d.config.places import config_error, find_place, problems_of
from gan3d.config.scalars import INTEGER, LEADING_ZERO, NUMBER
from gan3d.config.study import Study
from gan3d.errors import ConfigError


@dataclass(frozen=True, slots=True)
class LoadedStudy:
    """A study and where it came from."""

    study: Study
    path: Path
    search_space_path: Path | None  # None: the ranges are written in the study's file
    base: Path  # what relative shower files are relative to: the study file's folder
    overrides: tuple[str, ...]
    text: str  # of the study's file, before any override

    @property
    def sampled_overrides(self) -> tuple[str, ...]:
        """Dotted keys that a `--set` changes and the search space samples: it fixes nothing there, the search only begins with it."""
        changed = {".".join(map(str, parse_override(text).path)) for text in self.overrides}
        return tuple(key for key in self.study.search_space.keys if key in changed)


def load_study(path: Path | str, overrides: Sequence[str] = ()) -> LoadedStudy:
    """Read a study file and its search space, apply `dotted.key=value` overrides, and check everything.

    Raises:
        ConfigError: with file and line (or the override), dotted key, value, rule and way out of every problem found.
    """
    path = Path(path)
    document = read_document(path, str(path))
    changes = [parse_override(text) for text in overrides]
    for change in changes:
        if change.path == ("search_space",):
            apply_override(document, change)
    space_path = _graft_search_space(document, path)
    for change in changes:
        if change.path != ("search_space",):
            apply_override(document, change)
    study = _validated(document)
    return LoadedStudy(study, path, space_path, path.parent, tuple(overrides), document.text)


def read_study(text: str, where: str) -> Study:
    """A study from the text that `dump_study` made of it; ``where`` is what messages call it.

    Raises:
        ConfigError: as for `load_study`.
    """
    return _validated(parse_document(text, where))


def study_of(content: dict[str, Any]) -> Study:
    """A study from plain values as a file would have them, its ranges inside.

    Raises:
        ConfigError: with dotted key, value, rule and way out of every problem found.
    """
    try:
        return Study.model_validate(content | {"search_space": {"ranges": content["search_space"]}})
    except ValidationError as error:
        raise config_error(problems_of(error, Study, content), {}) from None


def _graft_search_space(document: Document, path: Path) -> Path | None:
    """Put the ranges of the named file where its name stands; their places stay the file's own."""
    named = document.data.get("search_space")
    if not isinstance(named, str):
        return None
    space_path = path.parent / named
    shown = os.path.normpath(space_path)
    if not space_path.is_file():
        place = find_place(("search_space",), document.places)
        message = f"search_space = {named} is not a file ({shown}). The path is relative to the study's file: correct it, or write ranges."
        raise ConfigError(message, where=str(place), key="search_space")
    space = read_document(space_path, shown)
    document.data["search_space"] = space.data
    document.places |= {("search_space", *inner): place for inner, place in space.places.items()}
    return space_path


def _validated(document: Document) -> Study:
    data = dict(document.data)
    if isinstance(data.get("search_space"), dict):
        data["search_space"] = {"ranges": data["search_space"]}
    try:
        return Study.model_validate(data)
    except ValidationError as error:
        raise config_error(problems_of(error, Study, document.data), document.places) from None


class _Dumper(yaml.SafeDumper):
    """Quotes whatever `scalars.plain` would not read as the same text."""


_Dumper.add_implicit_resolver("tag:gan3d,number", NUMBER, None)
_Dumper.add_implicit_resolver("tag:gan3d,number", INTEGER, None)
_Dumper.add_implicit_resolver("tag:gan3d,number", LEADING_ZERO, None)


def dump_study(study: Study) -> str:
    """The study as YAML with every field written out, its ranges inside; loading it gives an equal study."""
    return yaml.dump(study.model_dump(mode="json"), Dumper=_Dumper, sort_keys=False, allow_unicode=True, width=120)
