"""A generator as an exported program of torch (``.pt2``): for Python and C++ with torch alone, on any of its devices.

torch loads no more of such a file than `torch_archive` has seen to be data.
"""

from __future__ import annotations

from pathlib import Path

import torch

from gan3d.errors import DataError
from gan3d.generation.card import Card
from gan3d.generation.formats.made import Calibration, Floats, Make, Save, program_of
from gan3d.generation.formats.torch_archive import text_of_card, without_code
from gan3d.models.shower_graph import ShowerGraph

SUFFIX = ".pt2"
CARD = "card.json"


def export(graph: ShowerGraph, _card: Card, _calibration: Calibration) -> Save:
    """In the graph's precision."""
    program = program_of(graph)

    def save(path: Path, card: Card) -> None:
        torch.export.save(program, path, extra_files={CARD: card.as_json()})

    return save


def read_card(path: Path) -> Card:
    """Without loading the program.

    Raises:
        DataError: it is no such file, or has no card.
    """
    return Card.read(text_of_card(path), str(path))


def open_program(path: Path, card: Card, threads: int | None) -> Make:
    """Ready to make showers; ``threads`` are torch's, of the whole process.

    Raises:
        DataError: it is no such file, or holds what may be code.
    """
    try:
        program = torch.export.load(without_code(path)).module()
    except DataError:
        raise
    except Exception as problem:  # of a program that does not fit together; its errors have no base class but this one
        message = f"torch cannot load it: {str(problem).splitlines()[0]}"
        raise DataError(message, file=str(path)) from problem
    if threads is not None:
        torch.set_num_threads(threads)

    @torch.no_grad()
    def make(noise: Floats, incident_energy: Floats, polar_angle: Floats | None) -> Floats:
        angle = (torch.from_numpy(polar_angle),) if card.polar_angle and polar_angle is not None else ()
        cells: torch.Tensor = program(torch.from_numpy(noise), torch.from_numpy(incident_energy), *angle)
        found: Floats = cells.numpy()
        return found

    return make
