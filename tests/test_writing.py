"""Files are whole, whatever happens to who writes them."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import NoReturn

import pytest

from gan3d.writing import cut_broken_line, take_room, write_atomically


def test_readers_see_the_old_file_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")

    def write(temporary: Path) -> None:
        temporary.write_text("new", encoding="utf-8")
        assert path.read_text(encoding="utf-8") == "old"

    write_atomically(path, write)
    assert path.read_text(encoding="utf-8") == "new"


def test_what_cannot_be_written_leaves_the_old_file_alone(tmp_path: Path) -> None:
    path = tmp_path / "file.txt"
    path.write_text("old", encoding="utf-8")

    def write(temporary: Path) -> None:
        temporary.write_text("ne", encoding="utf-8")
        raise OSError

    with pytest.raises(OSError):  # noqa: PT011 - as it was raised
        write_atomically(path, write)
    assert [file.name for file in tmp_path.iterdir()] == ["file.txt"]
    assert path.read_text(encoding="utf-8") == "old"


@pytest.mark.parametrize(
    ("content", "cut"), [(b"one\ntwo\n", b""), (b"one\ntwo\nth", b"th"), (b"o", b"o"), (b"", b"")], ids=["whole", "cut", "no_line", "empty"]
)
def test_a_broken_last_line_is_cut_off(tmp_path: Path, content: bytes, cut: bytes) -> None:
    path = tmp_path / "lines.jsonl"
    path.write_bytes(content)
    assert cut_broken_line(path) == cut
    assert path.read_bytes() == content.removesuffix(cut)


def test_an_absent_file_is_whole(tmp_path: Path) -> None:
    assert cut_broken_line(tmp_path / "absent") == b""
    assert list(tmp_path.iterdir()) == []


def test_room_that_is_taken_is_the_files(tmp_path: Path) -> None:
    with (tmp_path / "file").open("wb") as file:
        file.write(b"begun")
        file.flush()
        take_room(file.fileno(), 5, 1_000_000)
        assert os.fstat(file.fileno()).st_blocks * 512 >= 1_000_005
    assert (tmp_path / "file").read_bytes()[:6] == b"begun\0"


@pytest.mark.parametrize("said", [None, errno.EOPNOTSUPP, errno.EINVAL, errno.ENOSPC])
def test_where_no_room_can_be_taken_one_goes_on_without(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: int | None) -> None:
    def cannot(*_: int) -> NoReturn:
        assert said is not None
        raise OSError(said, os.strerror(said))

    if said is None:
        monkeypatch.delattr(os, "posix_fallocate", raising=False)
    else:
        monkeypatch.setattr(os, "posix_fallocate", cannot, raising=False)
    with (tmp_path / "file").open("wb") as file:
        if said == errno.ENOSPC:
            with pytest.raises(OSError, match="No space left"):
                take_room(file.fileno(), 0, 10)
        else:
            take_room(file.fileno(), 0, 10)
    assert (tmp_path / "file").stat().st_size == 0
