"""A study has one driver, which the kernel knows of: nobody else is let in, and nothing of it is left when it is killed."""

from __future__ import annotations

import errno
import fcntl
import json
import os
import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest
from results_folder import ResultsFolder

from gan3d.cli.results import prepare_results
from gan3d.cost.ledger import FILE as LEDGER
from gan3d.errors import ConfigError
from gan3d.search.driver import LOCK, SILENT_SECONDS, Driver, driver_elsewhere, driver_of, driving

#: A driver that starts a process of its own, which outlives it by some seconds, as Ray's do.
DRIVER = """
import subprocess, sys, time
from pathlib import Path
from gan3d.search.driver import driving
with driving(Path(sys.argv[1])):
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(20)"])
    print(child.pid, flush=True)
    time.sleep(60)
"""


def test_a_driver_is_known_while_it_drives_and_not_after(tmp_path: Path) -> None:
    assert driver_of(tmp_path) is None
    assert driver_of(tmp_path / "absent") is None
    with driving(tmp_path):
        driver = driver_of(tmp_path)
        assert driver is not None
        assert (driver.host, driver.pid) == (socket.gethostname(), os.getpid())
        assert driver.text.startswith(f"process {os.getpid()} on {socket.gethostname()}, since 2")
    assert driver_of(tmp_path) is None
    assert (tmp_path / LOCK).read_text() == ""


def test_an_error_ends_the_driver_too(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), driving(tmp_path):
        raise KeyboardInterrupt
    assert driver_of(tmp_path) is None


def test_a_killed_driver_is_none_though_its_processes_live_on(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    child = int(driver.stdout.readline())
    try:
        found = driver_of(tmp_path)
        assert found is not None
        assert found.pid == driver.pid
        driver.send_signal(signal.SIGKILL)
        driver.wait()
        os.kill(child, 0)  # it lives
        assert driver_of(tmp_path) is None
        assert json.loads((tmp_path / LOCK).read_text())["pid"] == driver.pid
        with driving(tmp_path):
            assert driver_of(tmp_path) is not None
    finally:
        os.kill(child, signal.SIGKILL)
        driver.stdout.close()


def test_a_second_driver_is_refused_and_the_first_one_goes_on(tmp_path: Path) -> None:
    with driving(tmp_path):
        with pytest.raises(ConfigError, match=rf"being run by process {os.getpid()} on .*gan3d status"), driving(tmp_path):
            pytest.fail("two drivers")
        assert driver_of(tmp_path) is not None
    with driving(tmp_path):
        pass


def test_a_driver_whose_own_words_are_not_whole_is_a_driver(tmp_path: Path) -> None:
    with driving(tmp_path):
        for content in ("", '{"host": "n', "[]", '{"other": 1}'):
            (tmp_path / LOCK).write_text(content)
            found = driver_of(tmp_path)
            assert found == Driver()
            assert found.text == "another process"


@pytest.mark.parametrize("resume", [None, True, False])
def test_a_study_that_runs_is_neither_gone_on_with_nor_moved_aside(tmp_path: Path, resume: bool | None) -> None:
    folder = ResultsFolder(tmp_path / "told")
    with driving(folder.path), pytest.raises(ConfigError, match="two would mix their trials"):
        prepare_results(folder.path, folder.study, resume=resume)
    assert [path.name for path in tmp_path.iterdir()] == ["told"]


def test_whoever_looks_turns_no_driver_away(tmp_path: Path) -> None:
    """Looking has the lock for an instant; here for a quarter of a second, while a driver begins."""
    looked = (tmp_path / LOCK).open("w")
    fcntl.flock(looked, fcntl.LOCK_SH)
    timer = threading.Timer(0.25, looked.close)
    timer.start()
    with driving(tmp_path):
        assert looked.closed
        assert driver_of(tmp_path) is not None
    timer.join()


@pytest.mark.parametrize(
    ("host", "age", "is_told"),
    [("elsewhere", 1.0, True), ("elsewhere", SILENT_SECONDS + 1, False), (socket.gethostname(), 1.0, False), (None, 1.0, False)],
    ids=["lives", "killed", "killed_here", "ended"],
)
def test_a_driver_elsewhere_is_known_by_its_ledger_where_locks_do_not_reach(
    tmp_path: Path, host: str | None, age: float, is_told: bool
) -> None:
    folder = ResultsFolder(tmp_path / "told")
    told = Driver("" if host is None else host, 4711, "2026-05-01 12:30:00")
    (folder.path / LOCK).write_text("" if host is None else json.dumps({"host": told.host, "pid": told.pid, "since": told.since}))
    folder.save_ledger()
    written = time.time() - age
    os.utime(folder.path / LEDGER, (written, written))
    os.utime(folder.path / LOCK, (0, 0))
    assert driver_elsewhere(folder.path) == (told if is_told else None)
    assert driver_of(folder.path) is None


def of_elsewhere(path: Path, *, age: float) -> None:
    """What a driver on another machine left, which wrote last so many seconds ago; its lock does not reach this one."""
    (path / LOCK).write_text(json.dumps({"host": "elsewhere", "pid": 4711, "since": "2026-05-01 12:30:00"}))
    (path / LEDGER).touch()
    for name in (LOCK, LEDGER):
        os.utime(path / name, (time.time() - age, time.time() - age))


@pytest.mark.parametrize("resume", [None, True, False])
def test_a_study_that_runs_elsewhere_is_neither_gone_on_with_nor_moved_aside(tmp_path: Path, resume: bool | None) -> None:
    folder = ResultsFolder(tmp_path / "told")
    of_elsewhere(folder.path, age=10.0)
    told = r"run by process 4711 on elsewhere, .*If it was killed, try again in (19|20) seconds, or at once on elsewhere"
    with pytest.raises(ConfigError, match=told):
        prepare_results(folder.path, folder.study, resume=resume)
    with pytest.raises(ConfigError, match=told), driving(folder.path):
        pytest.fail("two drivers")
    assert [path.name for path in tmp_path.iterdir()] == ["told"]
    assert json.loads((folder.path / LOCK).read_text())["pid"] == 4711


def test_a_driver_elsewhere_that_has_just_begun_is_known_before_it_has_a_ledger(tmp_path: Path) -> None:
    of_elsewhere(tmp_path, age=1.0)
    (tmp_path / LEDGER).unlink()
    found = driver_elsewhere(tmp_path)
    assert found is not None
    assert found.host == "elsewhere"


def test_a_driver_elsewhere_that_was_killed_is_followed_once_it_has_been_silent(tmp_path: Path) -> None:
    of_elsewhere(tmp_path, age=SILENT_SECONDS + 1)
    with driving(tmp_path):
        assert driver_of(tmp_path) is not None


def test_a_driver_killed_on_this_machine_is_followed_at_once(tmp_path: Path) -> None:
    driver = subprocess.Popen([sys.executable, "-c", DRIVER, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert driver.stdout is not None
    child = int(driver.stdout.readline())
    (tmp_path / LEDGER).touch()
    driver.kill()
    driver.wait()
    os.kill(child, signal.SIGKILL)
    driver.stdout.close()
    with driving(tmp_path):
        assert driver_of(tmp_path) is not None


def test_where_there_are_no_locks_a_second_driver_on_the_same_machine_is_refused_too(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_locks(_file: object, _how: int) -> None:
        raise OSError(errno.ENOLCK, "no locks available")

    monkeypatch.setattr(fcntl, "flock", without_locks)
    with driving(tmp_path):
        with pytest.raises(ConfigError, match=f"run by process {os.getpid()} on"), driving(tmp_path):
            pytest.fail("two drivers")
        assert driver_of(tmp_path) is not None
    with driving(tmp_path):
        pass
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    (tmp_path / LOCK).write_text(json.dumps({"host": socket.gethostname(), "pid": gone.pid, "since": "2026-05-01 12:30:00"}))
    with driving(tmp_path):
        assert driver_of(tmp_path) is not None
