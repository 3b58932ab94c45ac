"""Calorimeters as YAML files: those that come along, and a user's own.

    name: mine
    cells: {shape: square, edge_mm: 5.1, across: 25}
    layers:
      - repeat: 30
        electron_response: 0.8
        slabs:
          - {material: tungsten, mm: 3.5}
          - {material: silicon, mm: 0.5, sensitive: true}

All keys and their meaning: `docs/calorimeters.md`.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Annotated, Literal, Self

from pydantic import Field, ValidationError, model_validator

from gan3d.config.document import read_document
from gan3d.config.places import config_error, problems_of
from gan3d.config.problem import Contradictions, Problem
from gan3d.config.settings import Positive, Settings
from gan3d.errors import ConfigError
from gan3d.physics.calorimeter import MATERIALS, Calorimeter, Layer, Material, Slab
from gan3d.physics.readout import PolarCells, SquareCells

#: Where those that come along are.
FOLDER = Path(__file__).with_name("calorimeters")
#: What stands for a gap: it takes room and no material.
AIR = "air"

Edge = Annotated[int, Field(ge=8, le=128)]


class MaterialEntry(Settings):
    """A pure material that gan3d does not know; Particle Data Group, atomic and nuclear properties."""

    density_g_cm3: Positive
    """Density."""
    atomic_number: Positive
    """Z; of a mixture its mean by mass."""
    atomic_mass: Positive
    """A; of a mixture its mean by mass."""
    radiation_length_g_cm2: Positive
    """X0."""
    minimum_ionisation_mev_cm2_g: Positive
    """Mean energy loss of a minimum ionising particle."""


class SlabEntry(Settings):
    """One sheet of a layer."""

    material: Annotated[str, Field(min_length=1)]
    """A name: one of gan3d's, one of this file's `materials`, or air."""
    mm: Positive
    """Thickness."""
    sensitive: bool = False
    """Whether it is read out."""


class LayerEntry(Settings):
    """Equal layers one behind the other."""

    repeat: Annotated[int, Field(ge=1, le=128)] = 1
    """How many."""
    electron_response: Annotated[float, Field(gt=0, le=2)]
    """e/mip: signal of a shower over that of minimum ionising particles that lose as much; 0.7 to 0.9 for tungsten and silicon."""
    slabs: Annotated[tuple[SlabEntry, ...], Field(min_length=1)]
    """From front to back."""


class CellsEntry(Settings):
    """How a layer is divided: square cells in a window, or rings around the shower cut into angles."""

    shape: Literal["square", "polar"]
    """Which."""
    edge_mm: Positive | None = None
    """Square: edge of a cell."""
    across: Edge | None = None
    """Square: cells along x, and along y."""
    ring_mm: Positive | None = None
    """Polar: width of a ring."""
    rings: Edge | None = None
    """Polar: rings."""
    angles: Edge | None = None
    """Polar: cells in a ring."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        needed = {"square": ("edge_mm", "across"), "polar": ("ring_mm", "rings", "angles")}
        for shape, keys in needed.items():
            for key in keys:
                is_given = getattr(self, key) is not None
                if is_given != (shape == self.shape):
                    rule, way_out = ("does not go with", "Remove it.") if is_given else ("is needed with", f"Write cells.{key}.")
                    raise Contradictions((Problem(f"cells.{key}", rule, way_out, getattr(self, key), (("cells.shape", self.shape),)),))
        return self

    @property
    def readout(self) -> SquareCells | PolarCells:
        """The cells."""
        if self.shape == "square":
            assert self.edge_mm is not None
            assert self.across is not None
            return SquareCells(self.edge_mm, self.across)
        assert self.ring_mm is not None
        assert self.rings is not None
        assert self.angles is not None
        return PolarCells(self.angles, self.rings, self.ring_mm)


class CalorimeterEntry(Settings):
    """A calorimeter's file."""

    name: Annotated[str, Field(pattern="^[a-z][a-z0-9_]*$")]
    """Its name: letters, digits and underscores."""
    cells: CellsEntry
    """How layers are divided."""
    layers: Annotated[tuple[LayerEntry, ...], Field(min_length=1)]
    """From front to back."""
    materials: dict[str, MaterialEntry] = Field(default_factory=dict)
    """Materials that gan3d does not know."""
    sampling_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Cells hold the energy deposited in sensitive slabs over this."""
    readout_threshold_gev: Positive = 3e-4
    """A cell with more counts as read out, in occupancies."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := tuple(self._problems()):
            raise Contradictions(problems)
        return self

    def _problems(self) -> Iterator[Problem]:
        known = [*MATERIALS, *self.materials, AIR]
        for number, layer in enumerate(self.layers):
            for place, slab in enumerate(layer.slabs):
                key = f"layers.{number}.slabs.{place}.material"
                if slab.material not in known:
                    yield Problem(key, "is no material", f"Known are {', '.join(known)}; describe others in `materials`.", slab.material)
                elif slab.material == AIR and slab.sensitive:
                    yield Problem(key, "cannot be sensitive", "Name the gas as a material, or leave `sensitive` out.", slab.material)
            if not any(slab.sensitive for slab in layer.slabs):
                yield Problem(f"layers.{number}.slabs", "have no sensitive one", "Set `sensitive: true` on what is read out.")

    def calorimeter(self) -> Calorimeter:
        """What is described."""
        materials: dict[str, Material | None] = {
            **MATERIALS,
            **{name: _material(name, one) for name, one in self.materials.items()},
            AIR: None,
        }
        layers = []
        for entry in self.layers:
            slabs = tuple(Slab(materials[slab.material], slab.mm, is_sensitive=slab.sensitive) for slab in entry.slabs)
            layers += [Layer(slabs, entry.electron_response)] * entry.repeat
        return Calorimeter(self.name, tuple(layers), self.cells.readout, self.sampling_fraction, self.readout_threshold_gev)


def _material(name: str, entry: MaterialEntry) -> Material:
    values = (entry.density_g_cm3, entry.atomic_number, entry.atomic_mass, entry.radiation_length_g_cm2, entry.minimum_ionisation_mev_cm2_g)
    return Material.element(name, *values)


def built_in() -> tuple[str, ...]:
    """Names of the calorimeters that come along."""
    return tuple(sorted(path.stem for path in FOLDER.glob("*.yaml")))


@cache
def calorimeter(name: str) -> Calorimeter:
    """One that comes along by its name, or a user's by the path of its file.

    Raises:
        ConfigError: there is none, or its file has problems: each with file, line, key, value, rule and way out.
    """
    if name in built_in():
        return read_calorimeter(FOLDER / f"{name}.yaml")
    path = Path(name)
    if path.suffix in (".yaml", ".yml") or path.is_file():
        return read_calorimeter(path)
    message = f"is no calorimeter. Known are {', '.join(built_in())}; or give the path of a YAML file that describes yours."
    raise ConfigError(message, where=name)


def read_calorimeter(path: Path) -> Calorimeter:
    """The calorimeter that a file describes.

    Raises:
        ConfigError: as `calorimeter`.
    """
    document = read_document(path, str(path))
    try:
        return CalorimeterEntry.model_validate(document.data).calorimeter()
    except ValidationError as error:
        raise config_error(problems_of(error, CalorimeterEntry, document.data), document.places) from None
