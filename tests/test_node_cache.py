"""Laws of the node's cache: the same showers in the same order, decoded once, whatever happens to the folder or to a worker."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from shower_layouts import LAYOUTS, clic, make_showers, target_table, write

from gan3d.data import node_cache
from gan3d.data.dataset import ShowerSet
from gan3d.data.loader import Loader, Share
from gan3d.errors import DataError

SIZES = (70, 30, 55)
FILLER = """
import sys
from pathlib import Path
from gan3d.data.dataset import ShowerSet
from gan3d.data.node_cache import _locked

if sys.argv[3] == "dies":
    entry = next(iter(ShowerSet.open([sys.argv[1]], node_cache=sys.argv[2]).files)).decoded
    entry.path.rename(entry.path.with_name(f"{entry.path.name}.partial"))
    with _locked(entry.path.with_suffix(".lock"), waiting=True):
        print("holds the lock", flush=True)
        sys.stdin.read()
showers = ShowerSet.open([sys.argv[1]], node_cache=sys.argv[2])
print(sum(file.decoded is not None for file in showers.files))
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "showers"
    folder.mkdir()
    for number, size in enumerate(SIZES):
        clic(folder / f"{number}.h5", make_showers(size, seed=number))
    return folder


def _open(folder: Path, cache: Path | None, max_showers: int | None = None) -> ShowerSet:
    return ShowerSet.open(["*.h5"], base=folder, max_showers=max_showers, node_cache=None if cache is None else str(cache))


def _entries(cache: Path) -> list[Path]:
    return sorted(cache.glob("*.npy"))


def _same(first: ShowerSet, second: ShowerSet) -> None:
    index = np.random.default_rng(1).permutation(len(first))
    one, other = first.read(index), second.read(index)
    assert one.cells.tobytes() == other.cells.tobytes()
    assert one.incident_energy.tobytes() == other.incident_energy.tobytes()
    assert one.identity.tobytes() == other.identity.tobytes()
    assert first.deposited_energies().tobytes() == second.deposited_energies().tobytes()


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_comes_back_bit_for_bit(layout: str, tmp_path: Path) -> None:
    writer, grid, has_polar_angle = LAYOUTS[layout]
    writer(tmp_path / "file.h5", make_showers(11, grid, has_polar_angle=has_polar_angle))
    cached, direct = _open(tmp_path, tmp_path / "cache"), _open(tmp_path, None)
    assert all(file.decoded is not None for file in cached.files)
    _same(cached, direct)
    polar_angles = cached.polar_angles()
    assert (polar_angles is not None) == has_polar_angle


@pytest.mark.parametrize("cache_megabytes", [0, 64], ids=["window", "whole_set"])
def test_batches_are_the_same_with_and_without(cache_megabytes: int, folder: Path, tmp_path: Path) -> None:
    epochs = []
    for cache in (None, tmp_path / "cache"):
        loader = Loader(
            _open(folder, cache),
            Share(batch_per_worker=8, rank=1, world_size=2, seed=3),
            cache_megabytes=cache_megabytes,
            read_ahead_batches=2,
        )
        epochs.append([(batch.identity.tobytes(), batch.cells.tobytes()) for number in range(2) for batch in loader.epoch(number)])
    assert epochs[0] == epochs[1]


def test_bad_showers_are_dropped_as_without(tmp_path: Path) -> None:
    showers = make_showers(40)
    showers.cells[::9] = 0
    showers.cells[11, 2, 2, 2] = np.nan
    showers.cells[12, 2, 2, 2] = np.inf
    clic(tmp_path / "file.h5", showers)
    cached, direct = _open(tmp_path, tmp_path / "cache"), _open(tmp_path, None)
    assert cached.dropped == direct.dropped == {"empty": 5, "not_finite": 2}
    _same(cached, direct)


def test_showers_are_decoded_once(folder: Path, tmp_path: Path) -> None:
    _open(folder, tmp_path / "cache")
    before = {path: path.stat().st_mtime_ns for path in _entries(tmp_path / "cache")}
    assert len(before) == len(SIZES)
    _open(folder, tmp_path / "cache")
    assert {path: path.stat().st_mtime_ns for path in _entries(tmp_path / "cache")} == before


def test_only_showers_that_are_used_are_decoded(folder: Path, tmp_path: Path) -> None:
    showers = _open(folder, tmp_path / "cache", max_showers=80)
    assert [file.decoded and file.decoded.num_showers for file in showers.files] == [70, 10, None]
    _same(showers, _open(folder, None, max_showers=80))


def test_a_file_that_changes_is_decoded_anew(folder: Path, tmp_path: Path) -> None:
    _open(folder, tmp_path / "cache")
    clic(folder / "1.h5", make_showers(30, seed=77))
    _same(_open(folder, tmp_path / "cache"), _open(folder, None))
    assert len(_entries(tmp_path / "cache")) == len(SIZES) + 1


def _cut(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def _flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[5000] ^= 1
    path.write_bytes(content)


@pytest.mark.parametrize("damage", [Path.unlink, _cut, _flipped])
def test_damage_while_a_trial_reads_is_seen_and_read_around(damage: Callable[[Path], None], folder: Path, tmp_path: Path) -> None:
    showers = _open(folder, tmp_path / "cache")
    for path in _entries(tmp_path / "cache"):
        damage(path)
    _same(showers, _open(folder, None))
    assert _entries(tmp_path / "cache") == []
    _same(_open(folder, tmp_path / "cache"), _open(folder, None))
    assert len(_entries(tmp_path / "cache")) == len(SIZES)


def test_an_entry_that_was_cut_short_is_made_anew(folder: Path, tmp_path: Path) -> None:
    _open(folder, tmp_path / "cache")
    _cut(_entries(tmp_path / "cache")[0])
    showers = _open(folder, tmp_path / "cache")
    assert all(file.decoded is not None and file.decoded.is_whole() for file in showers.files)


def test_where_there_is_no_room_files_are_read_as_they_are(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(node_cache, "FREE_SHARE", 1.0)
    showers = _open(folder, tmp_path / "cache")
    assert [file.decoded for file in showers.files] == [None] * 3
    assert "free some, name another folder, or leave it" in caplog.text
    assert _entries(tmp_path / "cache") == []
    _same(showers, _open(folder, None))


def test_where_the_folder_cannot_be_made_files_are_read_as_they_are(folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("not a folder", encoding="utf-8")
    showers = _open(folder, tmp_path / "file" / "cache")
    assert "showers are read from their own files" in caplog.text
    _same(showers, _open(folder, None))


def test_a_damaged_shower_file_is_refused_as_without(tmp_path: Path) -> None:
    showers = make_showers(20)
    showers.cells[17, 2, 2, 2] = -1
    write(tmp_path / "file.h5", ECAL=showers.cells, target=target_table(showers))
    with pytest.raises(DataError, match="negative energy") as refusal:
        len(_open(tmp_path, tmp_path / "cache"))
    assert refusal.value.index == 17
    assert _entries(tmp_path / "cache") == []


def test_the_folder_may_be_named_by_a_variable_of_the_node(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISK_OF_THE_NODE", str(tmp_path / "local"))
    ShowerSet.open(["*.h5"], base=folder, node_cache="$DISK_OF_THE_NODE/showers")
    assert len(_entries(tmp_path / "local" / "showers")) == len(SIZES)


def test_workers_that_come_together_share_one_decoding(folder: Path, tmp_path: Path) -> None:
    sets: list[ShowerSet] = []
    threads = [threading.Thread(target=lambda: sets.append(_open(folder, tmp_path / "cache"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(timeout=60)
    assert len(sets) == 6
    assert all(file.decoded is not None for showers in sets for file in showers.files)
    assert len(_entries(tmp_path / "cache")) == len(SIZES)
    assert not list((tmp_path / "cache").glob("*.partial"))


def test_a_killed_filler_is_followed_by_the_worker_that_waits(folder: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILLER, str(folder / "0.h5"), str(tmp_path / "cache")]
    with subprocess.Popen([*command, "dies"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as filler:
        assert filler.stdout is not None
        assert filler.stdout.readline() == "holds the lock\n"
        with subprocess.Popen([*command, "waits"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as follower:
            assert follower.stderr is not None
            assert "waiting for another worker that decodes 0.h5" in follower.stderr.readline()
            time.sleep(0.1)
            assert follower.poll() is None
            filler.send_signal(signal.SIGKILL)
            assert follower.communicate(timeout=60)[0] == "1\n"
    assert len(_entries(tmp_path / "cache")) == 1
    assert not list((tmp_path / "cache").glob("*.partial"))
