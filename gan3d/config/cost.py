"""What things cost, and how much may be spent."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Annotated

from pydantic import Field

from gan3d.config.problem import Problem
from gan3d.config.settings import NonNegative, Positive, Says, Settings

Currency = Annotated[str, Field(pattern=r"^\S{1,8}$"), Says("a name of at most 8 characters, such as EUR")]


class Rates(Settings):
    """What a core, a GPU and a kWh draw, emit and cost. They change no trial, only what is said of it; null: not reported."""

    watts_per_core: Positive = 7.3
    """Of a CPU as Ray counts them, where RAPL cannot be read. The seed's Xeon Platinum 8180: 205 W for 28 cores; memory not counted."""
    watts_per_gpu: Positive = 300.0
    """Of a GPU, where NVML cannot be read. A V100 SXM2: 300 W."""
    grams_co2_per_kwh: NonNegative | None = None
    """Carbon dioxide of the electricity where the study runs [g/kWh], with the cooling if you want it counted."""
    price_per_core_hour: NonNegative | None = None
    """Of a reserved CPU, in `currency`."""
    price_per_gpu_hour: NonNegative | None = None
    """Of a reserved GPU, in `currency`."""
    price_per_kwh: NonNegative | None = None
    """Of electricity, in `currency`, added to the prices above."""
    currency: Currency = "EUR"
    """What prices and `budget.money` are in."""

    def can_charge(self, gpus_per_worker: int) -> bool:
        """Whether a trial on such workers costs money."""
        return any((self.price_per_core_hour, self.price_per_gpu_hour if gpus_per_worker else None, self.price_per_kwh))


class Budget(Settings):
    """What a study may spend, earlier sessions included.

    Once one of these is spent no trial starts and running ones stop at the end of their epoch, so a study spends up to an epoch of
    each running trial more.
    """

    core_hours: Positive | None = None
    """CPUs reserved for trials x hours."""
    kwh: Positive | None = None
    """Electricity of the trials, measured or declared [kWh]."""
    money: Positive | None = None
    """In `cost.currency`; needs a price."""
    wall_hours: Positive | None = None
    """Hours that the study runs; between an interruption and `--resume` it does not."""

    @property
    def limits(self) -> dict[str, float]:
        """The limits there are, by name."""
        return {name: limit for name, limit in self.model_dump().items() if limit is not None}


def budget_problems(budget: Budget, cost: Rates, gpus_per_worker: int) -> Iterator[Problem]:
    """A budget in money that nothing can be charged to would never be spent."""
    if budget.money is None or cost.can_charge(gpus_per_worker):
        return
    others: tuple[tuple[str, float | None], ...]
    if cost.price_per_gpu_hour:
        rule, others = "would never be spent: only GPUs have a price, but", (("workers.gpus_per_worker", gpus_per_worker),)
        way_out = "Set cost.price_per_core_hour or cost.price_per_kwh, or budget.core_hours instead."
    else:
        rule, others = "would never be spent: nothing has a price,", (("cost.price_per_core_hour", cost.price_per_core_hour),)
        way_out = "Set cost.price_per_core_hour, cost.price_per_gpu_hour or cost.price_per_kwh, or budget.core_hours instead."
    yield Problem("budget.money", rule, way_out, budget.money, others)
