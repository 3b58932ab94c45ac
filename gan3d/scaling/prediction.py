"""A calibrated cost model of a training step, and what it says of teams that nobody has formed yet.

    step(N, b) = (f + k b) m(N, s)  +  sum over updates of exposed all-reduces(N)  +  software        N > 1
    step(1, b) = (f + k b) r

f, k, s, r: `gan3d.scaling.calibration`; m: `gan3d.scaling.stragglers`; all-reduces: `gan3d.scaling.fabrics`. A step has an update of the
discriminator for each of its two batches and one of the generator for each of its steps; each reduces the network's gradients in the
buckets of DDP. Nothing hides the last bucket; earlier ones are hidden by the rest of the backward pass, as far as it lasts. Software is
what the measured team's communication took beyond the model's all-reduces on its own link, and stays the same on any.

Not covered: files read by many nodes at once, memory shared by workers of a node beyond what the calibration saw, congestion between
switches. A larger team than was measured is an extrapolation: the interval holds what the calibration leaves open, not what the model
leaves out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from gan3d.errors import ConfigError
from gan3d.scaling.calibration import Calibration
from gan3d.scaling.draws import CONFIDENCE, Array, Estimate, interval
from gan3d.scaling.fabrics import Algorithm, Fabric, all_reduce_seconds, route_of
from gan3d.scaling.stragglers import expected_maximum

#: World sizes of a table, and the largest that is looked at.
WORLD_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LARGEST = WORLD_SIZES[-1]
#: Efficiencies whose largest team is asked for.
LEVELS = (0.9, 0.7)
#: Share of an update's computing that is left to hide early buckets: half of its backward pass, which is two thirds of it.
HIDING_SHARE = 1 / 3
_LOCAL_SEED, _ACROSS_SEED = 201, 202


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the team would work."""

    software: Fabric | None
    """All-reduces measured where there is no wire to speak of: what the library takes, and workers of one node. None: nothing."""
    wire: Fabric | None
    """Between nodes; None where the measured fabric is the one asked for."""
    workers_per_node: int = 1
    algorithm: Algorithm | Literal["hierarchical"] = "ring"
    """ring: one ring through all workers, as gloo's. hierarchical: a ring in each node, one through the nodes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does."""

    updates: tuple[tuple[int, ...], ...]
    """Bytes of the gradient buckets of each update, in the order of their launch."""
    batch_per_worker: float | None = None
    """Showers per step on one worker: weak scaling."""
    global_batch: int | None = None
    """Showers per step of the whole team: strong scaling."""

    def batch(self, world_size: int) -> float:
        """Showers per step on one worker of a team."""
        if self.global_batch is not None:
            return self.global_batch / world_size
        assert self.batch_per_worker is not None
        return self.batch_per_worker


def predict(
    calibration: Calibration,
    work: Work,
    cluster: Cluster,
    world_sizes: Sequence[int] = WORLD_SIZES,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The curve.

    Returns:
        One row per world size at which a worker has a shower: ``world_size``, ``batch_per_worker``; ``step_seconds``, ``throughput``
        [showers/s] and ``efficiency`` (against one worker), each with ``_low`` and ``_high``; and ``computing_seconds``,
        ``straggler_seconds``, ``communication_seconds``, which add up to the step.
    """
    sizes = _possible(work, world_sizes)
    parts = _parts(calibration, work, cluster, [1, *sizes])
    lone_rate = work.batch(1) / sum(parts[0])
    rows = []
    for size, of_step in zip(sizes, parts[1:], strict=True):
        step = sum(of_step, np.zeros(1))
        throughput = size * work.batch(size) / step
        row: dict[str, float] = {"world_size": size, "batch_per_worker": work.batch(size)}
        for name, quantity in (("step_seconds", step), ("throughput", throughput), ("efficiency", throughput / (size * lone_rate))):
            found = interval(quantity, confidence)
            row |= {name: found.value, f"{name}_low": found.low, f"{name}_high": found.high}
        names = ("computing_seconds", "straggler_seconds", "communication_seconds")
        rows.append(row | {name: float(part[0]) for name, part in zip(names, of_step, strict=True)})
    return pd.DataFrame(rows)


def largest_teams(
    calibration: Calibration, work: Work, cluster: Cluster, levels: Sequence[float] = LEVELS, largest: int = LARGEST
) -> dict[float, Estimate]:
    """By efficiency: the largest team up to which every team reaches it. ``largest`` means that size or more."""
    sizes = _possible(work, range(1, largest + 1))
    parts = _parts(calibration, work, cluster, sizes)
    steps = np.stack([sum(of_step, np.zeros(1)) for of_step in parts])
    batches = np.array([work.batch(size) for size in sizes])[:, None]
    efficiencies = (batches / steps) / (batches[0] / steps[0])
    found = {}
    for level in levels:
        reached = np.logical_and.accumulate(efficiencies >= level, axis=0).sum(0)
        value, draws = float(reached[0]), reached[1:]
        unknown = not np.isfinite(efficiencies[:, 1:]).all()
        ends = (np.nan, np.nan) if unknown else np.quantile(draws, [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2])
        found[level] = Estimate(value, float(np.floor(ends[0])), float(np.ceil(ends[1])))
    return found


def _possible(work: Work, world_sizes: Sequence[int]) -> list[int]:
    """World sizes at which every worker has a shower.

    Raises:
        ConfigError: None.
    """
    sizes = [size for size in world_sizes if work.batch(size) >= 1]
    if not sizes:
        message = f"a global batch of {work.global_batch} leaves no shower for a worker of {min(world_sizes)}"
        raise ConfigError(message, key="--global-batch")
    return sizes


def _parts(calibration: Calibration, work: Work, cluster: Cluster, sizes: Sequence[int]) -> list[tuple[Array, Array, Array]]:
    """Seconds of a step, by world size: computing, straggler wait, communication; each with draws."""
    waits = expected_maximum(sizes, calibration.spread) - 1.0
    parts = []
    communication = _Communication(calibration, work, cluster)
    for place, size in enumerate(sizes):
        computing = calibration.computing_seconds(work.batch(size))
        if size == 1:
            computing = computing * calibration.lone_ratio
        parts.append((computing, computing * waits[:, place], communication.seconds(size, computing)))
    return parts


class _Communication:
    """Exposed communication of a step, by world size."""

    def __init__(self, calibration: Calibration, work: Work, cluster: Cluster) -> None:
        self._work, self._cluster = work, cluster
        across = [fabric for fabric in (cluster.software, cluster.wire) if fabric is not None]
        if not across:
            message = "there is no fabric: name one, or measure one"
            raise ConfigError(message, key="--fabric")
        self._across = route_of(cluster.software, cluster.wire, _ACROSS_SEED)
        self._local = self._across
        self._software = np.zeros_like(self._across.latency)
        if cluster.software is not None:
            self._local = route_of(cluster.software, None, _ACROSS_SEED)
            modelled = sum(all_reduce_seconds(sum(buckets), calibration.team, self._local) for buckets in work.updates)
            self._software = np.maximum(0.0, calibration.communication_seconds - modelled)

    def seconds(self, world_size: int, computing: Array) -> Array:
        """Of a step whose computing takes so long."""
        if world_size == 1:
            return np.zeros_like(self._software)
        to_hide_behind = HIDING_SHARE * computing / len(self._work.updates)
        exposed = self._software
        for *early, last in self._work.updates:
            hidden = sum((self._all_reduce(size, world_size) for size in early), np.zeros_like(exposed))
            exposed = exposed + self._all_reduce(last, world_size) + np.maximum(0.0, hidden - to_hide_behind)
        return exposed

    def _all_reduce(self, num_bytes: int, world_size: int) -> Array:
        in_a_node, algorithm = self._cluster.workers_per_node, self._cluster.algorithm
        if world_size <= in_a_node:
            return all_reduce_seconds(num_bytes, world_size, self._local, "tree" if algorithm == "tree" else "ring")
        if algorithm == "hierarchical":
            nodes = -(-world_size // in_a_node)
            return all_reduce_seconds(num_bytes, in_a_node, self._local) + all_reduce_seconds(num_bytes, nodes, self._across)
        return all_reduce_seconds(num_bytes, world_size, self._across, algorithm)
