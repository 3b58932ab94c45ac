"""A study whose results are on a small disk that becomes full: nothing finished is lost, and it goes on when there is room."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from killed_study import Results, Session, assert_whole, wait_for
from small_disk import fill, small_disk
from small_study import write_study

from gan3d.cli.failures import FAILED, INTERRUPTED
from gan3d.errors import no_room_in
from gan3d.search.disk_room import SMALL_FILES_BYTES, why_no_room
from gan3d.training.checkpoint import save_state

DISK_BYTES = 100_000_000
TRIALS, EPOCHS = 2, 8


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """Empty, with `DISK_BYTES` in all."""
    with small_disk(tmp_path / "disk", DISK_BYTES) as place:
        yield place


def test_a_state_that_has_no_room_says_so_and_leaves_the_old_one(disk: Path) -> None:
    import torch

    state = disk / "epoch_0001.pt"
    save_state(state, {"state": torch.zeros(10)})
    before = state.read_bytes()
    fill(disk, left=1_000_000)
    with pytest.raises(OSError, match="No space left") as raised:
        save_state(state, {"state": [torch.zeros(100_000) for _ in range(20)]})
    assert no_room_in(raised.value) is raised.value
    assert state.read_bytes() == before
    assert sorted(path.name for path in disk.iterdir()) == ["epoch_0001.pt", "filler"]


def test_room_is_judged_by_what_states_take(disk: Path) -> None:
    assert why_no_room(disk, 1) == ""
    state = disk / "epoch_0001.pt"
    state.write_bytes(bytes(20_000_000))
    assert why_no_room(disk, 1) == ""
    wanted = SMALL_FILES_BYTES + 2 * 2 * 20_000_000
    assert why_no_room(disk, 2) == f"80 MB are left on the disk of {disk}, and the end of an epoch may take {wanted / 1e6:.0f}"
    assert why_no_room(disk / "absent", 2) == ""


def test_an_error_of_another_kind_is_no_full_disk() -> None:
    assert no_room_in(PermissionError(13, "denied")) is None
    assert no_room_in(None) is None


class Story:
    """A study of two trials on the disk."""

    def __init__(self, folder: Path, disk: Path) -> None:
        study = write_study(folder, {"training.seed": {"choice": [1, 2]}}, workers={"per_trial": 2})
        self.results = Results(disk / "results", "small")
        self._folder, self._words = folder, ("run", str(study), "--set", f"training.epochs={EPOCHS}", "--results", str(self.results.folder))

    def begin(self) -> Session:
        """To its first epoch's end."""
        session = Session(self._folder, *self._words)
        wait_for(lambda: (self.results.folder / "trials").exists() and self.results.num_finished() > 0, session, "an epoch")
        return session

    def resume(self) -> Session:
        return Session(self._folder, "resume", str(self.results.folder))


@pytest.mark.slow
@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    ("left", "code", "said"),
    [(6_000_000, (INTERRUPTED,), "The study stops: "), (0, (INTERRUPTED, FAILED), "No ")],
    ids=["nearly full", "full"],
)
def test_a_study_on_a_full_disk_stops_and_goes_on_when_there_is_room(
    tmp_path: Path, disk: Path, left: int, code: tuple[int, ...], said: str
) -> None:
    story = Story(tmp_path, disk)
    session = story.begin()
    filler = fill(disk, left)
    try:
        assert session.ended() in code, session.output
        assert said in session.output
        assert "Traceback" not in session.output, session.output[-4000:]
        assert "gan3d run" in session.output, "how to go on"
        before = story.results.rows()
        filler.unlink()
        session = story.resume()
        assert session.ended() == 0, session.output
    finally:
        session.clear()
    assert_whole(story.results, TRIALS, EPOCHS)
    for number, rows in before.items():
        assert story.results.rows()[number][: len(rows)] == rows
