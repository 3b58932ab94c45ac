"""A study's local MLflow database for looking at, wherever its results folder has been copied to.

MLflow stores where artefacts are as absolute paths. Where these point to another place than the folder's own artefacts, a copy of the
database is made that points here; the study's own is only read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import unquote, urlparse

from gan3d.errors import ConfigError
from gan3d.tracking.client import SQLITE, sqlite_file
from gan3d.tracking.store import RUN_FILE, default_tracking_uri

ARTIFACTS = "artifacts"


def database_of(results: Path, tracking_uri: str | None) -> Path | None:
    """The local database of a study's tracking data; None where they are on a server.

    Args:
        results: the study's folder.
        tracking_uri: as the study was run; None: the database in the folder. One that has moved with its folder is found there.
    """
    database = sqlite_file(tracking_uri or default_tracking_uri(results))
    if database is None or database.is_file():
        return database
    beside = sqlite_file(default_tracking_uri(results))
    assert beside is not None, "the default is a database"
    return beside if beside.is_file() else database


def study_page(results: Path, database: Path) -> str:
    """The study's page in MLflow's user interface, behind its address; empty where the database has no such run."""
    run_file = results / RUN_FILE
    if not run_file.is_file():
        return ""
    run_id = run_file.read_text(encoding="utf-8").strip()
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read:
        found = read.execute("SELECT experiment_id FROM runs WHERE run_uuid = ?", (run_id,)).fetchone()
    return f"#/experiments/{found[0]}/runs/{run_id}" if found else ""


def pointing_here(database: Path, results: Path, folder: Path) -> Path:
    """The database, or, where its artefacts are said to be elsewhere though they are in ``results``, a copy in ``folder`` that says so."""
    here = (results / ARTIFACTS).absolute()
    moved = {old: f"file://{here / _behind(old)}" for old in _locations(database) if _has_moved(old, here)}
    if not moved:
        return database
    copy = folder / database.name
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read, closing(sqlite3.connect(copy)) as write:
        read.backup(write)
        for old, new in moved.items():
            write.execute("UPDATE experiments SET artifact_location = ? WHERE artifact_location = ?", (new, old))
            write.execute(
                "UPDATE runs SET artifact_uri = ? || substr(artifact_uri, ?) WHERE artifact_uri LIKE ?", (new, len(old) + 1, f"{old}/%")
            )
            for column in ("source", "storage_location"):
                write.execute(
                    f"UPDATE model_versions SET {column} = ? || substr({column}, ?) WHERE {column} LIKE ?", (new, len(old) + 1, f"{old}/%")
                )
        write.commit()
    return copy


@contextmanager
def artifacts_here(tracking_uri: str, run_id: str | None = None) -> Iterator[str]:
    """Where MLflow finds artefacts, and puts them, in the block: a database that was copied with them has them beside it.

    Tags and registered models are the study's own and belong into ``tracking_uri`` itself; what is written to the copy is lost.

    Args:
        tracking_uri: of a study.
        run_id: whose artefacts are to be written.

    Raises:
        ConfigError: that run's artefacts are neither where the database has them nor beside it.
    """
    database = sqlite_file(tracking_uri)
    if database is None or not database.is_file():
        yield tracking_uri
        return
    if run_id is not None:
        _refuse_lost(database, run_id)
    with TemporaryDirectory(prefix="gan3d-artifacts-") as folder:
        yield uri_of(pointing_here(database, database.parent, Path(folder)))


def _refuse_lost(database: Path, run_id: str) -> None:
    """MLflow would make the folder anew, on a machine where nobody looks for it."""
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read:
        command = "SELECT artifact_location FROM experiments JOIN runs USING (experiment_id) WHERE run_uuid = ?"
        found = read.execute(command, (run_id,)).fetchone()
    place = urlparse(found[0]) if found else None
    if place is None or place.scheme not in {"", "file"} or f"/{ARTIFACTS}/" not in place.path:
        return
    there, here = Path(unquote(place.path)), database.parent.absolute() / ARTIFACTS
    if not there.is_dir() and there != here / there.name and not (here / there.name).is_dir():
        message = (
            f"the study's artefacts lie neither in {there} nor in {here / there.name}. Copy the folder {ARTIFACTS} as well, beside it."
        )
        raise ConfigError(message, where=str(database), key="tracking_uri")


def _locations(database: Path) -> list[str]:
    with closing(sqlite3.connect(f"file:{database}?mode=ro", uri=True)) as read:
        return [row[0] for row in read.execute("SELECT artifact_location FROM experiments")]


def _behind(location: str) -> str:
    """What of a location lies within the folder of artefacts."""
    return location.rpartition(f"/{ARTIFACTS}/")[2]


def _has_moved(location: str, here: Path) -> bool:
    """Whether artefacts are not where the database has them, but here."""
    if f"/{ARTIFACTS}/" not in location:
        return False
    there = Path(location.removeprefix("file://"))
    return there != here / _behind(location) and (here / _behind(location)).is_dir()


def uri_of(database: Path) -> str:
    """For MLflow."""
    return f"{SQLITE}{database.absolute()}"
