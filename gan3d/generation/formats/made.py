"""What all formats agree on: what makes showers, and what writes a file."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType

import numpy as np
import torch
from numpy.typing import NDArray

from gan3d.errors import ConfigError
from gan3d.generation.card import Card, Precision
from gan3d.models.shower_graph import ShowerGraph

Floats = NDArray[np.float32]
#: From noise (B, Z), incident energies (B,) [GeV] and polar angles (B,) [rad] or None to cells (B, X, Y, L) [GeV], below the threshold 0.
Make = Callable[[Floats, Floats, Floats | None], Floats]
#: Writes a file with this card in it.
Save = Callable[[Path, Card], None]


@dataclass(frozen=True, slots=True, eq=False)
class Calibration:
    """Conditions of showers that activations are looked at with, to choose their steps in 8 bits; noise is drawn."""

    noise: Floats
    incident_energy: Floats
    polar_angle: Floats | None

    def batches(self, size: int = 64) -> Iterator[tuple[Floats, ...]]:
        """The graph's inputs, some showers at a time."""
        for start in range(0, len(self.noise), size):
            part = slice(start, start + size)
            angle = () if self.polar_angle is None else (self.polar_angle[part],)
            yield (self.noise[part], self.incident_energy[part], *angle)


@dataclass(frozen=True, slots=True)
class Computing:
    """With what a library computes."""

    threads: int | None = None
    """None: as it likes."""
    device: str = "cpu"
    """In small letters, else as the library calls it: an execution provider of onnxruntime (`cuda`, `tensorrt`, ...), a device of OpenVINO
    (`gpu`) or of torch (`cuda:0`)."""

    def see_that_there_is(self, library: str, there: Collection[str]) -> None:
        """The device, among those (in small letters) that a library has.

        Raises:
            ConfigError: it is not.
        """
        if self.device not in there:
            message = (
                f"{library} has no device {self.device!r} here; it has {', '.join(sorted(there))}. Name one of these, or install the build"
                f" of {library} that has it."
            )
            raise ConfigError(message, key="device")


@dataclass(frozen=True, slots=True)
class Format:
    """One kind of file."""

    suffix: str
    """Of the file that is named; there may be more beside it."""
    lacks: dict[Precision, str]
    """Precisions that it has not, and why."""
    export: Callable[[ShowerGraph, Card, Calibration], Save]
    read_card: Callable[[Path], Card]
    open: Callable[[Path, Card, Computing], Make]
    files: Callable[[Path], tuple[Path, ...]] = lambda path: (path,)
    """All that belong to it."""


def program_of(graph: ShowerGraph) -> torch.export.ExportedProgram:
    """The graph for any number of showers."""
    network = graph.network
    energy = torch.full((2,), 50.0)
    angle = (torch.full((2,), 1.5),) if network.conditioning.has_polar_angle else ()
    noise = torch.zeros(2, network.num_noise)
    arguments = (noise, energy, *angle)
    with torch.no_grad():
        return torch.export.export(graph, arguments, dynamic_shapes=tuple({0: torch.export.Dim("showers")} for _ in arguments))


def device_of(computing: Computing) -> torch.device:
    """Of torch.

    Raises:
        ConfigError: it is not there.
    """
    accelerator = torch.accelerator.current_accelerator()
    kinds = ["cpu"] if accelerator is None else ["cpu", accelerator.type]
    numbered = [f"{kind}:{number}" for kind in kinds[1:] for number in range(torch.accelerator.device_count())]
    computing.see_that_there_is("torch", [*kinds, *numbered])
    return torch.device(computing.device)


def needed(name: str) -> ModuleType:
    """A package that only exported generators need.

    Raises:
        ConfigError: it is not installed.
    """
    try:
        return importlib.import_module(name)
    except ImportError as problem:
        message = f"this needs the package {name.partition('.')[0]} ({problem}). In the checkout of gan3d: pip install '.[export]'."
        raise ConfigError(message) from problem
