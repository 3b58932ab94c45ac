"""The seed's recipe, for a few steps: its parameter counts, and a loss that falls."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from gan3d.tracking import frames

pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

ROOT = Path(__file__).resolve().parents[1]
SAMPLES = ROOT / "samples" / "geant4"
#: The same recipe on what a laptop has: two workers, the showers of the repository, one seed, four short epochs without warm-up.
CHANGES = {
    "data.train": f"[{SAMPLES / 'clic_10_100_train.h5'}]",
    "data.validation": f"[{SAMPLES / 'clic_10_100_validation.h5'}]",
    "data.max_validation_showers": "60",
    "workers.per_trial": "2",
    "workers.cpus_per_worker": "1",
    "training.epochs": "4",
    "training.max_steps_per_epoch": "5",
    "training.learning_rate_warmup_epochs": "0",
    "trials.number": "1",
}


def command(verb: str) -> list[str]:
    changes = [part for key, value in CHANGES.items() for part in ("--set", f"{key}={value}")]
    return [sys.executable, "-m", "gan3d.cli", verb, str(ROOT / "studies" / "seed_baseline.yaml"), *changes, "--json"]


def run(*words: str) -> dict[str, Any]:
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def test_the_seeds_recipe_has_its_parameter_counts_and_a_falling_loss(tmp_path: Path) -> None:
    plan = json.dumps(run(*command("plan")))
    assert "872702" in plan
    assert "73500" in plan
    summary = run(*command("run"), "--results", str(tmp_path))
    assert [trial["state"] for trial in summary["trials"]] == ["complete"]
    epochs = frames.epochs(summary["tracking_uri"], "seed_baseline").sort_values("epoch")
    for loss in ("losses.discriminator_total", "losses.generator_total"):
        values = epochs[loss].tolist()
        assert values[-1] < values[0], (loss, values)
