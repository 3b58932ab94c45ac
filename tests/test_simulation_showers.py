"""Laws of the parametrised shower: along the depth, across it, and as cells."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from gan3d.physics.calorimeter_file import calorimeter
from gan3d.physics.readout import SquareCells
from gan3d.simulation.comparison import spread_at_fixed_energy, summarise
from gan3d.simulation.constants import ShowerConstants, fitted_constants
from gan3d.simulation.longitudinal import (
    fluctuate_sampling,
    profile,
    profile_growth,
    relative_depth,
    sampling_fraction,
    shape_fluctuations,
    shapes,
    shower_depths,
    visible_energy,
)
from gan3d.simulation.radial import draw_offsets, radii
from gan3d.simulation.spots import _spot_weights, shower_cells

CALORIMETERS = {name: calorimeter(name) for name in ("clic", "uniform")}
CLIC, UNIFORM = CALORIMETERS.values()
PUBLISHED = ShowerConstants()
NORMAL = np.pi / 2


def generator() -> np.random.Generator:
    return np.random.default_rng(7)


def typical_shapes(*energies: float, calorimeter=CLIC, constants=PUBLISHED):
    return shapes(np.array(energies), np.zeros((len(energies), 2)), calorimeter.medium, constants)


@pytest.fixture(scope="module")
def showers_of_100_gev() -> dict[str, np.ndarray]:
    """300 showers in each calorimeter."""
    energy = np.full(300, 100.0)
    return {name: shower_cells(energy, np.full(300, NORMAL), generator(), found) for name, found in CALORIMETERS.items()}


def test_published_shape_is_reproduced():
    # Worked out by hand from Grindhammer and Peters for 23 and 448 GeV in 3.504 mm tungsten + 0.5 mm silicon.
    found = typical_shapes(23.0, 448.0, calorimeter=UNIFORM)
    assert found.peak_x0 == pytest.approx([7.13, 10.10], abs=0.02)
    assert found.alpha == pytest.approx([4.69, 6.15], abs=0.02)


def test_profile_integrates_to_the_incident_energy():
    depth = np.linspace(1e-3, 80, 20_000)[None, :]
    assert np.trapezoid(profile(depth, typical_shapes(100.0)), depth, axis=1) == pytest.approx(1, abs=1e-4)


def test_profile_peaks_at_its_maximum_and_its_growth_is_its_derivative():
    depth = np.linspace(1, 25, 2_000)[None, :]
    found = typical_shapes(100.0)
    density = profile(depth, found)[0]
    assert depth[0, density.argmax()] == pytest.approx(found.peak_x0[0], abs=0.02)
    assert np.gradient(np.log(density), depth[0])[1:-1] == pytest.approx(profile_growth(depth, found)[0, 1:-1], abs=1e-3)


def test_showers_go_deeper_as_the_logarithm_of_the_energy():
    peaks = typical_shapes(10.0, 100.0, 1000.0).peak_x0
    assert np.diff(peaks) == pytest.approx(np.log(10), rel=1e-6)


def test_spreads_shrink_with_energy_and_the_two_shapes_are_correlated():
    normals = generator().standard_normal((4000, 2))
    low, high = (shapes(np.full(4000, energy), normals, CLIC.medium, PUBLISHED) for energy in (10.0, 500.0))
    assert np.log(low.peak_x0).std() > np.log(high.peak_x0).std() > 0.05
    assert 0.3 < np.corrcoef(np.log(high.peak_x0), np.log(high.alpha))[0, 1] < 0.7


def test_all_layers_of_an_endless_stack_see_the_whole_energy():
    long = replace(CLIC, layers=(CLIC.layers[0],) * 80)
    energy, sine = np.array([50.0]), np.ones(1)
    visible = visible_energy(energy, sine, typical_shapes(50.0, calorimeter=long), long, PUBLISHED)
    assert (visible / sampling_fraction(long, PUBLISHED)).sum() == pytest.approx(50, rel=0.01)


def test_an_inclined_shower_meets_more_material_in_each_layer():
    normal, inclined = shower_depths(CLIC, np.array([1.0, 0.5]), PUBLISHED)
    assert inclined == pytest.approx(2 * normal)


def test_sampling_fluctuation_keeps_the_mean_and_has_the_stated_resolution():
    constants = replace(PUBLISHED, sampling_resolution=0.2)
    energy = np.full(4000, 50.0)
    normals = np.zeros((4000, 2))
    mean = visible_energy(energy, np.ones(4000), shapes(energy, normals, UNIFORM.medium, constants), UNIFORM, constants)
    drawn = fluctuate_sampling(mean, generator(), UNIFORM, constants).sum(1)
    assert drawn.mean() == pytest.approx(mean[0].sum(), rel=0.003)
    assert drawn.std() / drawn.mean() == pytest.approx(0.2 / np.sqrt(50), rel=0.05)


def test_the_core_widens_with_depth_and_holds_less():
    depth = shower_depths(CLIC, np.ones(1), fitted_constants(CLIC))
    tau = relative_depth(depth, typical_shapes(100.0))
    found = radii(tau, np.array([100.0]), np.zeros_like(tau), CLIC, fitted_constants(CLIC))
    core, tail, halo = found.radius_mm[:, 0]
    assert np.all(np.diff(core[:17]) > 0)
    assert np.all(np.diff(found.share[0, 0, 8:]) < 0)
    assert np.all(tail > core)
    assert np.all(halo > tail)


def test_what_is_stray_lies_in_the_halo():
    tau, constants = np.ones((1, 25)), replace(PUBLISHED, halo_share=0.1)
    none, half = (radii(tau, np.array([100.0]), np.full_like(tau, stray), CLIC, constants).share[:, 0, 5] for stray in (0.0, 0.5))
    assert none.sum() == half.sum() == pytest.approx(1)
    assert (none[2], half[2]) == pytest.approx((0.1, 0.1 + 0.9 * 0.5))
    assert half[:2] == pytest.approx(none[:2] / 2)


def test_half_of_a_component_lies_within_its_radius():
    tau = np.ones((1, 25))
    found = radii(tau, np.array([100.0]), np.full_like(tau, 0.2), CLIC, PUBLISHED)
    spots = draw_offsets(found, np.full(40_000, 5), generator())
    radius = np.hypot(spots.x_mm, spots.y_mm)
    for component in range(3):
        chosen = spots.component == component
        assert (radius[chosen] < found.radius_mm[component, 0, 5]).mean() == pytest.approx(0.5, abs=0.03)
        assert chosen.mean() == pytest.approx(found.share[component, 0, 5], abs=0.01)


def test_fluctuations_of_the_shape_leave_the_deposited_sum_and_are_alike_nearby():
    constants = replace(PUBLISHED, shape_spread=0.2, shape_length_x0=2.0)
    energy, normals = np.full(4000, 50.0), generator().standard_normal((4000, 25))
    factors = shape_fluctuations(normals, energy, UNIFORM, constants)
    logarithms = np.log(factors)
    assert logarithms.std() == pytest.approx(0.2, rel=0.02)
    correlation = np.corrcoef(logarithms.T)
    assert (correlation[5, 6], correlation[5, 9]) == pytest.approx((np.exp(-0.5), np.exp(-2.0)), abs=0.08)
    drawn = shapes(energy, np.zeros((4000, 2)), UNIFORM.medium, constants)
    even = visible_energy(energy, np.ones(4000), drawn, UNIFORM, constants)
    uneven = visible_energy(energy, np.ones(4000), drawn, UNIFORM, constants, factors)
    share = sampling_fraction(UNIFORM, constants)
    assert (uneven / share).sum(1) == pytest.approx((even / share).sum(1))
    assert (uneven / even).std(0).mean() > 0.1


def test_some_spots_are_single_crossings_of_a_narrow_distribution():
    weights = _spot_weights(100_000, generator(), replace(PUBLISHED, crossing_share=1.0, crossing_energy=0.5))
    assert (weights.mean(), weights.std() / weights.mean()) == pytest.approx((0.5, 1 / np.sqrt(6)), rel=0.02)
    mixed = _spot_weights(100_000, generator(), replace(PUBLISHED, crossing_share=0.25, crossing_energy=0.5))
    assert mixed.mean() == pytest.approx(0.75 + 0.25 * 0.5, rel=0.02)


def test_the_axis_wanders_behind_the_maximum_only():
    constants = replace(fitted_constants(CLIC), axis_tilt=0.05)
    energy, angle = np.full(200, 50.0), np.full(200, NORMAL)
    straight, bent = (shower_cells(energy, angle, generator(), CLIC, given) for given in (replace(constants, axis_tilt=0.0), constants))

    def spread_of_centre(cells, layers):
        columns = cells[..., layers].sum((2, 3))
        return (columns @ np.arange(25) / columns.sum(1)).std()

    early, late = slice(2, 6), slice(18, 25)
    assert spread_of_centre(bent, early) == pytest.approx(spread_of_centre(straight, early), rel=0.1)
    assert spread_of_centre(bent, late) > 1.5 * spread_of_centre(straight, late)


@pytest.mark.parametrize("calorimeter", CALORIMETERS.values(), ids=CALORIMETERS)
def test_cells_are_finite_not_negative_and_have_the_calorimeters_grid(calorimeter, showers_of_100_gev):
    cells = showers_of_100_gev[calorimeter.name]
    assert cells.shape == (300, *calorimeter.grid)
    assert cells.dtype == np.float32
    assert np.isfinite(cells).all()
    assert cells.min() == 0


def test_deposited_energy_is_two_percent_and_lower_where_the_absorber_doubles_early(showers_of_100_gev):
    response = {name: cells.sum((1, 2, 3)).mean() / 100 for name, cells in showers_of_100_gev.items()}
    assert response["clic"] == pytest.approx(0.0194, rel=0.02)
    assert response["uniform"] == pytest.approx(0.0198, rel=0.02)
    high = shower_cells(np.full(100, 450.0), np.full(100, NORMAL), generator(), CLIC)
    assert high.sum((1, 2, 3)).mean() / 450 < 0.93 * response["clic"]


def test_the_absorber_step_makes_the_unweighted_sum_spread(showers_of_100_gev):
    spread = {name: cells.sum((1, 2, 3)).std() / cells.sum((1, 2, 3)).mean() for name, cells in showers_of_100_gev.items()}
    assert 0.05 < spread["clic"] < 0.09
    assert 0.01 < spread["uniform"] < 0.03
    weighted = showers_of_100_gev["clic"].sum((1, 2)) @ np.repeat([1.0, 2.0], [17, 8])
    assert weighted.std() / weighted.mean() < 0.5 * spread["clic"]


def test_energy_is_additive_over_layers_and_few_percent_miss_the_window(showers_of_100_gev):
    wide = replace(CLIC, cells=SquareCells(5.1, 101))
    energy = np.full(60, 100.0)
    inside = shower_cells(energy, np.full(60, NORMAL), generator(), CLIC)
    everywhere = shower_cells(energy, np.full(60, NORMAL), generator(), wide)
    # The same random numbers, so the same spots: the window only cuts.
    np.testing.assert_allclose(everywhere[:, 38:63, 38:63], inside, rtol=1e-4, atol=1e-9)
    assert 0.98 < inside.sum() / everywhere.sum() < 0.999


def test_transverse_profile_is_symmetric_at_normal_incidence(showers_of_100_gev):
    summary = summarise(showers_of_100_gev["clic"], np.full(300, 100.0), np.full(300, NORMAL))
    along, across = (summary.profiles[name].mean(0) for name in ("column x", "column y"))
    for columns in (along, across):
        assert columns[:12].sum() == pytest.approx(columns[13:].sum(), rel=0.1)
    assert along.sum() == pytest.approx(across.sum())
    assert along[12] == pytest.approx(across[12], rel=0.02)


@pytest.mark.parametrize("degrees", [60, 75, 120])
def test_an_inclined_shower_moves_along_x_by_the_tangent_and_stays_put_along_y(degrees):
    angle = np.full(80, np.radians(degrees))
    wide = replace(CLIC, cells=SquareCells(5.1, 101))  # else the window cuts off more on one side
    cells = shower_cells(np.full(80, 150.0), angle, generator(), wide).sum(0)
    centre = (np.arange(101) - 50) * 5.1
    layers = slice(6, 17)
    along = (cells.sum(1) * centre[:, None]).sum(0)[layers] / cells.sum((0, 1))[layers]
    across = (cells.sum(0) * centre[:, None]).sum(0)[layers] / cells.sum((0, 1))[layers]
    slope = np.polyfit(CLIC.sensitive_depth_mm[layers], along, 1)[0]
    assert slope == pytest.approx(1 / np.tan(angle[0]), rel=0.05)
    assert across == pytest.approx(np.zeros(11), abs=1)
    assert along[8] == pytest.approx(0, abs=1.5)  # layer 14 lies at half the depth, where the axis crosses the window's centre


def test_mirrored_angles_give_mirrored_showers():
    energy = np.full(150, 150.0)
    forth, back = (shower_cells(energy, np.full(150, np.radians(a)), generator(), CLIC).sum((0, 2, 3)) for a in (70, 110))
    assert forth / forth.sum() == pytest.approx(back[::-1] / back.sum(), abs=0.015)


def test_the_spread_of_the_depth_does_not_come_from_the_energy():
    energy = np.geomspace(20, 200, 400)
    depth = 2.0 * np.log(energy) + generator().normal(0, 0.5, 400)
    assert depth.std() > 1
    assert spread_at_fixed_energy(depth, energy) == pytest.approx(0.5, rel=0.1)
