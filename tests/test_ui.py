"""`gan3d ui`: a server that answers, on loopback only, until Ctrl-C; and refusals with a way out."""

from __future__ import annotations

import json
import shutil
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

import pytest
from small_study import write_study
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.cli.ui import LOOPBACK, free_port
from gan3d.errors import ConfigError


def test_a_port_that_is_taken_is_refused_or_passed_over() -> None:
    with socket.socket() as taken:
        taken.bind((LOOPBACK, 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(ConfigError, match=r"taken.*--port"):
            free_port(port)
    assert free_port(None) >= 5000


def test_a_study_that_is_not_there_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    told = CliRunner().invoke(app, ["ui", "nobody"])
    assert told.exit_code == 2
    assert "no study was run in" in told.output


def answer(url: str, within: float = 300.0) -> bytes:
    """Of a server that is starting."""
    end = time.monotonic() + within
    while True:
        try:
            with urllib.request.urlopen(url, timeout=60) as response:
                return bytes(response.read())
        except OSError:
            assert time.monotonic() < end, f"{url} does not answer"
            time.sleep(0.5)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # Ray's and MLflow's own
def test_a_copied_study_is_served_on_loopback_until_ctrl_c(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, sampler={"name": "grid"})
    ran = CliRunner().invoke(app, ["run", str(path), "--set", "training.epochs=1"])
    assert ran.exit_code == 0, ran.output
    shutil.move("results/small", "copied")
    command = [sys.executable, "-m", "gan3d.cli", "ui", "copied"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as server:
        assert server.stdout is not None
        url = server.stdout.readline().split()[0]
        base, _, page = url.partition("#")
        assert base.startswith(f"http://{LOOPBACK}:")
        assert page.endswith((Path("copied") / "tracking_run.txt").read_text().strip())
        assert b"<html" in answer(base)
        run_id = page.rpartition("/")[2]
        run = json.loads(answer(f"{base}ajax-api/2.0/mlflow/runs/get?run_id={run_id}"))
        assert run["run"]["info"]["artifact_uri"].startswith(f"file://{tmp_path / 'copied' / 'artifacts'}")
        with socket.socket() as probe:
            probe.settimeout(2)
            outside = socket.gethostbyname(socket.gethostname())
            if not outside.startswith("127."):
                assert probe.connect_ex((outside, int(base.rstrip("/").rpartition(":")[2]))) != 0
        server.send_signal(signal.SIGINT)
        assert server.wait(60) == 0
