"""Showers by one call: of the shape, unit and conditions that were asked for, and the same for the same seed however many there are."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from trained_states import settings, write

from gan3d.errors import ConfigError
from gan3d.generation.generator import CHUNK, Generator, noise_of_chunk
from gan3d.generation.trained import trial_folder


@pytest.fixture
def generator(tmp_path: Path) -> Generator:
    return loaded(tmp_path)


def loaded(folder: Path, *, polar_angle: bool = False) -> Generator:
    trial = trial_folder(folder, 1)
    trial.path.mkdir(parents=True)
    write(trial.best, settings(polar_angle=polar_angle))
    return Generator.load(trial.path)


def test_showers_are_cells_in_gev_of_the_trials_grid(generator: Generator) -> None:
    cells = generator.sample(incident_energy_gev=[50.0, 100.0, 20.0])
    assert (cells.shape, cells.dtype) == ((3, 12, 12, 12), np.float32)
    threshold = generator.card.threshold_gev
    assert ((cells == 0) | (cells >= threshold)).all()
    assert (cells > 0).any()
    assert generator.sample(50.0).shape == (1, 12, 12, 12)
    assert generator.sample([]).shape == (0, 12, 12, 12)


def test_a_shower_depends_on_its_place_and_the_seed_alone(generator: Generator) -> None:
    energy = np.linspace(10, 100, 2 * CHUNK + 9)
    whole = generator.sample(energy, seed=3)
    assert np.array_equal(generator.sample(energy[: CHUNK + 3], seed=3)[:CHUNK], whole[:CHUNK])
    np.testing.assert_allclose(generator.sample(energy[:5], seed=3), whole[:5], rtol=1e-4, atol=1e-6)
    first, second = whole[:CHUNK], generator.sample(energy[CHUNK : 2 * CHUNK], seed=3)
    assert not np.allclose(first, second), "another chunk has other noise"
    assert not np.allclose(generator.sample(energy[:5], seed=4), whole[:5])


@pytest.mark.parametrize("width", [1, 8, 266, 1001])
def test_noise_of_some_showers_is_that_of_the_first_of_a_chunk(width: int) -> None:
    own = int(np.random.SeedSequence([3, 7]).generate_state(1, np.uint64)[0] >> 1)
    whole = torch.randn(CHUNK, width, generator=torch.Generator().manual_seed(own)).numpy()
    for number in (1, 2, 3, 7, 16, 100, CHUNK - 1, CHUNK):
        assert np.array_equal(noise_of_chunk(number, width, seed=3, number=7), whole[:number])


def test_no_more_noise_is_drawn_than_is_needed() -> None:
    for number, width in ((1, 15_825), (3, 266), (CHUNK, 8)):
        tensor: Any = noise_of_chunk(number, width, seed=3, number=0).base
        assert number * width <= tensor.untyped_storage().nbytes() // 4 < number * width + 16


@pytest.mark.parametrize("seed", [-1, 2**63, 1.5, None])
def test_what_is_no_seed_is_refused(generator: Generator, seed: Any) -> None:
    with pytest.raises(ConfigError, match="whole number from 0 to"):
        generator.sample([50.0], seed=seed)


def test_the_largest_seed_and_numpys_whole_numbers_are_seeds(generator: Generator) -> None:
    assert np.array_equal(generator.sample([50.0], seed=np.int64(7)), generator.sample([50.0], seed=7))  # type: ignore[arg-type]
    assert generator.sample([50.0], seed=2**63 - 1).shape == (1, 12, 12, 12)


def test_a_state_can_be_named_instead_of_its_trial(generator: Generator, tmp_path: Path) -> None:
    state = trial_folder(tmp_path, 1).state(5)
    write(state, settings())
    assert Generator.load(str(state)).card.epoch == 5
    with pytest.raises(ConfigError, match="no folder of a trial"):
        Generator.load(tmp_path)


def test_angles_are_asked_for_where_they_mean_something(generator: Generator, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="normal incidence only"):
        generator.sample([50.0], [1.5])
    inclined = loaded(tmp_path / "inclined", polar_angle=True)
    with pytest.raises(ConfigError, match="give one for each shower"):
        inclined.sample([50.0])
    with pytest.raises(ConfigError, match="between 0 and pi"):
        inclined.sample([50.0], [90.0])
    assert not np.allclose(inclined.sample([50.0, 60.0], [1.2, 1.2]), inclined.sample([50.0, 60.0], [1.9, 1.9]))
    assert np.array_equal(inclined.sample([50.0, 60.0], 1.2), inclined.sample([50.0, 60.0], [1.2, 1.2]))
    for energies, angles in (([50.0, 60.0], [1.2, 1.3, 1.4]), (50.0, [1.2, 1.3]), ([50.0, 60.0], [[1.2], [1.3]])):
        with pytest.raises(ConfigError, match="do not go with"):
            inclined.sample(energies, angles)
    with pytest.raises(ConfigError, match="polar_angle must be numbers"):
        inclined.sample([50.0], ["steep"])  # type: ignore[list-item]


@pytest.mark.parametrize("energy", [[0.0], [-5.0], [np.nan], [np.inf], [[50.0]]])
def test_energies_that_no_electron_has_are_refused(generator: Generator, energy: list[float]) -> None:
    with pytest.raises(ConfigError, match="incident energies must be"):
        generator.sample(energy)


@pytest.mark.parametrize("energy", ["fifty", [50.0, [60.0]]])
def test_what_is_no_list_of_numbers_is_refused(generator: Generator, energy: Any) -> None:
    with pytest.raises(ConfigError, match="incident_energy_gev must be numbers, in one list"):
        generator.sample(energy)
