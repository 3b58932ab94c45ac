"""A study on a Ray cluster that is there already, token and all."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import ray
from small_study import write_study

from gan3d.cli.token import TOKEN_FILE, show_token
from gan3d.errors import ResourceError
from gan3d.search.cluster import connected, why_unreachable

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


class Late:
    """`ray.init`, of which the first calls do not come up in time."""

    def __init__(self, times: int) -> None:
        self._init, self._times, self.calls = ray.init, times, 0

    def __call__(self, **options: Any) -> Any:
        self.calls += 1
        if self.calls <= self._times:
            message = "The current node timed out during startup."
            raise Exception(message)  # noqa: TRY002 - it is Ray's
        return self._init(**options)


@pytest.mark.slow
def test_a_ray_that_does_not_come_up_in_time_is_started_once_more(monkeypatch: pytest.MonkeyPatch) -> None:
    late, said = Late(1), list[str]()
    monkeypatch.setattr(ray, "init", late)
    with connected(None, verbose=False, say=said.append):
        assert ray.is_initialized()
    assert late.calls == 2
    assert said == ["Starting Ray on this machine", "Ray did not start in time: once more"]


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "no-such-host.invalid:6379"])
def test_where_nothing_listens_ray_is_not_asked_for_it_would_end_this_process(address: str, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(9)
    monkeypatch.setattr(ray, "init", late)
    told = pytest.raises(ResourceError, match=rf"no Ray cluster at --address {re.escape(address)}.*ray start --head")
    with told, connected(address, verbose=False, say=lambda _text: None):
        pass
    assert late.calls == 0


def test_addresses_that_answer_or_name_no_port_are_left_to_ray() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        assert [why_unreachable(address) for address in (f"127.0.0.1:{port}", f"ray://localhost:{port}", "auto", "local")] == [None] * 4


@pytest.mark.parametrize(("address", "calls"), [(None, 2), ("auto", 1)])
def test_one_that_does_not_come_up_at_all_is_given_up(address: str | None, calls: int, monkeypatch: pytest.MonkeyPatch) -> None:
    late = Late(9)
    monkeypatch.setattr(ray, "init", late)
    with pytest.raises(ResourceError, match="timed out"), connected(address, verbose=False, say=lambda _text: None):
        pass
    assert late.calls == calls
