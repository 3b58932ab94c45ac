"""Figures of a study are drawn side by side; what cannot be drawn is said and takes nothing with it."""

from __future__ import annotations

from pathlib import Path

import pytest
from small_study import load_small_study

from gan3d.config.study import Study
from gan3d.search import figures
from gan3d.search.figures import drawn, start_drawing
from gan3d.tracking.store import default_tracking_uri

#: Prints what the scripts of `analysis/` print, and waits for the other one: side by side, or never.
SCRIPT = """
import pathlib, sys, time
folder = pathlib.Path(sys.argv[sys.argv.index("--results") + 1])
(folder / "{name}.png").touch()
while not (folder / "{other}.png").exists():
    time.sleep(0.01)
print(folder / "{name}.png", folder / "{name}.csv", sep="\\n")
"""


@pytest.fixture
def study(tmp_path: Path) -> Study:
    return load_small_study(tmp_path, {"training.seed": {"choice": [1, 2]}}, figures=["search_progress", "shower_profiles"]).study


def test_scripts_run_side_by_side(study: Study, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, other in (study.figures, study.figures[::-1]):
        (tmp_path / f"{name}.py").write_text(SCRIPT.format(name=name, other=other), encoding="utf-8")
    monkeypatch.setattr(figures, "SCRIPTS", tmp_path)
    said: list[str] = []
    files = drawn(start_drawing(study, "", tmp_path, say=said.append), say=said.append)
    assert files == tuple(tmp_path / f"{name}.png" for name in study.figures)
    assert said == [f"Drawing {name}" for name in study.figures]


def test_a_script_that_fails_or_is_missing_is_said(study: Study, tmp_path: Path) -> None:
    said: list[str] = []
    unknown = study.model_copy(update={"figures": ("search_progress", "nonsense")})
    files = drawn(start_drawing(unknown, default_tracking_uri(tmp_path), tmp_path, say=said.append), say=said.append)
    assert files == ()
    assert said[0] == "Drawing search_progress"
    assert said[1].startswith("No figure nonsense")
    assert said[2].startswith("search_progress.py failed: tracking URI")
