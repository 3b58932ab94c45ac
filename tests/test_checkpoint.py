"""Whatever is interrupted wherever, a trial's folder names a state that is there and loads; and loading runs nobody's code."""

from __future__ import annotations

import errno
import json
import os
import pickle
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from gan3d.errors import DataError
from gan3d.training.checkpoint import FORMAT, TrialFolder, load_state, save_state

#: For each point in turn a fork of a fresh process saves epoch 2 beside epoch 1, commits it, and is killed on the way there.
KILLED_SAVES = """
import os, signal, sys
from pathlib import Path
import torch
from gan3d.training.checkpoint import TrialFolder, save_state

def killed(*arguments, **names):
    os.kill(os.getpid(), signal.SIGKILL)

def half_a_state(content, file):
    file.write(b"half a state")
    file.flush()
    killed()

def save(folder, point):
    sync = os.fsync
    def half_a_line(descriptor):
        if os.path.sameopenfile(descriptor, os.open(folder.records_file, os.O_RDONLY)):
            os.truncate(folder.records_file, os.fstat(descriptor).st_size - 5)
            killed()
        sync(descriptor)

    if point == "half_written_state":
        torch.save = half_a_state
    elif point == "before_sync":
        os.fsync = killed
    elif point == "before_rename":
        Path.replace = killed
    elif point == "half_written_line":
        os.fsync = half_a_line
    save_state(folder.state(2), {"state": {"epoch": 2, "weights": torch.full((1000,), 2.0)}})
    if point == "after_state":
        killed()
    elif point == "before_old_state_goes":
        Path.unlink = killed
    folder.commit({"epoch": 2, "metrics": {"losses.generator_total": 2.0}})
    killed()

root = Path(sys.argv[1])
for point in sys.argv[2:]:
    child = os.fork()
    if child == 0:
        save(TrialFolder(root / point), point)
    _, status = os.waitpid(child, 0)
    assert os.waitstatus_to_exitcode(status) == -signal.SIGKILL, point
"""
#: Where the process dies, and after which epoch the trial goes on.
KILLS = {
    "half_written_state": 1,
    "before_sync": 1,
    "before_rename": 1,
    "after_state": 1,
    "half_written_line": 1,
    "before_old_state_goes": 2,
    "after_commit": 2,
}


def content(epoch: int) -> dict[str, object]:
    return {"state": {"epoch": epoch, "weights": torch.full((1000,), float(epoch))}}


def record(epoch: int) -> dict[str, object]:
    return {"epoch": epoch, "metrics": {"losses.generator_total": float(epoch)}}


def finish(folder: TrialFolder, epoch: int) -> None:
    save_state(folder.state(epoch), content(epoch))
    folder.commit(record(epoch))


def newest_epoch(folder: TrialFolder) -> int:
    """The epoch that the newest state says it is of, which must load."""
    last = folder.records()[-1]["epoch"]
    return int(load_state(folder.state(last))["state"]["epoch"])


def after_epoch_1(path: Path) -> TrialFolder:
    folder = TrialFolder(path)
    folder.write_settings({"training": {"epochs": 3}})
    finish(folder, 1)
    return folder


@pytest.fixture(name="folder")
def folder_after_epoch_1(tmp_path: Path) -> TrialFolder:
    return after_epoch_1(tmp_path / "0003")


@pytest.fixture(scope="module")
def killed_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, TrialFolder]:
    root = tmp_path_factory.mktemp("killed")
    folders = {point: after_epoch_1(root / point) for point in KILLS}
    killed = subprocess.run([sys.executable, "-c", KILLED_SAVES, str(root), *KILLS], check=False, timeout=120, capture_output=True)
    assert killed.returncode == 0, killed.stderr.decode()
    return folders


def test_a_saved_state_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "state.pt"
    save_state(path, content(1) | {"settings": "{}"})
    loaded = load_state(path)
    assert loaded.keys() == {"format", "state", "settings"}
    assert torch.equal(loaded["state"]["weights"], torch.ones(1000))
    assert [file.name for file in tmp_path.iterdir()] == ["state.pt"], "no temporary file is left"


def test_a_fresh_folder_has_no_finished_epoch(tmp_path: Path) -> None:
    folder = TrialFolder(tmp_path / "0001")
    assert folder.records() == []
    folder.write_settings({"seed": 1})
    assert folder.records() == []
    assert json.loads((folder.path / "settings.json").read_text(encoding="utf-8")) == {"seed": 1}


def test_only_the_newest_state_is_kept(folder: TrialFolder) -> None:
    finish(folder, 2)
    assert [row["epoch"] for row in folder.records()] == [1, 2]
    assert [path.name for path in folder.path.glob("epoch_*.pt")] == ["epoch_0002.pt"]
    assert newest_epoch(folder) == 2


def test_the_best_state_outlives_its_epoch(folder: TrialFolder) -> None:
    folder.keep_best(1)
    finish(folder, 2)
    assert load_state(folder.best)["state"]["epoch"] == 1
    folder.keep_best(2)
    assert load_state(folder.best)["state"]["epoch"] == 2


@pytest.mark.parametrize("point", KILLS)
def test_killed_at_any_point_the_newest_state_is_there(killed_folders: dict[str, TrialFolder], point: str) -> None:
    folder = killed_folders[point]
    assert newest_epoch(folder) == KILLS[point]
    folder.write_settings({"training": {"epochs": 3}})  # as a trial does that is taken up
    assert not [path.name for path in folder.path.iterdir() if path.name.startswith(".")], "half a state would lie there for ever"
    finish(folder, 2)
    finish(folder, 3)
    expected = [1, 2, 3] if KILLS[point] == 1 else [1, 2, 2, 3]  # a trial that had epoch 2 would not have trained it again
    assert [row["epoch"] for row in folder.records()] == expected
    assert newest_epoch(folder) == 3
    assert [path.name for path in folder.path.glob("epoch_*.pt")] == ["epoch_0003.pt"]


FULL_DISK = OSError(errno.ENOSPC, "No space left on device")


def refuse(*_arguments: object, **_names: object) -> None:
    raise FULL_DISK


@pytest.mark.parametrize("where", ["fsync", "replace"])
def test_a_save_that_fails_leaves_the_old_state(folder: TrialFolder, monkeypatch: pytest.MonkeyPatch, where: str) -> None:
    with monkeypatch.context() as fault:
        fault.setattr(os if where == "fsync" else Path, where, refuse)
        with pytest.raises(OSError, match="No space left"):
            save_state(folder.state(1), content(5))
    assert newest_epoch(folder) == 1
    assert sorted(path.name for path in folder.path.iterdir()) == ["epoch_0001.pt", "records.jsonl", "settings.json"]


FULL_DISK_SAVE = """
import resource, sys
from pathlib import Path
import torch
from gan3d.training.checkpoint import TrialFolder, save_state

folder = TrialFolder(Path(sys.argv[1]))
resource.setrlimit(resource.RLIMIT_FSIZE, (20_000, 20_000))
try:
    save_state(folder.state(2), {"state": {"epoch": 2, "weights": torch.zeros(100_000)}})
except (OSError, RuntimeError) as problem:
    sys.exit(3)
"""


def test_a_state_that_no_longer_fits_on_the_disk_leaves_the_old_one(folder: TrialFolder) -> None:
    """A real limit: the kernel refuses to write beyond 20 kB."""
    failed = subprocess.run([sys.executable, "-c", FULL_DISK_SAVE, str(folder.path)], check=False, timeout=120, capture_output=True)
    assert failed.returncode == 3, failed.stderr.decode()
    assert newest_epoch(folder) == 1
    assert sorted(path.name for path in folder.path.iterdir()) == ["epoch_0001.pt", "records.jsonl", "settings.json"]


def test_a_line_that_no_longer_fits_on_the_disk_is_not_an_epoch(folder: TrialFolder) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    save_state(folder.state(2), content(2))
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (folder.records_file.stat().st_size + 9, hard))
        with pytest.raises(OSError, match="File too large"):
            folder.commit(record(2))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert newest_epoch(folder) == 1
    folder.commit(record(2))
    assert [row["epoch"] for row in folder.records()] == [1, 2]


@pytest.mark.parametrize("cut", [1, 2, 20])
def test_a_line_cut_off_is_ignored_and_goes_at_the_next_commit(folder: TrialFolder, cut: int) -> None:
    finish(folder, 2)
    save_state(folder.state(1), content(1))
    whole = folder.records_file.read_bytes()
    folder.records_file.write_bytes(whole[:-cut])
    assert [row["epoch"] for row in folder.records()] == [1]
    assert newest_epoch(folder) == 1
    finish(folder, 2)
    assert folder.records_file.read_bytes() == whole


def pickle_bomb(path: Path, trace: Path) -> None:
    class Bomb:
        def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
            return os.mkdir, (str(trace),)  # type: ignore[return-value]

    torch.save({"format": FORMAT, "state": Bomb()}, path)


def test_a_state_that_would_run_code_is_refused(tmp_path: Path) -> None:
    path, trace = tmp_path / "state.pt", tmp_path / "trace"
    pickle_bomb(path, trace)
    with pytest.raises(DataError, match="not a checkpoint of gan3d"):
        load_state(path)
    assert not trace.exists()
    torch.load(path, weights_only=False)
    assert trace.exists(), "the bomb was one"


def half_a_state(path: Path) -> None:
    save_state(path, content(1))
    whole = path.read_bytes()
    path.write_bytes(whole[: len(whole) // 2])


BROKEN: dict[str, Callable[[Path], object]] = {
    "absent": lambda path: path.unlink(missing_ok=True),
    "empty": lambda path: path.write_bytes(b""),
    "text": lambda path: path.write_text("not a state", encoding="utf-8"),
    "pickle": lambda path: path.write_bytes(pickle.dumps({"format": FORMAT})),
    "half": half_a_state,
    "tensor": lambda path: torch.save(torch.ones(3), path),
    "other_format": lambda path: torch.save({"format": FORMAT + 1, "state": {}}, path),
    "no_format": lambda path: torch.save({"state": {}}, path),
}


@pytest.mark.parametrize("kind", BROKEN)
def test_a_file_that_is_no_state_is_refused_by_name(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "state.pt"
    BROKEN[kind](path)
    with pytest.raises(DataError, match=r"state\.pt.*Delete the trial's folder") as refused:
        load_state(path)
    assert refused.value.file == str(path)
