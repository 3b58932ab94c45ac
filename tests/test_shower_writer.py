"""A shower file is there whole or not at all, also on a disk that becomes full while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
from small_disk import assert_says_that_the_disk_is_full, fill, gan3d, small_disk

from gan3d.data.shower_file import open_shower_file
from gan3d.simulation.writer import METADATA_BYTES, ShowerWriter

GRID = (12, 12, 12)
NUMBER = 60
#: On a disk, more than these showers take.
MOST_PAGES = 150


def write_some(path: Path) -> None:
    """Showers, the first of which are mostly zeros, in parts that do not end where chunks do."""
    cells = np.random.default_rng(1).random((NUMBER, *GRID), dtype=np.float32)
    cells[:20] *= cells[:20] > 0.9
    rows = np.ones(NUMBER, dtype=np.float32)
    with ShowerWriter(path, GRID, is_polar=False, has_polar_angle=True) as writer:
        writer.note(made_by="x" * 20_000)
        for start in range(0, NUMBER, 15):
            here = slice(start, start + 15)
            writer.append(cells[here], rows[here], rows[here])


def why_not_written(path: Path) -> OSError | None:
    try:
        write_some(path)
    except OSError as error:
        return error
    return None


def write_in_every_room(disk: Path) -> None:
    """From no page to more than is needed, page by page; prints how many were too few."""
    path, too_few = disk / "showers.h5", 0
    for pages in range(MOST_PAGES):
        filler = fill(disk, left=pages * os.statvfs(disk).f_bsize)
        if (error := why_not_written(path)) is None:
            assert open_shower_file(path).num_showers == NUMBER
            path.unlink()
        else:
            assert (error.errno, error.filename) == (errno.ENOSPC, str(path))
            too_few += 1
        assert list(disk.iterdir()) == [filler]
        filler.unlink()
    sys.stdout.write(str(too_few))


def test_a_disk_that_is_full_at_any_point_of_the_writing_leaves_nothing(tmp_path: Path) -> None:
    code = "import sys, pathlib, test_shower_writer as here; here.write_in_every_room(pathlib.Path(sys.argv[1]))"
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        command = [sys.executable, "-c", code, str(disk)]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        write_some(disk / "showers.h5")
        needed = (disk / "showers.h5").stat().st_blocks * 512 // os.statvfs(disk).f_bsize
        assert needed <= int(done.stdout) < MOST_PAGES


def test_room_that_was_taken_and_not_needed_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    write_some(path)
    with h5py.File(path) as file:
        held = sum(data.id.get_storage_size() for data in file.values())
    assert path.stat().st_size < held + METADATA_BYTES / 2


def test_simulate_on_a_full_disk(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", 5_000_000) as disk:
        words = ("simulate", disk / "showers.h5", "--showers", 300)
        filler = fill(disk, left=1_000_000)
        assert_says_that_the_disk_is_full(gan3d(*words), disk / "showers.h5")
        assert list(disk.iterdir()) == [filler]
        filler.unlink()
        assert gan3d(*words).returncode == 0
        assert open_shower_file(disk / "showers.h5").num_showers == 300
