"""optuna-dashboard shows a study that goes on: its real server, asked over loopback, on what our own functions write meanwhile."""

from __future__ import annotations

import json
import math
import shlex
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

import optuna_dashboard
import pytest
from results_folder import METRIC, TRADED, ResultsFolder

from gan3d.cli.status import status_of
from gan3d.cli.summary import optuna_command
from gan3d.search.optuna_trials import keep_epoch
from gan3d.search.place import place_of
from gan3d.search.storage import claim_storage
from gan3d.training.merit import Merit

SEVERAL: dict[str, Any] = {"metric": METRIC, "trade_offs": [{"metric": TRADED}], "constraints": [{"metric": METRIC, "at_most": 0.4}]}
#: Longest wait for what the dashboard keeps for two seconds [s].
PATIENCE = 60.0


class Quiet(WSGIRequestHandler):
    def log_message(self, *arguments: object) -> None:
        pass


@contextmanager
def served(place: Path | str) -> Iterator[str]:
    """The address of a dashboard of this storage."""
    with make_server("127.0.0.1", 0, optuna_dashboard.wsgi(str(place)), handler_class=Quiet) as server:
        thread = threading.Thread(target=server.serve_forever, daemon=True)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            thread.join()


def asked(address: str, path: str) -> dict[str, Any]:
    with urllib.request.urlopen(f"{address}/api/{path}", timeout=30) as answer:
        assert answer.status == 200
        return dict(json.load(answer))


def study_of(address: str) -> dict[str, Any]:
    """The one study there is, with its trials."""
    (summary,) = asked(address, "studies")["study_summaries"]
    return asked(address, f"studies/{summary['study_id']}")


def curve(trial: dict[str, Any]) -> dict[int, Any]:
    return {point["step"]: point["value"] for point in trial["intermediate_values"]}


def attributes(trial: dict[str, Any]) -> dict[str, Any]:
    """Texts as they are, all else from JSON."""
    return {one["key"]: json.loads(one["value"]) if one["value"].startswith("{") else one["value"] for one in trial["user_attrs"]}


@pytest.fixture(params=["journal", "database"])
def make(request: pytest.FixtureRequest, tmp_path: Path) -> Callable[..., ResultsFolder]:
    """A results folder half-done: two trials complete, one pruned, one failed, one running, one to come."""

    def made(**changes: Any) -> ResultsFolder:
        folder = ResultsFolder(tmp_path / "told", **changes)
        claim_storage(folder.study, folder.path, f"sqlite:///{tmp_path}/optuna.db" if request.param == "database" else None)
        folder.end(folder.begin(0.5, 0.3), "complete")
        folder.end(folder.begin(0.2, 0.6), "complete")
        folder.end(folder.begin(0.9), "pruned", "stopped by the scheduler after epoch 1 of 4")
        folder.end(folder.begin(), "failed", "DivergedError: losses are not finite")
        folder.begin(0.15, math.nan)
        return folder

    return made


STATES = ["Complete", "Complete", "Pruned", "Fail", "Running", "Waiting"]


def test_trials_their_curves_and_reasons_are_shown(make: Callable[..., ResultsFolder]) -> None:
    folder = make()
    with served(place_of(folder.path)) as address:
        shown = study_of(address)
    assert (shown["name"], shown["directions"], shown["has_intermediate_values"]) == ("told", ["minimize"], True)
    assert [trial["state"] for trial in shown["trials"]] == STATES
    assert [curve(trial) for trial in shown["trials"]] == [{1: 0.5, 2: 0.3}, {1: 0.2, 2: 0.6}, {1: 0.9}, {}, {1: 0.15, 2: "nan"}, {}]
    assert [trial.get("values") for trial in shown["trials"][:2]] == [[0.3], [0.2]]
    assert attributes(shown["trials"][3])["reason"] == "DivergedError: losses are not finite"
    assert [trial["params"][0]["param_external_value"] for trial in shown["trials"][:5]] == ["1", "2", "3", "4", "5"]
    assert [trial["number"] for trial in shown["best_trials"]] == [1]


def test_of_several_objectives_every_epoch_is_an_attribute(make: Callable[..., ResultsFolder]) -> None:
    folder = make(objective=SEVERAL)
    with served(place_of(folder.path)) as address:
        shown = study_of(address)
    assert shown["directions"] == ["minimize", "minimize"]
    assert [trial["state"] for trial in shown["trials"]] == STATES
    assert shown["trials"][0]["values"] == pytest.approx([0.3, 0.7])
    epoch = attributes(shown["trials"][0])["epoch/0001"]
    assert epoch == {"excess": pytest.approx(0.25), "values": pytest.approx([0.5, 0.5])}
    # It does not know of constraints as Optuna 5 keeps them: its own front takes no notice of them, ours does.
    assert [trial["constraints"] for trial in shown["trials"]] == [[]] * len(STATES)


def test_what_is_written_meanwhile_is_shown_and_looking_changes_nothing(make: Callable[..., ResultsFolder]) -> None:
    folder = make()
    trial, epochs = folder.begin(), range(1, 121)
    opened = folder.open_journal()

    def write() -> None:
        for epoch in epochs:
            keep_epoch(trial, epoch, Merit(0.0, (1.0 / epoch,)), folder.study.objective)

    with served(place_of(folder.path)) as address:
        assert [one["state"] for one in study_of(address)["trials"]] == [*STATES[:5], "Running"]
        writer, seen = threading.Thread(target=write), [0]
        files = sorted(path.name for path in folder.path.iterdir())
        writer.start()
        deadline = time.monotonic() + PATIENCE
        while seen[-1] < len(epochs):
            assert time.monotonic() < deadline, seen
            shown = curve(study_of(address)["trials"][5])
            assert shown == {epoch: 1.0 / epoch for epoch in epochs[: len(shown)]}, "a part of the curve, never a hole"
            seen.append(len(shown))
            time.sleep(0.05)
        writer.join()
        assert seen == sorted(seen)
        assert sorted(path.name for path in folder.path.iterdir()) == files
    assert opened.trials[5].intermediate_values == {epoch: 1.0 / epoch for epoch in epochs}


def test_a_line_that_a_killed_driver_cut_off_is_no_end_of_the_show(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "told")
    folder.begin(0.5)
    journal = place_of(folder.path)
    assert isinstance(journal, Path)
    with served(journal) as address:
        assert curve(study_of(address)["trials"][0]) == {1: 0.5}
        with journal.open("ab") as file:
            file.write(b'{"op_code": 7, "worker_')
        time.sleep(2.1)  # what it keeps meanwhile
        assert curve(study_of(address)["trials"][0]) == {1: 0.5}
        folder.begin(0.4)  # the next driver cuts it off and goes on
        deadline = time.monotonic() + PATIENCE
        while curve(study_of(address)["trials"][1]) != {1: 0.4}:
            assert time.monotonic() < deadline
            time.sleep(0.1)


def test_the_command_that_is_named_shows_the_study(make: Callable[..., ResultsFolder], monkeypatch: pytest.MonkeyPatch) -> None:
    folder = make()
    _, status = status_of(folder.path)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = shlex.split(optuna_command(status))
    assert words[0] == str(Path(sys.executable).parent / "optuna-dashboard")
    assert words[-2:] == ["--port", "8080"]
    # Its output goes nowhere: nobody reads it here.
    with subprocess.Popen([*words[:-1], str(port)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as dashboard:
        try:
            deadline = time.monotonic() + PATIENCE
            while True:
                try:
                    shown = study_of(f"http://127.0.0.1:{port}")
                    break
                except OSError:
                    assert time.monotonic() < deadline
                    assert dashboard.poll() is None
                    time.sleep(0.2)
        finally:
            dashboard.terminate()
    assert [trial["state"] for trial in shown["trials"]] == STATES
