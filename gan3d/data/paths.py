"""From what a study says (paths, globs, `$VARS`) to the shower files that are there."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

from gan3d.errors import DataError

VARIABLE = re.compile(r"\$(?:(\w+)|\{(\w+)\})")


def find_files(patterns: Sequence[str], base: Path) -> tuple[Path, ...]:
    """Files that match ``patterns``, relative ones from the folder ``base``.

    In the order of the patterns, sorted by name within each; a file matched twice counts once.

    Raises:
        DataError: an undefined variable, or a pattern that no file matches.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        found |= dict.fromkeys(_matches(pattern, base))
    if not found:
        message = "no shower file is named: the list of patterns is empty"
        raise DataError(message)
    return tuple(found)


def files_here(patterns: Sequence[str]) -> tuple[Path, ...]:
    """Of a trial's patterns, which are absolute ones, the files that are there: it may have been trained elsewhere."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        with suppress(DataError):
            found |= dict.fromkeys(_matches(pattern, Path.cwd()))
    return tuple(found)


def located(pattern: str, base: Path) -> str:
    """The pattern as an absolute one, `$VARS` and `~` expanded: it means the same in any process, whatever its folder.

    Raises:
        DataError: an undefined variable.
    """
    return os.path.normpath(base.absolute() / Path(_expanded(pattern)).expanduser())


def on_this_node(pattern: str, by_driver: str) -> str:
    """A pattern's place here, of an absolute ``pattern`` whose `$VARS` are not expanded yet.

    Where this process has all of its variables, theirs: nodes may keep files in different places. Else where the driver has them.
    """
    names = [match[1] or match[2] for match in VARIABLE.finditer(pattern)]
    if not names or any(name not in os.environ for name in names):
        return by_driver
    here = _expanded(pattern)
    # One that is relative belongs to the study's folder, which only the driver knows.
    return os.path.normpath(here) if Path(here).is_absolute() else by_driver


def anchored(pattern: str, base: Path) -> str:
    """The pattern as an absolute one, but for `$VARS`, which are those of whoever reads it."""
    return pattern if VARIABLE.match(pattern) else os.path.normpath(base.absolute() / Path(pattern).expanduser())


def _matches(pattern: str, base: Path) -> list[Path]:
    where = located(pattern, base)
    if Path(where).is_file():
        return [Path(where)]
    files = sorted(path for path in map(Path, _glob(where)) if path.is_file())
    if not files:
        hint = f"it is a folder: name its files, as in {pattern.rstrip('/')}/*.h5" if Path(where).is_dir() else "check the path"
        message = f"no file matches '{pattern}' (looked for {where}); {hint}"
        raise DataError(message, file=pattern)
    return files


def _glob(where: str) -> list[str]:
    return glob.glob(where, recursive=True)  # noqa: PTH207 - unlike pathlib's, it leaves hidden files out


def _expanded(pattern: str) -> str:
    def value(match: re.Match[str]) -> str:
        name = match[1] or match[2]
        if name not in os.environ:
            message = f"the environment variable {name} is not defined; export {name}=/the/folder/of/the/files, or write the path itself"
            raise DataError(message, file=pattern)
        return os.environ[name]

    return VARIABLE.sub(value, pattern)
