"""Optuna's journal on disk, one line per change, by a driver that may be killed in the middle of one.

Optuna reads over a last line without its end, and then writes its next line behind it: such a journal can never be read again. And
its own lock is a file that outlives whoever held it. So here a broken end is cut off first, and the kernel holds the lock.
"""

from __future__ import annotations

import fcntl
import os
from contextlib import suppress
from pathlib import Path

from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend, JournalFileOpenLock
from optuna.trial import FrozenTrial

from gan3d.errors import ConfigError
from gan3d.writing import cut_broken_line


class JournalLock(JournalFileOpenLock):
    """The journal's own file, locked for its process: one that is killed lets go of it. A file system without locks is used without."""

    def __init__(self, journal: Path) -> None:
        super().__init__(str(journal))
        self._journal = journal
        self._descriptor = -1  # a number: Tune pickles whoever holds Optuna's storage

    def acquire(self) -> bool:
        """Wait for it."""
        self._descriptor = os.open(self._journal, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, mode=0o666)
        with suppress(OSError):
            fcntl.flock(self._descriptor, fcntl.LOCK_EX)
        return True

    def release(self) -> None:
        """Let others write."""
        os.close(self._descriptor)


def open_journal(journal: Path) -> JournalStorage:
    """Optuna's storage in this file, which is made if it is not there."""
    lock = JournalLock(journal)
    lock.acquire()
    try:
        cut_broken_line(journal)  # the change that it was to tell never happened
    finally:
        lock.release()
    return JournalStorage(JournalFileBackend(str(journal), lock_obj=lock))


def read_trials(journal: Path, name: str) -> list[FrozenTrial]:
    """A study's trials by their number; none where there is no journal yet, or not yet the study in it.

    For whoever is not the driver: nothing is written and no lock taken. A last line that is being written, or was cut off, does not count.

    Raises:
        ConfigError: the journal cannot be read, or another line is broken.
    """
    if not journal.exists():  # Optuna would make it
        return []
    try:
        storage = JournalStorage(JournalFileBackend(str(journal)))
        return list(storage.get_all_trials(storage.get_study_id_from_name(name), deepcopy=False))
    except KeyError:
        return []
    except (OSError, ValueError) as problem:
        message = f"is not a journal that can be read ({problem}). Restore it, or start anew with gan3d run STUDY --fresh."
        raise ConfigError(message, where=str(journal)) from problem
