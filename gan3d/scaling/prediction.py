"""A calibrated cost model of a training step, and what it says of teams that nobody has formed yet.

    step(N, b) = (f + k b) m(N, s)  +  sum over updates of exposed all-reduces(N)  +  software        N > 1
    step(1, b) = (f + k b) r

f, k, s, r: `gan3d.scaling.calibration`; m: `gan3d.scaling.stragglers`; all-reduces: `gan3d.scaling.fabrics`. A step has an update of the
discriminator for each of its two batches and one of the generator for each of its steps; each reduces the network's gradients in the
buckets of DDP. Earlier buckets are hidden by the rest of the backward pass, as far as it lasts; what is left of them, and the last one,
by what the rank computes before it needs the new weights, where there is such a thing. Software is what the measured team's
communication took beyond the model's all-reduces on its own link, and stays the same on any; where that link was not measured, it is all
of it.

Not covered: files read by many nodes at once, memory shared by workers of a node beyond what the calibration saw, congestion between
switches. A larger team than was measured is an extrapolation: the interval holds what the calibration leaves open, not what the model
leaves out.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pandas as pd

from gan3d.errors import ConfigError
from gan3d.scaling.calibration import Calibration
from gan3d.scaling.draws import CONFIDENCE, Array, Estimate, interval
from gan3d.scaling.fabrics import DECLARED, Algorithm, Fabric, all_reduce_seconds, mixed, route_of
from gan3d.scaling.stragglers import expected_maximum

#: World sizes of a table, and the largest that is looked at.
WORLD_SIZES = (1, 2, 4, 8, 16, 32, 64, 128, 256)
LARGEST = WORLD_SIZES[-1]
#: Efficiencies whose largest team is asked for.
LEVELS = (0.9, 0.7)
#: Share of an update's computing that is left to hide early buckets: half of its backward pass, which is two thirds of it.
HIDING_SHARE = 1 / 3
_ROUTE_SEED = 202


@dataclass(frozen=True, slots=True)
class Cluster:
    """Where the team would work."""

    software: Fabric | None
    """All-reduces measured where there is no wire to speak of: what the library takes, and workers of one node. None: not known."""
    wire: Fabric | None
    """Between nodes; None where the measured fabric is the one asked for."""
    workers_per_node: int = 1
    algorithm: Algorithm | Literal["hierarchical"] = "ring"
    """ring: one through all workers, as gloo's. tree: halving and doubling among all. hierarchical: rings in nodes, then one of nodes."""


@dataclass(frozen=True, slots=True)
class Work:
    """What a step does."""

    updates: tuple[tuple[int, ...], ...]
    """Bytes of the gradient buckets of each update, in the order of their launch."""
    batch_per_worker: float | None = None
    """Showers per step on one worker: weak scaling."""
    global_batch: int | None = None
    """Showers per step of the whole team: strong scaling."""
    hidden_behind: tuple[float, ...] = ()
    """By update: share of the step's computing between its backward pass and its wait; empty: every update waits at once."""

    def __post_init__(self) -> None:
        assert (self.batch_per_worker is None) != (self.global_batch is None), "one of the two batches is fixed"

    def batch(self, world_size: int) -> float:
        """Showers per step on one worker of a team."""
        if self.global_batch is not None:
            return self.global_batch / world_size
        assert self.batch_per_worker is not None
        return self.batch_per_worker

    def can_be_split(self, world_size: int) -> bool:
        """Whether every worker gets as many showers, one at least."""
        return self.global_batch is None or self.global_batch % world_size == 0


def predict(
    calibration: Calibration,
    work: Work,
    cluster: Cluster,
    world_sizes: Sequence[int] = WORLD_SIZES,
    confidence: float = CONFIDENCE,
) -> pd.DataFrame:
    """The curve.

    Args:
        calibration: Of a worker.
        work: Of a step, and which batch is fixed.
        cluster: What all-reduces go through.
        world_sizes: To be looked at.
        confidence: Of the intervals.

    Returns:
        One row per world size over which the batch can be split evenly: ``world_size``, ``batch_per_worker``; ``step_seconds``,
        ``throughput`` [showers/s] and ``efficiency`` (against one worker), each with ``_low`` and ``_high``; ``computing_seconds``,
        ``straggler_seconds`` and ``communication_seconds``, which add up to the step.

    Raises:
        ConfigError: There is no such world size, or no fabric.
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
    """By efficiency: the largest team that reaches it, as all smaller ones do; the last one looked at means that size or more.

    Args:
        calibration: Of a worker.
        work: Of a step; teams over which its batch cannot be split evenly are left out.
        cluster: What all-reduces go through.
        levels: Efficiencies.
        largest: World size up to which is looked.
    """
    sizes = np.array(_possible(work, range(1, largest + 1)))
    parts = _parts(calibration, work, cluster, sizes.tolist())
    steps = np.stack([sum(of_step, np.zeros(1)) for of_step in parts])
    batches = np.array([work.batch(size) for size in sizes])[:, None]
    efficiencies = (batches / steps) / (batches[0] / steps[0])
    tails = [0.5 - CONFIDENCE / 2, 0.5 + CONFIDENCE / 2]
    unknown = not np.isfinite(efficiencies[:, 1:]).all()
    found = {}
    for level in levels:
        reached = sizes[np.logical_and.accumulate(efficiencies >= level, axis=0).sum(0) - 1]
        ends = [np.nan, np.nan] if unknown else np.quantile(reached[1:], tails, method="inverted_cdf").tolist()
        found[level] = Estimate(float(reached[0]), *ends)
    return found


def communication_seconds(work: Work, cluster: Cluster, world_sizes: Sequence[int]) -> dict[int, Array]:
    """All-reduces of a step with draws, by world size, as :func:`predict` has them: without software, and with nothing to hide behind."""
    all_reduces = _AllReduces(work, cluster)
    return {size: all_reduces.exposed(size, np.zeros(1)) for size in world_sizes}


def _possible(work: Work, world_sizes: Sequence[int]) -> list[int]:
    """World sizes over which the batch can be split evenly.

    Raises:
        ConfigError: None.
    """
    sizes = [size for size in world_sizes if work.can_be_split(size)]
    if not sizes:
        message = f"a global batch of {work.global_batch} cannot be split evenly over {', '.join(map(str, world_sizes))} workers"
        raise ConfigError(message, key="--global-batch")
    return sizes


def _parts(calibration: Calibration, work: Work, cluster: Cluster, sizes: Sequence[int]) -> list[tuple[Array, Array, Array]]:
    """Seconds of a step, by world size: computing, straggler wait, communication; each with draws."""
    waits = expected_maximum(sizes, calibration.spread) - 1.0
    all_reduces = _AllReduces(work, cluster)
    software = all_reduces.software(calibration)
    parts = []
    for place, size in enumerate(sizes):
        computing = calibration.computing_seconds(work.batch(size))
        if size == 1:
            parts.append((computing * calibration.lone_ratio, np.zeros_like(software), np.zeros_like(software)))
        else:
            parts.append((computing, computing * waits[:, place], software + all_reduces.exposed(size, computing)))
    return parts


class _AllReduces:
    """Those of a step."""

    def __init__(self, work: Work, cluster: Cluster) -> None:
        self._work, self._cluster = work, cluster
        if cluster.software is None and cluster.wire is None:
            message = f"there is no fabric: name one of {', '.join(DECLARED)}, or measure one"
            raise ConfigError(message, key="--fabric")
        self._across = route_of(cluster.software, cluster.wire, _ROUTE_SEED)
        self._local = self._across if cluster.software is None else route_of(cluster.software, None, _ROUTE_SEED)
        self._ring = mixed(self._across, self._local, 1 / cluster.workers_per_node)

    def software(self, calibration: Calibration) -> Array:
        """What the measured team's communication took beyond its all-reduces."""
        measured = calibration.communication_seconds
        if self._cluster.software is None:
            return measured
        computing = calibration.computing_seconds(calibration.batches[0])
        modelled = self._exposed(computing, lambda num_bytes: all_reduce_seconds(num_bytes, calibration.team, self._local))
        return np.maximum(0.0, measured - modelled)

    def exposed(self, world_size: int, computing: Array) -> Array:
        """What computing of a step that takes so long does not hide."""
        return self._exposed(computing, lambda num_bytes: self._seconds(num_bytes, world_size))

    def _exposed(self, computing: Array, seconds_of: Callable[[int], Array]) -> Array:
        updates = self._work.updates
        backward = HIDING_SHARE * computing / len(updates)
        exposed = np.zeros_like(self._across.latency)
        for (*early, last), share in zip(updates, self._work.hidden_behind or (0.0,) * len(updates), strict=True):
            hidden = sum((seconds_of(size) for size in early), np.zeros_like(exposed))
            to_wait_for = seconds_of(last) + np.maximum(0.0, hidden - backward)
            exposed = exposed + np.maximum(0.0, to_wait_for - share * computing)
        return exposed

    def _seconds(self, num_bytes: int, world_size: int) -> Array:
        in_a_node, algorithm = self._cluster.workers_per_node, self._cluster.algorithm
        if world_size <= in_a_node:
            return all_reduce_seconds(num_bytes, world_size, self._local, "tree" if algorithm == "tree" else "ring")
        if algorithm == "hierarchical":
            nodes = -(-world_size // in_a_node)
            return all_reduce_seconds(num_bytes, in_a_node, self._local) + all_reduce_seconds(num_bytes, nodes, self._across)
        return all_reduce_seconds(num_bytes, world_size, self._ring if algorithm == "ring" else self._across, algorithm)
