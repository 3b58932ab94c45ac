"""`gan3d status`: the truth about a study from its results folder alone, while it runs and whatever ended it; nothing is changed."""

from __future__ import annotations

import io
import json
import math
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState
from results_folder import CONTENT, METRIC, TRADED, ResultsFolder
from rich.console import Console
from small_study import write_study
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.cli.results import JOURNAL, STUDY
from gan3d.cli.resuming import COMMAND, keep_command
from gan3d.cli.status import status_of
from gan3d.cli.status_lines import print_status
from gan3d.cli.studies import Request
from gan3d.cost.ledger import FILE as LEDGER
from gan3d.search.driver import LOCK, driving
from gan3d.search.optuna_trials import FROM_ATTRIBUTE

COUNTS = {"trials": 6, "complete": 0, "pruned": 0, "failed": 0, "stopped": 0, "running": 0, "interrupted": 0, "to_come": 6}


def call(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["status", *map(str, arguments)])


def told(*arguments: str | Path) -> dict[str, Any]:
    """The JSON document, which has no NaN."""

    def refuse(constant: str) -> None:
        pytest.fail(f"{constant} is no JSON")

    done = call(*arguments, "--json")
    assert done.exit_code == 0, done.output
    read: dict[str, Any] = json.loads(done.stdout, parse_constant=refuse)
    return read


def text_of(folder: ResultsFolder, width: int = 160) -> str:
    written = io.StringIO()
    study, status = status_of(folder.path)
    print_status(status, study, "gan3d resume told", "watch -n 10 gan3d status told", Console(file=written, width=width))
    return written.getvalue()


@pytest.fixture
def folder(tmp_path: Path) -> ResultsFolder:
    """Four trials: complete, pruned, failed, and one that has finished two of its four epochs."""
    made = ResultsFolder(tmp_path / "results" / "told")
    made.end(made.begin(0.5, 0.3, 0.2, 0.4), "complete")
    made.end(made.begin(0.9), "pruned", "stopped by the scheduler after epoch 1 of 4")
    made.end(made.begin(), "failed", "DivergedError: losses are not finite")
    made.begin(0.15, 0.25)
    made.save_ledger()
    return made


def test_a_study_that_runs(folder: ResultsFolder) -> None:
    with driving(folder.path):
        read = told(folder.path)
    assert (read["study"], read["question"], read["state"]) == ("told", "How does it stand?", "running")
    assert read["driver"]["pid"] == os.getpid()
    assert read["counts"] == COUNTS | {"complete": 1, "pruned": 1, "failed": 1, "running": 1, "to_come": 2}
    assert [(one["number"], one["state"], one["epochs"]) for one in read["trials"]] == [
        (0, "complete", 4),
        (1, "pruned", 1),
        (2, "failed", 0),
    ]
    (running,) = read["open"]
    assert (running["number"], running["state"], running["sample"]) == (3, "running", {"training.seed": 4})
    assert (running["epochs"], running["epochs_planned"], running["seconds"]) == (2, 4, 120.0)
    assert (running["newest"], running["objective"], running["showers_per_second"]) == (0.25, 0.15, 10.0)
    # A trial that may yet come to less is not the best where one is complete.
    assert (read["best"]["number"], read["best"]["objective"], read["best"]["floor"]) == (0, 0.2, 0.09)
    assert read["seconds"] == pytest.approx(7 * 60, abs=1)
    assert read["cost"]["reserved_core_hours"] == pytest.approx(7 * 120 / 3600)
    assert running["cost"]["core_hours"] == pytest.approx(2 * 120 / 3600)
    assert (read["go_on"], read["watch"]) == (None, f"watch -n 10 gan3d status {folder.path}")


def test_a_study_whose_driver_was_killed(folder: ResultsFolder) -> None:
    (folder.path / LOCK).write_text(json.dumps({"host": "", "pid": 1, "since": ""}))
    for name in (LOCK, LEDGER):
        os.utime(folder.path / name, (0, 0))
    read = told(folder.path)
    assert (read["state"], read["driver"], read["watch"]) == ("interrupted", None, None)
    assert read["counts"] == COUNTS | {"complete": 1, "pruned": 1, "failed": 1, "interrupted": 1, "to_come": 2}
    assert [(one["number"], one["state"], one["epochs"]) for one in read["open"]] == [(3, "interrupted", 2)]
    assert read["go_on"] == f"gan3d resume {folder.path}"


def test_a_driver_elsewhere_counts(folder: ResultsFolder) -> None:
    (folder.path / LOCK).write_text(json.dumps({"host": "elsewhere", "pid": 4711, "since": "2026-05-01 12:30:00"}))
    read = told(folder.path)
    assert (read["state"], read["driver"]["host"], read["counts"]["running"]) == ("running", "elsewhere", 1)


@pytest.mark.parametrize("said", ["complete", "failed"])
def test_a_study_whose_trials_have_ended(tmp_path: Path, said: str) -> None:
    folder = ResultsFolder(tmp_path, trials={"number": 2})
    for _ in range(2):
        folder.end(folder.begin(0.3), said)
    read = told(tmp_path)
    assert (read["state"], read["counts"]["to_come"], read["open"], read["go_on"]) == (said, 0, [], None)
    assert (read["best"] is None) == (said == "failed")
    assert (read["cost"], read["seconds"], read["trials"][0]["cost"]) == (None, None, None)  # there is no ledger
    with driving(tmp_path):
        assert told(tmp_path)["state"] == "running"
        assert "all trials have ended, it is about to end" in text_of(folder)


def test_a_study_that_its_budget_stopped(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path, budget={"core_hours": 0.05, "wall_hours": 10})
    folder.end(folder.begin(0.5), "complete")
    folder.end(folder.begin(0.4), "stopped", "after epoch 1 of 4: budget.core_hours = 0.05 is spent (0.06667 core-hours)")
    assert told(tmp_path)["state"] == "interrupted"  # nobody has said yet that anything is spent
    folder.save_ledger()
    read = told(tmp_path)
    assert (read["state"], read["open"]) == ("stopped", [])
    assert read["counts"] == COUNTS | {"complete": 1, "stopped": 1, "to_come": 4}
    assert [(one["state"], one["epochs"], one["seconds"]) for one in read["trials"]][1] == ("stopped", 1, 60.0)
    assert read["budget"] == {"core_hours": 0.05, "wall_hours": 10.0}
    assert read["budget_used"] == {"core_hours": pytest.approx(240 / 3600), "wall_hours": pytest.approx(120 / 3600, abs=1e-3)}
    assert read["budget_spent"].startswith("budget.core_hours = 0.05 is spent")
    assert read["go_on"] == f"gan3d resume {tmp_path}"
    text = text_of(folder)
    assert "state      stopped: the budget is spent" in text
    assert "budget     0.067 of 0.05 core-hours, 0.033 of 10 hours of wall time" in text
    assert "1 of 6 trials ended. Raise it to go on" in text
    folder.begin(0.3)  # it was raised, and its driver was killed
    assert told(tmp_path)["state"] == "interrupted"


def test_a_study_that_has_only_begun(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    for journal in (False, True):  # as long as there is none, and while only samples wait in it
        if journal:
            folder.open_journal()
        read = told(tmp_path)
        assert (read["state"], read["counts"], read["trials"], read["open"], read["best"]) == ("interrupted", COUNTS, [], [], None)
    assert "0 of 6 ended; 6 to come" in text_of(folder)
    with driving(tmp_path):
        assert told(tmp_path)["state"] == "running"


def test_a_study_whose_driver_still_starts_is_known_by_its_command(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path / "results" / "told")
    (folder.path / STUDY).rename(tmp_path / "told.yaml")
    asked = Request(tmp_path / "told.yaml", ("trials.number=3",), None, None, "http://tracking", verbose=False)
    keep_command(asked, folder.path)
    assert call(folder.path).exit_code == 2
    with driving(folder.path):
        read = told(folder.path)
    assert (read["state"], read["study"], read["counts"]["trials"], read["tracking_uri"]) == ("running", "told", 3, "http://tracking")


def test_of_interrupted_trials_those_that_a_new_driver_has_come_to_run(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path, trials={"concurrent": 2})
    for _ in range(3):
        folder.begin(0.5)
    with driving(tmp_path):
        read = told(tmp_path)
    assert [one["state"] for one in read["open"]] == ["running", "running", "interrupted"]
    assert (read["counts"]["running"], read["counts"]["interrupted"]) == (2, 1)


def test_workers_are_ahead_of_the_journal(folder: ResultsFolder) -> None:
    trial = optuna.Trial(folder.open_journal(), 3)
    folder.train(trial, 3, math.nan)
    with driving(folder.path):
        (running,) = told(folder.path)["open"]
    assert (running["epochs"], running["newest"], running["objective"]) == (3, None, 0.15)


def test_lines_that_are_being_written_do_not_count_yet(folder: ResultsFolder) -> None:
    with driving(folder.path):
        before = told(folder.path)
        for file in (folder.path / JOURNAL, folder.folder(3).records_file):
            whole = file.read_text().splitlines(keepends=True)[-1]
            with file.open("a") as end:
                end.write(whole[: len(whole) // 2])
        assert told(folder.path) == before | {"seconds": pytest.approx(before["seconds"], abs=1)}


def test_a_journal_that_is_broken_inside_is_said(folder: ResultsFolder) -> None:
    journal = folder.path / JOURNAL
    lines = journal.read_text().splitlines(keepends=True)
    journal.write_text("".join([*lines[:3], "half\n", *lines[3:]]))
    refused = call(folder.path)
    assert refused.exit_code == 2
    assert f"{JOURNAL}: is not a journal that can be read" in refused.stderr


def test_records_on_another_machine_s_disk_are_not_missed(folder: ResultsFolder) -> None:
    folder.folder(3).records_file.unlink()
    (one,) = told(folder.path)["open"]
    assert (one["epochs"], one["newest"], one["showers_per_second"]) == (2, 0.25, None)


def test_trials_that_other_studies_trained_are_not_its_own(tmp_path: Path) -> None:
    folder = ResultsFolder(tmp_path)
    known = optuna.trial.create_trial(state=TrialState.COMPLETE, value=0.01, user_attrs={FROM_ATTRIBUTE: "earlier, trial 0"})
    folder.open_journal().add_trial(known)
    folder.end(folder.begin(0.5), "complete")
    read = told(tmp_path)
    assert (read["known"], read["counts"]["complete"], read["best"]["objective"]) == (1, 1, 0.5)
    assert "1 trial of earlier studies" in text_of(folder)


def test_trade_offs_and_constraints_are_told(tmp_path: Path) -> None:
    limits = [{"metric": METRIC, "at_most": 0.4}]
    folder = ResultsFolder(tmp_path, objective={"metric": METRIC, "trade_offs": [{"metric": TRADED}], "constraints": limits})
    for value in (0.2, 0.3, 0.8):
        folder.end(folder.begin(value), "complete")
    folder.begin(0.1)
    read = told(tmp_path)
    assert (read["front"], read["best"]["number"], read["open"][0]["objective"], read["open"][0]["newest"]) == ([0, 1], 0, 0.1, 0.1)
    assert read["open"][0]["trade_offs"] == [0.9]
    assert read["trials"][2]["excess"] == pytest.approx(1.0)
    assert "front      0, 1  (none is beaten in all of shower_distance, generator_deposited_energy)" in text_of(folder)


def test_looking_changes_nothing(folder: ResultsFolder) -> None:
    def everything() -> dict[str, Any]:
        return {
            str(path): (path.stat().st_mtime_ns, path.read_bytes() if path.is_file() else sorted(path.iterdir()))
            for path in (folder.path, *folder.path.rglob("*"))
        }

    with driving(folder.path):
        before = everything()
        assert call(folder.path).exit_code == 0
        assert everything() == before
    (folder.path / JOURNAL).unlink()
    before = everything()
    assert told(folder.path)["counts"] == COUNTS
    assert everything() == before


@pytest.mark.parametrize("width", [60, 80, 160])
def test_a_person_sees_how_it_stands(folder: ResultsFolder, width: int) -> None:
    with driving(folder.path):
        text = text_of(folder, width)
    assert text.startswith("told  How does it stand?\n")
    assert f"state      running: process {os.getpid()} on " in text
    assert "trials     3 of 6 ended: 1 complete, 1 pruned, 1 failed; 1 running, 2 to come" in text
    assert "best       physics.shower_distance 0.2000 (Monte Carlo against Monte Carlo: 0.09000) in trial 0" in text
    assert "watch      watch -n 10 gan3d status told" in text
    assert "go on" not in text
    (row,) = (line.split() for line in text.splitlines() if "2/4" in line)
    assert row == ["3", "running", "2/4", "0.2500", *(["0.1500", "10.00"] if width >= 80 else []), "2:00"]
    assert "3: training.seed=4" in text.replace("3: seed=4", "3: training.seed=4")
    assert "…" not in text
    (line,) = (line for line in text_of(folder, width).splitlines() if line.startswith("go on"))
    assert line.split(maxsplit=2)[2] == "gan3d resume told"


def test_figures_are_named_or_how_to_draw_them(folder: ResultsFolder) -> None:
    assert f"search_progress.py told --results {folder.path}" in text_of(folder)
    (folder.path / "figures").mkdir()
    (folder.path / "figures" / "search_progress.png").touch()
    assert told(folder.path)["figures"] == [str(folder.path / "figures" / "search_progress.png")]
    assert "search_progress.py" not in text_of(folder)


def test_a_study_is_found_by_name_file_and_folder(folder: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_bytes((folder.path / STUDY).read_bytes())
    expected = told(folder.path)["counts"]
    for meant in (("told",), ("mine.yaml",), ("results/told",), ("anything", "--results", "results/told")):
        assert told(*meant)["counts"] == expected
    assert told("anything", "--results", "results/told")["go_on"] == "gan3d resume results/told"


def test_a_study_that_is_not_there_is_exit_code_2_and_says_which_are(
    folder: ResultsFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    ResultsFolder(tmp_path / "results" / "asked", **CONTENT | {"name": "asked"})
    (tmp_path / "results" / "letters").mkdir()
    refused = call("tolt", "--json")
    assert refused.exit_code == 2
    message = json.loads(refused.stdout)["error"]["message"]
    assert "no study was run in results/tolt. Studies in results: asked, told." in message
    assert message in refused.stderr
    assert "no study was run in results/studies/told.yaml. Studies in results: asked, told." in call("studies/told.yaml").stderr
    monkeypatch.chdir(tmp_path / "results" / "letters")
    assert "Studies in" not in call("told").stderr
    assert not list((tmp_path / "results" / "letters").iterdir())


def test_a_folder_of_trials_without_their_study_is_said(folder: ResultsFolder) -> None:
    (folder.path / STUDY).unlink()
    refused = call(folder.path)
    assert refused.exit_code == 2
    assert f"holds trials of a study but no {STUDY}" in refused.stderr


@pytest.mark.parametrize("form", [[], ["--json"]])
def test_nothing_slow_is_imported(folder: ResultsFolder, form: list[str]) -> None:
    heavy = ("torch", "ray", "mlflow", "pandas", "matplotlib", "h5py")
    code = (
        "import atexit, sys; from gan3d.cli.app import app; "
        f"atexit.register(lambda: print('HEAVY', [name for name in {heavy} if name in sys.modules])); "
        f"sys.argv = {['gan3d', 'status', str(folder.path), *form]}; app(prog_name='gan3d')"
    )
    with driving(folder.path):
        done = subprocess.run([sys.executable, "-c", code], check=False, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert "running" in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_real_study_while_it_runs_and_after_it(tmp_path: Path) -> None:
    def gan3d(*words: str) -> list[str]:
        return [sys.executable, "-m", "gan3d.cli", *words]

    study = write_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    results = tmp_path / "results" / "small"
    out = (tmp_path / "out.txt").open("w+")
    driver = subprocess.Popen(gan3d("run", str(study), "--json"), stdout=out, stderr=subprocess.STDOUT, text=True, cwd=tmp_path)
    seen: list[dict[str, Any]] = []
    refused = None
    deadline = time.monotonic() + 400
    while driver.poll() is None:
        assert time.monotonic() < deadline
        if (results / LOCK).exists():
            done = call(results, "--json")
            if driver.poll() is None and done.exit_code == 0:
                seen.append(json.loads(done.stdout))
        if refused is None and seen and seen[-1]["open"]:
            again = subprocess.run(gan3d("resume", str(results)), capture_output=True, text=True, check=False, timeout=120, cwd=tmp_path)
            refused = (again.returncode, again.stderr)
        time.sleep(1.0)
    out.seek(0)
    printed = out.read()
    out.close()
    assert driver.returncode == 0, printed

    assert refused is not None
    assert refused[0] == 2
    assert f"being run by process {driver.pid} on " in refused[1]
    alive = [one for one in seen if one["driver"] is not None]
    assert {one["state"] for one in alive} == {"running"}
    assert {one["driver"]["pid"] for one in alive if one["driver"]["pid"]} == {driver.pid}
    running = [one["open"][0] for one in alive if one["open"]]
    assert {one["number"] for one in running} == {0, 1}
    assert any(0 < one["epochs"] < 3 and one["newest"] is not None for one in running)
    assert [one["state"] for one in running] == ["running"] * len(running)
    ended = [sum(one["counts"][name] for name in ("complete", "pruned", "failed")) for one in seen]
    assert ended == sorted(ended)

    read = told(results)
    assert (read["state"], read["driver"], read["open"]) == ("complete", None, [])
    assert (read["counts"]["complete"], read["counts"]["to_come"]) == (2, 0)
    # What the study itself said at its end, but for times.
    said = json.loads(printed[printed.index("{\n") : printed.rindex("\n}") + 2])
    for key in ("study", "objective", "results", "tracking_uri", "budget", "cost", "go_on", "reached"):
        assert read[key] == said[key], key
    assert [one["objective"] for one in read["trials"]] == [one["objective"] for one in said["trials"]]
    assert {name: value for name, value in read["best"].items() if name != "seconds"} == {
        name: value for name, value in said["best"].items() if name != "seconds"
    }
    assert (results / COMMAND).is_file()
