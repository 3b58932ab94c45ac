"""A trial's showers are opened by all its ranks together, whatever trials some of them had in between."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from gloo_processes import gloo_processes
from small_trial import ALONE, showers_of, small_files, small_trial

from gan3d.config.training import TrialSettings
from gan3d.data.dataset import ShowerSet
from gan3d.data.shower_writer import ShowerWriter
from gan3d.models.observable_matching import ObservableDistributions, ObservableSet, powers
from gan3d.models.response import ResponseCurve
from gan3d.physics.binning import Binning
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.distance import DISTANCES
from gan3d.physics.observables import READOUT_THRESHOLD_GEV
from gan3d.physics.transform import Transform
from gan3d.simulation.simulate import shower_batch
from gan3d.training import start
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


def test_what_is_fitted_to_a_part_of_sorted_files_is_fitted_to_all_energies(sorted_files: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    train = ShowerSet.open([str(sorted_files / "train.h5")])
    every = train.read(np.arange(len(train)))
    cells, energy = torch.from_numpy(every.cells), torch.from_numpy(every.incident_energy)
    for name in ("MOST_SHOWERS", "MOST_OBSERVED"):
        monkeypatch.setattr(start, name, 300)
    middle = len(train) // 2
    for kind in ("moments", "layers"):
        distributions = start.fitted_distributions.__wrapped__(train, kind, 1e-6)
        # 0.00 and 0.24 (of more observables than showers); 2.1 and 8.2 where the 300 are those of least energy.
        assert float(distributions.distance(cells[1::4], energy[1::4])) < 0.5
    fitted = start.fitted_cells.__wrapped__(train, Transform(1e-6, 100.0, 0.5), has_impact=False)
    halves = [energy[:middle].log().mean(), energy[middle:].log().mean()]
    assert fitted.log_energy.tolist() == pytest.approx([float(half) for half in halves], abs=0.1)


@pytest.mark.parametrize(("number", "most"), [(5, 100), (100, 100), (101, 100), (1000, 100), (200_000, 1000), (70, 10)])
def test_rows_are_different_and_from_all_over(number: int, most: int) -> None:
    rows = start.rows_all_over(number, most)
    assert len(rows) == len(set(rows.tolist())) <= max(most, start.RUN)
    assert (np.diff(rows) > 0).all()
    assert rows[0] == 0
    assert rows[-1] < number
    if number <= most:
        assert len(rows) == number
    elif most >= 2 * start.RUN:
        assert rows[-1] == number - 1
        assert len(rows) > most - start.RUN
        assert np.diff(rows).max() < 2 * number / (most // start.RUN)


def test_targets_of_the_generator_are_of_read_out_cells(tmp_path: Path) -> None:
    """As what the discriminator sees and validation judges: a threshold takes a few percent of the energy out of all of them."""
    threshold = 3e-4
    files = small_files(tmp_path)
    settings = small_trial(files, {"data.threshold_gev": threshold, "training.loss_weights.observables": 1.0})
    showers = showers_of(settings)
    every = showers.train.read(np.arange(len(showers.train)))
    read_out = np.where(every.cells >= threshold, every.cells, 0).sum((1, 2, 3))
    assert read_out.sum() < 0.99 * every.cells.sum()
    np.testing.assert_allclose(showers.train.deposited_energies(), read_out, rtol=1e-5)
    assert showers.response(settings.training) == ResponseCurve.fit(every.incident_energy, showers.train.deposited_energies())
    distributions = start.observable_distributions(showers.train, settings, ALONE.device)
    assert distributions is not None
    terms = powers(torch.from_numpy(every.incident_energy))
    expected = float((terms @ distributions.coefficients)[:, 0].mean())  # the sampling fraction
    assert expected == pytest.approx(float((read_out / every.incident_energy).mean()), rel=1e-3)


def test_cells_are_read_out_above_the_detectors_threshold(tmp_path: Path) -> None:
    """In the bins of the distances, and in what the loss on observables is fitted to and looks at."""
    files, low = small_files(tmp_path), 1.5e-5
    settings = [small_trial(files, {"training.loss_weights.observables": 1.0} | more) for more in ({}, {"data.readout_threshold_gev": low})]
    assert settings[0].data.readout_threshold_gev == READOUT_THRESHOLD_GEV
    occupancies, distributions = [], []
    for one in settings:
        monte_carlo = showers_of(one).monte_carlo
        assert monte_carlo.binning.threshold_gev == one.data.readout_threshold_gev
        nodes, share = monte_carlo.binning.nodes()[-1], monte_carlo.per_shower("scalars")[0, -1]
        occupancies.append(float(nodes @ share))
        found = start.observable_distributions(showers_of(one).train, one, ALONE.device)
        assert found is not None
        distributions.append(found)
    shard = showers_of(settings[1]).validation
    assert occupancies[1] == pytest.approx(float((shard.cells > low).mean()), rel=1e-3)
    assert occupancies[1] > 1.5 * occupancies[0]
    # The mean logarithm of the occupancy, the last of the observables, is of more cells; and so are a batch's.
    assert float(distributions[1].coefficients[0, 10]) > float(distributions[0].coefficients[0, 10]) + 0.3
    every = showers_of(settings[1]).train.read(np.arange(48))
    cells, energy = torch.from_numpy(every.cells), torch.from_numpy(every.incident_energy)
    assert float(distributions[1].distance(cells, energy)) < 0.1
    assert float(replace(distributions[1], threshold_gev=READOUT_THRESHOLD_GEV).distance(cells, energy)) > 0.3


@pytest.mark.parametrize("kind", ["moments", "layers"])
def test_the_loss_on_observables_keeps_its_threshold(kind: ObservableSet) -> None:
    cells, energy = torch.rand(64, 8, 8, 9, generator=torch.Generator().manual_seed(1)) * 6e-4, torch.linspace(10, 100, 64)
    low, high = (ObservableDistributions.fit([(cells, energy)], kind, threshold_gev=threshold) for threshold in (1e-4, 5e-4))
    assert low.to(torch.device("cpu")).threshold_gev == 1e-4
    found = [float(one.distance(cells, energy)) for one in (low, high)]
    assert found[0] == pytest.approx(found[1], abs=0.3)
    assert float(replace(low, threshold_gev=5e-4).distance(cells, energy)) > found[0] + 0.5


def test_the_floor_of_a_part_of_the_validation_set_is_that_of_all_of_it(sorted_files: Path) -> None:
    train, validation = (ShowerSet.open([str(sorted_files / f"{name}.h5")]) for name in ("train", "validation"))
    binning = Binning.from_incident_energy(train.grid, validation.incident_energies())
    monte_carlo = sums_of(validation.read(np.arange(len(validation))), binning, 1e-6)
    whole, part = (floor_of(train, validation, monte_carlo, 1e-6, ALONE, most=most) for most in (400, 100))
    assert part["shower_distance"] == pytest.approx(whole["shower_distance"], rel=0.15)
    ratios = [part[name] / whole[name] for name in DISTANCES]
    assert 0.85 < np.exp(np.mean(np.log(ratios))) < 1.15
