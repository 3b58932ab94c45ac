"""The reader, against what the writer wrote: the same numbers, one row per epoch or trial, whole rows while another process writes."""

from __future__ import annotations

import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from urllib.request import urlopen

import numpy as np
import pytest
from logged import log_epoch

from gan3d.config.objective import Objective
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.records import METRICS, Cost, EpochRecord, Losses, NoiseScale, PhysicsDistance, Timing, TrialRecord
from gan3d.tracking import frames
from gan3d.tracking.store import StudyTracker, default_tracking_uri

SETTINGS = TrialSettings.model_validate(
    {"training": {"batch_per_worker": 8}, "workers": {"per_trial": 4}, "data": {"train": ["a"], "validation": ["b"]}}
).model_dump()
SAMPLES = [
    {"training.seed": 1, "training.generator.learning_rate": 1e-3, "training.optimiser.name": "adam", "training.polar_angle": True},
    {"training.seed": 2, "training.generator.learning_rate": 1.0, "training.optimiser.name": "rmsprop", "training.polar_angle": False},
]
#: Objective per epoch of the two trials, and how they ended.
OBJECTIVES = [[3.0, 1.0, 2.0], [4.0, float("nan")]]
STATES = ["complete", "pruned"]
#: By then a reader beside a writer has met it at work, or never will.
MOST_READS = 30


def record(epoch, value):
    groups = (kind(**{entry.name: value for entry in fields(kind)}) for kind in (Losses, PhysicsDistance, Timing, NoiseScale, Cost))
    return EpochRecord(epoch, *groups)


def write_study(uri, results, name, samples=SAMPLES):
    tracker = StudyTracker.open(uri, study_name=name, results=results, resume=False)
    tracker.log_study("Which?", "name: two\n", [], {}, {"commit": "abc"}, objective=Objective())
    for number in reversed(range(len(samples))):
        tracker.start_trial(number, samples[number], SETTINGS, f"digest{number}")
        for epoch, value in enumerate(OBJECTIVES[number], start=1):
            log_epoch(tracker, number, record(epoch, value))
        tracker.end_trial(TrialRecord(number, samples[number], STATES[number], "why", len(OBJECTIVES[number]), 0.5, 9.0))
    assert tracker.end()
    return tracker


@pytest.fixture(scope="module")
def results(tracked_folder):
    return tracked_folder("results")


@pytest.fixture(scope="module")
def uri(results):
    return default_tracking_uri(results)


@pytest.fixture(scope="module")
def written(results, uri):
    return write_study(uri, results, "two_trials")


def test_epochs_come_back_as_they_were_written(written, uri):
    frame = frames.epochs(uri, "two_trials")
    assert list(zip(frame["trial"], frame["epoch"], strict=True)) == [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2)]
    expected = [value for values in OBJECTIVES for value in values]
    for name in METRICS:
        np.testing.assert_array_equal(frame[name], expected)
    assert set(frame["world_size"]) == {4}
    assert set(frame["global_batch"]) == {32}
    assert frame["logged_at"].is_monotonic_increasing is False  # trial 1 was written first
    assert (frame["logged_at"] >= frame["started"]).all()


def test_columns_can_be_added_to_all_metrics(written, uri):
    """Warnings are errors here: pandas has one for frames of many pieces."""
    frame = frames.epochs(uri, "two_trials")
    assert len(frame.assign(**{f"more {number}": 1.0 for number in range(10)}).columns) == len(frame.columns) + 10


def test_samples_keep_their_types(written, uri):
    frame = frames.trials(uri, "two_trials")
    for number, sample in enumerate(SAMPLES):
        found = {key: frame[key].tolist()[number] for key in sample}
        assert found == sample
        assert {key: type(value) for key, value in found.items()} == {key: type(value) for key, value in sample.items()}


def test_trials_tell_state_best_and_seconds(written, uri):
    frame = frames.trials(uri, "two_trials")
    assert frame["trial"].tolist() == [0, 1]
    assert frame["state"].tolist() == STATES
    assert frame["epochs"].tolist() == [3, 2]
    assert frame["best_objective"].tolist() == [1.0, 4.0]
    assert frame["best_epoch"].tolist() == [2, 1]
    assert frame["objective"].tolist() == [0.5, 0.5]
    assert frame["seconds"].tolist() == [9.0, 9.0]
    assert (frame["ended"] >= frame["started"]).all()


def test_the_study_tells_its_question(written, uri, results):
    info = frames.study(uri, "two_trials")
    assert (info.question, info.objective_metric, info.objective_direction) == ("Which?", "physics.shower_distance", "minimize")
    assert (info.yaml_text, info.run_id, info.state) == ("name: two\n", written.study_run_id, "complete")
    assert info.provenance == {"commit": "abc"}
    assert info.artifact_dir is not None
    assert info.artifact_dir.is_relative_to(results)
    assert info.artifact_dir.is_dir()


def test_infinite_values_come_back_infinite(results, uri):
    tracker = StudyTracker.open(uri, study_name="infinite", results=results, resume=False)
    tracker.log_study("", "", [], {}, {}, objective=Objective())
    tracker.start_trial(0, {}, {}, "")
    for epoch, value in enumerate([np.inf, -np.inf, 1e300], start=1):
        log_epoch(tracker, 0, record(epoch, value))
    assert frames.epochs(uri, "infinite")["losses.generator_total"].tolist() == [np.inf, -np.inf, 1e300]


def test_chosen_metrics_only(written, uri):
    frame = frames.epochs(uri, "two_trials", metrics=["timing.showers_per_second"])
    assert set(METRICS) & set(frame.columns) == {"timing.showers_per_second"}
    assert len(frame) == 5


def test_a_study_without_trials_has_empty_frames(results, uri):
    StudyTracker.open(uri, study_name="empty", results=results, resume=False)
    assert len(frames.epochs(uri, "empty")) == 0
    assert len(frames.trials(uri, "empty")) == 0
    assert frames.study(uri, "empty").yaml_text == ""


def test_a_trial_without_an_epoch_is_a_trial_still(results, uri):
    tracker = StudyTracker.open(uri, study_name="no_epoch", results=results, resume=False)
    tracker.start_trial(0, {"training.seed": 1}, {}, "")
    tracker.end_trial(TrialRecord(0, {}, "failed", "DivergedError: not finite", 0, None, 1.0))
    (row,) = frames.trials(uri, "no_epoch").to_dict("records")
    assert (row["state"], row["reason"], row["epochs"]) == ("failed", "DivergedError: not finite", 0)
    assert np.isnan([row["objective"], row["best_objective"]]).all()
    assert len(frames.epochs(uri, "no_epoch")) == 0


def test_the_newest_launch_is_read_unless_another_is_named(results, uri):
    first = write_study(uri, results, "launched_twice")
    second = write_study(uri, results, "launched_twice", SAMPLES[:1])
    assert len(frames.trials(uri, "launched_twice")) == 1
    assert len(frames.trials(uri, "launched_twice", run_id=first.study_run_id)) == 2
    with pytest.raises(ConfigError, match=f"{second.study_run_id}, {first.study_run_id}"):
        frames.trials(uri, "launched_twice", run_id="nothing")


def test_an_absent_study_lists_those_there_are(written, uri):
    with pytest.raises(ConfigError, match=r"no study 'absent'.*two_trials"):
        frames.epochs(uri, "absent")


def test_reading_does_not_make_a_database(tmp_path):
    with pytest.raises(ConfigError, match="no database"):
        frames.study(default_tracking_uri(tmp_path), "x")
    assert not list(tmp_path.iterdir())


def test_results_moved_elsewhere_are_read_there(written, results, uri, tmp_path):
    moved = shutil.copytree(results, tmp_path / "laptop")
    hidden = results.rename(results.with_name("away"))
    try:
        info = frames.study(default_tracking_uri(moved), "two_trials")
    finally:
        hidden.rename(results)
    assert info.yaml_text == "name: two\n"
    assert info.artifact_dir is not None
    assert info.artifact_dir.is_relative_to(moved)


def test_a_reader_beside_the_writer_sees_whole_rows_in_order(results, uri, tmp_path):
    """Another process writes epochs all the while; every frame read meanwhile has no hole and only ever grows."""
    stop = tmp_path / "stop"
    code = """
import sys
import time
from itertools import count
from pathlib import Path
results, tests, stop = map(Path, sys.argv[1:])
sys.path.insert(0, str(tests))
from logged import log_epoch
from test_frames import SETTINGS, record
from gan3d.tracking.store import StudyTracker, default_tracking_uri
tracker = StudyTracker.open(default_tracking_uri(results), study_name="busy", results=results, resume=False)
tracker.start_trial(0, {"training.seed": 1}, SETTINGS, "")
print("started", flush=True)
for epoch in count(1):
    log_epoch(tracker, 0, record(epoch, float(epoch)))
    time.sleep(0.1)
    if stop.exists():
        break
assert tracker.end()
"""
    command = [sys.executable, "-c", code, str(results), str(Path(__file__).parent), str(stop)]
    lengths = []
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as writer:
        try:
            assert writer.stdout is not None
            assert writer.stdout.readline() == "started\n"
            while len(set(lengths)) < 3 and len(lengths) < MOST_READS:
                frame = frames.epochs(uri, "busy")
                assert frame["epoch"].tolist() == list(range(1, len(frame) + 1))
                assert frame[list(METRICS)].notna().all(axis=None)
                lengths.append(len(frame))
        finally:
            stop.touch()
    assert writer.returncode == 0
    assert lengths == sorted(lengths)
    assert len(set(lengths)) > 1, "the reader never met the writer at work"
    assert len(frames.epochs(uri, "busy")) >= lengths[-1]


@contextmanager
def server(folder, port):
    """A real tracking server on localhost, gone afterwards with all of its processes."""
    command = [sys.executable, "-m", "mlflow", "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"]
    command += ["--backend-store-uri", f"sqlite:///{folder / 'server.db'}", "--artifacts-destination", str(folder / "artifacts")]
    environment = os.environ | {"MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false", "MLFLOW_DISABLE_TELEMETRY": "true"}
    with (folder / "server.log").open("a") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stdout=log, stderr=log, start_new_session=True)
    try:
        await_health(port, process)
        yield f"http://127.0.0.1:{port}"
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()


def await_health(port, process):
    for _ in range(240):
        assert process.poll() is None, "the server ended by itself"
        try:
            with urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.5)
    pytest.fail("the server did not come up")


@pytest.mark.slow
def test_a_tracking_server_may_vanish_and_return(tmp_path):
    """Over HTTP: what is logged while the server is away is delivered when it is back, and reads the same as from a database."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    with server(tmp_path, port) as uri:
        tracker = StudyTracker.open(uri, study_name="remote", results=tmp_path, resume=False)
        tracker.log_study("Far?", "name: remote\n", [], {}, {}, objective=Objective())
        tracker.start_trial(0, SAMPLES[0], SETTINGS, "")
        log_epoch(tracker, 0, record(1, 3.0))
    log_epoch(tracker, 0, record(2, 2.0))
    log_epoch(tracker, 0, record(3, 1.0))
    assert tracker.end() is False
    with server(tmp_path, port) as uri:
        assert tracker.end() is True
        frame = frames.epochs(uri, "remote")
        assert frame["physics.shower_distance"].tolist() == [3.0, 2.0, 1.0]
        assert frame[list(METRICS)].notna().all(axis=None)
        assert frames.trials(uri, "remote")["best_objective"].tolist() == [1.0]
        assert frames.study(uri, "remote").yaml_text == "name: remote\n"
    assert not list(tmp_path.glob("tracking_spool*"))
