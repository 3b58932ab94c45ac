"""A generator as an OpenVINO file (``.xml`` with its ``.bin``): the ONNX model, kept as OpenVINO reads it.

Its precision is asked for when it is loaded, since by default OpenVINO takes bf16 wherever the machine has it. In 8 bits it is ONNX's
model in 8 bits, whose convolutions OpenVINO computes with whole numbers as well.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from gan3d.errors import DataError
from gan3d.generation.card import Card
from gan3d.generation.formats.made import Calibration, Computing, Floats, Make, Save, needed
from gan3d.generation.formats.onnx_file import model_of
from gan3d.models.shower_graph import ShowerGraph

SUFFIX = ".xml"
CARD = ["gan3d", "card"]


def export(graph: ShowerGraph, card: Card, calibration: Calibration) -> Save:
    """In the card's precision.

    Raises:
        ConfigError: a package is missing.
    """
    openvino = needed("openvino")
    model = openvino.Core().read_model(model_of(graph, card, calibration).SerializeToString())

    def save(path: Path, card: Card) -> None:
        model.set_rt_info(card.as_json(), CARD)
        openvino.save_model(model, path, compress_to_fp16=False)

    return save


def files(path: Path) -> tuple[Path, ...]:
    """The graph, and its weights beside it."""
    return path, path.with_suffix(".bin")


def read_card(path: Path) -> Card:
    """Of a file.

    Raises:
        ConfigError: a package is missing.
        DataError: it is no OpenVINO file, or has no card.
    """
    return _read(path)[1]


def open_request(path: Path, card: Card, computing: Computing) -> Make:
    """Ready to make showers.

    Raises:
        ConfigError: a package or the device is missing.
        DataError: it is no OpenVINO file.
    """
    openvino = needed("openvino")
    asked: dict[str, Any] = {"INFERENCE_PRECISION_HINT": "bf16" if card.precision == "bf16" else "f32", "NUM_STREAMS": 1}
    core, device = openvino.Core(), computing.device.upper()
    computing.see_that_there_is("OpenVINO", [name.lower() for name in core.available_devices])
    if computing.threads is not None and device == "CPU":
        asked["INFERENCE_NUM_THREADS"] = computing.threads
    request = core.compile_model(_read(path)[0], device, asked).create_infer_request()

    def make(noise: Floats, incident_energy: Floats, polar_angle: Floats | None) -> Floats:
        given = [noise, incident_energy] if polar_angle is None else [noise, incident_energy, polar_angle]
        cells: Floats = request.infer(given, share_inputs=True)[0]
        return cells

    return make


def _read(path: Path) -> tuple[Any, Card]:
    openvino = needed("openvino")
    try:
        model = openvino.Core().read_model(path)
    except RuntimeError as problem:
        message = f"OpenVINO cannot read it: {problem}"
        raise DataError(message, file=str(path)) from problem
    text = model.get_rt_info(CARD).astype(str) if model.has_rt_info(CARD) else None
    return model, Card.read(text, str(path))
