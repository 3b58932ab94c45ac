"""Ray for the length of a study: a cluster of its own on this machine, or one that is there already."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import ray

from gan3d.errors import ResourceError
from gan3d.search.head import head_watched

#: Environment of every process of the study.
#: Train looks after its workers twice a second (by default every 2 s) and needs no watcher of preemptions, which costs a
#: process per team; workers keep the driver's priority; nothing is sent to anybody.
WORKER_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_TRAIN_HEALTH_CHECK_INTERVAL_S": "0.5",
    "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER": "0",
    "RAY_worker_niceness": "0",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
}
#: How often a local Ray is started before it is given up.
STARTS = 2
#: How long an address may take to answer [s].
PATIENCE_SECONDS = 10.0


@contextmanager
def connected(address: str | None, *, verbose: bool, say: Callable[[str], None]) -> Iterator[None]:
    """A Ray session; a local one has this machine's CPUs and no dashboard, and ends with the block.

    Raises:
        ResourceError: no cluster answers at ``address``.
    """
    os.environ.update(WORKER_ENVIRONMENT)
    # Ray guards a local cluster with a token, which is good, and says so at every start, which is noise.
    logging.getLogger("ray._private.authentication").setLevel(logging.INFO if verbose else logging.ERROR)
    say(f"Connecting to the Ray cluster at {address}" if address else "Starting Ray on this machine")
    # Workers of a local cluster inherit this process's environment. Said again as a runtime environment it would only keep the
    # processes that Ray starts beforehand from being used.
    where_to: dict[str, Any] = {"runtime_env": {"env_vars": WORKER_ENVIRONMENT}} if address else {"include_dashboard": False}
    if address and (why := why_unreachable(address)):
        raise _no_ray(address, why)
    try:
        _start(
            say,
            1 if address else STARTS,
            address=address or "local",
            log_to_driver=verbose,
            logging_level=logging.INFO if verbose else logging.ERROR,
            configure_logging=verbose,
            **where_to,
        )
    except Exception as problem:  # a Ray that does not start in time, on a busy machine, raises no more special one
        raise _no_ray(address, str(problem)) from problem
    try:
        with nullcontext() if address else head_watched(say):
            yield
    finally:
        ray.shutdown()


def _no_ray(address: str | None, why: str) -> ResourceError:
    where = f"no Ray cluster at --address {address}" if address else "Ray does not start on this machine"
    way_out = (
        "Start one with `ray start --head`, or leave --address out; if it asks for a token, export RAY_AUTH_MODE=token."
        if address
        else "Is another Ray using up ports or memory?"
    )
    return ResourceError(f"{where}: {why}. {way_out}")


def _start(say: Callable[[str], None], times: int, **options: Any) -> None:
    """`ray.init`, up to so many times: Ray gives its own node half a minute, which a busy machine may exceed."""
    for left in reversed(range(times)):
        try:
            ray.init(**options)
        except Exception:  # no more special one is raised
            if not left:
                raise
            ray.shutdown()
            say("Ray did not start in time: once more")
        else:
            return


def why_unreachable(address: str) -> str | None:
    """Why nobody can connect to ``host:port``, with or without a scheme before it; None: one can, or it names no port (``auto``).

    To be asked before Ray is: where nothing listens, Ray ends the process after a minute.
    """
    host, _, port = address.rpartition("//")[2].rpartition(":")
    if not host or not port.isdecimal():
        return None
    try:
        with socket.create_connection((host.strip("[]"), int(port)), timeout=PATIENCE_SECONDS):
            return None
    except (OSError, OverflowError) as problem:
        return str(problem)
