"""The writer, against a real MLflow on SQLite: one run per study, one per trial, every epoch once, no harm from a failing database."""

from __future__ import annotations

import json
import re
import sqlite3
import subprocess
import sys
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path

import pytest
from logged import log_epoch

from gan3d.config.objective import Objective
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.records import METRICS, Cost, EpochRecord, Losses, NoiseScale, PhysicsDistance, Timing, TrialRecord
from gan3d.tracking import frames
from gan3d.tracking.client import open_client, search_runs
from gan3d.tracking.names import NAMES_TAG
from gan3d.tracking.store import EXPERIMENT_PREFIX, MARKER_METRIC, PARENT_TAG, RUN_FILE, StudyTracker, default_tracking_uri

SETTINGS = TrialSettings.model_validate(
    {"training": {"batch_per_worker": 8}, "workers": {"per_trial": 4}, "data": {"train": ["a"], "validation": ["b"]}}
).model_dump()


@pytest.fixture(scope="module")
def results(tracked_folder):
    """One folder, so one database, for all tests: each test has a study of its own name."""
    return tracked_folder("results with a # and a space")


@pytest.fixture(scope="module")
def client(results):
    return open_client(default_tracking_uri(results), create=True)


def study_name(request):
    """Each test's own."""
    return request.node.name.replace("[", "_").replace("]", "")


@pytest.fixture
def opened(results, client, request):
    """Opens trackers of the test's own study."""
    name = request.node.name.replace("[", "_").replace("]", "")

    def open_tracker(resume=False):
        return StudyTracker.open(default_tracking_uri(results), study_name=name, results=results, resume=resume)

    return open_tracker


def record(epoch, value=1.0):
    groups = (kind(**{entry.name: value for entry in fields(kind)}) for kind in (Losses, PhysicsDistance, Timing, NoiseScale, Cost))
    return EpochRecord(epoch, *groups)


def start(tracker, number=0):
    tracker.start_trial(number, {"training.seed": 7, "training.generator.learning_rate": 1e-3}, SETTINGS, "c0ffee")


def ended(state="complete", number=0):
    return TrialRecord(number, {}, state, "" if state == "complete" else "why", 2, 0.25, 12.5)


def trial_runs(client, tracker):
    experiment = client.get_run(tracker.study_run_id).info.experiment_id
    return search_runs(client, experiment, f"tags.`{PARENT_TAG}` = '{tracker.study_run_id}'")


def logged_steps(client, run, metric=MARKER_METRIC):
    return [point.step for point in client.get_metric_history(run.info.run_id, metric.replace(".", "/", 1))]


@contextmanager
def broken_database(results, *tables):
    """A database that takes nothing in some tables, by default no metrics and no tags, while this lasts."""
    tables = tables or ("metrics", "tags")
    with sqlite3.connect(results / "tracking.db") as connection:
        for table in tables:
            connection.execute(f"ALTER TABLE {table} RENAME TO {table}_away")
    yield
    with sqlite3.connect(results / "tracking.db") as connection:
        for table in tables:
            connection.execute(f"ALTER TABLE {table}_away RENAME TO {table}")


def test_a_trial_is_a_run_nested_in_the_study(opened, client):
    tracker = opened()
    start(tracker, 3)
    (run,) = trial_runs(client, tracker)
    assert run.data.params == {"training.seed": "7", "training.generator.learning_rate": "0.001"}
    expected = {
        "trial_number": "3",
        "digest": "c0ffee",
        "world_size": "4",
        "global_batch": "32",
        "batch_per_worker": "8",
        "state": "running",
    }
    assert expected.items() <= run.data.tags.items()
    assert run.info.status == "RUNNING"


def test_every_metric_of_a_record_is_logged_at_its_epoch(opened, client):
    tracker = opened()
    start(tracker)
    log_epoch(tracker, 0, record(1, 5.0))
    (run,) = trial_runs(client, tracker)
    assert run.data.metrics == {name.replace(".", "/", 1): 5.0 for name in METRICS}
    assert logged_steps(client, run, "physics.shower_distance") == [1]


def test_what_is_no_metric_of_a_record_is_not_logged(opened, client):
    tracker = opened()
    start(tracker)
    tracker.log_metrics(0, 1, {MARKER_METRIC: 1.0, "time_total_s": 3.0, "done": False})
    assert trial_runs(client, tracker)[0].data.metrics == {"timing/epoch_seconds": 1.0}


def test_a_study_that_began_with_names_with_dots_keeps_them(opened, client, results, request):
    """An older version's study: continued, read, and no epoch logged twice."""
    tracker = opened()
    client.delete_tag(tracker.study_run_id, NAMES_TAG)
    start(again := opened(resume=True))
    assert again.continued
    log_epoch(again, 0, record(1, 5.0))
    (run,) = trial_runs(client, again)
    assert run.data.metrics == dict.fromkeys(METRICS, 5.0)
    last = opened(resume=True)
    for epoch in (1, 2):
        log_epoch(last, 0, record(epoch, 6.0))
    frame = frames.epochs(default_tracking_uri(results), study_name(request))
    assert frame[["epoch", "physics.shower_distance"]].to_numpy().tolist() == [[1, 5.0], [2, 6.0]]


def test_the_same_epoch_logged_twice_is_one_point(opened, client):
    tracker = opened()
    start(tracker)
    for epoch in (1, 2, 2, 1, 3):
        log_epoch(tracker, 0, record(epoch))
    assert logged_steps(client, trial_runs(client, tracker)[0]) == [1, 2, 3]


def test_starting_a_trial_twice_keeps_one_run(opened, client):
    tracker = opened()
    start(tracker)
    start(tracker)
    assert len(trial_runs(client, tracker)) == 1


def test_a_resumed_study_continues_its_runs_and_epochs(opened, client):
    first = opened()
    start(first)
    log_epoch(first, 0, record(1))
    first.end("interrupted")
    assert client.get_run(first.study_run_id).info.status == "KILLED"

    second = opened(resume=True)
    assert second.study_run_id == first.study_run_id
    start(second)
    for epoch in (1, 2):
        log_epoch(second, 0, record(epoch))
    (run,) = trial_runs(client, second)
    assert logged_steps(client, run) == [1, 2]
    assert run.info.status == "RUNNING"


def test_a_finished_study_that_is_gone_on_with_shows_all_its_trials(opened, client, results):
    first = opened()
    start(first, 0)
    first.end_trial(ended(number=0))
    first.end()
    second = opened(resume=True)
    assert second.continued
    assert client.get_run(second.study_run_id).info.status == "RUNNING"
    start(second, 1)
    second.end_trial(ended("pruned", number=1))
    second.end()
    name = client.get_run(second.study_run_id).data.tags["study"]
    shown = frames.trials(default_tracking_uri(results), name)
    assert shown[["trial", "state"]].to_numpy().tolist() == [[0, "complete"], [1, "pruned"]]
    assert client.get_run(second.study_run_id).info.status == "FINISHED"


def test_a_resume_takes_up_its_own_folder_s_run_not_a_namesake_s(opened, client, results, tmp_path):
    """Two users of one server run a study of the same name, each from a results folder of their own."""
    own = opened()
    name = client.get_run(own.study_run_id).data.tags["study"]
    theirs = StudyTracker.open(default_tracking_uri(results), study_name=name, results=tmp_path, resume=False)
    assert opened(resume=True).study_run_id == own.study_run_id
    again = StudyTracker.open(default_tracking_uri(results), study_name=name, results=tmp_path, resume=True)
    assert again.study_run_id == theirs.study_run_id


@pytest.mark.parametrize("remembered", [None, "0" * 32, "' or 1 = 1", "another study's", "deleted"])
def test_a_folder_whose_run_is_not_on_the_server_gets_a_new_one(opened, client, results, remembered):
    first = opened()
    file = results / RUN_FILE
    if remembered is None:
        file.unlink()
    elif remembered == "another study's":
        StudyTracker.open(default_tracking_uri(results), study_name="another", results=results, resume=False)
    elif remembered == "deleted":
        client.delete_run(first.study_run_id)
    else:
        file.write_text(remembered)
    second = opened(resume=True)
    assert not second.continued
    assert second.study_run_id != first.study_run_id
    assert trial_runs(client, second) == []
    assert opened(resume=True).study_run_id == second.study_run_id


@pytest.mark.parametrize("problem", [OSError("disk full"), KeyboardInterrupt()])
def test_an_exception_leaves_no_study_running(opened, client, problem):
    tracker = opened()
    with pytest.raises(type(problem)), tracker.interrupted_by_exceptions():
        raise problem
    run = client.get_run(tracker.study_run_id)
    assert (run.info.status, run.data.tags["state"]) == ("KILLED", "interrupted")
    with opened(resume=True).interrupted_by_exceptions():
        pass
    assert client.get_run(tracker.study_run_id).info.status == "RUNNING"


def test_a_new_launch_does_not_continue_a_finished_study(opened):
    first = opened()
    first.end()
    second = opened()
    assert second.study_run_id != first.study_run_id
    assert not second.continued


def test_a_new_launch_is_a_new_run_of_the_same_experiment(opened, client):
    first, second = opened(), opened()
    assert first.study_run_id != second.study_run_id
    experiments = {client.get_run(tracker.study_run_id).info.experiment_id for tracker in (first, second)}
    assert len(experiments) == 1


@pytest.mark.parametrize(("state", "status"), [("complete", "FINISHED"), ("pruned", "FINISHED"), ("failed", "FAILED")])
def test_how_a_trial_ended_is_told_by_status_and_tags(opened, client, state, status):
    tracker = opened()
    start(tracker)
    tracker.end_trial(ended(state))
    (run,) = trial_runs(client, tracker)
    assert run.info.status == status
    expected = {"state": state, "reason": "" if state == "complete" else "why", "epochs": "2", "objective": "0.25", "seconds": "12.500"}
    assert expected.items() <= run.data.tags.items()


def test_the_study_run_holds_what_was_asked_and_with_what(opened, client, results):
    tracker = opened()
    objective = Objective(metric="timing.showers_per_second", direction="maximize")
    facts = {"commit": "abc", "packages": {"torch": "2"}}
    tracker.log_study("How fast?", "name: x\n", ["training.seed=2"], {"trials": 3}, facts, objective=objective)
    run = client.get_run(tracker.study_run_id)
    expected = {"question": "How fast?", "objective_metric": "timing.showers_per_second", "provenance.commit": "abc"}
    assert expected.items() <= run.data.tags.items()
    folder = results / "artifacts" / run.data.tags["study"] / tracker.study_run_id / "artifacts"
    assert (folder / "study.yaml").read_text() == "name: x\n"
    assert (folder / "overrides.txt").read_text() == "training.seed=2\n"
    assert json.loads((folder / "plan.json").read_text()) == {"trials": 3}
    assert json.loads((folder / "provenance.json").read_text()) == facts


def test_files_become_artefacts_beside_the_database(opened, client, tmp_path):
    tracker = opened()
    start(tracker)
    (tmp_path / "figure.png").write_bytes(b"png")
    tracker.log_artifact_file(tmp_path / "figure.png", "figures")
    tracker.log_artifact_file(tmp_path / "figure.png", "figures", number=0)
    for run_id in (tracker.study_run_id, trial_runs(client, tracker)[0].info.run_id):
        assert [entry.path for entry in client.list_artifacts(run_id, "figures")] == ["figures/figure.png"]


def test_an_overlong_question_is_cut_not_lost(opened, client):
    tracker = opened()
    tracker.log_study("why " * 5000, "", [], {}, {}, objective=Objective())
    assert client.get_run(tracker.study_run_id).data.tags["question"].startswith("why why")


def test_a_failing_database_delays_records_but_loses_none(opened, client, results, caplog):
    tracker = opened()
    start(tracker)
    with broken_database(results):
        for epoch in (1, 2):
            log_epoch(tracker, 0, record(epoch, float(epoch)))
        tracker.end_trial(ended("pruned"))
        assert tracker.end() is False
    (spool,) = results.glob(f"tracking_spool_{tracker.study_run_id}.jsonl")
    assert [json.loads(line)["do"] for line in spool.read_text().splitlines()] == ["log_metrics", "log_metrics", "end_trial", "end"]
    assert len([line for line in caplog.messages if "offered again" in line]) == 1

    assert tracker.end() is True
    (run,) = trial_runs(client, tracker)
    assert logged_steps(client, run) == [1, 2]
    assert run.data.tags["state"] == "pruned"
    assert not spool.exists()


def test_records_spooled_by_a_dead_driver_are_delivered_on_resume(opened, client, results):
    dead = opened()
    start(dead)
    with broken_database(results):
        log_epoch(dead, 0, record(1))
    alive = opened(resume=True)
    assert logged_steps(client, trial_runs(client, alive)[0]) == [1]


@pytest.mark.parametrize("is_slow", [False, True], ids=["at_once", "later"])
def test_the_end_that_waits_of_an_earlier_session_ends_no_later_one(opened, client, results, is_slow):
    dead = opened()
    start(dead)
    with broken_database(results):
        log_epoch(dead, 0, record(1))
        assert dead.end("interrupted") is False
    if is_slow:
        with broken_database(results, "metrics"):
            alive = opened(resume=True)
        assert alive._spool.drain()
    else:
        alive = opened(resume=True)
    run = client.get_run(alive.study_run_id)
    assert (run.info.status, run.data.tags["state"]) == ("RUNNING", "running")
    alive.start_trial(1, {"training.seed": 8}, SETTINGS, "decaf")
    assert alive.end() is True
    run = client.get_run(alive.study_run_id)
    assert (run.info.status, run.data.tags["state"]) == ("FINISHED", "complete")


def test_a_refused_record_does_not_block_the_next(opened, client, tmp_path, caplog):
    tracker = opened()
    start(tracker)
    tracker.log_artifact_file(tmp_path / "never written.png")
    log_epoch(tracker, 99, record(1))
    log_epoch(tracker, 0, record(1))
    assert logged_steps(client, trial_runs(client, tracker)[0]) == [1]
    assert len([line for line in caplog.messages if "refused" in line]) == 2


def test_a_deleted_experiment_is_named_with_the_way_out(opened, client):
    tracker = opened()
    run = client.get_run(tracker.study_run_id)
    client.delete_experiment(run.info.experiment_id)
    with pytest.raises(ConfigError, match=f"{EXPERIMENT_PREFIX}.* was deleted .*restore"):
        opened()


@pytest.mark.parametrize("tracking_uri", ["http://127.0.0.1:1", "mssql+no_such_driver://127.0.0.1:1/x", "file:///nowhere"])
def test_a_tracking_uri_that_cannot_work_is_refused_before_anything_starts(results, tracking_uri):
    with pytest.raises(ConfigError, match=f"{re.escape(tracking_uri)} does not answer"):
        StudyTracker.open(tracking_uri, study_name="x", results=results, resume=False)


def test_tracking_is_quiet_and_leaves_the_working_directory_clean(tmp_path):
    """A process of its own, as a user's would be: no chatter, no ./mlruns or ./mlflow.db, and importing the store stays light."""
    code = """
import sys
from pathlib import Path
from gan3d.tracking.names import NAMES_TAG
from gan3d.tracking.store import StudyTracker, default_tracking_uri
assert "mlflow" not in sys.modules
results = Path("results/quiet")
tracker = StudyTracker.open(default_tracking_uri(results), study_name="quiet", results=results, resume=False)
tracker.start_trial(0, {"training.seed": 1}, {}, "")
assert tracker.end()
"""
    done = subprocess.run([sys.executable, "-W", "error", "-c", code], cwd=tmp_path, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert [path.name for path in tmp_path.iterdir()] == ["results"]
    assert sorted(path.name for path in Path(tmp_path / "results" / "quiet").iterdir()) == ["artifacts", "tracking.db", RUN_FILE]


@pytest.mark.slow
def test_drivers_that_open_the_same_new_database_wait_for_each_other(tmp_path):
    code = """
import sys
from pathlib import Path
from gan3d.tracking.names import NAMES_TAG
from gan3d.tracking.store import StudyTracker, default_tracking_uri
results = Path(sys.argv[1])
tracker = StudyTracker.open(default_tracking_uri(results), study_name="shared", results=results, resume=False)
print(tracker.study_run_id)
"""
    command = [sys.executable, "-c", code, str(tmp_path)]
    drivers = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    run_ids = {driver.communicate()[0].strip() for driver in drivers}
    assert [driver.returncode for driver in drivers] == [0, 0, 0]
    client = open_client(default_tracking_uri(tmp_path))
    assert {client.get_run(run_id).info.status for run_id in run_ids} == {"RUNNING"}
    assert len(run_ids) == 3
