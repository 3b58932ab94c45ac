"""A study on a Ray cluster that is there already, token and all."""

from __future__ import annotations

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from small_study import write_study

from gan3d.cli.token import TOKEN_FILE, show_token

RAY = str(Path(sys.executable).parent / "ray")


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture
def cluster() -> Iterator[str]:
    """The address of a head node of two CPUs; in the foreground, so that it ends with its process and no other Ray does."""
    port = free_port()
    folder = tempfile.mkdtemp(prefix="r")  # short: Ray's socket paths may have 107 characters
    command = [RAY, "start", "--head", "--block", f"--port={port}", "--num-cpus=2", "--include-dashboard=false", f"--temp-dir={folder}"]
    head = subprocess.Popen(
        [*command, "--disable-usage-stats"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        deadline = time.monotonic() + 90
        while not list(Path(folder).glob("session_latest/sockets/raylet*")):
            assert head.poll() is None
            assert time.monotonic() < deadline
            time.sleep(0.5)
        yield f"127.0.0.1:{port}"
    finally:
        os.killpg(head.pid, signal.SIGTERM)
        head.wait(60)
        shutil.rmtree(folder, ignore_errors=True)


@pytest.mark.slow
def test_a_study_plans_and_runs_on_a_running_cluster(cluster: str, tmp_path: Path) -> None:
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    gan3d = [sys.executable, "-m", "gan3d.cli"]
    plan = subprocess.run([*gan3d, "plan", str(study), "--address", cluster], capture_output=True, text=True, check=False)
    assert plan.returncode == 0, plan.stdout + plan.stderr
    assert "the Ray cluster has 2 CPUs" in plan.stdout
    command = [*gan3d, "run", str(study), "--address", cluster, "--results", str(tmp_path / "results"), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    assert [trial["state"] for trial in json.loads(done.stdout)["trials"]] == ["complete", "complete"]


def test_a_token_is_shown_where_there_is_one_and_nothing_else_was_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    show_token()
    assert "RAY_AUTH_MODE" not in os.environ
    (tmp_path / TOKEN_FILE).parent.mkdir()
    (tmp_path / TOKEN_FILE).write_text("secret", encoding="utf-8")
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == "disabled"
    monkeypatch.delenv("RAY_AUTH_MODE")
    show_token()
    assert os.environ["RAY_AUTH_MODE"] == "token"
