"""`gan3d ui`: MLflow's user interface on a study, on this machine's loopback address only."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import tempfile
from pathlib import Path

from gan3d.cli.results import refuse_without_study
from gan3d.cli.resuming import kept_request, results_of
from gan3d.errors import ConfigError
from gan3d.terminal.console import console_for

LOOPBACK = "127.0.0.1"
#: MLflow's own, and how many behind it are tried.
FIRST_PORT, PORTS_TRIED = 5000, 100


def serve(study: Path, results: Path | None, port: int | None) -> int:
    """Serve until Ctrl-C; returns the server's exit code.

    Raises:
        ConfigError: there is no such study, its tracking data are on a server already or gone, or the port is taken.
    """
    from gan3d.tracking.client import be_quiet
    from gan3d.tracking.viewing import database_of, pointing_here, study_page, uri_of

    folder = results or results_of(study)
    refuse_without_study(folder)
    tracking_uri = kept_request(folder).tracking_uri
    database = database_of(folder, tracking_uri)
    if database is None:
        message = f"the study's tracking data are on the server {tracking_uri}: open that in a browser."
        raise ConfigError(message, where=str(folder))
    if not database.is_file():
        message = f"there is no database {database}. It is written when the study's first trial starts."
        raise ConfigError(message, where=str(folder))
    be_quiet()
    chosen = free_port(port)
    with tempfile.TemporaryDirectory(prefix="gan3d-ui-") as made:
        shown = pointing_here(database, folder, Path(made))
        text = f"http://{LOOPBACK}:{chosen}/{study_page(folder, shown)}  (this machine only; Ctrl-C ends it)"
        console_for().print(text, soft_wrap=True, markup=False, highlight=False)
        where = ["--backend-store-uri", uri_of(shown), "--host", LOOPBACK, "--port", str(chosen), "--workers", "1"]
        signal.signal(signal.SIGTERM, signal.default_int_handler)  # else the server and the copy would outlive this process
        server = subprocess.Popen([sys.executable, "-m", "mlflow", "ui", *where], env=os.environ | {"PYTHONWARNINGS": "ignore"})
        try:
            return server.wait()
        except KeyboardInterrupt:  # how one ends it
            return 0
        finally:
            server.terminate()
            server.wait()


def free_port(asked: int | None) -> int:
    """The port that was asked for, or the first free one from MLflow's own on.

    Raises:
        ConfigError: it is taken, or all are.
    """
    for port in [asked] if asked is not None else range(FIRST_PORT, FIRST_PORT + PORTS_TRIED):
        with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                probe.bind((LOOPBACK, port))
            except OSError:
                continue
            return port
    message = "the port is taken. Give another one with --port." if asked else "no port is free. Give one with --port."
    raise ConfigError(message, key="port")
