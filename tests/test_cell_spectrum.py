"""The curve that gives generated cells the spectrum of real ones, by itself and in a trial."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from small_trial import ALONE, checksum, showers_of, small_files, small_trial, trained, trained_in_two_parts

from gan3d.config.training import TrialSettings
from gan3d.models.cell_spectrum import MATCHED_GEV, CellSpectrum, numbers_above
from gan3d.training.start import start_from
from gan3d.training.state import TrainState, transform_of

RECIPE: dict[str, Any] = {
    "training.generator.output": "rectified_normal",
    "training.generator.layer_energies": "fitted",
    "training.generator.noise_dim": 40,
    "data.cell_power": 0.5,
}
CURVED = RECIPE | {"training.generator.cell_spectrum": "fitted"}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return small_files(tmp_path_factory.mktemp("files"))


def of_powers(power: float, number: int = 200_000) -> torch.Tensor:
    """Cells [GeV] whose number above an energy falls with its logarithm to a power."""
    uniform = torch.rand(number, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    return 10 ** (-6 + 5 * uniform**power)


def test_as_many_cells_are_above_each_energy_as_are_wanted() -> None:
    wanted, generated = of_powers(0.6).view(10, 10, 10, 200), of_powers(1.4)
    curve = CellSpectrum().double()
    numbers = numbers_above(wanted).sum(dim=0)
    curve.fit_(generated, numbers)
    energies = torch.tensor(MATCHED_GEV, dtype=torch.float64)
    before, after = ((cells[:, None] > energies).sum(dim=0) for cells in (generated, curve(generated).detach()))
    assert (before[1:] / numbers[1:]).log().abs().min() > 0.05
    # Of the first knot nothing is changed: brighter cells are the network's.
    offset = (generated.sort(descending=True).values[numbers[0]] / energies[0]).log()
    curve.knots.sub_(offset)
    after = (curve(generated / offset.exp()).detach()[:, None] > energies).sum(dim=0)
    assert after.tolist() == pytest.approx(numbers.tolist(), rel=2e-3)


def test_numbers_above_are_counted() -> None:
    cells = torch.rand(3, 4, 5, 6, generator=torch.Generator().manual_seed(2)).pow(8) * 0.1
    expected = [[int((shower > energy).sum()) for energy in MATCHED_GEV] for shower in cells.double()]
    assert numbers_above(cells.double()).tolist() == expected


@pytest.mark.parametrize("power", [0.6, 1.0, 1.4])
def test_it_keeps_the_order_of_cells_and_leaves_bright_ones_and_zeros_alone(power: float) -> None:
    curve = CellSpectrum().double()
    curve.fit_(of_powers(1.0), numbers_above(of_powers(power).view(1, 1, 1, -1))[0])
    energies = torch.cat([torch.zeros(1), torch.logspace(-8, 0, 500)]).double()
    found = curve(energies).detach()
    assert found[0] == 0
    assert (found.diff() > 0).all()
    bright = energies.log() > curve.knots[0]
    assert torch.equal(found[bright], energies[bright])


def test_showers_without_faint_cells_and_without_any_can_be_matched() -> None:
    for generated, numbers in ((torch.zeros(100), [0] * 11), (torch.zeros(100), [5] * 11), (of_powers(1.0, 100), [0] * 5 + [1000] * 6)):
        curve = CellSpectrum()
        curve.fit_(generated.float(), torch.tensor(numbers))
        assert curve.bend.isfinite().all()
        assert curve(generated.float()).isfinite().all()


def started(files: Path, changes: dict[str, Any]) -> tuple[TrialSettings, TrainState]:
    settings = small_trial(files, changes)
    state = TrainState(settings, ALONE)
    start_from(showers_of(settings).train, state, settings)
    return settings, state


def test_a_generator_starts_with_the_spectrum_of_geant4(files: Path) -> None:
    def numbers(changes: dict[str, Any]) -> torch.Tensor:
        settings, state = started(files, changes)
        train = showers_of(settings).train
        noise = torch.randn(len(train), 40, generator=torch.Generator().manual_seed(3))
        with torch.no_grad():
            cells = state.generator.eval()(noise, torch.from_numpy(train.incident_energies()))
        return numbers_above(transform_of(settings).to_gev(cells)).double().mean(dim=0).diff()

    real = numbers_above(torch.from_numpy(showers_of(small_trial(files, CURVED)).train.read(range(48)).cells)).double().mean(dim=0).diff()
    with_curve, without = ((numbers(changes) / real).log() for changes in (CURVED, RECIPE))
    assert with_curve.abs().max() < 0.25
    assert without.max() > 1.0  # of cells fainter than a tenth of an MeV, which hardly any are


def test_bends_are_trained_and_kept_in_a_checkpoint(files: Path) -> None:
    settings = small_trial(files, CURVED | {"training.epochs": 4, "training.generator_average": 0.9})
    _, begun = started(files, CURVED)
    whole, _ = trained(settings)
    assert checksum(trained_in_two_parts(settings, first=2).judged()) == checksum(whole.judged())
    curves = [state.judged().layer_energies.spectrum for state in (begun, whole)]  # type: ignore[union-attr]
    assert curves[0] is not None
    assert curves[1] is not None
    torch.testing.assert_close(curves[0].knots, curves[1].knots)
    assert (curves[0].bend - curves[1].bend).abs().min() > 1e-6, "each of them moves"


@pytest.mark.parametrize("changes", [{"training.generator.output": "relu"}, {"training.generator.layer_energies": "network"}])
def test_what_it_does_not_go_with_is_refused(tmp_path: Path, changes: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="cell_spectrum"):
        small_trial(tmp_path, CURVED | changes)
