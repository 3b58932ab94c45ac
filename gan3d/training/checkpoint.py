"""A trial's folder: states and finished epochs on disk, so that nothing finished is ever lost.

    trials/0003/
      settings.json     effective settings of the trial
      workers.json      host, CPUs and interface of each rank
      showers.json      how many showers it had, and how many were dropped
      records.jsonl     one line per finished epoch: the commit mark, and what a restarted driver reads again
      epoch_0007.pt     the state after that epoch (only the newest is kept)
      best.pt           the state at the best objective so far

Order of an epoch's end: state (temporary file, fsync, rename), best state, its line in records.jsonl, then the older state goes.
Killed anywhere in between, the newest line names a state that is there. Loading never unpickles objects.
Records are read without torch, which takes seconds to import.
"""

from __future__ import annotations

import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from gan3d.errors import DataError, no_room_in
from gan3d.writing import cut_broken_line, write_atomically, write_text

#: Raised when a checkpoint's layout changes.
FORMAT = 1
#: Files that `write_atomically` has not come to rename.
UNFINISHED = ".*.[0-9]*"


def save_state(path: Path, content: dict[str, Any]) -> None:
    """Write tensors and plain values atomically.

    Raises:
        OSError: the disk is full, or cannot be written on.
    """
    import torch

    def write(temporary: Path) -> None:
        with temporary.open("wb") as file:
            torch.save({"format": FORMAT} | content, file)

    try:
        write_atomically(path, write)
    except RuntimeError as problem:  # torch's, about a file that is too short
        if (full := no_room_in(problem)) is not None:
            raise full from problem
        raise


def load_state(path: Path) -> dict[str, Any]:
    """Read a state without unpickling objects.

    Raises:
        DataError: the file is absent, broken, of another format, or holds anything but tensors and plain values.
    """
    import torch

    try:
        content: Any = torch.load(path, weights_only=True, map_location="cpu")
    except Exception as problem:  # torch raises half a dozen unrelated types for a broken file
        message = f"not a checkpoint of gan3d ({type(problem).__name__}). Delete the trial's folder to train it again."
        raise DataError(message, file=str(path)) from problem
    found = content.get("format") if isinstance(content, dict) else None
    if found != FORMAT:
        message = f"checkpoint format {found}, this version reads {FORMAT}. Delete the trial's folder to train it again."
        raise DataError(message, file=str(path))
    return dict(content)


@dataclass(frozen=True, slots=True)
class TrialFolder:
    """The files of one trial; rank 0 writes."""

    path: Path

    @property
    def best(self) -> Path:
        """The state at the best objective."""
        return self.path / "best.pt"

    @property
    def records_file(self) -> Path:
        """One JSON line per finished epoch."""
        return self.path / "records.jsonl"

    def state(self, epoch: int) -> Path:
        """The state after ``epoch``."""
        return self.path / f"epoch_{epoch:04d}.pt"

    def records(self) -> list[dict[str, Any]]:
        """Finished epochs, oldest first; a line cut off by a crash is not one."""
        if not self.records_file.exists():
            return []
        rows = []
        for line in self.records_file.read_text(encoding="utf-8").splitlines(keepends=True):
            if not line.endswith("\n"):
                break
            rows.append(json.loads(line))
        return rows

    def commit(self, record: dict[str, Any]) -> None:
        """Append one finished epoch, whose state is on disk already; then drop older states."""
        cut_broken_line(self.records_file)
        with self.records_file.open("a", encoding="utf-8") as file:
            file.write(json.dumps(record) + "\n")
            file.flush()
            os.fsync(file.fileno())
        for state in self.path.glob("epoch_*.pt"):
            if state != self.state(record["epoch"]):
                state.unlink()

    def keep_best(self, epoch: int) -> None:
        """Copy the state of ``epoch`` to ``best.pt``."""
        write_atomically(self.best, lambda temporary: _copy(self.state(epoch), temporary))

    def write_settings(self, settings: dict[str, Any]) -> None:
        """Make the folder and keep the trial's effective settings beside its states; a trial begins so, or is taken up."""
        self.path.mkdir(parents=True, exist_ok=True)
        for unfinished in self.path.glob(UNFINISHED):  # of a worker that was killed in the middle of a file
            unfinished.unlink(missing_ok=True)
        text = json.dumps(settings, indent=1)
        write_atomically(self.path / "settings.json", lambda temporary: write_text(temporary, text))

    def write_workers(self, seats: list[dict[str, Any]]) -> None:
        """Keep where its ranks are; of the newest team, where it has had several."""
        write_atomically(self.path / "workers.json", lambda temporary: write_text(temporary, json.dumps(seats, indent=1) + "\n"))

    def write_showers(self, counts: dict[str, int]) -> None:
        """Keep how many showers the trial had beside its settings."""
        text = json.dumps(counts)
        write_atomically(self.path / "showers.json", lambda temporary: write_text(temporary, text))


def _copy(source: Path, target: Path) -> None:
    shutil.copyfile(source, target)
