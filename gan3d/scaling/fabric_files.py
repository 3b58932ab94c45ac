"""A fabric from what a user names: a declared one, or a JSON file of one that was measured or that somebody declares.

{"world_size": 2, "points": [[1024, 0.0003], ...]}                          measured, as `python -m gan3d.training.fabric` prints it
{"latency_seconds": [2e-5, 8e-6, 5e-5], "bytes_per_second": 1.2e9,          declared: a value, or a value with its interval;
 "source": "the vendor's data sheet", "over_tcp": true}                     source and over_tcp may be left out
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

from gan3d.errors import ConfigError
from gan3d.scaling.draws import Estimate
from gan3d.scaling.fabrics import Fabric, declared, fit_fabric

SUFFIX = ".json"
_DECLARED_KEYS = {"latency_seconds", "bytes_per_second", "source", "over_tcp"}


def fabric_named(text: str, option: str = "--fabric") -> Fabric:
    """The fabric of a name, or of a file whose name ends in .json.

    Args:
        text: As the user wrote it.
        option: Of the command line, for messages.

    Raises:
        ConfigError: There is no such fabric or file, or the file holds neither.
    """
    return read_fabric(Path(text), option) if text.endswith(SUFFIX) else declared(text)


def read_fabric(path: Path, option: str = "--fabric") -> Fabric:
    """The fabric of a file; its name is the file's.

    Raises:
        ConfigError: As :func:`fabric_named`.
    """
    if not path.is_file():
        message = f"{option} {path} is not a file. `python -m gan3d.training.fabric > {path.name}` measures a fabric."
        raise ConfigError(message, key=option)
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError) as error:
        message = f"{option}: this is not JSON: {error}"
        raise ConfigError(message, where=str(path), key=option) from None
    if isinstance(document, dict) and "points" in document:
        return _measured(document, path, option)
    if isinstance(document, dict) and {"latency_seconds", "bytes_per_second"} <= document.keys() <= _DECLARED_KEYS:
        return _declared(document, path, option)
    message = (
        f"{option}: a fabric has either world_size and points, as `python -m gan3d.training.fabric` prints them, "
        f"or latency_seconds and bytes_per_second (with source and over_tcp, if you like)"
    )
    raise ConfigError(message, where=str(path), key=option)


def _measured(document: dict[str, Any], path: Path, option: str) -> Fabric:
    try:
        points = [(int(num_bytes), float(seconds)) for num_bytes, seconds in document["points"]]
        world_size = int(document["world_size"])
    except (KeyError, TypeError, ValueError):
        points, world_size = [(0, 0.0)], 0
    if not all(num_bytes > 0 and 0 < seconds < math.inf for num_bytes, seconds in points):
        message = f"{option}: points are pairs of bytes and seconds above 0, beside the world_size they were measured with"
        raise ConfigError(message, where=str(path), key=option)
    try:
        return fit_fabric(points, world_size, path.stem)
    except ConfigError as error:
        message = f"{option}: {error}"
        raise ConfigError(message, where=str(path), key=option) from None


def _declared(document: dict[str, Any], path: Path, option: str) -> Fabric:
    latency, rate = (_estimate(document[name], name, path, option) for name in ("latency_seconds", "bytes_per_second"))
    over_tcp = document.get("over_tcp", False)
    if not isinstance(over_tcp, bool):
        message = f"{option}: over_tcp = {over_tcp!r} is not true or false"
        raise ConfigError(message, where=str(path), key=option)
    return Fabric(path.stem, latency, rate, "declared", str(document.get("source", path)), over_tcp)


def _estimate(content: Any, name: str, path: Path, option: str) -> Estimate:
    numbers = content if isinstance(content, list) else [content] * 3
    is_right = len(numbers) == 3 and all(isinstance(one, int | float) and 0 < one < math.inf for one in numbers)
    if not is_right or not numbers[1] <= numbers[0] <= numbers[2]:
        message = f"{option}: {name} = {content!r} is not a number above 0, nor [value, low, high] of such with the value in between"
        raise ConfigError(message, where=str(path), key=option)
    return Estimate(*map(float, numbers))
