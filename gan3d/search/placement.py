"""Where workers go and what they share: of a study, for its plan."""

from __future__ import annotations

from dataclasses import dataclass

from gan3d.config.study import Study


@dataclass(frozen=True, slots=True)
class Placement:
    """As the study has it; None: the default."""

    binding: str
    threads_per_worker: int
    one_node: bool
    interface: str | None
    bucket_megabytes: float | None

    @property
    def text(self) -> str:
        """`2 threads each on CPUs of its own, gradients over ib0 in pieces of 64 MiB`."""
        threads = f"{self.threads_per_worker} thread{'s' if self.threads_per_worker > 1 else ''} each"
        bound = {"none": "unbound", "core": "on CPUs of its own", "numa": "on a NUMA domain"}[self.binding]
        nodes = ", all of a trial on one node" if self.one_node else ""
        network = self.interface or "the interface of the node's address in Ray"
        pieces = "" if self.bucket_megabytes is None else f" in pieces of {self.bucket_megabytes:g} MiB"
        return f"{threads}, {bound}{nodes}; gradients over {network}{pieces}"


def placement_of(study: Study) -> Placement:
    """As written, before anything is sampled."""
    workers = study.workers
    threads = workers.threads_per_worker or workers.cpus_per_worker
    return Placement(workers.binding, threads, workers.one_node, workers.interface, workers.bucket_megabytes)
