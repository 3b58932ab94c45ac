"""What happens on a cluster, on hosts of a test bed: a node that dies, one cut off for a while, a slow one, one that joins.

In each case every finished epoch is kept, and the study ends, by itself or by `gan3d resume`.
"""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pytest
from killed_study import Results, assert_whole, kill, titled
from small_study import write_study

from benchmarks.hosts.cluster import PYTHON, RayCluster, ray_on
from benchmarks.hosts.namespaces import stop
from benchmarks.hosts.testbed import Host, TestBed
from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

#: How long a step of a story may take [s], on a machine that may be busy.
PATIENCE = 600.0
TRIALS, EPOCHS = 2, 8
CHANGES: dict[str, Any] = {"workers": {"per_trial": 2, "convolutions": "plain", "shared_memory": False}}


@dataclass
class Story:
    """A study that runs on a cluster, and what is known of it."""

    bed: TestBed
    cluster: RayCluster
    results: Results
    log: Path
    process: subprocess.Popen[Any]

    @property
    def output(self) -> str:
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait_for(self, is_true: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + PATIENCE
        while not is_true():
            assert self.process.poll() is None, f"ended before {what}: {self.output[-3000:]}"
            assert time.monotonic() < end, f"waited in vain for {what}: {self.output[-3000:]}"
            time.sleep(0.1)

    def another_epoch(self) -> None:
        before = self.results.num_finished() if (self.results.folder / "trials").exists() else 0
        self.wait_for(lambda: (self.results.folder / "trials").exists() and self.results.num_finished() > before, "an epoch")

    def host_of(self, rank: int) -> Host:
        """Where a rank of the newest trial runs."""
        seats = json.loads(max((self.results.folder / "trials").glob("*/workers.json")).read_text(encoding="utf-8"))
        return next(host for host in self.bed.hosts if host.name == seats[rank]["host"])

    def ended(self) -> int:
        try:
            return self.process.wait(PATIENCE)
        except subprocess.TimeoutExpired:
            pytest.fail(f"the study did not end: {self.output[-3000:]}")

    def go_on(self) -> None:
        """`gan3d resume`, on the same cluster."""
        self.process = started(self.cluster, self.log, "resume", str(self.results.folder), "--address", self.cluster.address)


def started(cluster: RayCluster, log: Path, *words: str) -> subprocess.Popen[Any]:
    """A gan3d command on the head's host, beside us."""
    with log.open("a", encoding="utf-8") as output:
        return cluster.head.start(
            [PYTHON, "-m", "gan3d.cli", *words], cluster.environment, stdin=subprocess.DEVNULL, stdout=output, stderr=output
        )


@pytest.fixture
def tell(bed: TestBed, tmp_path: Path) -> Iterator[Callable[..., Story]]:
    """Starts a study on a cluster of the bed, and waits for its first epoch.

    Hosts of these numbers (``absent``) have no Ray; ``then`` is called when they have none any more.
    """
    stories = []
    with ray_on(bed) as cluster:

        def begin(
            *options: str, absent: tuple[int, ...] = (), then: Callable[[], object] = lambda: None, epochs: int = EPOCHS, **changes: Any
        ) -> Story:
            study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, **(CHANGES | changes))
            for number in absent:
                kill_ray(cluster, bed.hosts[number])
            while cluster.num_nodes() > len(bed.hosts) - len(absent):
                time.sleep(1)
            then()
            log, results = tmp_path / "log.txt", tmp_path / "results"
            where = ("--address", cluster.address, "--results", str(results), *options)
            words = ("run", str(study), "--set", f"training.epochs={epochs}", *where)
            stories.append(Story(bed, cluster, Results(results, "small"), log, started(cluster, log, *words)))
            stories[0].another_epoch()
            return stories[0]

        try:
            yield begin
        finally:
            for story in stories:
                stop(story.process)


@pytest.fixture
def story(tell: Callable[..., Story]) -> Story:
    return tell()


def test_a_node_that_dies_costs_an_epoch_and_the_trial_goes_on_elsewhere(story: Story) -> None:
    dead = story.host_of(1)
    before = story.results.rows()
    kill_ray(story.cluster, dead)
    assert story.ended() == 0, story.output
    assert_whole(story.results, TRIALS, EPOCHS)
    assert story.results.restarts() == 1
    for number, rows in before.items():
        assert story.results.rows()[number][: len(rows)] == rows


def test_a_node_that_is_cut_off_and_comes_back_loses_no_finished_epoch(story: Story) -> None:
    cut = story.host_of(1)
    story.bed.unplug(cut)
    try:
        time.sleep(8)  # what was on its way has arrived
        before = story.results.num_finished()
        time.sleep(12)
        assert story.results.num_finished() == before, "it was not cut off"
    finally:
        story.bed.plug(cut)
    if story.ended() != 0:
        story.go_on()
        assert story.ended() == 0, story.output
    assert_whole(story.results, TRIALS, EPOCHS)


def test_an_elastic_trial_goes_on_with_the_workers_that_are_left(tell: Callable[..., Story]) -> None:
    """Three workers share a batch of 12; two do so from the node's death on."""
    story = tell(workers=CHANGES["workers"] | {"per_trial": 3, "elastic": 1}, training=training_of(global_batch=12))
    kill_ray(story.cluster, story.host_of(1))
    assert story.ended() == 0, story.output
    assert_whole(story.results, TRIALS, EPOCHS)
    sizes = [[int(row["metrics"]["timing.world_size"]) for row in rows] for rows in story.results.rows().values()]
    assert sizes[0][0] == 3
    assert sizes[0][-1] == 2
    assert sizes[1] == [2] * EPOCHS
    assert "trial 0: 2 of 3 workers from epoch" in story.output


def test_a_node_that_joins_is_used_by_the_next_trials(tell: Callable[..., Story]) -> None:
    epochs = 60
    story = tell(absent=(2, 3), epochs=epochs, workers={"per_trial": 1}, trials={"concurrent": 2})
    story.cluster.revive(story.bed.hosts[2])
    assert story.ended() == 0, story.output
    assert_whole(story.results, TRIALS, epochs)
    hosts = [json.loads(path.read_text())[0]["host"] for path in sorted((story.results.folder / "trials").glob("*/workers.json"))]
    assert hosts == ["host1", "host2"]


def test_a_tracking_server_that_cannot_be_reached_for_a_while_has_every_epoch_in_the_end(
    bed: TestBed, tell: Callable[..., Story], tmp_path: Path
) -> None:
    host, port = bed.hosts[3], 5000
    database = f"sqlite:///{tmp_path / 'server.db'}"
    with ExitStack() as stack:
        server = tracking_server(host, port, database, tmp_path)
        story = tell("--tracking-uri", f"http://{host.address}:{port}", absent=(3,), then=lambda: stack.enter_context(server))
        bed.unplug(host)
        try:
            story.another_epoch()
            story.another_epoch()
            known = len(frames.epochs(database, "small"))
            assert known < story.results.num_finished(), "it was not cut off"
        finally:
            bed.plug(host)
        assert story.ended() == 0, story.output
    found = frames.epochs(database, "small").groupby("trial")["epoch"].agg(list).to_dict()
    assert found == {number: list(range(1, EPOCHS + 1)) for number in range(TRIALS)} == story.results.finished()
    assert not list(story.results.folder.glob("tracking_spool*"))


def test_a_slow_rank_is_named_on_the_screen_and_in_the_record(story: Story) -> None:
    slow = story.host_of(1)
    with slowed(worker_on(slow)):
        story.wait_for(lambda: "the others wait for it" in story.output, "the straggler's name")
    assert f"rank 1 on {slow.name} takes" in story.output
    assert story.ended() == 0, story.output
    rows = [row["metrics"] for rows in story.results.rows().values() for row in rows]
    assert any(row["timing.slowest_rank"] == 1 and row["timing.slowest_rank_ratio"] > 2 for row in rows)


@contextmanager
def tracking_server(host: Host, port: int, database: str, folder: Path) -> Iterator[None]:
    """MLflow's own, on a host."""
    where = ["--host", host.address, "--port", str(port), "--allowed-hosts", f"{host.address}:{port}"]
    files = ["--backend-store-uri", database, "--artifacts-destination", str(folder / "artifacts")]
    command = [PYTHON, "-m", "mlflow", "server", "--workers", "1", *where, *files]
    environment = {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("w") as log:
        process = host.start(command, environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    ask = [PYTHON, "-c", f"from urllib.request import urlopen; urlopen('http://{host.address}:{port}/health', timeout=5)"]
    try:
        end = time.monotonic() + PATIENCE
        while host.run(ask, seconds=60).returncode:
            assert time.monotonic() < end, (folder / "server.log").read_text()
        yield
    finally:
        stop(process)


def training_of(**changes: Any) -> dict[str, Any]:
    """The small study's, changed."""
    networks = {"filters": [4, 4, 4], "kernel": 3, "normalisation": "group", "conditioning": "concatenate", "noise_dim": 8}
    against = {"filters": [4, 4, 4, 4], "kernel": 3, "normalisation": "group"}
    return {"epochs": 3, "global_batch": 16, "generator": networks, "discriminator": against} | changes


def kill_ray(cluster: RayCluster, host: Host) -> None:
    """All of Ray on a host at once, as if its power were cut; the host itself stays for the next test."""
    stop(cluster.process_on(host))
    kill(processes_on(host))


def processes_on(host: Host) -> list[psutil.Process]:
    """Everything in the host's namespaces but what holds them."""
    first = psutil.Process(host.inside.first_process)
    space = Path(f"/proc/{first.pid}/ns/pid").readlink()
    found = []
    for process in psutil.process_iter():
        try:
            of_host = process.pid != first.pid and Path(f"/proc/{process.pid}/ns/pid").readlink() == space
            if of_host and "cat" not in process.name():
                found.append(process)
        except (OSError, psutil.Error):
            continue
    return found


def worker_on(host: Host) -> psutil.Process:
    """The Ray Train worker there."""
    (found,) = titled(processes_on(host), "RayTrainWorker")
    return found


class slowed:  # noqa: N801 - a context
    """A process that is stopped for nine tenths of its time."""

    def __init__(self, process: psutil.Process) -> None:
        script = f"""
import os, signal, time
while True:
    os.kill({process.pid}, signal.SIGSTOP); time.sleep(0.45)
    os.kill({process.pid}, signal.SIGCONT); time.sleep(0.05)
"""
        self._process = process
        self._braking = subprocess.Popen([sys.executable, "-c", script])

    def __enter__(self) -> None:
        pass

    def __exit__(self, *_: object) -> None:
        self._braking.kill()
        self._braking.wait()
        self._process.send_signal(signal.SIGCONT)
