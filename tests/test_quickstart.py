"""The README's promise, kept end to end: the quickstart study on real Geant4 showers, then what its winner is worth on held-out ones."""

from __future__ import annotations

import csv
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gan3d.config.load import load_study
from gan3d.records import METRICS, PHASES
from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1500)]

ROOT = Path(__file__).resolve().parents[1]
STUDY = ROOT / "studies" / "quickstart.yaml"
#: Steps that the winner must have seen.
ENOUGH_STEPS = 60


@pytest.fixture(scope="module")
def results(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("quickstart") / "results"


@pytest.fixture(scope="module")
def quickstart(results: Path) -> dict[str, Any]:
    """The study, run as a user does."""
    command = [sys.executable, "-m", "gan3d.cli", "run", str(STUDY), "--results", str(results), "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    summary: dict[str, Any] = json.loads(done.stdout)
    return summary


def test_it_is_a_search_of_at_least_six_different_trials_none_of_which_fails(quickstart: dict[str, Any]) -> None:
    states = [trial["state"] for trial in quickstart["trials"]]
    assert len(states) >= 6
    assert set(states) <= {"complete", "pruned"}
    assert states.count("complete") >= 1
    samples = [json.dumps(trial["sample"], sort_keys=True) for trial in quickstart["trials"]]
    assert len(set(samples)) == len(samples)
    space = load_study(STUDY).study.search_space
    assert all(space.contains(trial["sample"]) for trial in quickstart["trials"])


def test_the_winner_has_seen_enough_optimiser_steps(quickstart: dict[str, Any]) -> None:
    epochs = frames.epochs(quickstart["tracking_uri"], "quickstart")
    assert epochs[epochs["trial"] == quickstart["best"]["number"]]["timing.num_steps"].sum() >= ENOUGH_STEPS


def test_mlflow_has_every_epoch_with_every_metric_and_phases_that_add_up(quickstart: dict[str, Any]) -> None:
    epochs = frames.epochs(quickstart["tracking_uri"], "quickstart")
    assert set(METRICS) <= set(epochs.columns)
    assert not epochs[list(METRICS)].isna().any().any()
    phases = epochs[[f"timing.{phase}_seconds_mean" for phase in PHASES]].sum(axis=1)
    assert (abs(phases / epochs["timing.epoch_seconds"] - 1) < 0.02).all()
    assert (epochs["timing.world_size"] == 2).all()


def test_figures_are_drawn(quickstart: dict[str, Any]) -> None:
    names = {Path(figure).stem for figure in quickstart["figures"]}
    assert {"search_progress", "shower_profiles"} <= names
    assert all(Path(figure).stat().st_size > 10_000 for figure in quickstart["figures"])


def test_the_winner_beats_untrained_and_mean_shower_on_held_out_showers(quickstart: dict[str, Any], results: Path) -> None:
    """By more than three standard errors (showers and noise combined in quadrature)."""
    files = str(ROOT / "samples" / "geant4" / "clic_10_100_test.h5")
    command = [sys.executable, str(ROOT / "analysis" / "held_out.py"), "quickstart", "--results", str(results), "--files", files]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    with (results / "figures" / "held_out.csv").open(newline="") as file:
        rows = {row["source"]: row for row in csv.DictReader(file) if row["quantity"] == "shower_distance"}
    trained, error = float(rows["trained"]["distance"]), float(rows["trained"]["standard_error"])
    for source in ("untrained", "baseline"):
        combined = (error**2 + float(rows[source]["standard_error"]) ** 2) ** 0.5
        assert float(rows[source]["distance"]) - trained > 3 * combined, done.stdout
