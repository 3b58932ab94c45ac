"""A generator as an ONNX file, run by onnxruntime: on CPUs here, elsewhere through its other execution providers.

In 8 bits, convolutions multiply whole numbers: weights by the channel, their inputs by the tensor, both chosen from showers
(onnxruntime's static quantisation, QDQ form). What convolutions make, the output and layer energies stay in single precision.
"""

from __future__ import annotations

import logging
import tempfile
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gan3d.errors import ConfigError, DataError
from gan3d.generation.card import OUTPUT, Card
from gan3d.generation.formats.made import Calibration, Computing, Floats, Make, Save, needed, program_of
from gan3d.models.shower_graph import ShowerGraph

SUFFIX = ".onnx"
CARD = "gan3d_card"
#: Behind the name of a device, in that of what computes on it; where that lacks an operator onnxruntime takes the CPU for it.
PROVIDER = "ExecutionProvider"
#: Providers that send what is computed to another machine.
ELSEWHERE = ("AzureExecutionProvider",)


def export(graph: ShowerGraph, card: Card, calibration: Calibration) -> Save:
    """In the card's precision.

    Raises:
        ConfigError: a package is missing.
    """
    model = model_of(graph, card, calibration)

    def save(path: Path, card: Card) -> None:
        onnx = needed("onnx")
        onnx.helper.set_model_props(model, {CARD: card.as_json()})
        onnx.save(model, path)

    return save


def model_of(graph: ShowerGraph, card: Card, calibration: Calibration) -> Any:
    """The ONNX model, in single precision or in 8 bits."""
    needed("onnxscript")
    import torch

    # The exporter tells of every operator of packages that are not installed.
    with _quiet("torch.onnx._internal.exporter"), warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # of torch, about itself
        found = torch.onnx.export(program_of(graph), dynamo=True, input_names=list(card.inputs), output_names=[OUTPUT], verbose=False)
    assert found is not None
    return quantised(found.model_proto, card, calibration) if card.precision == "int8" else found.model_proto


def quantised(model: Any, card: Card, calibration: Calibration) -> Any:
    """The same with convolutions in 8 bits, all but the one that makes cells: their energies spread over decades."""
    onnx, quantization = needed("onnx"), needed("onnxruntime.quantization")

    class Reader(quantization.CalibrationDataReader):  # type: ignore[misc, name-defined]  # of a package that may be missing
        def __init__(self) -> None:
            self.left: Iterator[dict[str, Floats]] = (dict(zip(card.inputs, batch, strict=True)) for batch in calibration.batches())

        def get_next(self) -> dict[str, Floats] | None:
            return next(self.left, None)

    last = [node.name for node in model.graph.node if node.op_type == "Conv" and _makes_cells(model, node)]
    with tempfile.TemporaryDirectory() as folder, _quiet(None):
        before, after = Path(folder) / "fp32.onnx", Path(folder) / "int8.onnx"
        onnx.save(model, before)
        quantization.quantize_static(
            before,
            after,
            Reader(),
            quant_format=quantization.QuantFormat.QDQ,
            per_channel=True,
            activation_type=quantization.QuantType.QUInt8,
            weight_type=quantization.QuantType.QInt8,
            op_types_to_quantize=["Conv"],
            nodes_to_exclude=last,
            extra_options={"OpTypesToExcludeOutputQuantization": ["Conv"]},
        )
        return onnx.load(after)


def _makes_cells(model: Any, node: Any) -> bool:
    """Whether a convolution has one channel out."""
    weight = next(one for one in model.graph.initializer if one.name == node.input[1])
    return bool(weight.dims[0] == 1)


@contextmanager
def _quiet(log: str | None) -> Iterator[None]:
    """Errors only; onnxruntime's quantisation gives its advice through the root logger (None), where it belongs to nobody."""
    logger = logging.getLogger(log)
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)


def read_card(path: Path) -> Card:
    """Of a file.

    Raises:
        ConfigError: a package is missing.
        DataError: it is no ONNX file, or has no card.
    """
    return _session(path, Computing(threads=1))[1]


def open_session(path: Path, card: Card, computing: Computing) -> Make:
    """Ready to make showers.

    Raises:
        ConfigError: a package or the device is missing.
        DataError: it is no ONNX file.
    """
    session, _ = _session(path, computing)

    def make(noise: Floats, incident_energy: Floats, polar_angle: Floats | None) -> Floats:
        given = zip(card.inputs, (noise, incident_energy, polar_angle), strict=False)
        cells: Floats = session.run([OUTPUT], dict(given))[0]
        return cells

    return make


def _session(path: Path, computing: Computing) -> tuple[Any, Card]:
    runtime = needed("onnxruntime")
    runtime.disable_telemetry_events()
    there = {name.removesuffix(PROVIDER).lower(): name for name in runtime.get_available_providers() if name not in ELSEWHERE}
    computing.see_that_there_is("onnxruntime", there)
    provider = there[computing.device]
    options = runtime.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = computing.threads or 0
    options.inter_op_num_threads = 1
    try:
        # Of bytes: a model without a place cannot name other files to be read.
        session = runtime.InferenceSession(path.read_bytes(), options, providers=[provider])
    except Exception as problem:  # its own exceptions have no base class but this one
        message = f"onnxruntime cannot load it: {problem}"
        raise DataError(message, file=str(path)) from problem
    if session.get_providers()[0] != provider:
        # onnxruntime goes on with the CPU, and says so in a log only.
        message = f"onnxruntime has {provider} but cannot start it. Are its driver and libraries of the version that it wants?"
        raise ConfigError(message, key="device")
    return session, Card.read(session.get_modelmeta().custom_metadata_map.get(CARD), str(path))
