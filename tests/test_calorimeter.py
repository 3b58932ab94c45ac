"""Materials, layers and the two calorimeters: numbers that can be looked up, and laws that hold for any stack."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

from gan3d.physics.calorimeter import SILICON, TUNGSTEN, Layer, Material, Slab
from gan3d.physics.calorimeter_file import built_in, calorimeter

CALORIMETERS = {name: calorimeter(name) for name in built_in()}
CLIC, UNIFORM = CALORIMETERS["clic"], CALORIMETERS["uniform"]


@pytest.mark.parametrize(("material", "radiation_length_mm", "critical_energy_mev"), [(TUNGSTEN, 3.504, 8.0), (SILICON, 93.7, 36.7)])
def test_pure_materials_have_the_published_radiation_length_and_critical_energy(material, radiation_length_mm, critical_energy_mev):
    assert material.radiation_length_mm == pytest.approx(radiation_length_mm, rel=2e-3)
    assert material.critical_energy_mev == pytest.approx(critical_energy_mev, rel=5e-3)


def test_a_mixture_of_one_material_is_that_material():
    again = Material.mixture("again", TUNGSTEN.density_g_cm3, [(TUNGSTEN, 0.3), (TUNGSTEN, 2.0)])
    for field in ("atomic_number", "atomic_mass", "radiation_length_g_cm2", "critical_energy_mev", "minimum_ionisation_mev_cm2_g"):
        assert getattr(again, field) == pytest.approx(getattr(TUNGSTEN, field))


def test_effective_medium_of_tungsten_and_silicon_is_as_worked_out_by_hand():
    medium = UNIFORM.medium
    assert medium.atomic_number == pytest.approx(72.98, abs=0.01)
    assert medium.density_g_cm3 == pytest.approx(17.18, abs=0.01)
    assert medium.radiation_length_mm == pytest.approx(3.981, abs=0.002)
    assert medium.critical_energy_mev == pytest.approx(8.15, abs=0.01)
    assert medium.moliere_radius_mm(medium.radiation_length_mm) == pytest.approx(10.35, abs=0.02)


def test_clic_has_the_published_thicknesses():
    assert CLIC.grid == (25, 25, 25)
    assert CLIC.depth_mm == pytest.approx(129.2)
    tungsten = [layer.slabs[0].thickness_mm for layer in CLIC.layers]
    assert tungsten == [2.4] * 17 + [4.8] * 8
    assert 21 < CLIC.layer_x0.sum() < 23.5  # published: 23


def test_uniform_has_one_radiation_length_of_tungsten_per_layer():
    assert UNIFORM.layers[0].slabs[0].radiation_lengths == pytest.approx(1, abs=1e-3)
    assert len(set(UNIFORM.layers)) == 1


@pytest.mark.parametrize("calorimeter", CALORIMETERS.values(), ids=CALORIMETERS)
def test_depths_rise_by_one_layer_and_stay_inside(calorimeter):
    steps = np.diff(calorimeter.sensitive_depth_x0)
    assert np.all(steps > 0)
    assert steps[:16] == pytest.approx(calorimeter.layer_x0[:16])
    assert calorimeter.sensitive_depth_mm[-1] < calorimeter.depth_mm
    assert calorimeter.medium.radiation_length_mm * calorimeter.layer_x0.sum() == pytest.approx(calorimeter.depth_mm)


def test_air_takes_room_and_no_material():
    with_air = Layer((Slab(TUNGSTEN, 2.4), Slab(None, 1.0), Slab(SILICON, 0.5, is_sensitive=True)), 1.0)
    without = Layer((Slab(TUNGSTEN, 2.4), Slab(SILICON, 0.5, is_sensitive=True)), 1.0)
    assert with_air.radiation_lengths == without.radiation_lengths
    assert with_air.minimum_ionising_fraction == without.minimum_ionising_fraction
    assert with_air.thickness_mm == without.thickness_mm + 1.0


def test_doubling_the_absorber_about_halves_the_minimum_ionising_fraction():
    assert CLIC.minimum_ionising_fraction[-1] / CLIC.minimum_ionising_fraction[0] == pytest.approx(0.54, abs=0.02)


def test_a_layer_is_read_out():
    with pytest.raises(ValueError, match="at least one sensitive slab, not 0"):
        Layer((Slab(TUNGSTEN, 2.4),), 1.0)
    with pytest.raises(ValueError, match="air is not sensitive"):
        Layer((Slab(TUNGSTEN, 2.4), Slab(None, 1.0, is_sensitive=True)), 1.0)


def test_slabs_that_are_read_out_together_are_one_in_their_middle():
    one = Layer((Slab(TUNGSTEN, 1.4), Slab(SILICON, 0.3, is_sensitive=True)), 1.0)
    two = Layer(one.slabs * 2, 1.0)
    assert two.minimum_ionising_fraction == pytest.approx(one.minimum_ionising_fraction)
    in_mm, in_x0 = one.sensitive_centre
    assert two.sensitive_centre == pytest.approx((in_mm + one.thickness_mm / 2, in_x0 + one.radiation_lengths / 2))


def test_calochallenges_layers_have_its_thickness_and_most_of_an_x0():
    found = CALORIMETERS["calochallenge_2"]
    assert found.grid == (16, 9, 45)
    assert found.layers[0].thickness_mm == pytest.approx(3.4)
    assert found.layers[0].radiation_lengths == pytest.approx(0.8, abs=0.01)


def test_a_calorimeter_can_be_sent_to_another_process():
    assert CLIC.medium.name == "clic"  # cached values travel too
    assert pickle.loads(pickle.dumps(CLIC)) == CLIC
