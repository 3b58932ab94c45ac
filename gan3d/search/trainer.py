"""Ray Train's trainer without the helpers that a team has no use for, with workers bound to CPUs and an interface before they meet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import ray
from ray.train.torch import TorchConfig, TorchTrainer

from gan3d.training.binding import Binding, bind
from gan3d.training.interface import use_interface

#: Shards of Ray Data's datasets, of which there are none; and a cleaner of placement groups, which works only where there is a
#: dashboard to ask: see `gan3d.search.team.AbandonedTeams`. Each is a process, and they start when the workers do.
SUPERFLUOUS = frozenset({"DatasetsCallback", "PlacementGroupCleanerCallback"})


class TeamTrainer(TorchTrainer):
    """As `TorchTrainer`; with a Ray that calls these things otherwise, exactly that."""

    def _create_default_callbacks(self) -> list[Any]:
        usual: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]  # its types are those of an older trainer
        return [callback for callback in usual if type(callback).__name__ not in SUPERFLUOUS]


@dataclass
class TeamConfig(TorchConfig):
    """As `TorchConfig`, with what each worker does before it joins the process group."""

    binding: Binding = "none"
    num_cpus: int = 1
    """That each worker reserves."""
    interface: str | None = None

    @property
    def backend_cls(self) -> type[Any]:
        """Ray's own, which settles first."""
        usual = super().backend_cls

        class SettledBackend(usual):  # type: ignore[misc, valid-type]
            """A process group of workers that are where they are to be."""

            def on_start(self, worker_group: Any, backend_config: TeamConfig) -> None:
                """Called once per group, before its workers train."""
                worker_group.execute(settle, backend_config.binding, backend_config.num_cpus, backend_config.interface)
                super().on_start(worker_group, backend_config)

        return SettledBackend


def settle(binding: Binding, num_cpus: int, interface: str | None) -> None:
    """In a worker: CPUs before its threads begin, the interface before it meets the others."""
    bind(binding, num_cpus)
    use_interface(interface, ray.util.get_node_ip_address())  # type: ignore[no-untyped-call]
