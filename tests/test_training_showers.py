"""A trial's showers are opened by all its ranks together, whatever trials some of them had in between."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from gloo_processes import gloo_processes
from small_trial import ALONE, showers_of, small_files, small_trial

from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.shower_writer import ShowerWriter
from gan3d.physics.binning import Binning
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.distance import DISTANCES
from gan3d.simulation.simulate import shower_batch
from gan3d.training.ranks import Ranks
from gan3d.training.showers import TrialShowers, floor_of, sums_of


@pytest.fixture
def settings(tmp_path: Path) -> TrialSettings:
    return small_trial(small_files(tmp_path))


def of_two_around_one(ranks: Ranks, settings: TrialSettings) -> bool:
    """As a team of two trains trials of two workers, one and two; whether the second trial of two found what the first had opened."""
    first = showers_of(settings, ranks)
    if ranks.rank == 0:
        assert len(showers_of(settings).validation) == len(first.validation) * 2
    again = showers_of(settings, ranks)
    ranks.barrier()
    return again is first


def test_a_smaller_trial_in_between_leaves_the_ranks_of_a_larger_one_agreed(settings: TrialSettings, tmp_path: Path) -> None:
    folder = tmp_path / "store"
    folder.mkdir()
    with gloo_processes(2, folder) as processes:
        assert processes.run(of_two_around_one, settings) == [True, True]


def test_trials_with_the_same_data_share_what_is_open(settings: TrialSettings) -> None:
    assert showers_of(settings) is showers_of(settings.model_copy())


def test_other_data_is_opened_anew(settings: TrialSettings) -> None:
    fewer = settings.data.model_copy(update={"max_train_showers": 16})
    found: list[TrialShowers] = [showers_of(each, ALONE) for each in (settings, settings.model_copy(update={"data": fewer}), settings)]
    assert [len(one.train) for one in found] == [48, 16, 48]


@pytest.fixture(scope="module")
def sorted_files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Embedded showers by rising energy."""
    folder = tmp_path_factory.mktemp("sorted")
    for name, number, seed in (("train", 1200, 1), ("validation", 400, 2)):
        showers = shower_batch(calorimeter("clic"), num_showers=number, incident_energy_gev=(10, 100), seed=seed)
        rising = np.argsort(showers.incident_energy)
        with ShowerWriter(folder / f"{name}.h5", showers.cells.shape[1:], is_polar=False, has_polar_angle=False) as writer:
            writer.append(showers.cells[rising], showers.incident_energy[rising], np.full(number, np.pi / 2, np.float32))
    return folder


def test_the_floor_of_a_part_of_the_validation_set_is_that_of_all_of_it(sorted_files: Path) -> None:
    train, validation = (ShowerSet.open([str(sorted_files / f"{name}.h5")]) for name in ("train", "validation"))
    binning = Binning.from_incident_energy(train.grid, validation.incident_energies())
    monte_carlo = sums_of(validation.read(np.arange(len(validation))), binning, 1e-6)
    whole, part = (floor_of(train, validation, monte_carlo, 1e-6, ALONE, most=most) for most in (400, 100))
    assert part["shower_distance"] == pytest.approx(whole["shower_distance"], rel=0.15)
    ratios = [part[name] / whole[name] for name in DISTANCES]
    assert 0.85 < np.exp(np.mean(np.log(ratios))) < 1.15
