"""Registered generators: real MLflow stores, a signature that it enforces, and the way back to showers."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from small_study import write_study
from trained_states import settings, write
from typer.testing import CliRunner, Result

from gan3d.cli.app import app
from gan3d.data.shower_file import open_shower_file
from gan3d.errors import ConfigError
from gan3d.generation.card import Card, Verdict
from gan3d.generation.formats.catalog import FORMATS
from gan3d.generation.formats.made import Calibration
from gan3d.generation.generator import Generator, card_of
from gan3d.generation.registry import PASSES, fetched, register, requirements_of
from gan3d.generation.trained import load_trained, trial_folder
from gan3d.models.shower_graph import ShowerGraph
from gan3d.tracking import frames
from gan3d.tracking.client import load_mlflow, open_client
from gan3d.tracking.store import default_tracking_uri
from gan3d.tracking.viewing import pointing_here, uri_of

pytestmark = pytest.mark.filterwarnings("ignore")  # MLflow's own advice

PASSED = Verdict(against="monte_carlo", num_showers=500, num_numbers=178, num_flagged=0, worst="mean/response", worst_deviations=2.0)
FALLEN = PASSED.model_copy(update={"num_flagged": 3})


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A study's folder: a trial, its run, and its generator as a program of torch (the quickest to write)."""
    folder = tmp_path_factory.mktemp("registry") / "small"
    trial = trial_folder(folder, 1)
    trial.path.mkdir(parents=True)
    write(trial.best, settings(polar_angle=True))
    client = open_client(default_tracking_uri(folder), create=True)
    run = client.create_run(client.create_experiment("gan3d/small", f"file://{folder / 'artifacts' / 'small'}"))
    (folder / "run").write_text(run.info.run_id)
    return folder


def written(results: Path, name: str, *verdicts: Verdict) -> tuple[Path, Card]:
    trained = load_trained(trial_folder(results, 1))
    card = card_of(trained, trial_folder(results, 1).best).model_copy(update={"format": "torch-export", "verdicts": verdicts})
    nothing = Calibration(np.zeros((0, 8), np.float32), np.zeros(0, np.float32), None)
    path = results / f"{name}.pt2"
    FORMATS["torch-export"].export(ShowerGraph(trained.generator, trained.transform), card, nothing)(path, card)
    return path, card


def test_versions_carry_the_verdict_and_the_newest_that_passed_has_a_name(results: Path) -> None:
    uri, run_id = default_tracking_uri(results), (results / "run").read_text()
    found = [register(*written(results, name, verdict), "electrons", uri, run_id) for name, verdict in (("a", PASSED), ("b", FALLEN))]
    assert [one.uri for one in found] == ["models:/electrons/1", "models:/electrons/2"]
    client = open_client(uri)
    good, bad = (client.get_model_version("electrons", str(number)) for number in (1, 2))
    assert (good.tags["passes_gate"], good.tags["gate_monte_carlo"]) == ("true", "pass")
    assert (bad.tags["passes_gate"], bad.tags["gate_monte_carlo"]) == ("false", "3 of 178 fall through")
    assert "Monte Carlo: 3 of 178" in bad.description
    assert client.get_model_version_by_alias("electrons", PASSES).version == good.version
    assert (good.run_id, good.tags["epoch"]) == (run_id, "5")


def test_a_version_keeps_its_bytes_when_another_is_called_alike(results: Path, tmp_path: Path) -> None:
    uri, run_id = default_tracking_uri(results), (results / "run").read_text()
    passed = register(*written(results, "alike", PASSED), "alike", uri, run_id)
    before = (results / "alike.pt2").read_bytes()
    forced = register(*written(results, "alike", FALLEN), "alike", uri, run_id)
    after = (results / "alike.pt2").read_bytes()
    assert before != after
    found = [fetched(name, uri, tmp_path).read_bytes() for name in (passed.uri, forced.uri, f"models:/alike@{PASSES}")]
    assert found == [before, after, before]


def test_mlflow_serves_it_by_its_signature(results: Path, tmp_path: Path) -> None:
    uri = default_tracking_uri(results)
    version = register(*written(results, "served"), "served", uri, (results / "run").read_text())
    mlflow = load_mlflow()
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(uri)
    try:
        model = mlflow.pyfunc.load_model(version.uri)
        asked = pd.DataFrame({"incident_energy_gev": [20.0, 80.0], "polar_angle": [1.4, 1.6]})
        cells = model.predict(asked, params={"seed": 3})
        expected = Generator.load(results / "served.pt2").sample([20.0, 80.0], [1.4, 1.6], seed=3)
        np.testing.assert_array_equal(cells, expected)
        assert not np.array_equal(model.predict(asked), model.predict(asked)), "without a seed each call has another one"
        with pytest.raises(mlflow.exceptions.MlflowException, match="polar_angle"):
            model.predict(asked[["incident_energy_gev"]])
        folder = fetched(version.uri, uri, tmp_path).parents[2]
        example = mlflow.models.Model.load(str(folder)).load_input_example(str(folder))
        assert model.predict(example).shape == (len(example), *expected.shape[1:])
    finally:
        mlflow.set_tracking_uri(before)


def generate(*arguments: object) -> Result:
    return CliRunner().invoke(app, ["generate", *map(str, arguments)])


def test_showers_are_generated_by_its_name(results: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    uri = default_tracking_uri(results)
    file, card = written(results, "named", PASSED)
    register(file, card, "named", uri, (results / "run").read_text())
    drawn = ("--showers", 5, "--angle", 70, 110, "--processes", 1)
    told = generate(f"models:/named@{PASSES}", tmp_path / "x.h5", *drawn, "--tracking-uri", uri)
    assert told.exit_code == 0, told.output
    assert generate(file, tmp_path / "y.h5", *drawn).exit_code == 0
    one, other = (open_shower_file(tmp_path / name).read(0, 5).cells for name in ("x.h5", "y.h5"))
    assert np.array_equal(one, other)
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    assert "say where with --tracking-uri" in generate("models:/named/1", tmp_path / "z.h5", *drawn).output.replace("\n", " ")
    missing = generate("models:/named/9", tmp_path / "z.h5", *drawn, "--tracking-uri", uri)
    assert missing.exit_code == 2
    assert "models:/named/9 is not registered at" in missing.output.replace("\n", " ")


@pytest.mark.parametrize("name", ["a@b", "a/b", "a:b", "it's", 'a"b', "a%b", "", " a", "..", "a\nb"])
def test_a_name_that_no_uri_can_hold_is_refused_before_anything_is_logged(results: Path, name: str) -> None:
    uri, run_id = default_tracking_uri(results), (results / "run").read_text()
    before = sorted((results / "artifacts").rglob("*"))
    with pytest.raises(ConfigError, match="cannot be the name of a registered model"):
        register(*written(results, "unnamed"), name, uri, run_id)
    assert sorted((results / "artifacts").rglob("*")) == before


@pytest.mark.parametrize("name", ["2 in one", "a.b_c-d+e", "größer"])
def test_other_names_lead_to_their_versions(results: Path, tmp_path: Path, name: str) -> None:
    uri = default_tracking_uri(results)
    file, card = written(results, "odd", PASSED)
    version = register(file, card, name, uri, (results / "run").read_text())
    for found in (version.uri, f"models:/{name}@{PASSES}"):
        assert fetched(found, uri, tmp_path).read_bytes() == file.read_bytes()


LOADED = """
import sys
for name in sys.argv[2:]:
    sys.modules[name] = None
import mlflow
print(mlflow.pyfunc.load_model(sys.argv[1]).predict({"incident_energy_gev": [20.0], "polar_angle": [1.4]}).shape)
"""


def test_its_requirements_can_be_installed_and_are_enough(results: Path, tmp_path: Path) -> None:
    uri = default_tracking_uri(results)
    version = register(*written(results, "needed"), "needed", uri, (results / "run").read_text())
    folder = fetched(version.uri, uri, tmp_path).parents[2]
    listed = dict(line.split("==") for line in (folder / "requirements.txt").read_text().splitlines())
    assert "gan3d" not in listed, "it is on no index"
    assert listed["torch"] == metadata.version("torch").partition("+")[0]
    # What this package needs otherwise, and MLflow does not bring along.
    others = ["ray", "optuna", "cmaes", "moocore", "skimage", "rich", "typer", "psutil", "onnx", "onnxscript", "onnxruntime", "openvino"]
    assert not set(others) & listed.keys()
    done = subprocess.run([sys.executable, "-W", "ignore", "-c", LOADED, folder, *others], check=False, capture_output=True, text=True)
    assert done.stdout.strip() == "(1, 12, 12, 12)", done.stderr
    assert [requirements_of(Card.model_construct(format=name))[-1].partition("==")[0] for name in FORMATS] == [
        "onnxruntime",
        "openvino",
        "torch",
    ]


def test_results_that_were_copied_find_their_own_models(results: Path, tmp_path: Path) -> None:
    run_id = (results / "run").read_text()
    register(*written(results, "moved"), "moved", default_tracking_uri(results), run_id)
    file, card = written(results, "later", PASSED)
    file_bytes = file.read_bytes()
    copied = tmp_path / "laptop" / "small"
    shutil.copytree(results, copied)
    kept = results.rename(results.with_name("away"))
    try:
        uri = default_tracking_uri(copied)
        assert Generator.load(fetched("models:/moved/1", uri, tmp_path / "a")).card.epoch == 5
        # What is registered there lies there, for gan3d ui too.
        later = register(copied / file.name, card, "later", uri, run_id)
        assert not results.exists()
        assert len(list(copied.glob("artifacts/**/later.pt2"))) == 1
        shown = pointing_here(copied / "tracking.db", copied, tmp_path)
        assert fetched(later.uri, uri_of(shown), tmp_path / "b").read_bytes() == file_bytes
        again = copied.rename(tmp_path / "elsewhere")
        assert fetched(later.uri, default_tracking_uri(again), tmp_path / "c").read_bytes() == file_bytes
    finally:
        kept.rename(results)


def test_only_the_study_of_its_trial_takes_a_file(results: Path, tmp_path: Path) -> None:
    told = CliRunner().invoke(app, ["register", str(tmp_path / "x.onnx"), str(results)])
    assert told.exit_code == 2
    assert "is no exported generator" in told.output


@pytest.mark.slow
def test_a_study_is_taken_from_its_run_to_a_registered_generator(tmp_path: Path) -> None:
    def gan3d(*arguments: str) -> str:
        command = [sys.executable, "-m", "gan3d.cli", *arguments]
        done = subprocess.run(command, check=False, cwd=tmp_path, capture_output=True, text=True, timeout=300)
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    write_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, workers={"per_trial": 1})
    gan3d("run", "small.yaml")
    # What the best trial makes: Monte Carlo for which three epochs are enough.
    gan3d("generate", "small", "reference.h5", "--showers", "400", "--seed", "7")
    found = json.loads(gan3d("export", "small", "small.onnx", "--precision", "int8", "--reference", "reference.h5", "--json"))
    assert found["passes"]
    registered = json.loads(gan3d("register", "small.onnx", "small", "--json"))
    assert registered["uri"] == "models:/small/1"
    place = registered["tracking_uri"]
    gan3d("generate", f"models:/small@{PASSES}", "showers.h5", "--showers", "10", "--tracking-uri", place)
    version = open_client(place).get_model_version("small", "1")
    trials = frames.trials(place, "small")
    best = trials.loc[trials["run_id"] == version.run_id].iloc[0]
    assert best["best_objective"] == trials["best_objective"].min()
