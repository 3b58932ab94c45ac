"""A shower file is there whole or not at all, also on a disk that becomes full while it is written."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_disk import assert_says_that_the_disk_is_full, fill, gan3d, small_disk

from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.shower_writer import METADATA_BYTES, ShowerWriter
from gan3d.data.showers import Showers

GRID = (12, 12, 12)
NUMBER = 60
#: On a disk, more than these showers take.
MOST_PAGES = 150


def some_showers() -> Showers:
    """The first of them mostly zeros."""
    random = np.random.default_rng(1)
    cells = random.random((NUMBER, *GRID), dtype=np.float32)
    cells[:20] *= cells[:20] > 0.9
    energy, angle = (random.uniform(1, 2, NUMBER).astype(np.float32) for _ in range(2))
    return Showers(cells, energy, angle, np.arange(NUMBER))


def write_in_parts(path: Path, showers: Showers) -> None:
    """That do not end where chunks do, with a long note."""
    with ShowerWriter(path, GRID, is_polar=False, has_polar_angle=showers.polar_angle is not None) as writer:
        writer.note(made_by="x" * 20_000)
        for start in range(0, NUMBER, 15):
            part = showers.take(slice(start, start + 15))
            writer.append(part.cells, part.incident_energy, part.polar_angle)


WRITERS = {"in parts": write_in_parts, "at once": write_clic_file}


def why_not_written(path: Path, how: str) -> OSError | None:
    try:
        WRITERS[how](path, some_showers())
    except OSError as error:
        return error
    return None


def write_in_every_room(disk: Path, how: str) -> None:
    """From no page to more than is needed, page by page; prints how many were too few."""
    path, too_few = disk / "showers.h5", 0
    for pages in range(MOST_PAGES):
        filler = fill(disk, left=pages * os.statvfs(disk).f_bsize)
        if (error := why_not_written(path, how)) is None:
            assert open_shower_file(path).num_showers == NUMBER
            path.unlink()
        else:
            assert (error.errno, error.filename) == (errno.ENOSPC, str(path))
            too_few += 1
        assert list(disk.iterdir()) == [filler]
        filler.unlink()
    sys.stdout.write(str(too_few))


@pytest.mark.parametrize("how", WRITERS)
def test_a_disk_that_is_full_at_any_point_of_the_writing_leaves_nothing(tmp_path: Path, how: str) -> None:
    code = "import sys, pathlib, test_shower_writer as here; here.write_in_every_room(pathlib.Path(sys.argv[1]), sys.argv[2])"
    with small_disk(tmp_path / "disk", 1_000_000) as disk:
        command = [sys.executable, "-c", code, str(disk), how]
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parent, timeout=300)
        assert (done.returncode, done.stderr) == (0, "")
        WRITERS[how](disk / "showers.h5", some_showers())
        needed = (disk / "showers.h5").stat().st_blocks * 512 // os.statvfs(disk).f_bsize
        assert needed <= int(done.stdout) < MOST_PAGES


@pytest.mark.parametrize("has_polar_angle", [False, True])
def test_showers_written_at_once_and_in_parts_make_the_same_file(tmp_path: Path, *, has_polar_angle: bool) -> None:
    showers = some_showers()
    if not has_polar_angle:
        showers = replace(showers, polar_angle=None)
    for how, write in WRITERS.items():
        write(tmp_path / f"{how}.h5", showers)
    with h5py.File(tmp_path / "in parts.h5") as parts, h5py.File(tmp_path / "at once.h5") as whole:
        assert set(parts) == set(whole) == {"ECAL", "target", "energy"} | ({"theta"} if has_polar_angle else set())
        for name, one in parts.items():
            other = whole[name]
            np.testing.assert_array_equal(one[:], other[:])
            assert (one.dtype, one.chunks, one.compression, one.shuffle) == (other.dtype, other.chunks, other.compression, other.shuffle)
            assert dict(one.attrs) == dict(other.attrs)


def test_room_that_was_taken_and_not_needed_is_given_back(tmp_path: Path) -> None:
    path = tmp_path / "showers.h5"
    write_in_parts(path, some_showers())
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
