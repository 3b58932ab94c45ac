"""Looks after the Ray that a driver has started for itself: its head cannot come back, and Ray itself notices late and says little.

Left alone, the driver would wait for a minute and then be ended in the middle of whatever it does, as if the study had failed.
"""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager

import psutil

#: Ray's processes that a session cannot do without, children of the driver.
HEAD = ("gcs_server", "raylet")
#: Seconds between two looks.
LOOK_SECONDS = 0.5
#: As after Ctrl-C: everything finished is there, and the study can be gone on with.
INTERRUPTED = 130


@contextmanager
def head_watched(say: Callable[[str], None]) -> Iterator[None]:
    """For the length of the block, end this process with a word if one of the head's has died; its workers end with it."""
    head = {process.name(): process for process in psutil.Process().children() if process.name() in HEAD}
    over = threading.Event()
    thread = threading.Thread(target=_watch, args=(head, say, over), name="head", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def _watch(head: Mapping[str, psutil.Process], say: Callable[[str], None], over: threading.Event) -> None:
    while not over.wait(LOOK_SECONDS):
        dead = [name for name, process in head.items() if not is_alive(process)]
        if dead:
            say(f"Ray has died on this machine ({', '.join(dead)}). What was finished is kept: gan3d resume STUDY goes on with it")
            os._exit(INTERRUPTED)  # the main thread waits for answers that will not come


def is_alive(process: psutil.Process) -> bool:
    """Whether it still does something; a killed child is there until its parent looks."""
    try:
        return bool(process.is_running() and process.status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False
