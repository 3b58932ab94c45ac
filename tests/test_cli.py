"""The command line as its user meets it: output, errors, exit codes. `gan3d run` of a whole study is tested in test_run.py."""

from __future__ import annotations

import io
import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

import gan3d
from gan3d.cli.app import app
from gan3d.cli.failures import reported
from gan3d.cli.results import holds_study, prepare_results
from gan3d.cli.studies import Request
from gan3d.cli.summary import print_summary, summary
from gan3d.config.load import dump_study, load_study
from gan3d.config.study import Study
from gan3d.data.dataset import ShowerSet
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter_file import built_in
from gan3d.records import METRICS, TrialRecord
from gan3d.search.run import StudyResult

ROOT = Path(__file__).parent.parent
STUDIES = ROOT / "studies"
QUICKSTART = str(STUDIES / "quickstart.yaml")


@pytest.fixture(autouse=True)
def _without_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("GAN3D_DATA", raising=False)


def call(*arguments: str) -> Result:
    return CliRunner().invoke(app, [str(one) for one in arguments])


def as_program(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "gan3d.cli", *arguments]
    return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, timeout=120)


def test_the_version_is_the_packages() -> None:
    assert call("--version").stdout == f"gan3d {gan3d.__version__}\n"


#: What takes seconds to import, or comes with such.
HEAVY = ("torch", "ray", "mlflow", "optuna", "pandas", "h5py", "numpy")
COMPLETION = {"_GAN3D_COMPLETE": "complete_bash", "_TYPER_COMPLETE_ARGS": "gan3d pl", "COMP_WORDS": "gan3d pl", "COMP_CWORD": "1"}


@pytest.mark.parametrize(
    ("arguments", "environment"),
    [(["--help"], {}), (["run", "--help"], {}), (["--version"], {}), ([], COMPLETION)],
    ids=["help", "run_help", "version", "completion"],
)
def test_help_and_completion_load_nothing_heavy(tmp_path: Path, arguments: list[str], environment: dict[str, str]) -> None:
    code = (
        "import atexit, sys; from gan3d.cli.app import app; "
        f"atexit.register(lambda: print('HEAVY', [name for name in {HEAVY} if name in sys.modules])); "
        f"sys.argv = {['gan3d', *arguments]}; app(prog_name='gan3d')"
    )
    command = [sys.executable, "-c", code]
    done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, env=os.environ | environment)
    assert done.returncode == 0, done.stderr
    assert ("plan" if environment else "gan3d") in done.stdout
    assert done.stdout.splitlines()[-1] == "HEAVY []"


def test_help_has_examples() -> None:
    for command in ("plan", "run", "resume", "status", "schema", "simulate", "predict"):
        shown = call(command, "--help")
        assert shown.exit_code == 0
        assert f"Example: gan3d {command}" in " ".join(shown.stdout.split())


def test_plan_of_the_seed_baseline_says_that_the_showers_are_not_here() -> None:
    shown = call("plan", str(STUDIES / "seed_baseline.yaml"))
    assert shown.exit_code == 0
    assert "872,702 + 73,500" in shown.stdout
    assert "the files are not here" in " ".join(shown.stdout.split())
    assert "an estimate" in shown.stdout


def test_plan_as_json_is_one_document() -> None:
    planned = json.loads(call("plan", QUICKSTART, "--json", "--set", "trials.number=3").stdout)
    assert (planned["study"], planned["num_trials"]) == ("quickstart", 3)


def test_overrides_are_named_where_they_are_wrong() -> None:
    refused = call("plan", QUICKSTART, "--set", "training.epoch=3")
    assert refused.exit_code == 2
    assert refused.stdout == ""
    assert "Error: --set training.epoch=3: unknown key" in refused.stderr


def test_a_mistake_is_a_message_on_stderr_and_no_traceback(tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.yaml"
    wrong.write_text((STUDIES / "seed_baseline.yaml").read_text(encoding="utf-8").replace("epochs: 25", "epochs: 0"), encoding="utf-8")
    refused = as_program("plan", str(wrong), "--json", folder=tmp_path)
    line = next(number for number, text in enumerate(wrong.read_text(encoding="utf-8").splitlines(), 1) if "epochs: 0" in text)
    assert refused.returncode == 2
    assert f"wrong.yaml:{line}: training.epochs = 0" in refused.stderr
    assert "Traceback" not in refused.stderr
    error = json.loads(refused.stdout)["error"]
    assert (error["kind"], error["key"]) == ("ConfigError", "training.epochs")


def test_run_refuses_before_it_starts_what_has_no_room(tmp_path: Path) -> None:
    refused = as_program("run", QUICKSTART, "--set", "workers.cpus_per_worker=4000", folder=tmp_path)
    assert refused.returncode == 2
    assert "8000 CPUs" in refused.stderr
    assert not list(tmp_path.iterdir())


def test_run_refuses_before_it_starts_what_has_no_showers(tmp_path: Path) -> None:
    small = ("--set", "workers.per_trial=1", "--set", "workers.cpus_per_worker=1", "--results", str(tmp_path / "results"))
    refused = call("run", str(STUDIES / "seed_baseline.yaml"), *small)
    assert refused.exit_code == 2
    assert "export GAN3D_DATA=" in refused.stderr
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    "arguments", [("run",), ("plan", QUICKSTART, "--sett", "x=1"), ("schema", "--metrics", "--search-space"), ("simulate",)]
)
def test_a_command_line_that_is_none_is_exit_code_2(arguments: tuple[str, ...]) -> None:
    assert call(*arguments).exit_code == 2


def test_the_schemas_are_json_schemas() -> None:
    assert "training" in json.loads(call("schema").stdout)["properties"]
    space = json.loads(call("schema", "--search-space").stdout)
    jsonschema = pytest.importorskip("jsonschema")  # comes with ray
    jsonschema.Draft202012Validator.check_schema(space)
    jsonschema.validate({"training.global_batch": {"choice": [8, 16]}}, space)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate({"training.globalbatch": {"choice": [8, 16]}}, space)


def test_every_metric_is_listed_with_its_meaning() -> None:
    table = call("schema", "--metrics").stdout
    assert all(name in table for name in METRICS)
    rows = json.loads(call("schema", "--metrics", "--json").stdout)
    assert {row["name"]: row["better"] for row in rows} == {name: metric.better for name, metric in METRICS.items()}


@pytest.mark.parametrize("calorimeter", built_in())
def test_simulate_writes_showers_of_each_calorimeter(tmp_path: Path, calorimeter: str) -> None:
    file = tmp_path / "showers.h5"
    arguments = ["--calorimeter", calorimeter, "--showers", "5", "--energy", "20", "40", "--seed", "3"]
    has_angle = calorimeter != "calochallenge_2"
    arguments += ["--angle", "60", "120"] if has_angle else []
    done = call("simulate", str(file), *arguments)
    assert done.exit_code == 0
    assert "5 showers" in done.stdout
    showers = ShowerSet.open([str(file)])
    angles = showers.polar_angles()
    assert len(showers) == 5
    assert ((showers.incident_energies() >= 20) & (showers.incident_energies() <= 40)).all()
    assert (angles is not None) == has_angle
    assert angles is None or ((angles > 1.04) & (angles < 2.1)).all()  # 60 to 120 degrees


def test_simulate_replaces_a_file_only_when_forced(tmp_path: Path) -> None:
    file = tmp_path / "showers.h5"
    file.write_bytes(b"precious")
    refused = call("simulate", str(file), "--showers", "1")
    assert refused.exit_code == 2
    assert "--force" in refused.stderr
    assert file.read_bytes() == b"precious"
    assert call("simulate", str(file), "--showers", "1", "--force").exit_code == 0
    assert len(ShowerSet.open([str(file)])) == 1


def test_simulate_says_what_cannot_be_simulated(tmp_path: Path) -> None:
    refused = call("simulate", str(tmp_path / "showers.h5"), "--showers", "1", "--energy", "100", "10")
    assert refused.exit_code == 2
    assert "incident_energy_gev = 100 to 10" in refused.stderr


@pytest.fixture
def study() -> Study:
    return load_study(QUICKSTART).study


@pytest.fixture
def older(tmp_path: Path, study: Study) -> Path:
    """A folder in which the study ran already."""
    folder = tmp_path / "quickstart"
    folder.mkdir()
    (folder / "study.yaml").write_text(dump_study(study), encoding="utf-8")
    return folder


def test_results_of_a_study_are_not_run_over(older: Path, study: Study) -> None:
    with pytest.raises(ConfigError, match=r"--resume.*--fresh"):
        prepare_results(older, study, resume=None)
    refused = call("run", QUICKSTART, "--set", "workers.per_trial=1", "--results", str(older))
    assert refused.exit_code == 2
    assert "--fresh" in refused.stderr


def test_fresh_moves_the_older_results_aside_and_deletes_nothing(older: Path, study: Study) -> None:
    for number in (1, 2):
        (older / "mark").write_text(str(number), encoding="utf-8")
        prepare_results(older, study, resume=False)
        assert not older.exists()
        assert (older.with_name(f"quickstart.{number}") / "mark").read_text(encoding="utf-8") == str(number)
        older.mkdir()
        (older / "optuna_journal.log").touch()


def test_a_folder_without_a_study_is_never_moved(tmp_path: Path, study: Study) -> None:
    (tmp_path / "letter.txt").touch()
    assert not holds_study(tmp_path)
    assert prepare_results(tmp_path, study, resume=False) == ""
    assert (tmp_path / "letter.txt").exists()


def test_results_at_a_url_are_refused(study: Study) -> None:
    """A folder of that name on one node would be no shared storage."""
    with pytest.raises(ConfigError, match=r"s3:/bucket/results is a URL, not a folder\. Mount"):
        prepare_results(Path("s3://bucket/results"), study, resume=None)


def test_trials_left_over_are_never_adopted(tmp_path: Path, study: Study) -> None:
    """A new study's trial 0 would go on from the state it finds in trials/0000."""
    folder = tmp_path / "quickstart"
    left_over = folder / "trials" / "0000"
    left_over.mkdir(parents=True)
    assert holds_study(folder)
    for written in ("", "study.yaml"):
        if written:
            (folder / written).write_text(dump_study(study), encoding="utf-8")
        with pytest.raises(ConfigError, match=r"--resume.*--fresh"):
            prepare_results(folder, study, resume=None)
        with pytest.raises(ConfigError, match=r"no optuna_journal\.log.*--fresh" if written else r"no study\.yaml.*--fresh"):
            prepare_results(folder, study, resume=True)
    (folder / "optuna_journal.log").touch()
    assert "Going on" in prepare_results(folder, study, resume=True)
    prepare_results(folder, study, resume=False)
    assert not folder.exists()


def test_a_study_goes_on_with_more_trials_but_not_with_another_question(older: Path, study: Study) -> None:
    more = study.model_copy(update={"trials": study.trials.model_copy(update={"number": 20}), "figures": ()})
    assert "Going on" in prepare_results(older, more, resume=True)
    with_target = load_study(QUICKSTART, ["objective.target=0.15"]).study
    assert "Going on" in prepare_results(older, with_target, resume=True)
    for override in ("training.epochs=9", "search_space.training.global_batch={choice: [16, 64]}", "workers.per_trial=1"):
        other = load_study(QUICKSTART, [override]).study
        with pytest.raises(ConfigError, match="differs in " + override.split("=")[0].replace("search_space.", r"search_space\.")):
            prepare_results(older, other, resume=True)


def test_going_on_with_nothing_starts(tmp_path: Path, study: Study) -> None:
    assert "starting" in prepare_results(tmp_path / "new", study, resume=True)


def test_the_command_to_go_on_is_the_command_with_resume() -> None:
    asked = Request(Path("studies/a b.yaml"), ("training.epochs=2", "figures=[]"), None, Path("out"), None, verbose=False)
    assert asked.command_to_go_on == "gan3d run 'studies/a b.yaml' --set training.epochs=2 --set 'figures=[]' --results out --resume"


def test_ctrl_c_is_exit_code_130_and_says_how_to_go_on(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(BaseException) as stopped, reported(as_json=True, go_on="gan3d run x --resume"):  # noqa: PT011 - typer.Exit
        raise KeyboardInterrupt
    said = capsys.readouterr()
    assert stopped.value.exit_code == 130  # type: ignore[attr-defined]
    assert "gan3d run x --resume" in said.err
    assert json.loads(said.out)["error"]["go_on"] == "gan3d run x --resume"


@pytest.fixture
def result(tmp_path: Path, study: Study) -> StudyResult:
    """A study of three trials, with the best one's files where a study leaves them."""
    sample = {key: one.ends[0] for key, one in study.search_space.ranges.items()}
    trials = (
        TrialRecord(0, sample, "complete", "", 4, 0.3112, 61.0),
        TrialRecord(1, sample, "pruned", "stopped by the scheduler after epoch 1 of 4", 1, 0.52, 17.0),
        TrialRecord(2, sample, "failed", "DivergedError: losses are not finite", 0, None, 3.0),
    )
    folder = tmp_path / "trials" / "0000"
    folder.mkdir(parents=True)
    (folder / "best.pt").touch()
    row = {"epoch": 4, "metrics": {"physics.shower_distance": 0.3112, "physics.shower_distance_floor": 0.093}}
    (folder / "records.jsonl").write_text(json.dumps(row) + "\n", encoding="utf-8")
    figure = tmp_path / "figures" / "search_progress.png"
    return StudyResult("quickstart", "complete", trials, trials[0], tmp_path, f"sqlite:///{tmp_path}/tracking.db", (figure,), 81.0)


def printed(result: StudyResult, study: Study, width: int) -> str:
    written = io.StringIO()
    print_summary(result, study, "gan3d run x --resume", Console(file=written, width=width))
    return written.getvalue()


@pytest.mark.parametrize("width", [60, 80, 120, 200])
def test_the_summary_names_trials_best_and_what_to_type_next(result: StudyResult, study: Study, width: int) -> None:
    text = printed(result, study, width)
    assert "0.3112 (Monte Carlo against Monte Carlo: 0.09300) in trial 0" in text
    assert str(result.results / "trials" / "0000" / "best.pt") in text
    assert str(result.figures[0]) in text
    assert f"mlflow ui --backend-store-uri {result.tracking_uri} --host 127.0.0.1 --port 5000" in text
    assert str(result.results / "optuna_journal.log") in text
    for state in ("complete", "pruned", "failed"):
        assert state in text
    assert "…" not in text
    assert "--resume" not in text


def test_the_summary_tells_who_reached_the_target(result: StudyResult, study: Study) -> None:
    at_target = study.model_copy(update={"objective": study.objective.model_copy(update={"target": 0.4})})
    timing = {"timing.num_showers": 600.0, "timing.showers_per_second": 10.0, "timing.num_steps": 45.0}
    rest = {"physics.shower_distance_floor": 0.093} | timing
    rows = [{"epoch": epoch, "metrics": {"physics.shower_distance": value} | rest} for epoch, value in ((1, 0.5), (2, 0.3112), (3, 0.6))]
    records = result.results / "trials" / "0000" / "records.jsonl"
    records.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    text = printed(result, at_target, 200)
    assert "0.4 reached by 1 of 3 trials, soonest in trial 0 after 2 epochs: 90 updates, 2:00 of training" in text
    read = summary(result, at_target, "")
    assert read["objective"]["target"] == 0.4
    assert read["reached"] == [{"number": 0, "epoch": 2, "seconds": 120.0, "updates": 90}]
    never = study.model_copy(update={"objective": study.objective.model_copy(update={"target": 0.1})})
    assert "0.1 reached by 0 of 3 trials" in printed(result, never, 200)
    assert "reached" not in printed(result, study, 200)


def test_an_interrupted_study_says_how_to_go_on(result: StudyResult, study: Study) -> None:
    text = printed(replace(result, state="interrupted"), study, 100)
    assert "gan3d run x --resume" in text


def test_the_summary_as_json_holds_every_trial(result: StudyResult, study: Study) -> None:
    read = json.loads(json.dumps(summary(result, study, ""), allow_nan=False))
    assert [trial["number"] for trial in read["trials"]] == [0, 1, 2]
    assert read["best"]["floor"] == 0.093
    assert read["best"]["checkpoint"].endswith("best.pt")
    nothing = summary(replace(result, state="failed", best=None, trials=()), study, "")
    assert nothing["best"] is None
