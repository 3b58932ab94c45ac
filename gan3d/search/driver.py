"""Who runs a study: the one process, its driver, that holds a lock on ``driver.lock`` in the results folder for as long as it lives.

The lock is the kernel's (flock): it ends with the process, however that ends, so nothing stale is ever left. What the file holds (host,
process, since when) is only for people, and for the case below; a driver that ends in good order empties it.

On some clusters' file systems a lock is known only on the machine that holds it, or nowhere. From another one a driver is known there by
what it writes: ``driver.lock`` when it begins, and every few seconds the ledger (``cost.json``). So for some seconds after it was killed it
seems to live, seen from elsewhere, and is not followed by another one; from its own machine it is, at once.
"""

from __future__ import annotations

import fcntl
import json
import math
import os
import socket
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import IO

from gan3d.cost.ledger import FILE as LEDGER
from gan3d.cost.ledger import SECONDS_BETWEEN_SAVES
from gan3d.errors import ConfigError

LOCK = "driver.lock"
#: Whoever asks for the driver has the lock shared for an instant, which must not turn a driver away that begins just then.
TRIES, SECONDS_BETWEEN_TRIES = 10, 0.1
#: A driver elsewhere that has written nothing for so long is none.
SILENT_SECONDS = 6 * SECONDS_BETWEEN_SAVES


@dataclass(frozen=True, slots=True)
class Driver:
    """A process that runs a study. All empty: there is one, but what it wrote of itself cannot be read."""

    host: str = ""
    pid: int = 0
    since: str = ""

    @property
    def text(self) -> str:
        """`process 4711 on node3, since 2026-05-01 12:30:00`."""
        return f"process {self.pid} on {self.host}, since {self.since}" if self.pid else "another process"


@contextmanager
def driving(results: Path) -> Iterator[None]:
    """Be the driver of the study in a folder, which exists, for the length of the block.

    Raises:
        ConfigError: another process is.
    """
    with (results / LOCK).open("a", encoding="utf-8") as file:
        _lock(file, results)
        _refuse_elsewhere(results)
        _rewrite(file, json.dumps(asdict(Driver(socket.gethostname(), os.getpid(), f"{datetime.now().astimezone():%Y-%m-%d %H:%M:%S}"))))
        try:
            yield
        finally:
            with suppress(OSError):  # of a disk that has gone: the lock ends all the same
                _rewrite(file, "")


def driver_of(results: Path) -> Driver | None:
    """The driver of the study in a folder, which need not exist; None if there is none, as far as locks tell."""
    with suppress(FileNotFoundError, NotADirectoryError), (results / LOCK).open(encoding="utf-8") as file:
        told = _told(file)
        try:
            fcntl.flock(file, fcntl.LOCK_SH | fcntl.LOCK_NB)  # until the block ends: at once
        except BlockingIOError:
            return told or Driver()
        except OSError:  # no locks on this file system
            return told if told is not None and _lives_here(told) and _silent_seconds(results) < SILENT_SECONDS else None
    return None


def driver_elsewhere(results: Path) -> Driver | None:
    """The driver on another machine whose lock does not reach this one; None if there is no sign of one."""
    with suppress(OSError), (results / LOCK).open(encoding="utf-8") as file:
        told = _told(file)
        if told is not None and told.host != socket.gethostname() and _silent_seconds(results) < SILENT_SECONDS:
            return told
    return None


def driver_anywhere(results: Path) -> Driver | None:
    """The driver of the study in a folder, on whatever machine; None if there is none."""
    return driver_of(results) or driver_elsewhere(results)


def refuse_second_driver(results: Path) -> None:
    """Raise where a study is being run already, before anything is touched.

    Raises:
        ConfigError: naming the process.
    """
    if (driver := driver_of(results)) is not None:
        raise _refusal(results, driver)
    _refuse_elsewhere(results)


def _refuse_elsewhere(results: Path) -> None:
    """Raise where a driver on another machine shows signs of life."""
    if (driver := driver_elsewhere(results)) is not None:
        left = max(1, math.ceil(SILENT_SECONDS - _silent_seconds(results)))
        raise _refusal(results, driver, f" If it was killed, try again in {left} seconds, or at once on {driver.host}.")


def _lives_here(driver: Driver) -> bool:
    """Whether a process of its number does, on its machine."""
    if driver.host != socket.gethostname():
        return False
    try:
        os.kill(driver.pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # somebody else's
        return True
    return True


def _silent_seconds(results: Path) -> float:
    """How long ago a driver wrote, by the clock of the results' file system as far as it is this machine's."""
    written = [file.stat().st_mtime for name in (LOCK, LEDGER) if (file := results / name).exists()]
    return time.time() - max(written, default=0.0)


def _lock(file: IO[str], results: Path) -> None:
    """Have the file alone; where locks are not known, nobody has it, and a driver is known by what it writes."""
    for _ in range(TRIES):
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            time.sleep(SECONDS_BETWEEN_TRIES)
        except OSError:  # no locks on this file system
            if driver_of(results) is None:
                return
            break
        else:
            return
    raise _refusal(results, driver_of(results) or Driver())


def _refusal(results: Path, driver: Driver, more: str = "") -> ConfigError:
    message = f"the study in it is being run by {driver.text}: two would mix their trials. See gan3d status {results}, or wait for its end."
    message += more
    return ConfigError(message, where=str(results))


def _rewrite(file: IO[str], text: str) -> None:
    file.truncate(0)
    file.write(text)
    file.flush()


def _told(file: IO[str]) -> Driver | None:
    """What a driver wrote of itself; None where nothing whole is written."""
    try:
        return Driver(**json.loads(file.read()))
    except (ValueError, TypeError):
        return None
