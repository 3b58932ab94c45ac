"""What other commands wrote is checked before it is used, and what the gate says of an exported file is not taken for its trial's."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trained_states import settings, write
from typer.testing import CliRunner
from verdict_records import gate, two_batches

from gan3d.cli.app import app
from gan3d.errors import DataError
from gan3d.generation.conditions import Drawn
from gan3d.generation.generator import Generator
from gan3d.generation.production import Production, produce
from gan3d.generation.trained import trial_folder
from gan3d.validation.collection import read_all
from gan3d.validation.detector import Detector
from gan3d.validation.exporting import Export
from gan3d.verdict.answer import answer_of
from gan3d.verdict.evidence import read_gates, read_timings

ROW: dict[str, Any] = {"model": "m.onnx", "format": "onnx", "precision": "int8", "threads": 1, "batch": 128, "mean_ms": 1.5}
ROW |= {"spread_ms": 0.1, "median_ms": 1.4, "repeats": 10, "peak_memory_mb": 300.0, "speed_up": None}
TIMING: dict[str, Any] = {"machine": {"processor": "P", "cores": 2}, "energy_gev": [10, 100], "monte_carlo_seconds": None, "rows": [ROW]}
TIMING |= {"seed": {"geant4_seconds": 17, "3dgan_seconds": 0.007, "batch": 128, "cores": 56}}
VALIDATION: dict[str, Any] = {"settings": "a", "passes": True, "findings": [], "num_judged": 100, "distances": {}}


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Of a trial, or of a file made of it in 8 bits: what `gan3d validate --json` prints."""
    folder = tmp_path_factory.mktemp("judged")
    trial = trial_folder(folder, 1)
    trial.path.mkdir(parents=True)
    write(trial.best, settings())
    produce(Production(trial.path, Drawn(400, (10.0, 100.0), None, "uniform", 11), 11), folder / "reference.h5")
    card, save = Export(trial.path, "onnx", "int8", read_all([folder / "reference.h5"]), Detector(np.ones(12))).converted()
    save(folder / "small.onnx", card)

    def document(what: str) -> Path:
        asked = ["validate", str(trial.path if what == "trial" else folder / what), "--reference", str(folder / "reference.h5")]
        told = CliRunner().invoke(app, [*asked, "--most", "100", "--quick", "--json"])
        (folder / f"{what}.json").write_text(told.stdout)
        return folder / f"{what}.json"

    return document


def test_the_gate_of_an_exported_file_is_not_its_trials(judged: Callable[[str], Path]) -> None:
    own, exported = read_gates([judged("trial"), judged("small.onnx")])
    assert own.settings == exported.settings
    assert own.is_of_trial
    assert not exported.is_of_trial
    assert (exported.format, exported.precision) == ("onnx", "int8")
    trial = json.loads(Path(own.file).read_text())["what"]
    assert own.parent == exported.parent == Generator.load(trial).card.parent_sha256


def test_showers_of_a_file_have_no_generator(judged: Callable[[str], Path]) -> None:
    path = judged("reference.h5")
    found = json.loads(path.read_text())
    assert (found["settings"], found["generator"]) == (None, None)
    with pytest.raises(DataError, match="of a file, not of a trial"):
        read_gates([path])


def test_a_file_that_passes_makes_no_trial_pass() -> None:
    search = two_batches()
    own = gate(search, 0, passes=False)
    files = [replace(gate(search, number, passes=True), format="onnx", precision="int8", what=f"{number}.onnx") for number in range(3)]
    small, large = answer_of([search], files).recipes
    assert (small.passes, small.num_held, len(small.exported)) == (None, 0, 3)
    assert large.exported == ()
    answer = answer_of([search], [own, *files])
    assert answer.recipes[0].passes is False
    assert answer.cheapest_passing is None
    assert answer.stray_gates == ()
    told = answer.as_document()["exported"]
    assert [(row["recipe"], row["what"], row["precision"]) for row in told] == [("search 0", f"{n}.onnx", "int8") for n in range(3)]
    assert answer_of([search], [replace(files[0], settings="of nobody")]).as_document()["exported"] == []


def written(folder: Path, content: Any) -> Path:
    (folder / "document.json").write_text(json.dumps(content))
    return folder / "document.json"


def test_documents_that_do_not_say_whose_showers_they_judged_are_of_trials(tmp_path: Path) -> None:
    (found,) = read_gates([written(tmp_path, VALIDATION)])
    assert (found.is_of_trial, found.parent) == (True, "")


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"findings": [], "distances": [], "settings": "a"}, "passes|num_judged|distances"),
        (VALIDATION | {"distances": []}, "distances"),
        (VALIDATION | {"distances": {"high_level_auc": 1}}, "distances.high_level_auc"),
        (VALIDATION | {"findings": [{}]}, r"findings\.0\.is_flagged"),
        (VALIDATION | {"settings": 3}, "settings"),
        (VALIDATION | {"generator": {"format": "onnx"}}, r"generator\.precision"),
        ([VALIDATION], "all of it"),
    ],
)
def test_what_validate_did_not_print_is_refused_with_the_place(tmp_path: Path, content: Any, where: str) -> None:
    with pytest.raises(DataError, match=f"not what gan3d validate TRIAL --json prints: ({where})"):
        read_gates([written(tmp_path, content)])


@pytest.mark.parametrize(
    ("content", "where"),
    [
        ({"machine": {}, "rows": [{}], "monte_carlo_seconds": 1}, r"machine\.processor"),
        (TIMING | {"rows": []}, "rows"),
        (TIMING | {"rows": [ROW | {"mean_ms": 0}]}, r"rows\.0\.mean_ms"),
        (TIMING | {"rows": [ROW | {"speed_up": float("nan")}]}, r"rows\.0\.speed_up"),
        (TIMING | {"monte_carlo_seconds": float("inf")}, "monte_carlo_seconds"),
    ],
)
def test_what_benchmark_did_not_write_is_refused_with_the_place(tmp_path: Path, content: Any, where: str) -> None:
    with pytest.raises(DataError, match=f"not what gan3d benchmark generation --output writes: {where}"):
        read_timings([written(tmp_path, content)])
