"""The whole road: a search and a scaling study that are really run, an exported generator that is timed, and the verdict on it all."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest
from small_study import write_study

from gan3d.tracking import frames
from gan3d.tracking.additions import VERDICT_TAG
from gan3d.tracking.client import open_client
from gan3d.tracking.notes import NOTE
from gan3d.tracking.store import default_tracking_uri

ROOT = Path(__file__).resolve().parents[1]

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]


def run(folder: Path, *words: str) -> str:
    done = subprocess.run([sys.executable, *words], check=False, cwd=folder, capture_output=True, text=True, timeout=600)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_studies_are_run_and_answered(tmp_path: Path) -> None:
    def gan3d(*arguments: str) -> str:
        return run(tmp_path, "-m", "gan3d.cli", *arguments)

    seeds = {"training.seed": {"choice": [1, 2]}}
    batches = {"training.global_batch": {"choice": [8, 16]}}
    write_study(tmp_path, seeds | batches, workers={"per_trial": 1}, cost={"price_per_core_hour": 0.5})
    gan3d("run", "small.yaml")
    path = write_study(
        tmp_path, seeds | {"workers.per_trial": {"choice": [1, 2]}}, name="teams", sampler={"name": "grid", "blocks": "training.seed"}
    )
    gan3d("run", str(path), "--set", "training.global_batch=16", "--set", "training.epochs=4")
    gan3d("export", "small", "small.pt2", "--force", "--reference", str(reference(tmp_path, gan3d)))
    gan3d("benchmark", "generation", "small", "small.pt2", "--batch", "16", "--repeats", "3", "--output", "times.json")
    run(tmp_path, str(ROOT / "analysis" / "verdict.py"), "small", "teams", "--generation", "times.json", "--output", "verdict", "--log")

    for name in ("small", "teams"):
        assert_logged(tmp_path / "results" / name, name)
    answer = json.loads((tmp_path / "verdict" / "verdict.json").read_text())
    assert [(one["name"], one["kind"], one["trials"]) for one in answer["studies"]] == [("small", "search", 4), ("teams", "scaling", 4)]
    best = answer["recommended"]
    assert len(answer["recipes"]) == 2
    assert best["distance"]["value"] == min(one["distance"]["value"] for one in answer["recipes"])
    assert (best["distance"]["num_trials"], best["settings"]["training.global_batch"]) in ((2, 8), (2, 16))
    assert best["money"]["value"] == pytest.approx(0.5 * best["core_hours"]["value"])
    (workers,) = answer["workers"]
    assert (workers["kind"], workers["study"]) == ("strong", "teams")
    assert {size["workers"] for size in answer["scaling"][0]["sizes"]} == {1, 2}
    assert workers["wall_hours"] == pytest.approx(best["hours"]["value"] / workers["size"]["speed_up"])
    (timing,) = answer["generation"]
    assert {row["format"] for row in timing["rows"]} == {"trial", "torch-export"}
    assert any("held against the gate" in text for text in answer["not_measured"])


def assert_logged(results: Path, name: str) -> None:
    """The study's run says the verdict and holds its page."""
    uri = default_tracking_uri(results)
    tags = open_client(uri).get_run(frames.study(uri, name).run_id).data.tags
    assert "shower distance" in tags[VERDICT_TAG]
    assert tags[NOTE].endswith(tags[VERDICT_TAG])
    folder = frames.study(uri, name).artifact_dir
    assert folder is not None
    assert {file.name for file in (folder / "verdict").iterdir()} == {"verdict.html", "verdict.json"}


def reference(folder: Path, gan3d) -> Path:  # type: ignore[no-untyped-def]
    gan3d("generate", "small", "reference.h5", "--showers", "240", "--seed", "9")
    return folder / "reference.h5"
