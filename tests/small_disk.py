"""A disk that a test can fill."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from gan3d.cli.failures import FAILED


@contextlib.contextmanager
def small_disk(place: Path, num_bytes: int) -> Iterator[Path]:
    """Mounted at ``place``, which it makes, empty, with so many bytes in all; skips the test where nothing can be mounted."""
    place.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={num_bytes}", "small", str(place)]
    mounted = subprocess.run(mount, capture_output=True, text=True, check=False)
    if mounted.returncode:
        pytest.skip(f"no disk of its own can be mounted: {mounted.stderr.strip()}")
    try:
        yield place
    finally:
        subprocess.run(["umount", "--lazy", place], check=True)


def fill(disk: Path, left: int = 0) -> Path:
    """All but so many bytes, by a file that somebody else has."""
    filler = disk / "filler"
    with filler.open("wb", buffering=0) as file, contextlib.suppress(OSError):  # others write too
        while (room := os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize - left) > 0:
            file.write(bytes(min(room, 1_000_000)))
    return filler


def gan3d(*words: object) -> subprocess.CompletedProcess[str]:
    """In a process of its own: HDF5 dies of a full disk when that ends."""
    return subprocess.run([sys.executable, "-m", "gan3d.cli", *map(str, words)], capture_output=True, text=True, check=False, timeout=300)


def assert_says_that_the_disk_is_full(told: subprocess.CompletedProcess[str], place: Path) -> None:
    """Of which file, in one line, with the exit code of a failure."""
    assert told.returncode == FAILED, told
    assert told.stderr.startswith(f"Error: No room left on the disk of {place}. "), told.stderr
    assert len(told.stderr.splitlines()) == 1, told.stderr
