"""Measurements of convolutions that come out as a test wants them to."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from gan3d.models import tuning
from gan3d.models.convolution import Path


@contextmanager
def always(path: Path) -> Iterator[None]:
    """Every measurement in this process says that this path is the fastest."""
    measured, module = tuning.seconds_per_step, _as_any(tuning)
    tuning.fastest_path.cache_clear()
    module.seconds_per_step = lambda _shape, _batch, each, _uses, _limit: 0.1 if each == path else 1.0
    try:
        yield
    finally:
        module.seconds_per_step = measured
        tuning.fastest_path.cache_clear()


def _as_any(module: Any) -> Any:
    return module
