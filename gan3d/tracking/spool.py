"""A failing tracking server must not kill training: what it cannot take now waits in a file and is offered again, in order.

Entries are plain dictionaries of arguments of idempotent operations, so that offering one twice does no harm. Covered: order,
waiting, a file that outlives the driver. Not covered: what an entry means (``store``).
"""

from __future__ import annotations

import json
import logging
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

from gan3d.writing import cut_broken_line

Entry = dict[str, Any]
logger = logging.getLogger(__name__)

#: Shortest time between two attempts on a server that failed [s]: an attempt may block for as long as its timeout.
RETRY_SECONDS = 30.0


class Unavailable(Exception):  # noqa: N818 - a state of the server, not a mistake
    """The server failed; the same entry may succeed later."""


class Rejected(Exception):  # noqa: N818 - an answer of the server
    """The server answered that it will never take this entry."""


class Spool:
    """Entries on their way to ``apply``, which raises ``Unavailable`` or ``Rejected``."""

    def __init__(self, file: Path, apply: Callable[[Entry], None]) -> None:
        """Take up the entries an earlier driver left in ``file``."""
        self.file = file
        self._apply = apply
        if cut := cut_broken_line(file):  # else the next entry would stand behind it, and both would be lost
            logger.warning("%s: a line was cut short and is lost: %.80s", file, cut.decode(errors="replace"))
        self._waiting: deque[Entry] = deque(_read(file))
        self._retry_at = 0.0

    def __len__(self) -> int:
        return len(self._waiting)

    def submit(self, entry: Entry) -> None:
        """Apply an entry after those that wait; keep it if that is not possible now."""
        self._waiting.append(entry)
        if len(self._waiting) == 1 or time.monotonic() >= self._retry_at:
            self.drain()
        if self._waiting:
            self._write_waiting_entry(entry)

    def drain(self) -> bool:
        """Offer what waits, in order, until the server fails; True if nothing is left."""
        while self._waiting:
            try:
                self._apply(self._waiting[0])
            except Unavailable as error:
                self._postpone(error)
                return False
            except Rejected as error:
                logger.warning("the tracking server refused %s: %s", self._waiting[0], error)
            self._waiting.popleft()
        self.file.unlink(missing_ok=True)
        self._retry_at = 0.0
        return True

    def _postpone(self, error: Unavailable) -> None:
        if self._retry_at == 0.0:
            logger.warning("tracking failed (%s); records are kept in %s and offered again", str(error).partition("\n")[0], self.file)
        self._retry_at = time.monotonic() + RETRY_SECONDS

    def _write_waiting_entry(self, entry: Entry) -> None:
        """Append: entries applied meanwhile stay in the file, and offering them again does no harm."""
        try:
            self.file.parent.mkdir(parents=True, exist_ok=True)
            with self.file.open("a", encoding="utf-8") as stream:
                stream.write(json.dumps(entry) + "\n")
        except OSError as problem:  # where the server's disk is full, so may ours be: it waits in memory alone
            logger.warning("%s cannot be written (%s)", self.file, problem)
            with suppress(OSError):  # of which a part may be there
                cut_broken_line(self.file)


def _read(file: Path) -> list[Entry]:
    """The entries of a spool file; a line that is none, as earlier versions left them, is dropped with a warning."""
    entries = []
    for line in file.read_text("utf-8").splitlines() if file.is_file() else []:
        try:
            entries.append(json.loads(line))
        except json.JSONDecodeError:
            logger.warning("%s: a line was cut short and is lost: %.80s", file, line)
    return entries
