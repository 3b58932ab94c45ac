"""A request that a study stop: a file in its results folder, written from any node, which its driver looks for.

Stopped so, every running trial ends with its epoch, and nothing is lost; Ctrl-C is quicker, and costs the epochs that trials are in.
"""

from __future__ import annotations

import time
from pathlib import Path

STOP = "stop"
#: How old what is known of the file may be: looking is cheap, and on a shared file system not free.
LOOK_SECONDS = 1.0


def ask_to_stop(results: Path) -> None:
    """Ask the driver of the study in a folder."""
    (results / STOP).touch()


class StopRequest:
    """The driver's side. What was asked of an earlier session is forgotten."""

    def __init__(self, results: Path) -> None:
        self._file = results / STOP
        self._file.unlink(missing_ok=True)
        self._is_asked, self._looked, self._own_reason = False, 0.0, ""

    def stop(self, reason: str) -> None:
        """The study itself wants to."""
        self._own_reason = reason

    @property
    def reason(self) -> str:
        """Why the study is to stop; empty while nobody has asked."""
        now = time.monotonic()
        if not self._is_asked and now - self._looked >= LOOK_SECONDS:
            self._is_asked, self._looked = self._file.exists(), now
        return self._own_reason or ("asked to stop" if self._is_asked else "")
