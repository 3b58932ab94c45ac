"""A generator as an exported program of torch (``.pt2``): for Python and C++ with torch alone, on any of its devices.

torch reads such files by pickle where they ask for it. Here they may not: what would be unpickled with code is refused before.
"""

from __future__ import annotations

import io
import json
import pickle
import zipfile
from pathlib import Path

import torch

from gan3d.errors import DataError
from gan3d.generation.card import Card
from gan3d.generation.formats.made import Calibration, Floats, Make, Save, program_of
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
    with _opened(path) as archive:
        name = next((name for name in archive.namelist() if name.endswith(f"/extra/{CARD}")), None)
        return Card.read(None if name is None else archive.read(name).decode(), str(path))


def open_program(path: Path, card: Card, threads: int | None) -> Make:
    """Ready to make showers; ``threads`` are torch's, of the whole process.

    Raises:
        DataError: it is no such file, or would run code of its own when it is loaded.
    """
    refuse_code(path)
    program = torch.export.load(path).module()
    if threads is not None:
        torch.set_num_threads(threads)

    @torch.no_grad()
    def make(noise: Floats, incident_energy: Floats, polar_angle: Floats | None) -> Floats:
        angle = (torch.from_numpy(polar_angle),) if card.polar_angle and polar_angle is not None else ()
        cells: torch.Tensor = program(torch.from_numpy(noise), torch.from_numpy(incident_energy), *angle)
        found: Floats = cells.numpy()
        return found

    return make


def refuse_code(path: Path) -> None:
    """See that nothing in the file is unpickled but tensors.

    Raises:
        DataError: something would be.
    """
    with _opened(path) as archive:
        for name in archive.namelist():
            if name.endswith(("_weights_config.json", "_constants_config.json")):
                content = json.loads(archive.read(name))["config"]
                is_safe = not any(one["use_pickle"] for one in content.values())
            elif "/data/sample_inputs/" in name:
                is_safe = _is_of_tensors(archive.read(name))
            else:
                is_safe = not name.endswith((".so", ".py", ".pkl", ".pickle")) and "/data/aotinductor/" not in name
            if not is_safe:
                message = f"its part {name} would run code when it is loaded. gan3d export writes no such files."
                raise DataError(message, file=str(path))


def _is_of_tensors(content: bytes) -> bool:
    try:
        torch.load(io.BytesIO(content), weights_only=True)
    except (pickle.UnpicklingError, RuntimeError):
        return False
    return True


def _opened(path: Path) -> zipfile.ZipFile:
    try:
        return zipfile.ZipFile(path)
    except (OSError, zipfile.BadZipFile) as problem:
        message = f"it is no exported program of torch: {problem}"
        raise DataError(message, file=str(path)) from problem
