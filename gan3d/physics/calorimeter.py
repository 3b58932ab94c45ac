"""The detector: materials, slabs, layers and cells, and what follows from them (radiation lengths, critical energy, Moliere radius).

Depths are counted from the front face along the calorimeter's normal, in mm and in radiation lengths X0. Air counts as vacuum: it
takes room (mm) and no material (X0). Formulas: Grindhammer and Peters, hep-ex/0001020, section on sampling media.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from types import MappingProxyType

import numpy as np

from gan3d.physics.readout import PolarCells, SquareCells

#: The energy scale of multiple scattering in the Moliere radius [MeV].
SCATTERING_ENERGY_MEV = 21.2


@dataclass(frozen=True)
class Material:
    """A material's constants; for mixtures the effective ones."""

    name: str
    density_g_cm3: float
    atomic_number: float
    atomic_mass: float
    radiation_length_g_cm2: float
    critical_energy_mev: float
    minimum_ionisation_mev_cm2_g: float
    """Mean energy loss of a minimum ionising particle."""

    @classmethod
    def element(cls, name: str, density: float, number: float, mass: float, radiation_length: float, minimum_ionisation: float) -> Material:
        """A pure material: critical energy 2.66 (X0 Z/A)^1.1 MeV, X0 in g/cm2 (Dovzhenko and Pomanskii)."""
        critical = 2.66 * (radiation_length * number / mass) ** 1.1
        return cls(name, density, number, mass, radiation_length, critical, minimum_ionisation)

    @classmethod
    def mixture(cls, name: str, density: float, parts: Iterable[tuple[Material, float]]) -> Material:
        """Several materials by mass (any unit of mass; hep-ex/0001020, effective values of a sampling medium)."""
        parts = tuple(parts)
        total = sum(mass for _, mass in parts)
        shares = [(material, mass / total) for material, mass in parts]
        radiation_length = 1 / sum(share / m.radiation_length_g_cm2 for m, share in shares)
        return cls(
            name=name,
            density_g_cm3=density,
            atomic_number=sum(share * m.atomic_number for m, share in shares),
            atomic_mass=sum(share * m.atomic_mass for m, share in shares),
            radiation_length_g_cm2=radiation_length,
            critical_energy_mev=radiation_length * sum(share * m.critical_energy_mev / m.radiation_length_g_cm2 for m, share in shares),
            minimum_ionisation_mev_cm2_g=sum(share * m.minimum_ionisation_mev_cm2_g for m, share in shares),
        )

    @property
    def radiation_length_mm(self) -> float:
        """X0 as a length."""
        return 10 * self.radiation_length_g_cm2 / self.density_g_cm3

    def moliere_radius_mm(self, mm_per_x0: np.ndarray | float) -> np.ndarray:
        """X0 Es / Ec as a length, where a radiation length is so many mm: more than the material's own with air in between."""
        return np.asarray(mm_per_x0 * SCATTERING_ENERGY_MEV / self.critical_energy_mev)


@dataclass(frozen=True)
class Slab:
    """One sheet of a layer; ``material=None`` is air."""

    material: Material | None
    thickness_mm: float
    is_sensitive: bool = False

    @property
    def mass_g_cm2(self) -> float:
        """Mass per area."""
        return self.material.density_g_cm3 * self.thickness_mm / 10 if self.material else 0.0

    @property
    def radiation_lengths(self) -> float:
        """Thickness in X0."""
        return self.thickness_mm / self.material.radiation_length_mm if self.material else 0.0

    @property
    def minimum_ionisation_mev(self) -> float:
        """What a minimum ionising particle loses on crossing."""
        return self.mass_g_cm2 * self.material.minimum_ionisation_mev_cm2_g if self.material else 0.0


@dataclass(frozen=True)
class Layer:
    """Sheets from front to back, at least one of them sensitive; all of these are read out together."""

    slabs: tuple[Slab, ...]
    electron_response: float
    """e/mip: how much of the minimum ionising share a shower leaves in the sensitive slabs; fitted to Geant4 (docs/simulation.md)."""

    def __post_init__(self) -> None:
        """Refuse a layer that nothing reads out.

        Raises:
            ValueError: if no slab is sensitive, or one of air is.
        """
        if not any(slab.is_sensitive for slab in self.slabs):
            msg = "a layer has at least one sensitive slab, not 0"
            raise ValueError(msg)
        if any(slab.is_sensitive and slab.material is None for slab in self.slabs):
            msg = "air is not sensitive"
            raise ValueError(msg)

    @property
    def thickness_mm(self) -> float:
        """From the layer's front to the next layer's."""
        return sum(slab.thickness_mm for slab in self.slabs)

    @property
    def radiation_lengths(self) -> float:
        """Thickness in X0."""
        return sum(slab.radiation_lengths for slab in self.slabs)

    @property
    def minimum_ionising_fraction(self) -> float:
        """Share of a minimum ionising particle's energy loss that is in the sensitive slabs."""
        sensitive = sum(slab.minimum_ionisation_mev for slab in self.slabs if slab.is_sensitive)
        return sensitive / sum(slab.minimum_ionisation_mev for slab in self.slabs)

    @property
    def sensitive_centre(self) -> tuple[float, float]:
        """Centre of the sensitive slabs behind the layer's front, in mm and in X0; of several by what a minimum ionising particle loses."""
        at = [index for index, slab in enumerate(self.slabs) if slab.is_sensitive]
        weights = [self.slabs[index].minimum_ionisation_mev for index in at]
        centres = [self._centre(index) for index in at]
        in_mm, in_x0 = (sum(w * c[unit] for w, c in zip(weights, centres, strict=True)) / sum(weights) for unit in (0, 1))
        return in_mm, in_x0

    def _centre(self, index: int) -> tuple[float, float]:
        before, here = self.slabs[:index], self.slabs[index]
        depth_mm = sum(slab.thickness_mm for slab in before) + here.thickness_mm / 2
        return depth_mm, sum(slab.radiation_lengths for slab in before) + here.radiation_lengths / 2


@dataclass(frozen=True)
class Calorimeter:
    """Layers one behind the other, read out around the shower."""

    name: str
    layers: tuple[Layer, ...]
    cells: SquareCells | PolarCells
    sampling_fraction: float = 1.0
    """Cells hold the energy deposited in sensitive slabs over this."""
    readout_threshold_gev: float = 3e-4
    """A cell with more counts as read out."""

    @property
    def grid(self) -> tuple[int, int, int]:
        """Cells along x, y (or angle and ring) and layers."""
        return *self.cells.shape, len(self.layers)

    @cached_property
    def medium(self) -> Material:
        """The whole stack as one effective material, its air included in the density."""
        slabs = [slab for layer in self.layers for slab in layer.slabs]
        density = 10 * sum(slab.mass_g_cm2 for slab in slabs) / self.depth_mm
        return Material.mixture(self.name, density, [(slab.material, slab.mass_g_cm2) for slab in slabs if slab.material])

    @property
    def depth_mm(self) -> float:
        """From the front face to the back."""
        return sum(layer.thickness_mm for layer in self.layers)

    @cached_property
    def layer_x0(self) -> np.ndarray:
        """(L,) thickness of each layer [X0]."""
        return np.array([layer.radiation_lengths for layer in self.layers])

    @cached_property
    def layer_mm(self) -> np.ndarray:
        """(L,) thickness of each layer [mm]."""
        return np.array([layer.thickness_mm for layer in self.layers])

    @cached_property
    def sensitive_depth_mm(self) -> np.ndarray:
        """(L,) centre of each layer's sensitive slabs [mm]."""
        fronts = np.cumsum(np.concatenate([[0.0], self.layer_mm[:-1]]))
        return np.asarray(fronts + np.array([layer.sensitive_centre[0] for layer in self.layers]))

    @cached_property
    def sensitive_depth_x0(self) -> np.ndarray:
        """(L,) centre of each layer's sensitive slabs [X0]."""
        fronts = np.cumsum(np.concatenate([[0.0], self.layer_x0[:-1]]))
        return np.asarray(fronts + np.array([layer.sensitive_centre[1] for layer in self.layers]))

    @cached_property
    def minimum_ionising_fraction(self) -> np.ndarray:
        """(L,) share of a minimum ionising particle's energy loss that each layer reads out."""
        return np.array([layer.minimum_ionising_fraction for layer in self.layers])

    @cached_property
    def electron_response(self) -> np.ndarray:
        """(L,) e/mip of each layer."""
        return np.array([layer.electron_response for layer in self.layers])


# Particle Data Group, atomic and nuclear properties: density [g/cm3], Z, A, X0 [g/cm2], minimum dE/dx [MeV cm2/g].
TUNGSTEN = Material.element("tungsten", 19.3, 74, 183.84, 6.76, 1.145)
SILICON = Material.element("silicon", 2.33, 14, 28.085, 21.82, 1.664)
COPPER = Material.element("copper", 8.96, 29, 63.546, 12.86, 1.403)
GLASS_FIBRE_BOARD = Material.element("glass fibre board", 1.85, 9.65, 18.9, 33.0, 1.87)

# key4hep/k4geo, CLIC_o2_v03/ECalBarrel_o2_v01_01.xml: densities and copper by mass; the alloy's composition is taken as tungsten's.
TUNGSTEN_ALLOY = Material.element("tungsten alloy", 17.8, 74, 183.84, 6.76, 1.145)
GROUND_FOIL = Material.mixture("ground foil", 5.19, [(COPPER, 0.863), (GLASS_FIBRE_BOARD, 0.137)])
READOUT_BOARD = Material.mixture("readout board", 5.0508, [(COPPER, 0.819), (GLASS_FIBRE_BOARD, 0.181)])

#: By the name that a calorimeter's file calls them.
MATERIALS = MappingProxyType(
    {
        "tungsten": TUNGSTEN,
        "silicon": SILICON,
        "copper": COPPER,
        "glass_fibre_board": GLASS_FIBRE_BOARD,
        "clic_tungsten_alloy": TUNGSTEN_ALLOY,
        "clic_ground_foil": GROUND_FOIL,
        "clic_readout_board": READOUT_BOARD,
    }
)
