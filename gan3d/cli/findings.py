"""What can be told of a study: when it has ended (`search.run.StudyResult`), or at any time (`cli.status.Status`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

from gan3d.cost.prices import Bill
from gan3d.records import TrialRecord


class Findings(Protocol):
    """Read-only."""

    @property
    def study(self) -> str:
        """Its name."""

    @property
    def state(self) -> str:
        """`complete`, `failed`, `interrupted`, `stopped`, or, at any time, `running`."""

    @property
    def trials(self) -> tuple[TrialRecord, ...]:
        """Those that ended, or that the budget stopped."""

    @property
    def best(self) -> TrialRecord | None:
        """The best trial so far."""

    @property
    def front(self) -> tuple[int, ...]:
        """With trade-offs, the numbers of the complete trials that no other one beats."""

    @property
    def results(self) -> Path:
        """Its folder."""

    @property
    def tracking_uri(self) -> str:
        """MLflow's."""

    @property
    def figures(self) -> tuple[Path, ...]:
        """Those drawn."""

    @property
    def seconds(self) -> float | None:
        """That it ran."""

    @property
    def cost(self) -> Bill | None:
        """Of all sessions."""

    @property
    def trial_costs(self) -> Mapping[int, Bill]:
        """By trial number."""

    @property
    def budget_spent(self) -> str:
        """The limits that are spent."""
