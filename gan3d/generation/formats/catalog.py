"""All formats by name, and which of them a file has."""

from __future__ import annotations

from pathlib import Path

from gan3d.errors import ConfigError
from gan3d.generation.card import PRECISIONS, FormatName, Precision
from gan3d.generation.formats import onnx_file, openvino_file, torch_program
from gan3d.generation.formats.made import Format

FORMATS: dict[FormatName, Format] = {
    "onnx": Format(
        onnx_file.SUFFIX,
        {"bf16": "onnxruntime has no convolutions in bf16 for CPUs"},
        onnx_file.export,
        onnx_file.read_card,
        onnx_file.open_session,
    ),
    "openvino": Format(
        openvino_file.SUFFIX, {}, openvino_file.export, openvino_file.read_card, openvino_file.open_request, openvino_file.files
    ),
    "torch-export": Format(
        torch_program.SUFFIX,
        {"int8": "torch itself quantises no exported programs any more"},
        torch_program.export,
        torch_program.read_card,
        torch_program.open_program,
    ),
}


def format_of(path: Path) -> Format | None:
    """By the file's suffix; None: it is no exported generator."""
    return next((one for one in FORMATS.values() if one.suffix == path.suffix), None)


def see_that_there_is(name: FormatName, precision: Precision) -> Format:
    """The format, where it has that precision.

    Raises:
        ConfigError: it has not.
    """
    found = FORMATS[name]
    if reason := found.lacks.get(precision):
        have = [f"{other} ({', '.join(one for one in PRECISIONS if one not in FORMATS[other].lacks)})" for other in FORMATS]
        message = f"{name} in {precision} is not to be had: {reason}. There are {', '.join(have)}."
        raise ConfigError(message, key="precision")
    return found
