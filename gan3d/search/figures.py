"""Figures that a study asks for: the scripts of `analysis/`, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from gan3d.config.study import Study

#: The scripts lie beside the package in a checkout; an installed wheel has none.
SCRIPTS = Path(__file__).resolve().parents[2] / "analysis"


def draw_figures(study: Study, tracking_uri: str, results: Path, *, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Run each script; returns the PNG files. A script that fails is said, and takes nothing with it."""
    drawn: list[Path] = []
    for name in study.figures:
        script = SCRIPTS / f"{name}.py"
        if not script.exists():
            say(f"No figure {name}: {script} is not here (the scripts come with a checkout, not with a wheel)")
            continue
        say(f"Drawing {name}")
        drawn += _draw(script, study.name, tracking_uri, results, say)
    return tuple(drawn)


def _draw(script: Path, study_name: str, tracking_uri: str, results: Path, say: Callable[[str], None]) -> list[Path]:
    folder = results / "figures"
    before = {file: file.stat().st_mtime_ns for file in folder.glob("*.png")}
    command = [sys.executable, str(script), study_name, "--results", str(results), "--tracking-uri", tracking_uri, "--log"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        say(f"{script.name} failed: {last}")
    return [file for file in sorted(folder.glob("*.png")) if before.get(file) != file.stat().st_mtime_ns]
