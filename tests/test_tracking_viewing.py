"""Tracking data that were copied with their results folder are looked at there, artefacts and all; the study's own stay as they are."""

from __future__ import annotations

import hashlib
import shutil
from pathlib import Path

import pytest

from gan3d.errors import ConfigError
from gan3d.tracking.additions import VERDICT_TAG, add_verdict
from gan3d.tracking.client import artifacts_of, open_client
from gan3d.tracking.store import RUN_FILE, default_tracking_uri
from gan3d.tracking.viewing import database_of, pointing_here, study_page, uri_of


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """A folder with a run that has an artefact."""
    folder = tmp_path / "here" / "results" / "small"
    folder.mkdir(parents=True)
    client = open_client(default_tracking_uri(folder), create=True)
    experiment = client.create_experiment("gan3d/small", f"file://{folder / 'artifacts' / 'small'}")
    run = client.create_run(experiment)
    (tmp_path / "figure.txt").write_text("a figure")
    client.log_artifact(run.info.run_id, str(tmp_path / "figure.txt"), "figures")
    (folder / RUN_FILE).write_text(run.info.run_id)
    return folder


def digest(file: Path) -> str:
    return hashlib.sha256(file.read_bytes()).hexdigest()


def artefacts(database: Path, results: Path, folder: Path) -> str:
    client = open_client(uri_of(database))
    run_id = (results / RUN_FILE).read_text()
    (found,) = client.list_artifacts(run_id, "figures")
    folder.mkdir()
    return Path(client.download_artifacts(run_id, found.path, str(folder))).read_text()


def test_where_nothing_moved_the_database_itself_is_shown(results: Path, tmp_path: Path) -> None:
    database = database_of(results, None)
    assert database == results / "tracking.db"
    assert pointing_here(database, results, tmp_path) == database
    assert artefacts(database, results, tmp_path / "got") == "a figure"


def test_a_copied_study_shows_its_own_artefacts(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "laptop" / "small"
    shutil.copytree(results, copied)
    shutil.rmtree(tmp_path / "here")
    database = database_of(copied, default_tracking_uri(results))
    assert database == copied / "tracking.db"
    before = digest(database)
    shown = pointing_here(database, copied, tmp_path)
    assert shown.parent == tmp_path
    assert artefacts(shown, copied, tmp_path / "got") == "a figure"
    assert digest(database) == before


def test_a_copy_beside_the_original_shows_the_copys_artefacts(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "laptop" / "small"
    shutil.copytree(results, copied)
    for file in copied.rglob("figure.txt"):
        file.write_text("the copy's")
    (tmp_path / "made").mkdir()
    shown = pointing_here(copied / "tracking.db", copied, tmp_path / "made")
    assert artefacts(shown, copied, tmp_path / "got") == "the copy's"
    assert artefacts(results / "tracking.db", results, tmp_path / "still") == "a figure"


def test_a_servers_data_are_in_no_database_here(results: Path) -> None:
    assert database_of(results, "http://tracking.example:5000") is None


def test_the_page_is_that_of_the_studys_run(results: Path) -> None:
    run_id = (results / RUN_FILE).read_text()
    assert study_page(results, results / "tracking.db") == f"#/experiments/1/runs/{run_id}"
    (results / RUN_FILE).write_text("of another database")
    assert not study_page(results, results / "tracking.db")
    (results / RUN_FILE).unlink()
    assert not study_page(results, results / "tracking.db")


def test_what_is_added_to_a_copied_study_lies_with_the_copy(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "laptop" / "small"
    copied.parent.mkdir()
    shutil.move(results, copied)
    (tmp_path / "here").rename(tmp_path / "gone")
    run_id, page = (copied / RUN_FILE).read_text(), tmp_path / "verdict.html"
    page.write_text("the answer")
    uri = default_tracking_uri(copied)
    add_verdict(uri, run_id, [page], "a sentence")
    assert not (tmp_path / "here").exists()
    assert [file.is_relative_to(copied / "artifacts") for file in tmp_path.rglob("verdict/verdict.html")] == [True]
    shown = artifacts_of(uri_of(pointing_here(copied / "tracking.db", copied, tmp_path)), run_id)
    assert [file.path for file in shown.list_artifacts("verdict")] == ["verdict/verdict.html"]
    assert open_client(uri).get_run(run_id).data.tags[VERDICT_TAG] == "a sentence"


def test_nothing_is_added_to_a_study_whose_artefacts_were_left_behind(results: Path, tmp_path: Path) -> None:
    copied = tmp_path / "laptop" / "small"
    copied.mkdir(parents=True)
    for name in ("tracking.db", RUN_FILE):
        shutil.move(results / name, copied / name)
    (tmp_path / "here").rename(tmp_path / "gone")
    page = tmp_path / "verdict.html"
    page.write_text("the answer")
    with pytest.raises(ConfigError, match=r"Copy the folder artifacts as well"):
        add_verdict(default_tracking_uri(copied), (copied / RUN_FILE).read_text(), [page], "a sentence")
    assert not (tmp_path / "here").exists()
