"""On held-out showers: Monte Carlo in the generator's place is near the floor, smearing is seen, untrained is untrained."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from held_out_showers import write_held_out
from small_study import GRID, write_showers
from torch import nn

from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.showers import Showers
from gan3d.errors import ConfigError, DataError
from gan3d.generation.estimates import QUANTITIES
from gan3d.generation.held_out import fit_baseline, measure_held_out, open_held_out
from gan3d.generation.trained import Trained
from gan3d.physics.baseline import MeanShower
from gan3d.physics.binning import Binning
from gan3d.physics.distance import distances
from gan3d.physics.matching import matched_draws
from gan3d.training.ranks import Ranks
from gan3d.training.showers import sums_of
from gan3d.training.state import TrainState, transform_of


class Replay(nn.Module):
    """Monte Carlo in a generator's place: another shower of about the same incident energy, times exp(smearing x noise)."""

    def __init__(self, candidates: Showers, wanted: np.ndarray, trial: TrialSettings, smearing: float = 0.0) -> None:
        super().__init__()
        (partner,) = matched_draws(candidates.incident_energy, wanted, num_draws=1, seed=9)
        self.partner = {float(energy): int(place) for energy, place in zip(wanted, partner, strict=True)}
        self.cells = nn.Parameter(transform_of(trial).to_network(torch.from_numpy(candidates.cells)))
        self.smearing = smearing
        self.conditioning = SimpleNamespace(has_polar_angle=False)
        self.num_noise = 1

    def forward(self, noise: torch.Tensor, incident_energy: torch.Tensor, _: torch.Tensor | None) -> torch.Tensor:
        index = [self.partner[energy] for energy in incident_energy.tolist()]
        return self.cells[index] * torch.exp(self.smearing * noise[:, 0])[:, None, None, None]


@pytest.fixture(scope="module")
def trial(tmp_path_factory: pytest.TempPathFactory) -> TrialSettings:
    train, validation = write_showers(tmp_path_factory.mktemp("files"), num_train=400)
    networks = {"generator": {"filters": [4, 4, 4], "kernel": 3, "noise_dim": 8}, "discriminator": {"filters": [4, 4, 4, 4], "kernel": 3}}
    data = {"train": [str(train)], "validation": [str(validation)], "grid": GRID, "cell_scale": 30.0}
    return TrialSettings.model_validate({"training": {"global_batch": 16, **networks}, "workers": {"per_trial": 1}, "data": data})


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory, trial: TrialSettings) -> Showers:
    return open_held_out([str(write_held_out(tmp_path_factory.mktemp("held_out"), 120))], trial.data)


def replayed(trial: TrialSettings, held_out: Showers, smearing: float) -> Trained:
    train = ShowerSet.open(trial.data.train)
    candidates = train.read(np.arange(len(train)))
    generator = Replay(candidates, held_out.incident_energy, trial, smearing)
    return Trained(generator, trial, transform_of(trial), 1)  # type: ignore[arg-type]


def test_monte_carlo_in_the_generator_s_place_is_at_the_floor(trial: TrialSettings, held_out: Showers) -> None:
    found = measure_held_out(replayed(trial, held_out, 0.0), held_out, noise_seeds=[1])
    floor = found.floor.value[0]
    assert abs(found.trained.value[0] - floor) < 0.25 * floor
    assert found.trained.standard_errors_below(found.baseline) > 4
    assert found.trained.standard_errors_below(found.untrained) > 10
    assert found.num_showers == 120


def test_more_smearing_is_further_away(trial: TrialSettings, held_out: Showers) -> None:
    found = [measure_held_out(replayed(trial, held_out, smearing), held_out, num_resamples=2).trained for smearing in (0.0, 0.1, 0.3)]
    for name in ("shower_distance", "resolution"):
        values = [one.value[QUANTITIES.index(name)] for one in found]
        assert values == sorted(values)
        assert values[2] > 1.3 * values[0]
    assert found[0].draw_error == pytest.approx(0.0)
    assert found[2].draw_error[QUANTITIES.index("resolution")] > 0


def test_the_baseline_s_distances_are_those_of_the_mean_shower(trial: TrialSettings, held_out: Showers) -> None:
    train = ShowerSet.open(trial.data.train)
    showers = train.read(np.arange(len(train)))
    threshold = trial.data.threshold_gev
    cells = torch.from_numpy(np.where(showers.cells < threshold, 0, showers.cells))
    mean = MeanShower.fit(cells, torch.from_numpy(showers.incident_energy))
    torch.testing.assert_close(fit_baseline(train, threshold).cells_per_gev, mean.cells_per_gev)
    binning = Binning.from_incident_energy(train.grid, held_out.incident_energy)
    generated = mean(torch.from_numpy(held_out.incident_energy)).numpy()
    expected = distances(*(sums_of(one, binning, threshold) for one in (replace(held_out, cells=generated), held_out)))
    found = measure_held_out(replayed(trial, held_out, 0.0), held_out, noise_seeds=[1], num_resamples=2).baseline
    assert dict(zip(QUANTITIES[1:], found.value[1:], strict=True)) == pytest.approx(expected, rel=1e-4)


def test_a_generator_before_its_first_step_is_the_untrained_one(trial: TrialSettings, held_out: Showers) -> None:
    fresh = Trained(TrainState(trial, Ranks()).generator, trial, transform_of(trial), 0)
    found = measure_held_out(fresh, held_out, noise_seeds=[1, 2], num_resamples=3)
    np.testing.assert_array_equal(found.trained.of_draws, found.untrained.of_draws)
    assert found.trained.standard_errors_below(found.untrained) == 0.0
    assert not np.array_equal(found.trained.of_draws[0], found.trained.of_draws[1])


@pytest.mark.parametrize("name", ["train", "validation"])
def test_files_of_the_trial_are_not_held_out(trial: TrialSettings, name: str) -> None:
    (used,) = getattr(trial.data, name)
    with pytest.raises(ConfigError, match=rf"a file of data\.{name} of this trial.*not held out"):
        open_held_out([str(Path(used).parent / "*.h5") if name == "train" else used], trial.data)


def test_files_that_it_was_pre_trained_on_are_not_held_out(trial: TrialSettings, tmp_path: Path) -> None:
    used = str(write_held_out(tmp_path))
    data = trial.data.model_copy(update={"pretrain": ("absent.h5", used)})
    with pytest.raises(ConfigError, match=r"a file of data\.pretrain of this trial.*not held out"):
        open_held_out([used], data)


def test_showers_that_cannot_be_used_are_named(trial: TrialSettings, tmp_path: Path) -> None:
    held_out = str(write_held_out(tmp_path))
    with pytest.raises(DataError, match=r"held_out\.h5: the generator was trained with polar angles"):
        open_held_out([held_out], trial.data, polar_angle=True)
    with pytest.raises(DataError, match=r"held_out\.h5: a standard error needs two showers"):
        open_held_out([held_out], trial.data, 1)
