"""The documentation builds without a warning, says what the code says, and its tutorial does what it says."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import BaseModel

from gan3d.config.load import read_study
from gan3d.config.study import Study
from gan3d.records import METRICS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Behind a command of the tutorial that is to fail.
FAILS = "# exits with 1"

pytestmark = pytest.mark.timeout(1500)


def blocks(page: Path, language: str) -> list[str]:
    return [text for found, text in BLOCK.findall(page.read_text(encoding="utf-8")) if found == language]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("site")
    quiet = {"NO_MKDOCS_2_WARNING": "1", "DISABLE_MKDOCS_2_WARNING": "true"}
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir", str(folder)]
    done = subprocess.run(command, check=False, cwd=ROOT, capture_output=True, text=True, timeout=300, env=os.environ | quiet)
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def keys_of(model: type[BaseModel], prefix: str = "") -> list[str]:
    """Dotted keys of all that is no section."""
    found = []
    for name, told in model.model_fields.items():
        if isinstance(told.annotation, type) and issubclass(told.annotation, BaseModel) and told.annotation.model_fields:
            found += keys_of(told.annotation, f"{prefix}{name}.")
        else:
            found.append(f"{prefix}{name}")
    return found


def test_every_key_of_a_study_is_in_the_reference(site: Path) -> None:
    page, keys = (site / "reference" / "settings.html").read_text(), keys_of(Study)
    assert {"training.generator.filters", "data.cell_power", "scheduler.grace", "name"} <= set(keys)
    assert [key for key in keys if f"<code>{key}</code>" not in page] == []


def test_every_metric_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "metrics.html").read_text()
    assert [name for name in METRICS if f"<code>{name}</code>" not in page] == []


def test_every_command_is_in_the_reference(site: Path) -> None:
    page = (site / "reference" / "commands.html").read_text()
    for command in ("plan", "run", "validate", "generate", "export", "register", "benchmark generation", "ui"):
        assert f"gan3d {command}" in page, command
    assert "--precision" in page


def test_pages_ask_nobody(site: Path) -> None:
    for page in site.rglob("*.html"):
        loaded = re.findall(r'<(?:script|link|img)[^>]+(?:src|href)="(https?://[^"]+)"', page.read_text())
        assert [url for url in loaded if "canonical" not in url] == [], page


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.stem)
def test_studies_in_the_documentation_are_studies(page: Path) -> None:
    for text in blocks(page, "yaml"):
        if re.search(r"^question:", text, re.MULTILINE):
            read_study(text, page.name)


def test_there_is_a_study_to_check() -> None:
    assert any("question:" in text for page in PAGES for text in blocks(page, "yaml"))


@pytest.mark.slow
def test_the_tutorial_does_what_it_says(tmp_path: Path) -> None:
    for name in ("studies", "search_spaces", "samples", "analysis"):
        (tmp_path / name).symlink_to(ROOT / name)
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    for line in "".join(blocks(ROOT / "docs" / "tutorial.md", "bash")).splitlines():
        done = subprocess.run(line, check=False, shell=True, cwd=tmp_path, capture_output=True, text=True, env=os.environ | {"PATH": path})
        assert done.returncode == (1 if FAILS in line else 0), f"{line}\n{done.stdout}{done.stderr}"
    assert (tmp_path / "verdict" / "verdict.html").stat().st_size > 100_000
