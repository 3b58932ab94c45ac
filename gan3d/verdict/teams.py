"""How many workers: what scaling studies measured, and what that makes of a recipe's time and cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from gan3d.errors import ConfigError
from gan3d.scaling.speedup import SEED_KEY, scaling_table
from gan3d.verdict.evidence import Records
from gan3d.verdict.quantity import Quantity, exactly

#: Least parallel efficiency, at the lower end of its interval, of a team that is recommended.
LEAST_EFFICIENCY = 0.7


@dataclass(frozen=True, slots=True)
class TeamSize:
    """One number of workers of one scaling curve."""

    workers: int
    speed_up: float
    speed_up_low: float
    speed_up_high: float
    efficiency: float
    efficiency_low: float
    efficiency_high: float
    num_blocks: int
    nodes: int = 0
    """On which the workers were; of several trials the most. 0: not recorded."""

    @property
    def known(self) -> Quantity:
        """The speed-up; that of the team to which all are compared is 1 for sure."""
        ends = (1.0, 1.0) if self.speed_up == 1.0 else (self.speed_up_low, self.speed_up_high)
        return Quantity(self.speed_up, *ends, self.num_blocks)


@dataclass(frozen=True, slots=True)
class Curve:
    """Strong or weak scaling of one study, training alone."""

    study: str
    kind: str
    fixed_batch: int
    """Global (strong) or per worker (weak)."""
    cores: int
    """Of the driver's machine; 0: not recorded."""
    sizes: tuple[TeamSize, ...]
    predicted_on: str = ""
    """The network for which the cost model predicts it; empty: it was measured."""

    def speed_up(self, workers: int) -> Quantity:
        """Of any number of workers: between two measured ones on the straight line of logarithms, beyond them ideal."""
        sizes = [one.workers for one in self.sizes]
        nearest = min(max(workers, sizes[0]), sizes[-1])
        ends = zip(*([one.known.value, one.known.low, one.known.high] for one in self.sizes), strict=True)
        logs = [np.interp(math.log(nearest), np.log(sizes), np.log(end)) for end in ends]
        value, low, high = (math.exp(log) * workers / nearest for log in logs)
        if nearest != workers:  # taken for ideal, nobody knows how surely
            low = high = math.nan
        return Quantity(value, low, high, min(one.num_blocks for one in self.sizes))

    def faster(self, workers: int, size: TeamSize) -> Quantity:
        """How many times as fast a team is as one of ``workers`` workers; of the same team that is known for sure."""
        if size.workers == workers:
            return exactly(1.0)
        return size.known.times(self.speed_up(workers).inverse())

    def at_most(self, workers: int) -> TeamSize:
        """The fastest team of at most so many workers."""
        fitting = [one for one in self.sizes if one.workers <= workers] or [self.sizes[0]]
        return max(fitting, key=lambda one: one.speed_up)

    def on_at_most(self, nodes: int) -> TeamSize:
        """The fastest team that is known to have been on at most so many nodes."""
        return max((one for one in self.sizes if 0 < one.nodes <= nodes), key=lambda one: one.speed_up)

    def recommended(self, least: float = LEAST_EFFICIENCY) -> TeamSize:
        """The largest team that is surely efficient enough; the smallest that was measured, if none is."""
        sure = [one for one in self.sizes if max(one.efficiency_low, 0.0) >= least or one is self.sizes[0]]
        return max(sure, key=lambda one: one.workers)


def curves_of(records: Sequence[Records], warmup_epochs: int = 1) -> list[Curve]:
    """Of every study whose trials differ in their numbers of workers; those without a curve are left out."""
    found: list[Curve] = []
    for one in records:
        if one.is_of_scaling:
            found += _curves(one, warmup_epochs)
    return found


def _curves(records: Records, warmup_epochs: int) -> list[Curve]:
    blocks = records.study.sampler.blocks or SEED_KEY
    try:
        table = scaling_table(records.epochs, warmup_epochs, block_key=blocks)
    except ConfigError:
        return []
    table = table[table["rate"] == "training"]
    told = records.info.provenance
    cores = int(float(told.get("usable_cores") or told.get("logical_cores") or 0))
    return [
        Curve(records.info.name, str(kind), int(rows["fixed"].iloc[0]), cores, tuple(_sizes(rows, records)))
        for kind, rows in table.groupby("kind", sort=False)
    ]


def _sizes(rows: pd.DataFrame, records: Records) -> list[TeamSize]:
    names = [f"{name}{end}" for name in ("speedup", "efficiency") for end in ("", "_low", "_high")]
    found = []
    for _, row in rows.sort_values("world_size").iterrows():
        speed_up, faster_low, faster_high, efficiency, low, high = (_number(row[name]) for name in names)
        if math.isnan(speed_up):  # of no block in which the smallest team trained, too
            continue
        workers = int(row["world_size"])
        sizes = (workers, speed_up, faster_low, faster_high, efficiency, low, high, int(row["blocks"]))
        found.append(TeamSize(*sizes, nodes=records.nodes_of(workers)))
    return found


def _number(value: Any) -> float:
    return float(value) if pd.notna(value) else math.nan


def on_team(hours: Quantity, core_hours: Quantity, workers: int, size: TeamSize, curve: Curve) -> tuple[Quantity, Quantity]:
    """Wall hours and core-hours of what took so much on ``workers`` workers, on another team of the curve."""
    slower = curve.faster(workers, size).inverse()
    return hours.times(slower), core_hours.times(slower).times(exactly(size.workers / workers))
