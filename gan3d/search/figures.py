"""Figures that a study asks for: the scripts of `analysis/`, run as a user would run them."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path

from gan3d.config.study import Study

#: The scripts lie beside the package in a checkout; an installed wheel has none.
SCRIPTS = Path(__file__).resolve().parents[2] / "analysis"


@dataclass(frozen=True, slots=True)
class Drawing:
    """A script that runs."""

    script: Path
    process: subprocess.Popen[str]


def start_drawing(study: Study, tracking_uri: str, results: Path, *, say: Callable[[str], None]) -> tuple[Drawing, ...]:
    """Start each script in a process of its own; a missing one is said."""
    started = []
    for name in study.figures:
        script = SCRIPTS / f"{name}.py"
        if not script.exists():
            say(f"No figure {name}: {script} is not here (the scripts come with a checkout, not with a wheel)")
            continue
        say(f"Drawing {name}")
        command = [sys.executable, str(script), study.name, "--results", str(results), "--tracking-uri", tracking_uri, "--log"]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        started.append(Drawing(script, process))
    return tuple(started)


def drawn(drawings: Iterable[Drawing], *, say: Callable[[str], None]) -> tuple[Path, ...]:
    """Wait for scripts; returns the PNG files, which the scripts print. One that fails is said, and takes nothing with it."""
    files: list[Path] = []
    for drawing in drawings:
        output, errors = drawing.process.communicate()
        if drawing.process.returncode:
            last = (errors.strip().splitlines() or ["no message"])[-1]
            say(f"{drawing.script.name} failed: {last}")
        files += [Path(line) for line in output.splitlines() if line.endswith(".png")]
    return tuple(files)
