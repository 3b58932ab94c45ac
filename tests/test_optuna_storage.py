"""Optuna's storage in a database: what is kept of its URL, whose a study in it is, and that a driver may be killed there as well."""

from __future__ import annotations

import hashlib
import json
import pickle
import shutil
import signal
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

import optuna
import pytest
from killed_study import Results, Session, assert_whole, kill_driver, wait_for
from results_folder import ResultsFolder
from small_study import load_small_study, write_study
from sqlalchemy import event
from sqlalchemy.engine import Engine
from test_journal import STUDIES, finish
from test_status import COUNTS, call, told
from typer.testing import CliRunner

from gan3d.cli.app import app
from gan3d.cli.resuming import kept_request
from gan3d.cli.status import status_of
from gan3d.cli.studies import Request
from gan3d.cli.summary import optuna_command
from gan3d.config.load import dump_study
from gan3d.errors import ConfigError
from gan3d.search.driver import driving
from gan3d.search.place import KEPT, as_written, expanded, kept_in, place_of, shell_text
from gan3d.search.samplers import open_optuna_study
from gan3d.search.storage import MARK_ATTRIBUTE, RESULTS_ATTRIBUTE, claim_storage, open_storage, read_trials

pytestmark = pytest.mark.filterwarnings("default::optuna.exceptions.ExperimentalWarning")

SERVER = "postgresql://me:$GAN3D_TEST_PASSWORD@host:5432/optuna"
SEEDS = {"training.seed": {"choice": [1, 2, 3, 4, 5, 6]}}


def url_in(folder: Path, name: str = "optuna.db") -> str:
    return f"sqlite:///{folder}/{name}"


def test_a_url_is_kept_as_it_was_written_but_means_the_same_from_any_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert as_written("sqlite:///here.db") == url_in(tmp_path, "here.db")
    for url in (SERVER, "mysql+pymysql://host/optuna", "sqlite:///$FOLDER/here.db", url_in(tmp_path)):
        assert as_written(url) == url


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("here.db", r"--optuna-storage is not the URL of a database\. Write sqlite:///FILE\.db"),
        ("sqlite://", "is a database in memory"),
        ("sqlite:///:memory:", "is a database in memory"),
        ("postgresql://me:secret@host/optuna", r"postgresql://me:\*\*\*@host/optuna holds a password.*its name|in single quotes"),
        ("postgresql://host/optuna?user=me&password=secret", "postgresql://host/optuna holds a password"),
    ],
)
def test_a_url_that_may_not_be_kept_is_refused_without_its_password(url: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message) as refused:
        as_written(url)
    assert "secret" not in str(refused.value)


def test_a_password_is_looked_up_when_the_database_is_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ConfigError, match="GAN3D_TEST_PASSWORD is not set"):
        expanded(SERVER)
    monkeypatch.setenv("GAN3D_TEST_PASSWORD", "s/e:c@r%41e{t}")
    assert expanded(SERVER).password == "s/e:c@r%41e{t}"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("postgresql+psycopg2://host/optuna", "needs psycopg2, which is not installed: pip install 'psycopg2-binary'"),
        ("mysql://host/optuna", "needs MySQLdb, which is not installed: pip install 'mysqlclient'"),
        ("nonesuch://host/optuna", "is of a kind that SQLAlchemy does not know"),
        ("sqlite:////nowhere/optuna.db", "cannot be used: unable to open database file. Start its server or make its folder"),
    ],
)
def test_a_database_that_cannot_be_opened_is_told_with_a_way_out(url: str, message: str) -> None:
    with pytest.raises(ConfigError) as refused:
        open_storage(url)
    assert str(refused.value).startswith(f"--optuna-storage {url}: {message}")


def test_a_file_that_is_no_database_is_told(tmp_path: Path) -> None:
    (tmp_path / "optuna.db").write_text("no database, but long enough to be looked at" * 100)
    for look in (open_storage, lambda url: read_trials(url, "small")):
        with pytest.raises(ConfigError, match="cannot be used: file is not a database"):
            look(url_in(tmp_path))


def test_a_pickle_holds_no_password(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Tune pickles the searcher, with Optuna's study in it, into the results."""
    monkeypatch.setenv("GAN3D_TEST_FOLDER", str(tmp_path))
    opened = optuna.create_study(storage=open_storage("sqlite:///$GAN3D_TEST_FOLDER/a{b}.db"), study_name="a")
    kept = pickle.dumps(opened)
    assert str(tmp_path).encode() not in kept
    pickle.loads(kept).add_trial(optuna.trial.create_trial(value=1.0))
    assert len(opened.trials) == 1
    assert (tmp_path / "a{b}.db").exists()


@pytest.mark.parametrize("name", ["conditional", "stopped"])
def test_a_study_killed_in_any_transaction_ends_the_same(tmp_path: Path, name: str) -> None:
    """Before each commit the files are as a killed driver leaves them, a begun transaction's journal beside the database."""
    space, changes = STUDIES[name]
    loaded = load_small_study(tmp_path, space, **changes)
    database, moments = tmp_path / "optuna.db", {}

    def keep_moment(_connection: object) -> None:
        files = {path.name: path.read_bytes() for path in tmp_path.glob("optuna.db*")}
        moments[hashlib.sha256(repr(sorted(files.items())).encode()).digest()] = files

    open_optuna_study(loaded.study, url_in(tmp_path))
    event.listen(Engine, "commit", keep_moment)
    try:
        expected = finish(loaded, tmp_path, url_in(tmp_path))
    finally:
        event.remove(Engine, "commit", keep_moment)
    assert len(expected) == 3
    assert database.exists()
    assert len(moments) > 30
    assert any("optuna.db-journal" in files for files in moments.values())
    for number, files in list(enumerate(moments.values()))[::2]:
        folder = tmp_path / str(number)
        folder.mkdir()
        for file, content in files.items():
            (folder / file).write_bytes(content)
        assert finish(loaded, folder, url_in(folder)) == expected, f"killed in transaction {number} of {len(moments)}"


KILLED = """
import os, signal, sys
from pathlib import Path
from sqlalchemy import event
from sqlalchemy.engine import Engine
from gan3d.config.load import load_study
sys.path.insert(0, sys.argv[4])
from test_journal import finish
left = int(sys.argv[3])
def count(_connection):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGKILL)
event.listen(Engine, "commit", count)
finish(load_study(Path(sys.argv[1])), Path(sys.argv[1]).parent, sys.argv[2])
"""


@pytest.mark.parametrize("commits", [30, 50])
def test_what_a_killed_process_leaves_is_read_and_gone_on_with(tmp_path: Path, commits: int) -> None:
    space, changes = STUDIES["random"]
    loaded = load_small_study(tmp_path, space, **changes)
    (tmp_path / "whole").mkdir()
    expected = finish(loaded, tmp_path, url_in(tmp_path / "whole"))
    words = [str(tmp_path / "small.yaml"), url_in(tmp_path), str(commits), str(Path(__file__).parent)]
    done = subprocess.run([sys.executable, "-c", KILLED, *words], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == -signal.SIGKILL, done.stderr
    left = read_trials(url_in(tmp_path), "small")
    assert 0 < len(left) <= len(expected)
    assert finish(loaded, tmp_path, url_in(tmp_path)) == expected


def begun(path: Path, url: str | None, **changes: Any) -> ResultsFolder:
    """A results folder whose driver said where Optuna's storage is; one trial has ended, one has begun."""
    folder = ResultsFolder(path, **changes)
    claim_storage(folder.study, path, url)
    folder.end(folder.begin(0.5, 0.3), "complete")
    folder.begin(0.4)
    folder.save_ledger()
    return folder


def test_status_says_of_a_database_what_it_says_of_a_journal(tmp_path: Path) -> None:
    in_journal, in_database = (begun(tmp_path / name / "told", url) for name, url in (("a", None), ("b", url_in(tmp_path))))
    assert not (in_database.path / "optuna_journal.log").exists()
    found = [told(folder.path) for folder in (in_journal, in_database)]
    assert found[1]["optuna_storage"] == url_in(tmp_path)
    alike = [{key: value for key, value in one.items() if key in {"counts", "open", "best", "front", "state"}} for one in found]
    for one in alike:
        assert one["best"].pop("seconds") > 0  # of real time
    assert alike[0] == alike[1]
    assert alike[1]["counts"] == COUNTS | {"complete": 1, "interrupted": 1, "to_come": 4}


def test_looking_at_a_database_changes_nothing_and_waits_for_no_writer(tmp_path: Path) -> None:
    folder = begun(tmp_path / "told", url_in(tmp_path))

    def everything() -> dict[str, Any]:
        return {str(path): (path.stat().st_mtime_ns, path.read_bytes()) for path in tmp_path.rglob("*") if path.is_file()}

    with driving(folder.path), closing(sqlite3.connect(tmp_path / "optuna.db", isolation_level=None)) as writer:
        before = everything()
        writer.execute("begin immediate")
        assert told(folder.path)["counts"]["running"] == 1
        writer.execute("rollback")
        assert everything() == before


@pytest.mark.parametrize("there", ["nothing", "an empty file", "other tables"])
def test_a_database_in_which_nothing_is_yet_is_not_made(tmp_path: Path, there: str) -> None:
    folder = begun(tmp_path / "told", url_in(tmp_path))
    database = tmp_path / "optuna.db"
    database.unlink()
    if there == "an empty file":
        database.touch()
    elif there == "other tables":
        with closing(sqlite3.connect(database)) as connection:
            connection.execute("create table others (number integer)")
    before = database.read_bytes() if database.exists() else None
    assert told(folder.path)["counts"] == COUNTS
    assert (database.read_bytes() if database.exists() else None) == before


def test_a_study_of_the_same_name_begun_elsewhere_is_not_gone_on_with(tmp_path: Path) -> None:
    first = begun(tmp_path / "first", url_in(tmp_path))
    other = ResultsFolder(tmp_path / "other")
    with pytest.raises(ConfigError) as refused:
        claim_storage(other.study, other.path, url_in(tmp_path))
    for said in (str(first.path), "--set name=NAME", f"gan3d resume {first.path}", "optuna delete-study"):
        assert said in str(refused.value)
    assert not (other.path / KEPT).exists()
    third = ResultsFolder(tmp_path / "third", name="third")
    claim_storage(third.study, third.path, url_in(tmp_path))
    assert [len(read_trials(url_in(tmp_path), name)) for name in ("told", "third")] == [6, 0]
    assert claim_storage(first.study, first.path, None) == url_in(tmp_path)


def test_a_study_that_gan3d_did_not_begin_is_not_gone_on_with(tmp_path: Path) -> None:
    optuna.create_study(storage=url_in(tmp_path), study_name="told")
    folder = ResultsFolder(tmp_path / "told")
    with pytest.raises(ConfigError, match="a study that gan3d did not begin"):
        claim_storage(folder.study, folder.path, url_in(tmp_path))


def test_a_driver_killed_before_it_could_say_whose_the_study_is_goes_on_with_it(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "told")
    claim_storage(folder.study, folder.path, url_in(tmp_path))
    with closing(sqlite3.connect(tmp_path / "optuna.db")) as connection, connection:
        connection.execute("delete from study_user_attributes")
    assert claim_storage(folder.study, folder.path, None) == url_in(tmp_path)
    attributes = optuna.load_study(storage=url_in(tmp_path), study_name="told").user_attrs
    kept = kept_in(folder.path)
    assert kept is not None
    assert attributes == {MARK_ATTRIBUTE: kept.mark, RESULTS_ATTRIBUTE: str(folder.path)}
    optuna.delete_study(storage=url_in(tmp_path), study_name="told")
    assert claim_storage(folder.study, folder.path, None) == url_in(tmp_path)


def test_results_and_databases_may_be_moved_but_not_lost(tmp_path: Path) -> None:
    folder = begun(tmp_path / "told", url_in(tmp_path))
    folder.path.rename(tmp_path / "moved")
    (tmp_path / "optuna.db").rename(tmp_path / "elsewhere.db")
    with pytest.raises(ConfigError, match=r"no study told in .*optuna\.db, but trials of it are in .*moved"):
        claim_storage(folder.study, tmp_path / "moved", None)
    assert claim_storage(folder.study, tmp_path / "moved", url_in(tmp_path, "elsewhere.db")) == url_in(tmp_path, "elsewhere.db")
    assert place_of(tmp_path / "moved") == url_in(tmp_path, "elsewhere.db")
    owner = optuna.load_study(storage=url_in(tmp_path, "elsewhere.db"), study_name="told").user_attrs[RESULTS_ATTRIBUTE]
    assert owner == str(tmp_path / "moved")
    with pytest.raises(ConfigError, match=r"Its storage was .*elsewhere\.db: name that one, or start anew with --fresh"):
        claim_storage(folder.study, tmp_path / "moved", url_in(tmp_path, "third.db"))


def test_a_copy_of_the_results_does_not_go_on_with_the_same_trials(tmp_path: Path) -> None:
    folder = begun(tmp_path / "told", url_in(tmp_path))
    shutil.copytree(folder.path, tmp_path / "copy")
    with pytest.raises(ConfigError, match=r"copy is a copy of .*told, whose trials are not in it but in sqlite:.*gan3d resume .*told"):
        claim_storage(folder.study, tmp_path / "copy", None)
    assert claim_storage(folder.study, folder.path, None) == url_in(tmp_path)


def test_trials_do_not_move_from_a_journal_to_a_database(tmp_path: Path) -> None:
    folder = begun(tmp_path / "told", None)
    with pytest.raises(ConfigError, match=r"whose trials are in optuna_journal\.log\. Leave --optuna-storage out"):
        claim_storage(folder.study, folder.path, url_in(tmp_path))


@pytest.mark.parametrize("content", ["{", "[]", '{"url": "sqlite:///a"}'])
def test_a_broken_note_of_where_it_is_is_told(tmp_path: Path, content: str) -> None:
    folder = begun(tmp_path / "told", url_in(tmp_path))
    (folder.path / KEPT).write_text(content)
    refused = call(folder.path)
    assert refused.exit_code == 2
    assert f"{KEPT}: does not tell where Optuna's storage is" in refused.stderr


def test_what_to_type_names_the_dashboard_where_it_is_installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    programs = tmp_path / "bin"
    programs.mkdir()
    monkeypatch.setattr(sys, "executable", str(programs / "python"))
    folders = [begun(tmp_path / name / "told", url) for name, url in (("a", None), ("b", url_in(tmp_path)))]
    found = [status_of(folder.path)[1] for folder in folders]
    journal = folders[0].path / "optuna_journal.log"
    listing = f"{programs}/optuna --storage"
    assert optuna_command(found[0]) == f"{listing} {journal} --storage-class JournalFileBackend trials --study-name told"
    assert optuna_command(found[1]) == f"{listing} {url_in(tmp_path)} trials --study-name told"
    (programs / "optuna-dashboard").touch()
    assert optuna_command(found[0]) == f"{programs}/optuna-dashboard {journal} --host 127.0.0.1 --port 8080"
    assert optuna_command(found[1]) == f"{programs}/optuna-dashboard {url_in(tmp_path)} --host 127.0.0.1 --port 8080"
    assert shell_text(["optuna-dashboard", SERVER, "a b"]) == f"optuna-dashboard \"{SERVER}\" 'a b'"


def test_the_command_line_keeps_the_url_and_starts_nothing_anew_where_the_name_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = Request(Path("small.yaml"), (), None, None, None, verbose=False, optuna_storage=SERVER)
    assert asked.command_to_go_on == f"gan3d run small.yaml --optuna-storage '{SERVER}' --resume"
    monkeypatch.chdir(tmp_path)
    loaded = load_small_study(tmp_path, SEEDS, workers={"per_trial": 1})
    results = tmp_path / "results" / "small"
    results.mkdir(parents=True)
    (results / "study.yaml").write_text(dump_study(loaded.study), encoding="utf-8")
    claim_storage(loaded.study, results, url_in(tmp_path))
    words = ["run", "small.yaml", "--optuna-storage", "sqlite:///optuna.db"]
    refused = CliRunner().invoke(app, [*words, "--fresh"])
    assert refused.exit_code == 2
    assert f"holds a study small already, the study of {results}" in refused.stderr
    assert results.exists()
    secret = CliRunner().invoke(app, [*words[:3], "mysql://me:secret@host/a", "--resume"])
    assert secret.exit_code == 2
    assert "secret" not in secret.stderr
    assert not (results / "command.json").exists()


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
@pytest.mark.timeout(1200)
def test_a_killed_study_goes_on_in_its_database(tmp_path: Path) -> None:
    """As its user does: a relative URL, a driver that is killed, `gan3d resume` by the study's name."""
    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, workers={"per_trial": 1})
    results = Results(tmp_path / "results" / "small", "small")
    sessions = [Session(tmp_path, "run", str(study), "--optuna-storage", "sqlite:///optuna.db")]
    try:
        wait_for(lambda: results.num_finished() > 0, sessions[0], "an epoch's end")
        kill_driver(sessions[0])
        sessions[0].ended()
        assert told(results.folder)["counts"]["interrupted"] == 1
        assert sessions[0].left_behind() == []
        sessions.append(Session(tmp_path, "resume", "small"))
        assert sessions[1].ended() == 0, sessions[1].output
    finally:
        for session in sessions:
            session.clear()
    assert kept_request(results.folder).optuna_storage == url_in(tmp_path) == place_of(results.folder)
    assert not (results.folder / "optuna_journal.log").exists()
    assert_whole(results, 2, 3)
    assert json.loads((results.folder / KEPT).read_text())["url"] == url_in(tmp_path)
