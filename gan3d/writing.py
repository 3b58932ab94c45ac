"""Files that a kill, a full disk or a power cut leaves whole: written beside and renamed, or of whole lines. What JSON holds."""

from __future__ import annotations

import errno
import math
import os
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

#: What systems say of a file system on which no room can be taken before it is written to.
NOT_TAKEN = (errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL, errno.ENOSYS)


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """``write`` a temporary file beside ``path``, sync it and rename: readers see the old file or the new one, never a part."""
    with written_beside(path) as temporary:
        write(temporary)


@contextmanager
def written_beside(path: Path) -> Iterator[Path]:
    """A temporary file to write in the block: renamed to ``path`` when that ends, removed if it raises."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        yield temporary
        with temporary.open("rb+") as written:
            os.fsync(written.fileno())
        temporary.replace(path)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)


def take_room(descriptor: int, start: int, num_bytes: int) -> None:
    """Take disk space for an open file from byte ``start`` on: what is written there later finds room.

    For who cannot bear to find none, as HDF5. Where the system or the file system has no such call nothing is taken.

    Raises:
        OSError: the disk is full.
    """
    take = getattr(os, "posix_fallocate", None)  # macOS has none
    if take is None:
        return
    try:
        take(descriptor, start, num_bytes)
    except OSError as problem:
        if problem.errno not in NOT_TAKEN:
            raise


def write_text(path: Path, text: str) -> None:
    """In UTF-8; for `write_atomically`."""
    path.write_text(text, encoding="utf-8")


def finite(value: Any) -> Any:
    """For JSON, which has no other numbers: plain values, and lists and mappings of them, with None where a number is not finite."""
    if isinstance(value, Mapping):
        return {key: finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def cut_broken_line(path: Path) -> bytes:
    """Drop what follows the last whole line of a file, which may be absent: what is written next would stand behind it in one line.

    Returns:
        What was cut.
    """
    if not path.exists():
        return b""
    content = path.read_bytes()
    whole = content.rfind(b"\n") + 1
    if whole != len(content):
        with path.open("rb+") as file:
            file.truncate(whole)
    return content[whole:]


def _sync_folder(folder: Path) -> None:
    """Make a rename outlast a power cut."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
