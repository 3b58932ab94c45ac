"""Samples, paths, numbers and durations as short text."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from functools import cache
from pathlib import PurePath
from typing import Any

from gan3d.config.keys import knobs
from gan3d.config.problem import show

#: Of measured numbers.
SIGNIFICANT_DIGITS = 4
UNKNOWN = "?"


def short_names(keys: Iterable[str]) -> dict[str, str]:
    """Each dotted key's shortest end that no other knob has, so that it means the same in every study; never a bare position."""
    return {key: _short_name(key) for key in keys}


@cache
def _short_name(key: str) -> str:
    parts = key.split(".")
    ends = (".".join(parts[start:]) for start in range(len(parts) - 1, -1, -1) if not parts[start].isdecimal())
    return next(end for end in ends if end == key or not any(other != key and other.endswith(f".{end}") for other in knobs()))


def short_paths(paths: Iterable[str]) -> dict[str, str]:
    """Each path's shortest end, in whole names, that no other has: `0003`, or `mine/trials/0003` where another study has one, too."""
    parts = {path: PurePath(path).parts for path in paths}
    found = {}
    for path, own in parts.items():
        ends = (own[-length:] for length in range(1, len(own) + 1))
        alone = (end for end in ends if sum(other[-len(end) :] == end for other in parts.values()) == 1)
        found[path] = str(PurePath(*next(alone, own)))
    return found


def sample_text(sample: Mapping[str, Any], names: Mapping[str, str]) -> str:
    """`generator.filters.0=16 global_batch=32`, by the short names."""
    return " ".join(f"{names.get(key, key)}={value_text(value)}" for key, value in sample.items())


def value_text(value: Any) -> str:
    """A sampled value: numbers between the steps of a grid with three digits."""
    return f"{value:.3g}" if isinstance(value, float) else show(value)


def number_text(value: float | None) -> str:
    """A measured number."""
    if value is None or not math.isfinite(value):
        return UNKNOWN if value is None else str(value)
    return f"{value:#.{SIGNIFICANT_DIGITS}g}" if abs(value) < 10**SIGNIFICANT_DIGITS else f"{value:,.0f}"


def duration_text(seconds: float | None) -> str:
    """`0:07`, `2:13`, `1:02:03`, `3 d 4:05:06`."""
    if seconds is None:
        return UNKNOWN
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    text = f"{hours}:{minutes:02}:{rest:02}" if days or hours else f"{minutes}:{rest:02}"
    return f"{days} d {text}" if days else text


def metric_text(metric: str) -> str:
    """A metric's name without its group."""
    return metric.rpartition(".")[2]


def excess_text(excess: float) -> str:
    """`, 12 % beyond a constraint`; nothing where all are kept."""
    return f", {100 * excess:.3g} % beyond a constraint" if excess > 0 else ""


def counted(number: int, noun: str) -> str:
    """`1 trial`, `1,000 trials`."""
    return f"{number:,} {noun}{'' if number == 1 else 's'}"
