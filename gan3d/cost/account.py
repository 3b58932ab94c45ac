"""A study's account: what each trial holds, what it cost, and whether the budget is spent."""

from __future__ import annotations

from collections.abc import Mapping

from gan3d.config.study import Study
from gan3d.cost.ledger import Ledger, Team
from gan3d.cost.prices import SECONDS_PER_HOUR, Bill, bill

WORLD_SIZE = "timing.world_size"
#: Of a limit, in words; money is in the study's currency.
UNITS = {"core_hours": "core-hours", "kwh": "kWh", "wall_hours": "hours"}


class Account:
    """The ledger in the words of one study."""

    def __init__(self, study: Study, ledger: Ledger) -> None:
        self._study, self.ledger = study, ledger

    def start_trial(self, number: int, workers: int) -> None:
        """A trial of so many workers holds its team from now on."""
        held, most = self._study.workers, self._study.team_workers(workers)
        cpus, gpus = held.cpus_per_worker, held.gpus_per_worker
        self.ledger.start(number, Team(workers * cpus, most * cpus, workers * gpus, most * gpus))

    def resize_trial(self, number: int, workers: int) -> None:
        """An elastic trial goes on with so many workers, and reserves no others; said when its first such epoch has ended."""
        held = self._study.workers
        cpus, gpus = workers * held.cpus_per_worker, workers * held.gpus_per_worker
        self.ledger.start(number, Team(cpus, cpus, gpus, gpus))

    def end_epoch(self, number: int, epoch: int, metrics: Mapping[str, float]) -> bool:
        """A trial reported an epoch; told again, by a trial that is taken up, it is counted once. Returns whether it is new."""
        # Of an elastic trial this is told before `resize_trial`, so the epoch says itself how many workers it had.
        cores = int(metrics.get(WORLD_SIZE, 0)) * self._study.workers.cpus_per_worker
        return self.ledger.add_epoch(number, epoch, metrics, cores or None)

    def end_trial(self, number: int) -> Bill:
        """A trial gives its team back; told again, nothing changes."""
        return bill(self.ledger.end(number), self._study.cost, reserved=False)

    def trial_bills(self) -> dict[int, Bill]:
        """What each trial cost, its own workers alone."""
        return {number: bill(spent, self._study.cost, reserved=False) for number, spent in self.ledger.trials().items()}

    def total(self) -> Bill:
        """What the study cost, whole teams counted."""
        return bill(self.ledger.total(), self._study.cost, reserved=True)

    def amounts(self) -> dict[str, float]:
        """What is spent, in the units of the budget."""
        total = self.total()
        wall_hours = self.ledger.wall_seconds / SECONDS_PER_HOUR
        return {"core_hours": total.reserved_core_hours, "kwh": total.kwh, "money": total.money or 0.0, "wall_hours": wall_hours}

    @property
    def exhausted(self) -> str:
        """The limits that are spent, with both numbers; empty while there is something left of all."""
        limits = self._study.budget.limits
        if not limits:
            return ""
        amounts = self.amounts()
        over = [name for name, limit in limits.items() if amounts[name] >= limit]
        units = UNITS | {"money": self._study.cost.currency}
        return " and ".join(f"budget.{name} = {limits[name]:g} is spent ({amounts[name]:.4g} {units[name]})" for name in over)
