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
#: A trial whose workers are not there so long after they were asked for waits for CPUs that somebody else holds.
PATIENCE_SECONDS = 60.0


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
    said: set[int] = set()
    while not over.wait(LOOK_SECONDS):
        try:
            looks = [board.overview.remote(), board.unmanned.remote(PATIENCE_SECONDS)]
            rows, unmanned = ray.get(looks, timeout=LOOK_SECONDS * 5)
        except RayError:
            continue
        for row in rows:
            watcher.step_progress(row["number"], row["epoch"], row["step"], row["steps"])
        for number in sorted(set(unmanned) - said):
            said.add(number)
            watcher.say(f"trial {number} still waits for its workers: {free_cpus()} are free, others hold the rest")


def free_cpus() -> str:
    """`1 of 4 CPUs`, of the whole cluster."""
    free, there = ray.available_resources(), ray.cluster_resources()  # type: ignore[no-untyped-call]
    return f"{free.get('CPU', 0):g} of {there.get('CPU', 0):g} CPUs"
