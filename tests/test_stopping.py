"""`gan3d stop`: who is asked, and what whoever asks comes to know. A study that really stops: test_kills."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from results_folder import ResultsFolder
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.search.driver import driving
from gan3d.search.stopping import StopRequest

PATIENCE = 30.0


def stopped(*words: str) -> tuple[int, str]:
    """Exit code and output of the command."""
    found = CliRunner().invoke(app, ["stop", *words])
    return found.exit_code, found.output


@contextmanager
def driver_in(folder: Path, seconds: float) -> Iterator[None]:
    """One that ends so long after it was asked to."""
    begun = threading.Event()

    def drive() -> None:
        with driving(folder):
            request, end = StopRequest(folder), time.monotonic() + PATIENCE
            begun.set()
            while not request.reason and time.monotonic() < end:
                time.sleep(0.1)
            time.sleep(seconds)

    thread = threading.Thread(target=drive)
    thread.start()
    assert begun.wait(PATIENCE)
    try:
        yield
    finally:
        thread.join()


def test_a_study_that_nobody_runs_cannot_be_stopped(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "told").path
    code, output = stopped(str(folder))
    assert code == 2
    assert "gan3d resume" in output
    assert not (folder / "stop").exists()


def test_a_study_that_is_not_there_cannot_be_stopped(tmp_path: Path) -> None:
    assert stopped(str(tmp_path / "absent"))[0] == 2


def test_whoever_waits_comes_back_when_the_driver_has_gone(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "told").path
    with driver_in(folder, seconds=1):
        code, output = stopped(str(folder), "--wait", str(PATIENCE))
    assert code == 0
    assert output.splitlines()[-1] == "It has stopped."


@pytest.mark.parametrize(("wait", "code"), [((), 0), (("--wait", "1"), 1)], ids=["does not wait", "waits too short"])
def test_a_driver_that_has_not_gone_is_not_said_to_have_stopped(tmp_path: Path, wait: tuple[str, ...], code: int) -> None:
    folder = ResultsFolder(tmp_path / "told").path
    with driver_in(folder, seconds=4):
        found, output = stopped(str(folder), *wait)
        assert found == code
        assert "each running trial ends with its epoch" in output
        assert "It has stopped" not in output
