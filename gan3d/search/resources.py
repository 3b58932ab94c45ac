"""What there is to run on: the nodes of a Ray cluster, or this machine. Known without Ray where no Ray is running."""

from __future__ import annotations

import math
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil

GIGABYTE = 1e9
#: Where Linux keeps a container's share of CPU time: "quota period" in microseconds, or "max ..." (cgroup v2).
_CGROUP_CPU_LIMIT = Path("/sys/fs/cgroup/cpu.max")


@dataclass(frozen=True, slots=True)
class Node:
    """One machine. A worker lives on one node, so a cluster is more than the sum of its CPUs."""

    cpus: int
    gpus: int
    memory_gb: float

    def num_workers(self, cpus_per_worker: int, gpus_per_worker: int) -> int:
        """How many workers have room here at the same time."""
        by_cpu = self.cpus // cpus_per_worker
        return min(by_cpu, self.gpus // gpus_per_worker) if gpus_per_worker else by_cpu


@dataclass(frozen=True, slots=True)
class Cluster:
    """All nodes, and in words where they are."""

    nodes: tuple[Node, ...]
    where: str

    @property
    def cpus(self) -> int:
        """Of all nodes."""
        return sum(node.cpus for node in self.nodes)

    @property
    def gpus(self) -> int:
        """Of all nodes."""
        return sum(node.gpus for node in self.nodes)

    @property
    def memory_gb(self) -> float:
        """Of all nodes."""
        return math.fsum(node.memory_gb for node in self.nodes)

    def num_workers(self, cpus_per_worker: int, gpus_per_worker: int) -> int:
        """How many workers have room at the same time."""
        return sum(node.num_workers(cpus_per_worker, gpus_per_worker) for node in self.nodes)


def local_cluster() -> Cluster:
    """This machine: the CPUs this process may use, and the GPUs torch sees."""
    import torch

    node = Node(usable_cpus(), torch.cuda.device_count(), psutil.virtual_memory().total / GIGABYTE)
    return Cluster((node,), "this machine")


def ray_cluster() -> Cluster:
    """The nodes that are alive in the Ray cluster this process is connected to."""
    import ray

    return cluster_of(ray.nodes())  # type: ignore[no-untyped-call]


def cluster_of(rows: list[dict[str, Any]]) -> Cluster:
    """The nodes that ``ray.nodes()`` calls alive."""
    resources = [row["Resources"] for row in rows if row["Alive"]]
    nodes = tuple(Node(int(one.get("CPU", 0)), int(one.get("GPU", 0)), one.get("memory", 0) / GIGABYTE) for one in resources)
    where = "the Ray cluster" if len(nodes) == 1 else f"the Ray cluster of {len(nodes)} nodes"
    return Cluster(nodes, where)


def usable_cpus() -> int:
    """CPUs this process may use: those of its affinity mask, or fewer where a container allows less time."""
    cpus = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    limit = cpu_limit(_CGROUP_CPU_LIMIT.read_text(encoding="ascii")) if _CGROUP_CPU_LIMIT.is_file() else None
    return cpus if limit is None else max(1, min(cpus, limit))


def cpu_limit(text: str) -> int | None:
    """Whole CPUs of a cgroup's `cpu.max`; None where there is no limit."""
    quota, _, period = text.partition(" ")
    return None if quota.strip() == "max" else math.ceil(int(quota) / int(period))
