"""Where Optuna keeps what it knows of a study: by default a journal in its results folder, else a database that a URL names.

    optuna_storage.json  in the results folder of a study whose trials are in a database: its URL, and the mark by which it is known there

A URL is kept and shown as it was written, its folder made absolute. `$NAMES` in it are looked up in the environment each time it is opened,
so that a password is in nobody's files; one that is written out is refused. Loads no Optuna.
"""

from __future__ import annotations

import json
import os
import shlex
from collections.abc import Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from gan3d.data.paths import VARIABLE
from gan3d.errors import ConfigError
from gan3d.writing import write_atomically, write_text

if TYPE_CHECKING:
    from sqlalchemy.engine import URL

JOURNAL, KEPT = "optuna_journal.log", "optuna_storage.json"
OPTION = "--optuna-storage"
#: Parts of a URL, and names in its query, in which a password can be.
_SECRET = ("password", "passwd", "sslpassword")
_FORMS = "Write sqlite:///FILE.db, 'postgresql://USER:$PASSWORD@HOST/DATABASE' or 'mysql+pymysql://USER:$PASSWORD@HOST/DATABASE'."


@dataclass(frozen=True, slots=True)
class Kept:
    """What a results folder says of a storage that is not in it."""

    url: str
    mark: str
    """Of the study in the database: another one of its name has another."""


def place_of(results: Path) -> Path | str:
    """Where Optuna's storage of the study in a results folder is, or will be: its journal, or the URL of a database.

    Raises:
        ConfigError: it cannot be read.
    """
    kept = kept_in(results)
    return results / JOURNAL if kept is None else kept.url


def kept_in(results: Path) -> Kept | None:
    """What a results folder, which need not exist, says of a database; None: the journal.

    Raises:
        ConfigError: it cannot be read.
    """
    try:
        return Kept(**json.loads((results / KEPT).read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (ValueError, TypeError) as problem:
        message = f"does not tell where Optuna's storage is ({problem}). Write it anew: gan3d run STUDY --resume {OPTION} URL."
        raise ConfigError(message, where=str(results / KEPT)) from problem


def keep(results: Path, kept: Kept) -> None:
    """Write it down."""
    text = json.dumps(asdict(kept), indent=1) + "\n"
    write_atomically(results / KEPT, lambda file: write_text(file, text))


def as_written(url: str) -> str:
    """A URL that may be written down and means the same from any folder.

    Raises:
        ConfigError: it is none, names a database in memory, or holds a password.
    """
    parsed = _parsed(url)
    secrets = [parsed.password, *(parsed.query.get(name) for name in _SECRET)]
    if any(secret and not VARIABLE.search(str(secret)) for secret in secrets):
        shown = parsed.render_as_string(hide_password=True).partition("?")[0]
        message = (
            f"{OPTION} {shown} holds a password, which would be written down with the study. Export it as a variable, and write that "
            "one's name in single quotes: 'postgresql://USER:$PASSWORD@HOST/DATABASE'."
        )
        raise ConfigError(message, key="optuna_storage")
    if parsed.get_backend_name() != "sqlite":
        return url
    if parsed.database in (None, "", ":memory:"):
        message = f"{OPTION} {url} is a database in memory, which ends with its process. Name a file: sqlite:///FILE.db."
        raise ConfigError(message, key="optuna_storage")
    assert parsed.database is not None
    if parsed.database.startswith(("$", "file:")):
        return url
    return parsed.set(database=str(Path(parsed.database).absolute())).render_as_string(hide_password=False)


def expanded(url: str) -> URL:
    """A URL with the values of the variables that it names, whatever letters are in them.

    Raises:
        ConfigError: a variable is not set, or it is no URL.
    """

    def value(name: str) -> str:
        if name not in os.environ:
            message = (
                f"{OPTION} {url}: the environment variable {name} is not set. export {name}=..., wherever the study is run or looked at."
            )
            raise ConfigError(message, key="optuna_storage")
        return os.environ[name]

    def filled(text: str | None) -> str | None:
        return None if text is None else VARIABLE.sub(lambda match: value(match[1] or match[2]), text)

    parsed = _parsed(url)
    query = {name: filled(text) or "" if isinstance(text, str) else text for name, text in parsed.query.items()}
    user, password, host, database = map(filled, (parsed.username, parsed.password, parsed.host, parsed.database))
    return parsed.set(username=user, password=password, host=host, database=database, query=query)


def shell_text(words: Iterable[str]) -> str:
    """A command as a shell takes it: `$NAMES` are left for it to fill in."""
    return " ".join(f'"{word}"' if VARIABLE.search(word) and shlex.quote(word) == f"'{word}'" else shlex.quote(word) for word in words)


def _parsed(url: str) -> URL:
    from sqlalchemy.engine import make_url
    from sqlalchemy.exc import ArgumentError

    try:
        return make_url(url)
    except (ArgumentError, ValueError) as problem:  # which is not shown: there may be a password in it
        message = f"{OPTION} is not the URL of a database. {_FORMS}"
        raise ConfigError(message, key="optuna_storage") from problem
