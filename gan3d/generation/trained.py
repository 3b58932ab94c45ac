"""The generator that a trial left behind: which trial, which file, ready to generate.

    trained = load_trained(trial_folder(results, 3))
    cells = trained.showers_of(torch.randn(2, trained.settings.num_noise), torch.tensor([100.0, 250.0]))

Legend: B showers, X, Y transverse cells, L layers.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from pydantic import ValidationError

from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.errors import ConfigError, DataError
from gan3d.models.generator import GeneratorNetwork
from gan3d.models.inference import FastGenerator, Generate
from gan3d.physics.transform import Transform
from gan3d.training.checkpoint import TrialFolder, load_state
from gan3d.training.state import averaged_weights, make_generator, transform_of


@dataclass(frozen=True)
class Trained:
    """A generator as training left it, with all that generating showers needs."""

    generator: GeneratorNetwork
    """In evaluation mode; loaded on the CPU."""
    settings: TrialSettings
    """The trial's effective settings."""
    transform: Transform
    """From the generator's output to GeV."""
    epoch: int
    """After which epoch."""

    @torch.no_grad()
    def showers_of(self, noise: torch.Tensor, incident_energy: torch.Tensor, polar_angle: torch.Tensor | None = None) -> torch.Tensor:
        """Generated cells (B, X, Y, L) [GeV], below the threshold 0.

        Args:
            noise: (B, Z).
            incident_energy: (B,) [GeV].
            polar_angle: (B,) [rad]; exactly where the trial was conditioned on it.
        """
        cells = self.transform.to_gev(self._fast(noise, incident_energy, polar_angle))
        return torch.where(cells < self.transform.threshold_gev, 0.0, cells)

    def energy_range(self) -> tuple[float, float] | None:
        """Least and largest incident energy of the training showers [GeV]; None: their files are not here any more."""
        data = self.settings.data
        try:
            showers = ShowerSet.open(data.train, max_showers=data.max_train_showers)
        except DataError:
            return None
        energies = np.concatenate([file.layout.incident_energy for file in showers.files])[: showers.num_in_files]
        return float(energies.min()), float(energies.max())

    @cached_property
    def _fast(self) -> Generate:
        return FastGenerator.of(self.generator)


def load_trained(folder: TrialFolder, state: Path | None = None) -> Trained:
    """The generator of a trial at ``state``, by default at the trial's best epoch.

    Raises:
        ConfigError: the state is absent.
        DataError: the file is not a state of a trial, or one of another version's settings or networks.
    """
    path = folder.best if state is None else state
    if not path.is_file():
        message = f"there is no {path}. Give the study's folder with --results, and a trial that has finished an epoch."
        raise ConfigError(message)
    content = load_state(path)
    settings = _settings(content, path)
    generator = make_generator(settings)
    try:
        generator.load_state_dict(averaged_weights(content["state"]))
        epoch = int(content["state"]["epoch"])
    except (KeyError, TypeError, RuntimeError) as problem:
        message = f"its weights do not fit the generator of its settings ({_first_line(problem)}). {_TRAIN_AGAIN}"
        raise DataError(message, file=str(path)) from problem
    return Trained(generator.eval(), settings, transform_of(settings), epoch)


#: In the folder of a study's results.
TRIALS = "trials"


def trial_folder(results: Path, number: int) -> TrialFolder:
    """The folder of a trial in the folder of its study."""
    return TrialFolder(results / TRIALS / f"{number:04d}")


def best_trial(trials: pd.DataFrame, study_name: str, direction: str) -> int:
    """Number of the trial with the best objective of those that keep the constraints (else nearest to them), the earlier of equals.

    Args:
        trials: of ``gan3d.tracking.frames.trials``.
        study_name: for the message.
        direction: "minimize" or "maximize".

    Raises:
        ConfigError: no trial has one.
    """
    ordered = trials.dropna(subset=["best_objective"])
    excess = ordered["excess"].clip(lower=0.0) if "excess" in ordered else 0.0
    by, rising = ["beyond", "best_objective"], [True, direction == "minimize"]
    ordered = ordered.assign(beyond=excess).sort_values(by, ascending=rising, kind="stable")
    if ordered.empty:
        message = f"study {study_name!r} has no trial with an objective yet: nothing to generate with."
        raise ConfigError(message)
    return int(ordered["trial"].iloc[0])


_TRAIN_AGAIN = "It was written by another version of gan3d: read it with that one, or delete the trial's folder to train it again."


def _settings(content: dict[str, Any], path: Path) -> TrialSettings:
    try:
        return TrialSettings.model_validate_json(content["settings"])
    except (KeyError, ValidationError) as problem:
        message = f"its settings cannot be read ({_first_line(problem)}). {_TRAIN_AGAIN}"
        raise DataError(message, file=str(path)) from problem


def _first_line(problem: Exception) -> str:
    return f"{type(problem).__name__}: {problem}".splitlines()[0]
