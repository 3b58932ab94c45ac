"""Ray Train's trainer without the helpers that a team has no use for: each is a process, and they start when the workers do."""

from __future__ import annotations

from typing import Any

from ray.train.torch import TorchTrainer

#: Shards of Ray Data's datasets, of which there are none; and a cleaner of placement groups, which works only where there is a
#: dashboard to ask: see `gan3d.search.team.AbandonedTeams`.
SUPERFLUOUS = frozenset({"DatasetsCallback", "PlacementGroupCleanerCallback"})


class TeamTrainer(TorchTrainer):
    """As `TorchTrainer`; with a Ray that calls these things otherwise, exactly that."""

    def _create_default_callbacks(self) -> list[Any]:
        usual: list[Any] = super()._create_default_callbacks()  # type: ignore[misc]  # its types are those of an older trainer
        return [callback for callback in usual if type(callback).__name__ not in SUPERFLUOUS]
