"""With what a study was run: true where it can be known, absent where it cannot, never a secret."""

from __future__ import annotations

import json
import os
import subprocess
from importlib.metadata import version

import pytest

from gan3d.tracking.provenance import command_line, commit, hardware, package_versions, provenance


def git(folder, *arguments):
    identity = ["-c", "user.name=nobody", "-c", "user.email=nobody@example.org", "-c", "commit.gpgsign=false"]
    done = subprocess.run(["git", "-C", str(folder), *identity, *arguments], check=True, capture_output=True, text=True)
    return done.stdout.strip()


@pytest.fixture
def checkout(tmp_path):
    git(tmp_path, "init", "--quiet")
    (tmp_path / "code.py").write_text("x = 1\n")
    git(tmp_path, "add", "code.py")
    git(tmp_path, "commit", "--quiet", "--no-verify", "-m", "first")
    return tmp_path


def test_a_clean_checkout_is_its_commit(checkout):
    assert commit(checkout) == {"commit": git(checkout, "rev-parse", "HEAD"), "dirty": "no"}


@pytest.mark.parametrize("file", ["code.py", "new.py"])
def test_a_changed_or_new_file_makes_it_dirty(checkout, file):
    (checkout / file).write_text("x = 2\n")
    assert commit(checkout)["dirty"] == "yes"


def test_outside_a_checkout_there_is_no_commit(tmp_path):
    assert commit(tmp_path) == {}


def test_a_checkout_that_does_not_track_the_folder_is_not_its_commit(checkout):
    """An environment installed inside somebody's repository."""
    installed = checkout / "environment"
    installed.mkdir()
    assert commit(installed) == {}


def test_without_git_there_is_no_commit(checkout, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert commit(checkout) == {}


def test_versions_are_those_of_the_required_packages():
    versions = package_versions()
    assert {"mlflow", "numpy", "ray", "torch"} <= set(versions)
    assert "ruff" not in versions
    assert versions["numpy"] == version("numpy")


def test_hardware_is_plausible():
    facts = hardware()
    assert facts["cpu"]
    assert 1 <= facts["cores"] <= facts["logical_cores"]
    assert facts["memory_gib"] > 0.1
    assert facts.get("usable_cores", 1) >= 1


@pytest.mark.parametrize(
    ("arguments", "shown"),
    [
        (["gan3d", "run", "s.yaml", "--set", "training.seed=2"], "gan3d run s.yaml --set training.seed=2"),
        (["gan3d", "--tracking-uri", "https://me:pass@host/x"], "gan3d --tracking-uri https://***@host/x"),
        (["gan3d", "--api-token", "abc", "run"], "gan3d --api-token *** run"),
        (["gan3d", "--password=abc", "run"], "gan3d --password=*** run"),
    ],
)
def test_the_command_line_is_kept_without_its_secrets(arguments, shown):
    assert command_line(arguments) == shown


def test_nothing_of_the_environment_is_kept(monkeypatch):
    monkeypatch.setenv("GAN3D_TEST_TOKEN", "s3cret-of-the-environment")
    text = json.dumps(provenance(["gan3d", "run"]))
    assert "s3cret-of-the-environment" not in text
    assert os.environ["GAN3D_TEST_TOKEN"] not in text
    assert json.loads(text)["command"] == "gan3d run"
