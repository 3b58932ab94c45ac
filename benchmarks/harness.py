"""Interleaved timing, and the rows that the benchmarks report.

These machines are noisy: a figure counts only beside another one taken in the same run, in turn with it (A B A B ...), as a median
with its spread.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

#: Measured rounds where a benchmark does not say otherwise.
ROUNDS = 5


@dataclass(frozen=True, slots=True)
class Row:
    """One figure: what was measured, which variant of it, and the median of ``rounds`` measurements with their extremes."""

    benchmark: str
    case: str
    variant: str
    value: float
    unit: str
    lowest: float
    highest: float
    rounds: int

    @classmethod
    def of(cls, names: tuple[str, str, str], values: Sequence[float], unit: str) -> Row:
        """From (benchmark, case, variant) and the measured values."""
        return cls(*names, median(values), unit, min(values), max(values), len(values))


def interleaved(
    variants: Mapping[str, Callable[[], object]],
    rounds: int = ROUNDS,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[str, list[float]]:
    """Seconds of each variant, called in turn: once unmeasured, then ``rounds`` times.

    ``clock`` may be ``time.process_time`` where a variant is one thread of pure computation and others share the machine.
    """
    for variant in variants.values():
        variant()
    seconds: dict[str, list[float]] = {name: [] for name in variants}
    for _ in range(rounds):
        for name, variant in variants.items():
            start = clock()
            variant()
            seconds[name].append(clock() - start)
    return seconds


def rates(work: float, seconds: Sequence[float]) -> list[float]:
    """Work per second of each measurement."""
    return [work / each for each in seconds]


#: What a benchmark's module offers as ``rows``: yields figures as they come; ``quick`` asks for less work, not for other figures.
Rows = Callable[[bool], Iterator[Row]]
