"""A tracking database is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from gan3d.tracking.client import open_client
from gan3d.tracking.store import default_tracking_uri

MAKER = "import sys; from gan3d.tracking.client import open_client; open_client(sys.argv[1], create=True)"


@pytest.mark.slow
def test_a_driver_killed_while_it_makes_the_database_leaves_nothing_in_the_way(tmp_path: Path) -> None:
    """Killed as soon as there are tables, and then a little later each time."""
    uri, begun = default_tracking_uri(tmp_path), tmp_path / ".tracking.db.new"
    for wait in (0.0, 0.2, 0.5):
        with subprocess.Popen([sys.executable, "-c", MAKER, uri]) as maker:
            deadline = time.monotonic() + 120
            while not (begun.exists() and begun.stat().st_size):
                assert maker.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.005)
            time.sleep(wait)
            os.kill(maker.pid, signal.SIGKILL)
        assert not (tmp_path / "tracking.db").exists()
    client = open_client(uri, create=True)
    run = client.create_run(client.create_experiment("afterwards"))
    client.log_metric(run.info.run_id, "a", 1.0)
    assert [path.name for path in tmp_path.iterdir()] == ["tracking.db"]
