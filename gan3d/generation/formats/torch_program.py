"""A generator as an exported program of torch (``.pt2``): for Python and C++ with torch alone, on any of its devices.

torch loads no more of such a file than `torch_archive` has seen to be data.
"""

from __future__ import annotations

from pathlib import Path

import torch
from torch.export.passes import move_to_device_pass

from gan3d.errors import DataError
from gan3d.generation.card import Card
from gan3d.generation.formats.made import Calibration, Computing, Floats, Make, Save, device_of, program_of
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


def open_program(path: Path, card: Card, computing: Computing) -> Make:
    """Ready to make showers; threads are torch's, of the whole process.

    Raises:
        ConfigError: the device is missing.
        DataError: it is no such file, or holds what may be code.
    """
    device = device_of(computing)
    try:
        program = move_to_device_pass(torch.export.load(without_code(path)), device).module()
    except DataError:
        raise
    except Exception as problem:  # of a program that does not fit together; its errors have no base class but this one
        message = f"torch cannot load it: {type(problem).__name__} {str(problem).partition(chr(10))[0]}"
        raise DataError(message, file=str(path)) from problem
    if computing.threads is not None:
        torch.set_num_threads(computing.threads)

    @torch.no_grad()
    def make(noise: Floats, incident_energy: Floats, polar_angle: Floats | None) -> Floats:
        angle = (polar_angle,) if card.polar_angle and polar_angle is not None else ()
        cells: torch.Tensor = program(*(torch.from_numpy(one).to(device) for one in (noise, incident_energy, *angle)))
        found: Floats = cells.cpu().numpy()
        return found

    return make
