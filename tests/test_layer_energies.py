from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pydantic import ValidationError
from small_study import SAMPLES
from small_trial import ALONE, checksum, showers_of, small_files, small_files_with_angle, small_trial, trained, trained_in_two_parts

from gan3d.data.shower_file import open_shower_file
from gan3d.models.inference import FastGenerator
from gan3d.models.layer_energies import LayerEnergies
from gan3d.physics.transform import Transform
from gan3d.training.start import start_from
from gan3d.training.state import TrainState, transform_of

FITTED = {"training.generator.layer_energies": "fitted", "training.generator.noise_dim": 40}
TRANSFORM = Transform(threshold_gev=1e-6, cell_scale=1.0, cell_power=1.0)


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("files"))


@pytest.fixture(scope="module")
def geant4() -> tuple[torch.Tensor, torch.Tensor]:
    """Layer energies (N, L) and incident energies (N,) of real showers [GeV]."""
    file = open_shower_file(SAMPLES / "clic_10_100_train.h5")
    showers = file.read(0, file.num_showers)
    return torch.from_numpy(showers.cells).double().sum(dim=(1, 2)), torch.from_numpy(showers.incident_energy).double()


def fitted_to(geant4: tuple[torch.Tensor, torch.Tensor]) -> LayerEnergies:
    layers = LayerEnergies(25, polar_angle=False, transform=TRANSFORM)
    layers.fit_(*geant4, None)
    return layers.double()


def drawn_from(geant4: tuple[torch.Tensor, torch.Tensor]) -> torch.Tensor:
    """As many as there are, at the same incident energies."""
    energy = geant4[1]
    noise = torch.randn(len(energy), 26, generator=torch.Generator().manual_seed(1)).double()
    return fitted_to(geant4).energies(noise, energy)


def test_the_mean_and_spread_of_every_layer_are_those_of_geant4(geant4: tuple[torch.Tensor, torch.Tensor]) -> None:
    real, drawn = (layers / geant4[1][:, None] for layers in (geant4[0], drawn_from(geant4)))
    error = real.std(dim=0) * (2 / len(real)) ** 0.5
    assert ((drawn.mean(dim=0) - real.mean(dim=0)).abs() < 4 * error).all()
    assert (drawn.std(dim=0) / real.std(dim=0)).log().abs().max() < 0.2


def test_so_are_the_response_and_its_spread_though_layers_go_against_each_other(geant4: tuple[torch.Tensor, torch.Tensor]) -> None:
    real, drawn = (layers.sum(dim=1) / geant4[1] for layers in (geant4[0], drawn_from(geant4)))
    assert drawn.mean() == pytest.approx(float(real.mean()), rel=4 * float(real.std() / real.mean()) * (2 / len(real)) ** 0.5)
    assert drawn.std() == pytest.approx(float(real.std()), rel=0.15)
    independent = geant4[0].std(dim=0).square().sum().sqrt()  # what layers that knew nothing of each other would make
    assert (drawn_from(geant4).sum(dim=1)).std() != pytest.approx(float(independent), rel=0.5)


def test_correlations_of_layers_are_those_of_geant4(geant4: tuple[torch.Tensor, torch.Tensor]) -> None:
    real, drawn = (torch.corrcoef((layers / layers.sum(dim=1, keepdim=True)).sqrt().T) for layers in (geant4[0], drawn_from(geant4)))
    assert (real - drawn).square().mean().sqrt() < 2.5 / len(geant4[1]) ** 0.5


@pytest.mark.parametrize(
    "changes", [{}, {"data.cell_power": 0.85}, {"data.cell_curve": "logarithm"}, {"training.generator.output": "rectified_normal"}]
)
def test_cells_of_a_layer_sum_to_its_energy(files: Path, changes: dict[str, object]) -> None:
    settings = small_trial(files, FITTED | changes)
    state = TrainState(settings, ALONE)
    start_from(showers_of(settings).train, state, settings)
    noise, energy = torch.randn(6, 40), torch.linspace(20, 90, 6)
    layers = state.generator.layer_energies
    assert layers is not None
    # Young networks leave cells of some layers empty, which nothing can scale.
    cells = transform_of(settings).to_gev(layers(torch.rand(6, *settings.data.grid), noise, energy))
    assert cells.sum(dim=(1, 2)) == pytest.approx(layers.energies(noise, energy), rel=1e-4)


def test_a_layer_without_cells_stays_empty() -> None:
    layers = LayerEnergies(4, polar_angle=False, transform=TRANSFORM)
    cells = torch.ones(2, 3, 3, 4)
    cells[..., 2] = 0
    found = layers(cells, torch.randn(2, 8), torch.tensor([10.0, 20.0]))
    assert torch.isfinite(found).all()
    assert (found[..., 2] == 0).all()


@pytest.mark.parametrize("spectrum", ["network", "fitted"])
def test_what_generates_fast_scales_and_bends_alike(files: Path, spectrum: str) -> None:
    changes = {"training.generator.output": "rectified_normal", "training.generator.cell_spectrum": spectrum}
    settings = small_trial(files, FITTED | changes)
    state = TrainState(settings, ALONE)
    start_from(showers_of(settings).train, state, settings)
    noise, energy = torch.randn(6, 40), torch.linspace(20, 90, 6)
    with torch.no_grad():
        slow = state.generator.eval()(noise, energy)
    assert FastGenerator.of(state.generator)(noise, energy) == pytest.approx(slow, rel=1e-3, abs=1e-6)


def test_four_epochs_are_two_a_checkpoint_and_two(files: Path) -> None:
    settings = small_trial(files, FITTED | {"training.epochs": 4, "training.generator_average": 0.9})
    whole, _ = trained(settings)
    assert checksum(trained_in_two_parts(settings, first=2).generator) == checksum(whole.generator)


def test_showers_with_a_polar_angle_have_layer_energies_that_follow_it(tmp_path: Path) -> None:
    settings = small_trial(small_files_with_angle(tmp_path), FITTED | {"training.polar_angle": True, "training.epochs": 1})
    state, records = trained(settings)
    assert records[0].losses.generator_total > 0
    layers, noise, energy = state.generator.layer_energies, torch.randn(2, 40), torch.full((2,), 50.0)
    assert layers is not None
    upright, tilted = (layers.energies(noise, energy, torch.full((2,), angle)) for angle in (1.57, 1.1))
    assert not torch.allclose(upright, tilted)


def test_too_short_a_noise_is_refused(files: Path) -> None:
    with pytest.raises(ValidationError, match="noise_dim"):
        small_trial(files, FITTED | {"training.generator.noise_dim": 9})
