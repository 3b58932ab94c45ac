"""The generator read from a trial's folder is the one that was trained; what is no such folder is told with the way out."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from trained_states import settings, write

from gan3d.data.shower_writer import ShowerWriter
from gan3d.errors import ConfigError, DataError
from gan3d.generation.trained import best_trial, load_trained, trial_folder
from gan3d.training.checkpoint import TrialFolder


@pytest.fixture
def folder(tmp_path: Path) -> TrialFolder:
    made = trial_folder(tmp_path, 3)
    made.path.mkdir(parents=True)
    return made


@pytest.mark.parametrize("polar_angle", [False, True])
def test_it_generates_what_the_trained_one_generated(folder: TrialFolder, polar_angle: bool) -> None:
    state = write(folder.best, settings(polar_angle=polar_angle))
    trained = load_trained(folder)
    noise, energy = torch.randn(4, 8), torch.tensor([10.0, 20.0, 50.0, 100.0])
    angle = energy / 100 if polar_angle else None
    assert not trained.generator.training
    assert torch.equal(trained.generator(noise, energy, angle), state.generator.eval()(noise, energy, angle))
    assert trained.settings == settings(polar_angle=polar_angle)
    assert (trained.epoch, trained.transform.threshold_gev) == (5, trained.settings.data.threshold_gev)


@pytest.mark.parametrize("polar_angle", [False, True])
def test_one_call_generates_showers_in_gev(folder: TrialFolder, polar_angle: bool) -> None:
    trial = settings(polar_angle=polar_angle)
    trial = trial.model_copy(update={"data": trial.data.model_copy(update={"cell_power": 0.5, "threshold_gev": 0.01})})
    write(folder.best, trial)
    trained, energy = load_trained(folder), torch.tensor([10.0, 20.0, 50.0, 100.0])
    angle = energy / 100 if polar_angle else None
    noise = torch.randn(4, 8, generator=torch.Generator().manual_seed(1))
    cells = trained.showers_of(noise, energy, angle)
    expected = trained.generator(noise, energy, angle).detach() ** 2
    torch.testing.assert_close(cells, torch.where(expected < 0.01, 0.0, expected), rtol=1e-4, atol=1e-6)
    assert ((cells == 0) | (cells >= 0.01)).all()
    assert (cells > 0).any()
    assert not torch.allclose(trained.showers_of(noise + 1, energy, angle), cells)


def test_a_range_of_energies_is_that_of_the_training_showers_that_were_used(folder: TrialFolder, tmp_path: Path) -> None:
    write(folder.best, settings())
    assert load_trained(folder).energy_range() is None, "their files are not here"
    with ShowerWriter(tmp_path / "train.h5", (12, 12, 12), is_polar=False, has_polar_angle=False) as writer:
        energy = np.array([40.0, 15.0] * 10 + [90.0], np.float32)
        writer.append(np.full((21, 12, 12, 12), 1e-3, np.float32), energy, np.full(21, np.pi / 2, np.float32))
    for most, expected in ((None, (15.0, 90.0)), (20, (15.0, 40.0))):
        trial = settings()
        files = {"train": (str(tmp_path / "train.h5"),), "max_train_showers": most}
        write(folder.best, trial.model_copy(update={"data": trial.data.model_copy(update=files)}))
        assert load_trained(folder).energy_range() == expected


def test_another_state_of_the_trial_can_be_named(folder: TrialFolder) -> None:
    write(folder.state(5), settings())
    assert load_trained(folder, folder.state(5)).epoch == 5
    with pytest.raises(ConfigError, match=r"0003/best\.pt.*--results"):
        load_trained(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"settings": '{"training": {"filter": 3}}'}, "its settings cannot be read"),
        ({"settings": settings(8).model_dump_json()}, "its weights do not fit"),
        ({"state": {}}, "its weights do not fit"),
        ({"state": None}, "its weights do not fit"),
    ],
)
def test_a_state_of_another_version_is_named_with_the_way_out(folder: TrialFolder, changes: dict[str, Any], message: str) -> None:
    write(folder.best, settings(), **changes)
    with pytest.raises(DataError, match=f"{message}.*delete the trial's folder") as caught:
        load_trained(folder)
    assert caught.value.file == str(folder.best)


def test_a_file_that_is_no_state_is_named(folder: TrialFolder) -> None:
    folder.best.write_bytes(b"not a checkpoint")
    with pytest.raises(DataError, match=r"best\.pt: not a checkpoint"):
        load_trained(folder)


def test_the_best_trial_is_the_earliest_of_the_best() -> None:
    trials = pd.DataFrame({"trial": [0, 1, 2, 3], "best_objective": [2.0, 1.0, float("nan"), 1.0]})
    assert best_trial(trials, "x", "minimize") == 1
    assert best_trial(trials, "x", "maximize") == 0
    with pytest.raises(ConfigError, match="'x' has no trial"):
        best_trial(trials[2:3], "x", "minimize")
