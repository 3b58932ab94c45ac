"""Generated showers that ignore the polar angle they are conditioned on are far from the Monte Carlo, as it is compared in bins of it."""

from __future__ import annotations

from dataclasses import asdict, replace
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from shower_makers import GRID, random_showers
from torch import Tensor, nn

from gan3d.config.training import TrialSettings
from gan3d.data.showers import Showers
from gan3d.generation.held_out import measure_held_out
from gan3d.generation.resampling import resample_counts, resampled_sums
from gan3d.generation.trained import Trained
from gan3d.physics.binning import NUM_ANGLE_BINS, Binning
from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.distance import DISTANCES, with_scalars
from gan3d.physics.matching import matched_draws
from gan3d.physics.sums import ShowerSums
from gan3d.simulation.simulate import simulate
from gan3d.training.clock import PhaseClock
from gan3d.training.ranks import Ranks
from gan3d.training.showers import TrialShowers, open_showers, sums_of
from gan3d.training.state import transform_of
from gan3d.training.validate import validate

ALONE = Ranks()


@pytest.fixture(scope="module")
def settings(tmp_path_factory: pytest.TempPathFactory) -> TrialSettings:
    """A trial on the middle of the wide window, of electrons at 60 to 120 degrees."""
    folder = tmp_path_factory.mktemp("showers")
    beam = {"incident_energy_gev": (10.0, 100.0), "polar_angle_rad": (np.pi / 3, 2 * np.pi / 3)}
    for seed, (name, number) in enumerate((("train", 700), ("validation", 240)), start=1):
        simulate(folder / f"{name}.h5", calorimeter=calorimeter("clic_wide"), num_showers=number, seed=seed, **beam)  # type: ignore[arg-type]
    networks = {"generator": {"filters": [4, 4, 4], "kernel": 3, "noise_dim": 8}, "discriminator": {"filters": [4, 4, 4, 4], "kernel": 3}}
    data = {"train": [str(folder / "train.h5")], "validation": [str(folder / "validation.h5")], "grid": (25, 25, 25), "crop": True}
    training = {"global_batch": 16, "polar_angle": True, **networks}
    return TrialSettings.model_validate({"training": training, "workers": {}, "data": data})


@pytest.fixture(scope="module")
def showers(settings: TrialSettings) -> TrialShowers:
    return open_showers(settings.data, ALONE, polar_angle=True)


def partners(showers: TrialShowers, *, of_the_angle: bool) -> Showers:
    """Training showers of about the validation showers' energies and, if asked for, angles, made to have these: an ideal generator's."""
    wanted, angles = showers.validation, (showers.train.polar_angles(), showers.validation.polar_angle)
    pairs: dict[str, object] = {"polar_angles": angles} if of_the_angle else {}
    (draw,) = matched_draws(showers.train.incident_energies(), wanted.incident_energy, num_draws=1, seed=9, **pairs)  # type: ignore[arg-type]
    found = showers.train.read(draw)
    return replace(wanted, cells=found.cells * (wanted.incident_energy / found.incident_energy)[:, None, None, None])


def distances_of(showers: TrialShowers, found: Showers) -> dict[str, float]:
    return with_scalars(sums_of(found, showers.monte_carlo.binning, 1e-6), showers.monte_carlo)


def test_a_generator_that_ignores_its_angle_is_far_above_the_floor(settings: TrialSettings, showers: TrialShowers) -> None:
    right, blind = (distances_of(showers, partners(showers, of_the_angle=of_it)) for of_it in (True, False))
    floor = showers.floor["shower_distance"]
    assert right["shower_distance"] < 1.3 * floor
    assert blind["shower_distance"] > 1.7 * floor
    for name in ("shower_distance_low_energy", "shower_distance_high_energy"):
        assert blind[name] > 1.4 * showers.floor[name]
    # As far as all angles together tell, it is as good as any: so it was judged before.
    together = open_showers(settings.data, ALONE, polar_angle=False)
    assert distances_of(together, partners(showers, of_the_angle=False))["shower_distance"] < 1.3 * together.floor["shower_distance"]


class Replay(nn.Module):
    """Monte Carlo in a generator's place: for each incident energy the same shower, whatever the angle."""

    def __init__(self, found: Showers, energies: np.ndarray, settings: TrialSettings) -> None:
        super().__init__()
        self.place = {float(energy): number for number, energy in enumerate(energies)}
        self.cells = nn.Parameter(transform_of(settings).to_network(torch.from_numpy(found.cells)))
        self.conditioning = SimpleNamespace(has_polar_angle=True)
        self.num_noise = 1

    def forward(self, _noise: Tensor, incident_energy: Tensor, polar_angle: Tensor) -> Tensor:
        assert polar_angle.shape == incident_energy.shape
        return self.cells[[self.place[energy] for energy in incident_energy.tolist()]]


@pytest.mark.parametrize(("of_the_angle", "ratio"), [(True, (0.8, 1.3)), (False, (1.7, 3.0))])
def test_held_out_showers_are_compared_in_bins_of_the_angle_too(
    settings: TrialSettings, showers: TrialShowers, of_the_angle: bool, ratio: tuple[float, float]
) -> None:
    held_out = showers.validation
    generator = Replay(partners(showers, of_the_angle=of_the_angle), held_out.incident_energy, settings)
    trained = Trained(generator, settings, transform_of(settings), 1)  # type: ignore[arg-type]
    found = measure_held_out(trained, held_out, noise_seeds=[1], num_resamples=2)
    assert ratio[0] < found.trained.value[0] / found.floor.value[0] < ratio[1]


CELLS, ENERGY = random_showers(360, seed=1)
OTHER = random_showers(360, seed=2)[0]
#: Turns over all angles again and again as energies rise.
ANGLE = torch.linspace(0.0, 1.0, 12).repeat(30) + 1.0


def like_their_angle(cells: Tensor, angle: Tensor) -> Tensor:
    """Showers whose everything changes with the angle: the place, the width, the energy and how it fluctuates."""
    is_steep = (angle > ANGLE.median())[:, None, None, None]
    noise = 1 + 0.3 * torch.randn(len(cells), 1, 1, 1, generator=torch.Generator().manual_seed(3))
    other = (cells + cells.roll((2, 2), (1, 2))).roll((2, 2, 3), (1, 2, 3)) * noise.clamp(0.2)
    return torch.where(is_steep, other, cells)


@pytest.mark.parametrize("name", DISTANCES)
def test_each_of_the_ten_sees_the_angle(name: str) -> None:
    binning = Binning.from_incident_energy(GRID, ENERGY, polar_angle=ANGLE)
    shuffled = ANGLE.view(-1, 12).flip(1).flatten()

    def sums(cells: Tensor) -> ShowerSums:
        found = ShowerSums(binning)
        found.add(cells, ENERGY, ANGLE)
        return found

    monte_carlo = sums(like_their_angle(CELLS, ANGLE))
    right, wrong = (with_scalars(sums(like_their_angle(OTHER, angle)), monte_carlo) for angle in (ANGLE, shuffled))
    assert wrong[name] > 2 * right[name]


def test_bins_are_of_the_energy_and_of_the_angle() -> None:
    binning = Binning.from_incident_energy(GRID, ENERGY, polar_angle=ANGLE)
    assert (binning.num_energy_bins, binning.num_angle_bins, binning.num_bins) == (2, NUM_ANGLE_BINS, 6)
    found = binning.bin_of(ENERGY, ANGLE)
    assert torch.equal(found // 3, binning.energy_bin(ENERGY))
    assert torch.bincount(found).tolist() == [60] * 6
    assert bool((ANGLE[found % 3 == 0].max() < ANGLE[found % 3 == 1].min()).all())
    with pytest.raises(ValueError, match="binned by polar angle, and these have none"):
        ShowerSums(binning).add(CELLS, ENERGY)


@pytest.mark.parametrize("angle", [None, np.full(360, 1.5)])
def test_without_different_angles_bins_are_of_the_energy_alone(angle: np.ndarray | None) -> None:
    assert Binning.from_incident_energy(GRID, ENERGY, polar_angle=angle) == Binning.from_incident_energy(GRID, ENERGY)


def test_the_low_energies_are_those_of_all_angles() -> None:
    binning = Binning.from_incident_energy(GRID, ENERGY, polar_angle=ANGLE)
    low = Binning((*GRID,), (), binning.threshold_gev, binning.spectrum_decades, binning.angle_edges)
    chosen = binning.energy_bin(ENERGY) == 0

    def sums(cells: Tensor, of: Binning, rows: Tensor) -> ShowerSums:
        found = ShowerSums(of)
        found.add(cells[rows], ENERGY[rows], ANGLE[rows])
        return found

    every = torch.ones(len(ENERGY), dtype=torch.bool)
    found = with_scalars(sums(OTHER, binning, every), sums(CELLS, binning, every))["shower_distance_low_energy"]
    assert found == pytest.approx(with_scalars(sums(OTHER, low, chosen), sums(CELLS, low, chosen))["shower_distance"], rel=1e-12)


def test_resamples_are_binned_by_the_angle() -> None:
    binning = Binning.from_incident_energy(GRID, ENERGY, polar_angle=ANGLE)
    chunks = list(zip(CELLS.split(50), ENERGY.split(50), strict=True))
    (found,) = resampled_sums(chunks, resample_counts(360, 0), binning, ANGLE)
    expected = ShowerSums(binning)
    expected.add(CELLS, ENERGY, ANGLE)
    torch.testing.assert_close(found.vector, expected.vector, rtol=1e-9, atol=1e-9)


def test_partners_are_near_in_energy_and_angle() -> None:
    random = np.random.default_rng(1)
    energy, angle = random.uniform(10, 100, 4000), random.uniform(1, 2, 4000)
    wanted, at = random.uniform(10, 100, 1500), random.uniform(1, 2, 1500)
    for draw in matched_draws(energy, wanted, polar_angles=(angle, at), num_draws=2):
        assert len(set(draw.tolist())) > 0.95 * len(draw)
        # A 16th part of all is near in both, so a 250th is taken: each within about 3 % of its range, 6 % at an end.
        assert np.abs(energy[draw] - wanted).max() < 0.09 * 90
        assert np.abs(angle[draw] - at).mean() < 0.05
        assert abs(np.mean(energy[draw] - wanted)) < 0.3
    few = matched_draws(energy[:5], wanted[:9], polar_angles=(angle[:5], at[:9]), num_draws=1)[0]
    assert set(few.tolist()) <= set(range(5))


def test_the_record_of_a_trial_is_of_its_angles(settings: TrialSettings, showers: TrialShowers) -> None:
    """As the training's validation measures it, chunk by chunk."""
    generator = Replay(partners(showers, of_the_angle=False), showers.validation.incident_energy, settings)
    state = SimpleNamespace(judged=lambda: generator, average=None, step=0)
    found = asdict(validate(state, transform_of(settings), showers, ALONE, PhaseClock(), noise_seed=1))  # type: ignore[arg-type]
    expected = distances_of(showers, partners(showers, of_the_angle=False))
    assert {name: found[name] for name in expected} == pytest.approx(expected, rel=1e-4)
