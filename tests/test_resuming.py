"""`gan3d resume` needs no more than the study's name: how it was run lies in its results."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import optuna
import pytest
from small_study import load_small_study, write_study

from gan3d.cli.resuming import COMMAND, keep_command, request_again
from gan3d.cli.studies import Request
from gan3d.config.load import dump_study
from gan3d.errors import ConfigError
from gan3d.training.checkpoint import TrialFolder

SPACE = {"training.seed": {"choice": [1, 2, 3, 4]}}


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Request:
    """Of a study that was run in results/small, with two of its four trials."""
    monkeypatch.chdir(tmp_path)
    found = Request(Path("small.yaml"), ("training.epochs=2", "trials.number=2"), "10.0.0.1:6379", None, "sqlite:///here.db", verbose=False)
    loaded = load_small_study(tmp_path, SPACE, trials={"number": 2})
    results = Path("results/small")
    keep_command(found, results)
    (results / "study.yaml").write_text(dump_study(loaded.study))
    return found


@pytest.mark.parametrize("meant", ["small", "small.yaml", "results/small"])
def test_a_study_goes_on_as_it_was_run(asked: Request, meant: str) -> None:
    again = request_again(Path(meant))
    assert again == replace(asked, study=Path("small.yaml").absolute(), results=Path("results/small"))


def test_more_trials_are_added_to_those_it_was_to_have(asked: Request) -> None:
    again = request_again(Path("small"), add_trials=2, address="auto", verbose=True)
    assert again.overrides == ("training.epochs=2", "trials.number=4")
    assert (again.address, again.verbose) == ("auto", True)


def test_a_study_that_was_not_run_is_refused(asked: Request, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"no study was run in results/other"):
        request_again(Path("other"))
    with pytest.raises(ConfigError, match=r"no study was run in"):
        request_again(tmp_path)


@pytest.mark.parametrize("content", [None, "{", "[]", "{}", '{"study": 1}'])
def test_a_command_that_is_lost_or_broken_is_said(asked: Request, content: str | None) -> None:
    file = Path("results/small") / COMMAND
    file.unlink() if content is None else file.write_text(content)
    with pytest.raises(ConfigError, match=r"command\.json does not tell how this study was run .*gan3d run STUDY --resume"):
        request_again(Path("small"))


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_trials_are_added_to_a_study_that_has_ended(tmp_path: Path) -> None:
    def gan3d(*words: str) -> dict[str, object]:
        done = subprocess.run(
            [sys.executable, "-m", "gan3d.cli", *words, "--json"], capture_output=True, text=True, check=False, timeout=400, cwd=tmp_path
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return dict(json.loads(done.stdout))

    study = write_study(tmp_path, SPACE)
    gan3d("run", str(study), "--set", "training.epochs=1", "--set", "trials.number=2")
    results = tmp_path / "results" / "small"
    before = [TrialFolder(results / "trials" / f"{number:04d}").records() for number in range(2)]
    told = gan3d("resume", "small", "--add-trials", "1")
    trials = told["trials"]
    assert isinstance(trials, list)
    assert [(trial["number"], trial["state"], trial["epochs"]) for trial in trials] == [(number, "complete", 1) for number in range(3)]
    assert [TrialFolder(results / "trials" / f"{number:04d}").records() for number in range(2)] == before
    storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(results / "optuna_journal.log")))
    ended = [trial for trial in optuna.load_study(study_name="small", storage=storage).trials if trial.state.is_finished()]
    assert [trial.params["training.seed"] for trial in ended] == [1, 2, 3]
