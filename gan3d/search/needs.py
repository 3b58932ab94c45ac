"""What must be free so that the study can run at all, how many trials run at the same time, and what to change where there is no room.

A study is refused where one trial of the largest size would not have room, each worker on one node. Concurrent trials take turns where
they have no room together: `gan3d.search.admission`.
"""

from __future__ import annotations

from dataclasses import dataclass

from gan3d.config.study import Study
from gan3d.search.admission import have_room
from gan3d.search.resources import Cluster


@dataclass(frozen=True, slots=True)
class Needs:
    """The study's side."""

    concurrent: int
    cpus_per_worker: int
    gpus_per_worker: int
    world_sizes: tuple[int, ...]
    """Every one that a trial may have, rising."""
    one_node: bool = False
    """Whether all workers of a trial must share a node."""

    @property
    def max_world_size(self) -> int:
        """Workers of the largest trial."""
        return self.world_sizes[-1]

    @property
    def workers(self) -> int:
        """Workers at the same time."""
        return self.concurrent * self.max_world_size

    @property
    def cpus(self) -> int:
        """CPUs at the same time."""
        return self.workers * self.cpus_per_worker

    @property
    def gpus(self) -> int:
        """GPUs at the same time."""
        return self.workers * self.gpus_per_worker

    def problem(self, cluster: Cluster) -> str | None:
        """Why the cluster has no room for the largest trial, with both numbers and the way out; None if it has."""
        room = cluster.num_workers(self.cpus_per_worker, self.gpus_per_worker)
        if self.max_world_size > room:
            workers = self.max_world_size
            terms = [f"workers.per_trial = {workers}", f"workers.cpus_per_worker = {self.cpus_per_worker}"]
            terms += ["workers.gpus_per_worker = 1"] if self.gpus_per_worker else []
            needed = f"{workers * self.cpus_per_worker} CPUs{self._and_gpus(workers * self.gpus_per_worker)}"
            asked = f"{'its largest' if len(self.world_sizes) > 1 else 'a'} trial needs {needed} at the same time ({' x '.join(terms)})"
            there = f"{cluster.where} has {cluster.cpus}{self._and_gpus(cluster.gpus)}, room for {room} such workers"
            return f"{asked}, but {there}. {self._way_out(cluster, room)}"
        if self.one_node and max(rooms := self.rooms(cluster)) < self.max_world_size:
            asked = f"workers.per_trial = {self.max_world_size} on one node (workers.one_node)"
            there = f"the nodes of {cluster.where} have room for {', '.join(map(str, rooms))} workers of {self.cpus_per_worker} CPUs"
            return f"{asked}, but {there}. Lower workers.per_trial, or set workers.one_node to false."
        return None

    def rooms(self, cluster: Cluster) -> tuple[int, ...]:
        """Workers that have room on each node."""
        return tuple(node.num_workers(self.cpus_per_worker, self.gpus_per_worker) for node in cluster.nodes)

    def at_once(self, cluster: Cluster) -> int:
        """How many trials of the largest size run at the same time."""
        rooms = self.rooms(cluster)
        counts = range(1, self.concurrent + 1)
        return max((count for count in counts if have_room(rooms, [self.max_world_size] * count, one_node=self.one_node)), default=0)

    def _and_gpus(self, count: int) -> str:
        return f" and {count} GPUs" if self.gpus_per_worker else ""

    def _way_out(self, cluster: Cluster, room: int) -> str:
        """The mildest change that makes room."""
        larger = "the --address of a larger Ray cluster"
        changes = self._changes(room) or self._smaller_workers(cluster)
        return f"Use {' '.join(f'--set {change}' for change in changes)}, or {larger}." if changes else f"Give {larger}."

    def _changes(self, room: int) -> list[str]:
        """Overrides that make do with ``room`` workers; none if there are none."""
        if room >= self.max_world_size:
            return []
        fewer = self._world_size(room)
        return [fewer] if fewer else []

    def _world_size(self, room: int) -> str | None:
        """The override that makes the largest trial so small; what divides the old world size divides the global batch too."""
        if len(self.world_sizes) == 1:
            divisors = [size for size in range(1, room + 1) if self.max_world_size % size == 0]
            return f"workers.per_trial={divisors[-1]}" if divisors else None
        sizes = [size for size in self.world_sizes if size <= room]
        return f"'search_space.workers.per_trial={{choice: {sizes}}}'" if len(sizes) > 1 else None

    def _smaller_workers(self, cluster: Cluster) -> list[str]:
        """Overrides with fewer CPUs per worker: all of the smallest node's, shared by the workers of one trial."""
        share = min((node.cpus for node in cluster.nodes), default=0) * len(cluster.nodes) // self.max_world_size
        if self.gpus_per_worker:
            return []
        if share:
            return [f"workers.cpus_per_worker={share}"]
        changes = self._changes(cluster.cpus)
        return ["workers.cpus_per_worker=1", *changes] if changes else []


def needs_of(study: Study) -> Needs:
    """What the study needs; of its concurrent trials, as many as there are trials."""
    workers = study.workers
    return Needs(
        concurrent=min(study.trials.concurrent, study.num_trials),
        cpus_per_worker=workers.cpus_per_worker,
        gpus_per_worker=workers.gpus_per_worker,
        world_sizes=world_sizes(study),
        one_node=workers.one_node,
    )


def world_sizes(study: Study) -> tuple[int, ...]:
    """Every world size a trial may have, rising."""
    values = study.search_space.values_of("workers.per_trial", study.workers.per_trial)
    return tuple(sorted({value for value in values if isinstance(value, int)}))
