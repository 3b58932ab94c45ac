"""A quiet MLflow client: no telemetry, no chatter on the terminal, nothing dropped into the working directory.

Covered: opening a tracking server or database, searching it page by page. Not covered: what is written (``store``) and read (``frames``).
MLflow takes seconds to import, so it is imported on first use; only ``MlflowClient`` is used, never the fluent global API.
"""

from __future__ import annotations

import fcntl
import importlib
import logging
import os
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gan3d.errors import ConfigError

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Experiment, Run

SQLITE = "sqlite:///"
#: Set before the first import of MLflow, unless the user has. An unreachable server may hold the driver for seconds, not minutes.
_ENVIRONMENT = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_LOGGING_LEVEL": "WARNING",
    "MLFLOW_SUPPRESS_PRINTING_URL_TO_STDOUT": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "20",
}


def open_client(tracking_uri: str, *, create: bool = False) -> MlflowClient:
    """A client of a tracking server or database; a missing SQLite database is made only with ``create``.

    Raises:
        ConfigError: The database is missing, or the server or database does not answer.
    """
    database = sqlite_file(tracking_uri)
    if database is not None:
        if not create and not database.is_file():
            message = f"tracking URI {tracking_uri}: there is no database {database}. Run the study first, or give its --tracking-uri."
            raise ConfigError(message, key="tracking_uri")
        tracking_uri = f"{SQLITE}{database}"
    failed = failures()
    try:
        with nullcontext() if database is None else _alone_in(database.parent):
            if database is not None and not database.is_file():
                _make(database)
            return _answering_client(tracking_uri)
    except failed as error:
        message = f"tracking URI {tracking_uri} does not answer: {error}. Start its server, or leave the URI out for a local database."
        raise ConfigError(message, key="tracking_uri") from error


def sqlite_file(tracking_uri: str) -> Path | None:
    """The absolute path of an SQLite tracking URI's database; None for any other URI."""
    if not tracking_uri.startswith(SQLITE):
        return None
    return Path(tracking_uri.removeprefix(SQLITE)).absolute()


def artifacts_of(tracking_uri: str, run_id: str) -> Any:
    """The place of a run's artefacts as this tracking URI has it; MLflow's client takes the first that its process saw of that run."""
    registry = importlib.import_module("mlflow.store.artifact.artifact_repository_registry")
    return registry.get_artifact_repository(open_client(tracking_uri).get_run(run_id).info.artifact_uri, tracking_uri=tracking_uri)


def failures() -> tuple[type[Exception], ...]:
    """What MLflow raises when a server or database fails; connections are ``OSError``, a missing driver is ``ImportError``."""
    exceptions = load_mlflow().exceptions
    return (exceptions.MlflowException, importlib.import_module("sqlalchemy.exc").SQLAlchemyError, OSError, ImportError)


def search_runs(client: MlflowClient, experiment_id: str, condition: str) -> list[Run]:
    """Every run of an experiment that fulfils an MLflow filter, newest first."""
    found: list[Run] = []
    token = None
    while True:
        page = client.search_runs([experiment_id], condition, max_results=1000, order_by=["attributes.start_time DESC"], page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def search_experiments(client: MlflowClient, prefix: str) -> list[Experiment]:
    """Every experiment whose name begins with ``prefix``, newest first."""
    found: list[Experiment] = []
    token = None
    while True:
        page = client.search_experiments(filter_string=f"name LIKE '{prefix}%'", max_results=1000, page_token=token)
        found += page
        token = page.token
        if not token:
            return found


def load_mlflow() -> Any:
    """The ``mlflow`` module, imported quietly: its own import trips over SQLAlchemy's deprecations, which are not ours to heed."""
    be_quiet()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        module = importlib.import_module("mlflow")
        importlib.import_module("mlflow.store.tracking.sqlalchemy_store")
    for name in ("mlflow", "alembic"):
        logging.getLogger(name).setLevel(logging.WARNING)
    # It prints the traceback of every error of the database before it raises it; the spool says what failed.
    logging.getLogger("mlflow.store.db.utils").setLevel(logging.CRITICAL)
    return module


def be_quiet() -> None:
    """For MLflow in this process and in those that it starts: no telemetry, no chatter, no minutes of waiting."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)


@contextmanager
def _alone_in(folder: Path) -> Iterator[None]:
    """Wait for other processes here: two drivers that migrate the same new database break each other's migration.

    The folder itself is locked, so no lock file is left behind; a file system without locks is used without.
    """
    folder.mkdir(parents=True, exist_ok=True)
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def _make(database: Path) -> None:
    """A new database, under its name only once it is whole: MLflow takes seconds, and cannot go on with what a killed driver began."""
    unfinished = database.with_name(f".{database.name}.new")
    for part in (unfinished, unfinished.with_name(f"{unfinished.name}-journal")):
        part.unlink(missing_ok=True)
    client = _answering_client(f"{SQLITE}{unfinished}")
    client._tracking_client.store.engine.dispose()
    unfinished.replace(database)


def _answering_client(tracking_uri: str) -> MlflowClient:
    """A client that has answered one cheap question."""
    client: MlflowClient = load_mlflow().MlflowClient(tracking_uri)
    client.search_experiments(max_results=1)
    return client
