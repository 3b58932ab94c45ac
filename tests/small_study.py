"""A study small enough for a test that runs all of it: real Geant4 showers cut to 12 x 12 x 12 cells, networks of a few filters."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import yaml

from gan3d.config.load import LoadedStudy, load_study
from gan3d.data.shower_file import open_shower_file, write_clic_file
from gan3d.data.showers import Showers
from gan3d.records import TrialRecord

SAMPLES = Path(__file__).resolve().parents[1] / "samples" / "geant4"
GRID = [12, 12, 12]


def write_showers(folder: Path, *, num_train: int = 96, num_validation: int = 60) -> tuple[Path, Path]:
    """Cut showers around the axis and the shower maximum; returns the training and the validation file."""
    files = []
    for name, number in (("train", num_train), ("validation", num_validation)):
        showers = open_shower_file(SAMPLES / f"clic_10_100_{name}.h5").read(0, number)
        cells = showers.cells[:, 7:19, 7:19, 3:15].copy()
        files.append(folder / f"{name}.h5")
        write_clic_file(files[-1], Showers(cells, showers.incident_energy, None, showers.identity))
    return files[0], files[1]


def write_study(folder: Path, search_space: dict[str, Any], **changes: Any) -> Path:
    """A study file of two workers per trial; ``changes`` replace its top-level sections."""
    train, validation = write_showers(folder)
    content: dict[str, Any] = {
        "name": "small",
        "question": "Does the whole road work?",
        "search_space": search_space,
        "sampler": {"name": "grid"},
        "objective": {"metric": "physics.shower_distance"},
        "workers": {"per_trial": 2},
        "training": {
            "epochs": 3,
            "global_batch": 16,
            "generator": {"filters": [4, 4, 4], "kernel": 3, "normalisation": "group", "conditioning": "concatenate", "noise_dim": 8},
            "discriminator": {"filters": [4, 4, 4, 4], "kernel": 3, "normalisation": "group"},
        },
        "data": {"train": [train.name], "validation": [validation.name], "grid": GRID, "cell_scale": 30.0},
    }
    path = folder / "small.yaml"
    path.write_text(yaml.safe_dump({**content, **changes}, sort_keys=False), encoding="utf-8")
    return path


def load_small_study(folder: Path, search_space: dict[str, Any], **changes: Any) -> LoadedStudy:
    """The same, loaded."""
    return load_study(write_study(folder, search_space, **changes))


class Notes:
    """A watcher that keeps what it hears; tests derive from it to interfere."""

    def __init__(self) -> None:
        self.started: list[int] = []
        self.epochs: list[tuple[int, int]] = []
        self.ended: list[TrialRecord] = []
        self.said: list[str] = []
        self.earlier: list[TrialRecord] = []

    def earlier_trials(self, records: list[TrialRecord]) -> None:
        self.earlier = records

    def trial_started(self, number: int, sample: dict[str, Any], known_epochs: int = 0) -> None:
        self.started.append(number)

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        self.epochs.append((number, epoch))

    def trial_ended(self, record: TrialRecord) -> None:
        self.ended.append(record)

    def step_progress(self, number: int, epoch: int, step: int, steps: int) -> None:
        pass

    def say(self, text: str) -> None:
        self.said.append(text)
