"""Showers decoded once per node, on a disk of its own, for all workers, trials and studies that read the same files.

An entry is named after what it holds (file, size, time of last change, showers used, layout): a file that changes gets another
entry, and whoever finds an entry under its name may use it. Workers that come together share the work: each decodes a file that
nobody decodes yet, then waits for those of others. A lock belongs to its process, so a worker that is killed lets go of it and
the next one begins anew.

The cache is never a reason to fail: where there is no room, or an entry is damaged, showers come from their own files as before,
with a warning. Not covered: entries are never removed; what is in the folder may be deleted at any time, also in use.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from gan3d.data.decoded_cells import DecodedCells
from gan3d.data.shower_file import ShowerFile
from gan3d.errors import DataError

LAYOUT_VERSION = 1
"""Of what `DecodedCells` writes; another layout is another entry."""
FREE_SHARE = 0.05
"""Share of the disk that is left to others."""
DECODED_AT_ONCE_BYTES = 64_000_000
"""Cells held in memory while an entry is filled; or one chunk of the file, if that is more."""
_LOG = logging.getLogger(__name__)


def decoded_on_this_node(files: Sequence[ShowerFile], used: Sequence[int], folder: Path) -> tuple[ShowerFile, ...]:
    """The same files, whose first ``used`` showers are read from decoded copies in ``folder``; missing copies are made.

    A damaged shower file is left to be found by whoever reads it: then all ranks hear of it.
    """
    entries = [_entry(file, number, folder) if number else None for file, number in zip(files, used, strict=True)]
    wanted = [(file, entry) for file, entry in zip(files, entries, strict=True) if entry is not None]
    try:
        folder.mkdir(parents=True, exist_ok=True)
        _wait([one for one in wanted if not _fill(*one, waiting=False)])
    except OSError as error:
        _LOG.warning("data.node_cache: %s cannot be used (%s); showers are read from their own files", folder, error)
    return tuple(
        replace(file, decoded=entry) if entry is not None and entry.is_whole() else file for file, entry in zip(files, entries, strict=True)
    )


def _wait(others: Sequence[tuple[ShowerFile, DecodedCells]]) -> None:
    if others:
        _LOG.warning("data.node_cache: waiting for another worker that decodes %s", ", ".join(file.path.name for file, _ in others))
    for file, entry in others:
        _fill(file, entry, waiting=True)


def _fill(file: ShowerFile, entry: DecodedCells, *, waiting: bool) -> bool:
    """Make ``entry`` if it is not there; False if another process is at it and this one is not ``waiting`` for it."""
    if entry.is_whole():
        return True
    with _locked(entry.path.with_suffix(".lock"), waiting=waiting) as is_ours:
        if is_ours and not entry.is_whole() and _has_room(entry):
            try:
                entry.write(_decoded(file, entry))
            except DataError:
                _LOG.warning("data.node_cache: %s is damaged and was not decoded", file.path)
        return is_ours


def _decoded(file: ShowerFile, entry: DecodedCells) -> Iterator[NDArray[np.float32]]:
    """All cells of ``entry``, whole chunks at a time."""
    chunk = file.layout.storage.chunk
    step = max(1, DECODED_AT_ONCE_BYTES // entry.shower_bytes // chunk) * chunk
    for start in range(0, entry.num_showers, step):
        yield file.whole().read(start, min(start + step, entry.num_showers)).cells


def _has_room(entry: DecodedCells) -> bool:
    disk = shutil.disk_usage(entry.path.parent)
    left = disk.free - entry.file_bytes
    if left < FREE_SHARE * disk.total:
        message = "data.node_cache: %s needs %.1f GB, %.1f GB are free on its disk, of which %.1f GB are left to others; %s"
        way_out = "free some, name another folder, or leave it: showers are read from their own files"
        _LOG.warning(message, entry.path, entry.file_bytes / 1e9, disk.free / 1e9, FREE_SHARE * disk.total / 1e9, way_out)
    return left >= FREE_SHARE * disk.total


def _entry(file: ShowerFile, num_showers: int, folder: Path) -> DecodedCells:
    path, status, layout = file.path.resolve(), file.path.stat(), file.layout
    content = [LAYOUT_VERSION, str(path), status.st_size, status.st_mtime_ns, num_showers]
    content += [layout.cells_name, layout.grid, layout.cylinder, layout.gev_per_unit]
    digest = hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]
    return DecodedCells(folder / f"{path.stem}-{digest}.npy", num_showers, file.layout.grid)


@contextmanager
def _locked(path: Path, *, waiting: bool) -> Iterator[bool]:
    """Hold the lock, if need be after ``waiting``; yields whether it is held. The kernel frees it with its process."""
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if waiting else fcntl.LOCK_NB))
        except BlockingIOError:
            yield False
        else:
            yield True
