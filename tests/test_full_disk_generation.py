"""`gan3d generate` on a disk that becomes full: the parts that are done are kept, and with room the same command goes on from them."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import h5py
import numpy as np
import pytest
from small_disk import assert_says_that_the_disk_is_full, fill, gan3d, small_disk
from trained_states import settings, write

from gan3d.generation.production import SHOWERS_PER_PART, part_file, parts_folder


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Of 20 MB."""
    with small_disk(tmp_path / "disk", 20_000_000) as place:
        yield place


@pytest.mark.slow
@pytest.mark.parametrize(("full_at", "processes"), [("part", 1), ("part", 2), ("whole", 1)])
def test_generate_on_a_full_disk(tmp_path: Path, disk: Path, full_at: str, processes: int) -> None:
    trial, output, number = tmp_path / "trial", disk / "showers.h5", 4 * SHOWERS_PER_PART
    trial.mkdir()
    write(trial / "best.pt", settings())
    undisturbed = tmp_path / "undisturbed.h5"
    assert gan3d("generate", trial, undisturbed, "--showers", number, "--processes", 1).returncode == 0
    size = undisturbed.stat().st_size
    words = ("generate", trial, output, "--showers", number, "--processes", processes)
    filler = fill(disk, left=int(size * {"part": 0.9, "whole": 1.9}[full_at]))
    told = gan3d(*words)
    done = sorted(parts_folder(output).glob("*.h5"))
    if full_at == "part":
        (place,) = [path for number in range(4) if str(path := part_file(parts_folder(output), number)) in told.stderr]
        assert 0 < len(done) < 4
        assert place not in done
    else:
        place = output
        assert len(done) == 4
    assert_says_that_the_disk_is_full(told, place)
    assert told.stderr.endswith("What was finished is kept: make room, then go on: the same command.\n")
    assert sorted(disk.iterdir()) == sorted([filler, parts_folder(output)])
    assert sorted(parts_folder(output).iterdir()) == [*done, parts_folder(output) / "request.json"]
    filler.unlink()
    told = gan3d(*words)
    assert told.returncode == 0, told
    assert f"{len(done) * SHOWERS_PER_PART} of an earlier run" in told.stdout
    assert list(disk.iterdir()) == [output]
    assert output.stat().st_size == size
    with h5py.File(output) as found, h5py.File(undisturbed) as expected:
        for name in expected:
            np.testing.assert_array_equal(found[name][:], expected[name][:])
