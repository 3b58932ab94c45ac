"""Carries the workers' step-by-step progress from the board to whoever watches."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
from ray.exceptions import RayError

from gan3d.tracking.callback import Watcher

#: Seconds between two looks.
LOOK_SECONDS = 1.0


@contextmanager
def forwarded(board: Any, watcher: Watcher) -> Iterator[None]:
    """Ask the board about once a second, in a thread, for the length of the block."""
    over = threading.Event()
    thread = threading.Thread(target=_forward, args=(board, watcher, over), name="progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join(LOOK_SECONDS * 5)


def _forward(board: Any, watcher: Watcher, over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        try:
            rows = ray.get(board.overview.remote(), timeout=LOOK_SECONDS * 5)
        except RayError:
            continue
        for row in rows:
            watcher.step_progress(row["number"], row["epoch"], row["step"], row["steps"])
