"""The documentation builds without a warning, says what the code says, and its tutorial and how-tos do what they say."""

from __future__ import annotations

import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import h5py
import numpy as np
import pytest
import yaml
from pydantic import BaseModel

from gan3d.config.load import read_study
from gan3d.config.study import Study
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.records import METRICS

ROOT = Path(__file__).resolve().parents[1]
PAGES = sorted((ROOT / "docs").rglob("*.md"))
BLOCK = re.compile(r"^```(\w+)\n(.*?)^```", re.DOTALL | re.MULTILINE)
#: Behind a command that is to fail.
FAILS = "exits with 1"
#: Whose commands are run, after the tutorial's, which they need; those of clusters and servers are looked at only (test_docs_commands.py).
RUN = [ROOT / "docs" / name for name in ("generation.md", "calorimeters.md", "validation.md")]
RUN += [ROOT / "docs" / "howto" / name for name in ("own_data.md", "scaling_study.md", "mlflow.md")]

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


def run(line: str, folder: Path) -> None:
    """As a reader types it there."""
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(line, check=False, shell=True, cwd=folder, capture_output=True, text=True, env=os.environ | {"PATH": path})
    assert done.returncode == (1 if FAILS in line else 0), f"{line}\n{done.stdout}{done.stderr}"


@pytest.fixture(scope="module")
def tutorial(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """What the tutorial leaves in a clone, and a reader's own file of showers, which says what they took."""
    folder = tmp_path_factory.mktemp("tutorial")
    for name in ("studies", "search_spaces", "samples", "analysis"):
        (folder / name).symlink_to(ROOT / name)
    for line in "".join(blocks(ROOT / "docs" / "tutorial.md", "bash")).splitlines():
        run(line, folder)
    samples = [open_shower_file(ROOT / "samples" / "geant4" / f"clic_10_100_{name}.h5").read(0, 180) for name in ("validation", "test")]
    energy = np.concatenate([one.incident_energy for one in samples])
    cells = np.concatenate([one.cells for one in samples])
    write_clic_file(folder / "geant4.h5", Showers(cells, energy, None, np.arange(len(energy))))
    with h5py.File(folder / "geant4.h5", "a") as file:
        file["cpu_s"], file.attrs["machine"] = 0.013 * energy, "a Xeon"
    return folder


@pytest.mark.slow
def test_the_tutorial_ends_with_a_verdict_on_all_of_it(tutorial: Path) -> None:
    answer = json.loads((tutorial / "verdict" / "verdict.json").read_text())
    assert [(one["name"], one["kind"], one["trials"], one["state"]) for one in answer["studies"]] == [
        ("quickstart", "search", 4, "complete"),
        ("teams", "scaling", 4, "complete"),
    ]
    best, distances = answer["recommended"], {one["name"]: one["distance"]["value"] for one in answer["recipes"]}
    assert len(distances) == 4
    assert best["distance"]["value"] == min(distances.values()) == distances[best["name"]]
    assert 0 < best["floor"] < best["distance"]["value"]
    assert best["workers"] == 2
    (workers,) = answer["workers"]
    assert (workers["study"], workers["kind"]) == ("teams", "strong")
    assert workers["size"]["workers"] in {1, 2}
    fastest = answer["fastest_on_at_most"]
    assert [(row["study"], row["at_most"]) for row in fastest] == [("teams", 1), ("teams", 2)]
    quickest = min(one["hours_to_target"]["value"] for one in answer["recipes"] if one["hours_to_target"]["value"] is not None)
    assert fastest[0]["hours_to_target"] >= fastest[1]["hours_to_target"] > 0
    assert {row["recipe"] for row in fastest} <= {name for name, value in distances.items() if value <= answer["target"]["distance"]}
    assert fastest[1]["hours_to_target"] <= quickest * (1 + 1e-9)
    (timing,) = answer["generation"]
    assert [(row["format"], row["precision"], row["batch"]) for row in timing["rows"]] == [
        ("trial", "fp32", 1),
        ("onnx", "int8", 1),
        ("trial", "fp32", 128),
        ("onnx", "int8", 128),
    ]
    assert all(row["mean_ms"] > 0 for row in timing["rows"])
    told = "\n".join(answer["not_measured"])
    for text in ("was trained once", "No trial was held against the gate", "No team was larger than one machine", "No target was given"):
        assert text in told
    page = (tutorial / "verdict" / "verdict.html").read_text()
    assert f"<strong>{best['name']}</strong>" in page


@pytest.mark.slow
@pytest.mark.parametrize("page", RUN, ids=lambda page: page.stem)
def test_commands_of_a_page_do_what_it_says(page: Path, tutorial: Path) -> None:
    """After the tutorial, in its folder. YAML with a name is the file NAME.yaml."""
    for text in blocks(page, "yaml"):
        if name := re.search(r"^name: (\w+)$", text, re.MULTILINE):
            (tutorial / f"{name[1]}.yaml").write_text(text)
    lines = "".join(blocks(page, "bash")).splitlines()
    assert lines
    for line in lines:
        run(line, tutorial)
    for text in blocks(page, "python"):
        run(f"{sys.executable} -c {shlex.quote(text)}", tutorial)


def test_parts_of_studies_in_the_documentation_go_into_one() -> None:
    """YAML that is neither a study nor a calorimeter, but sections of one."""
    least = {"name": "least", "question": "Is it a study?", "search_space": {"training.seed": {"choice": [1, 2]}}}
    least |= {"sampler": {"name": "grid"}, "objective": {"metric": "physics.shower_distance"}}
    least |= {"data": {"train": ["a.h5"], "validation": ["b.h5"]}, "training": {"global_batch": 256}}
    found = []
    for page in PAGES:
        for text in blocks(page, "yaml"):
            part = yaml.safe_load(text)
            if not {"question", "cells"} & set(part):
                read_study(yaml.safe_dump(least | part), page.name)
                found += part
    assert {"objective", "workers"} <= set(found)
