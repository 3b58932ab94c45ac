"""Optuna's storage, opened: a journal file (`search.journal`) or a database, which may hold other studies too.

What a driver does to a database it does in transactions, each of them one change, as each line of a journal is: killed between two, or in
the middle of one, it leaves what a study can go on from. SQLite keeps its rollback journal, not WAL, which does not work on network file
systems; who reads holds a writer up for a moment, so each waits for a minute before it gives up. Optuna's heartbeats stay off: they would
tell Optuna, whoever asks it next, that an interrupted trial has failed, which a resume goes on with.

A study is known in a database by its name, and whose it is by a mark among its user attributes, which its results folder has too.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from optuna.exceptions import DuplicatedStudyError, StorageInternalError
from optuna.storages import BaseStorage, RDBStorage
from optuna.study import StudyDirection
from optuna.trial import FrozenTrial
from sqlalchemy import create_engine, inspect
from sqlalchemy.exc import NoSuchModuleError, SQLAlchemyError

from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.search.journal import open_journal
from gan3d.search.journal import read_trials as read_journal
from gan3d.search.place import JOURNAL, KEPT, OPTION, Kept, as_written, expanded, keep, kept_in

#: User attributes of a study in a database: whose it is, and the results folder that it has.
MARK_ATTRIBUTE, RESULTS_ATTRIBUTE = "gan3d_mark", "gan3d_results"
#: That SQLite waits for others.
SQLITE_SECONDS = 60
#: What Optuna makes in a database first, all of it.
_TABLES = {"studies", "trials", "version_info", "alembic_version"}
#: Python modules that drivers are, and what pip calls them.
_PACKAGES = {"psycopg": "psycopg[binary]", "psycopg2": "psycopg2-binary", "MySQLdb": "mysqlclient", "pymysql": "PyMySQL"}


class Database(RDBStorage):
    """Optuna's tables, by a URL as it was written. Pickled, as Tune does with whoever holds one, it keeps no password."""

    def __init__(self, url: str, *, create: bool = True) -> None:
        super().__init__(_full(url), engine_kwargs=_engine_options(url), skip_table_creation=not create)
        self._written = url

    def __getstate__(self) -> dict[Any, Any]:
        """All but what the variables stand for."""
        return {**super().__getstate__(), "url": self._written}

    def __setstate__(self, state: dict[Any, Any]) -> None:
        """Look them up where it is now."""
        super().__setstate__({**state, "url": _full(state["_written"])})


def open_storage(place: Path | str) -> BaseStorage:
    """Optuna's storage in a journal file or a database, for its driver; made if it is not there.

    Raises:
        ConfigError: the database cannot be opened.
    """
    if isinstance(place, Path):
        return open_journal(place)
    with _explained(place):
        return Database(place)


def read_trials(place: Path | str, name: str) -> list[FrozenTrial]:
    """A study's trials by their number; none where there is nothing yet. For whoever is not the driver: nothing is written.

    Raises:
        ConfigError: it cannot be read.
    """
    if isinstance(place, Path):
        return read_journal(place, name)
    with _read_only(place) as database, suppress(KeyError):
        if database is not None:
            return list(database.get_all_trials(database.get_study_id_from_name(name), deepcopy=False))
    return []


def claim_storage(study: Study, results: Path, url: str | None) -> Path | str:
    """Take the place of Optuna's storage for a study that a driver begins or goes on with in a folder, in a database its name.

    Args:
        study: Its name and goals.
        results: Its folder.
        url: Of a database; None: where it was, or else the journal.

    Returns:
        The place: the journal's file, or the database's URL as written.

    Raises:
        ConfigError: the database cannot be opened, has another study of the name, or lost this one; or the trials are in the journal.
    """
    kept = kept_in(results)
    if url is None and kept is None:
        return results / JOURNAL
    place = as_written(url) if url is not None else kept.url if kept is not None else ""
    if (results / JOURNAL).exists():
        message = f"{results} holds a study whose trials are in {JOURNAL}. Leave {OPTION} out, or start anew with --fresh."
        raise ConfigError(message, key="optuna_storage")
    mark = uuid.uuid4().hex if kept is None else kept.mark
    with _explained(place):
        database = Database(place)
        try:
            is_there = _refuse_another(database, study.name, place, None if kept is None else mark)
            if is_there:
                _refuse_copy(database, study.name, results, mark)
            if not is_there and kept is not None and (results / "trials").exists():
                message = f"there is no study {study.name} in {place}, but trials of it are in {results}. {_way_back(place, kept)}"
                raise ConfigError(message, key="optuna_storage")
            keep(results, Kept(place, mark))
            if not is_there:
                _make(database, study, results, place)
            number = database.get_study_id_from_name(study.name)
            database.set_study_user_attr(number, RESULTS_ATTRIBUTE, str(results.absolute()))
            database.set_study_user_attr(number, MARK_ATTRIBUTE, mark)
        finally:
            database.engine.dispose()
    return place


def refuse_taken(name: str, url: str) -> None:
    """Raise where a database has a study of this name, before anything is touched.

    Raises:
        ConfigError: saying whose it is; or the database cannot be read.
    """
    with _read_only(url) as database:
        if database is not None:
            _refuse_another(database, name, url, None)


def _refuse_another(database: BaseStorage, name: str, place: Path | str, mark: str | None) -> bool:
    """Whether a study of this name is there, which must be the one of this mark; None: of a study that has not begun.

    One that is nobody's and empty is that of a driver that was killed before it could say whose it is.
    """
    try:
        number = database.get_study_id_from_name(name)
    except KeyError:
        return False
    attributes = database.get_study_user_attrs(number)
    owner = attributes.get(MARK_ATTRIBUTE)
    if mark is not None and (owner == mark or (owner is None and not database.get_n_trials(number))):
        return True
    whose = f"the study of {attributes[RESULTS_ATTRIBUTE]}" if RESULTS_ATTRIBUTE in attributes else "a study that gan3d did not begin"
    go_on = f"go on with it by gan3d resume {attributes[RESULTS_ATTRIBUTE]}, " if RESULTS_ATTRIBUTE in attributes else ""
    message = (
        f"{OPTION} {place} holds a study {name} already, {whose}: their trials would be mixed. Choose another name by --set name=NAME or "
        f"another database, {go_on}or delete it there by optuna delete-study --storage URL --study-name {name}."
    )
    raise ConfigError(message, key="optuna_storage")


def _refuse_copy(database: BaseStorage, name: str, results: Path, mark: str) -> None:
    """Raise where the results folder is a copy of another one that is there too: both would go on with the same trials."""
    told = database.get_study_user_attrs(database.get_study_id_from_name(name)).get(RESULTS_ATTRIBUTE)
    if told is None or not Path(told).exists() or Path(told).samefile(results):
        return
    if (other := kept_in(Path(told))) is not None and other.mark == mark:
        message = f"{results} is a copy of {told}, whose trials are not in it but in {other.url}. Go on with that one: gan3d resume {told}."
        raise ConfigError(message, key="optuna_storage")


def _way_back(place: str, kept: Kept) -> str:
    where = f"Its storage was {kept.url}: name that one" if place != kept.url else f"Bring it back, name where it is now with {OPTION}"
    return f"{where}, or start anew with --fresh."


def _make(database: BaseStorage, study: Study, results: Path, place: Path | str) -> None:
    directions = [StudyDirection[goal.direction.upper()] for goal in study.objective.goals]
    try:
        database.create_new_study(directions, study_name=study.name)
    except DuplicatedStudyError as problem:  # within an instant: it is another one's
        (results / KEPT).unlink()
        message = f"another process has just begun a study {study.name} in {place}. Choose another name by --set name=NAME."
        raise ConfigError(message, key="optuna_storage") from problem


@contextmanager
def _read_only(url: str) -> Iterator[Database | None]:
    """A database for a look; None where Optuna has made nothing in it yet. It is not made, nor its tables."""
    with _explained(url):
        file = expanded(url).database if url.startswith("sqlite") else None
        if file is not None and not file.startswith("file:") and not Path(file).exists():
            yield None
            return
        engine = create_engine(expanded(url), **_engine_options(url))
        is_there = set(inspect(engine).get_table_names()) >= _TABLES
        engine.dispose()
        if not is_there:
            yield None
            return
        database = Database(url, create=False)
        try:
            yield database
        finally:
            database.engine.dispose()


@contextmanager
def _explained(place: Path | str) -> Iterator[None]:
    """Turn what a database or its driver raises in the block into a message with a way out."""
    try:
        yield
    except ImportError as problem:
        module = getattr(problem.__cause__ or problem, "name", None) or "its driver"
        message = f"needs {module}, which is not installed: pip install '{_PACKAGES.get(module, module)}'."
    except NoSuchModuleError as problem:
        message = f"is of a kind that SQLAlchemy does not know ({problem}). Write sqlite://, postgresql:// or mysql+pymysql://."
    except RuntimeError as problem:  # its tables are another version's, for which Optuna has a way out
        message = f"cannot be used: {problem}"
    except (SQLAlchemyError, StorageInternalError, OSError) as problem:
        message = (
            f"cannot be used: {_said(problem)}. Start its server or make its folder, or leave {OPTION} out for a journal in the results."
        )
    else:
        return
    raise ConfigError(message, where=f"{OPTION} {place}", key="optuna_storage")


def _said(problem: Exception) -> str:
    """What the driver said, in a line, without SQLAlchemy's SQL and links."""
    drivers = [getattr(one, "orig", None) for one in (problem, problem.__cause__)]
    said = next((one for one in drivers if one is not None), problem)
    return " ".join(str(said).split()).rstrip(".?") or type(said).__name__


def _full(url: str) -> str:
    return expanded(url).render_as_string(hide_password=False).replace("{", "{{").replace("}", "}}")  # Optuna takes it for a template


def _engine_options(url: str) -> dict[str, Any]:
    """For SQLAlchemy: SQLite waits; of a server's connections, which may be left alone for hours, it looks whether they live."""
    return {"connect_args": {"timeout": SQLITE_SECONDS}} if url.startswith("sqlite") else {"pool_pre_ping": True}
