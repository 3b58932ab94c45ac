"""What was spent as core-hours, energy, carbon and money, each with where it is known from."""

from __future__ import annotations

from dataclasses import dataclass, replace

from gan3d.config.cost import Rates
from gan3d.cost.ledger import Spent

SECONDS_PER_HOUR = 3600.0
JOULES_PER_KWH = 3.6e6


@dataclass(frozen=True, slots=True)
class Bill:
    """One trial's or one study's. None: no rate was declared, so not reported."""

    core_hours: float
    """Of the trials' own workers."""
    reserved_core_hours: float
    """Of their whole teams: workers that slept while a smaller trial was trained are counted."""
    gpu_hours: float
    reserved_gpu_hours: float
    kwh: float
    energy_source: str
    """`rapl`, `nvml`, `declared`, or those that contributed, joined by `+`."""
    measured_share: float
    """Of the energy, from 0 to 1; the rest is declared."""
    grams_co2: float | None
    money: float | None
    """Of what was reserved where that is asked, else of the trials' own workers; with the price of the energy."""
    currency: str

    @property
    def tags(self) -> dict[str, str]:
        """For MLflow: `cost.core_hours`, ...; what is not reported is left out."""
        values = {name: getattr(self, name) for name in ("core_hours", "reserved_core_hours", "gpu_hours", "kwh", "grams_co2", "money")}
        tags = {f"cost.{name}": f"{value:.6g}" for name, value in values.items() if value is not None}
        return tags | {"cost.energy_source": self.energy_source} | ({"cost.currency": self.currency} if self.money is not None else {})


def bill(spent: Spent, rates: Rates, *, reserved: bool) -> Bill:
    """Price what was spent.

    Args:
        spent: by a trial or a study.
        rates: declared ones.
        reserved: charge for whole teams (a study), or for a trial's own workers only (what it would cost alone).
    """
    joules = {"rapl": spent.rapl_joules, "nvml": spent.nvml_joules, "declared": spent.declared_joules}
    total = sum(joules.values())
    kwh = total / JOULES_PER_KWH
    found = Bill(
        core_hours=spent.core_seconds / SECONDS_PER_HOUR,
        reserved_core_hours=spent.reserved_core_seconds / SECONDS_PER_HOUR,
        gpu_hours=spent.gpu_seconds / SECONDS_PER_HOUR,
        reserved_gpu_hours=spent.reserved_gpu_seconds / SECONDS_PER_HOUR,
        kwh=kwh,
        energy_source="+".join(name for name, value in joules.items() if value > 0) or "declared",
        measured_share=1.0 - spent.declared_joules / total if total else 0.0,
        grams_co2=None if rates.grams_co2_per_kwh is None else kwh * rates.grams_co2_per_kwh,
        money=None,
        currency=rates.currency,
    )
    return _with_money(found, rates, reserved=reserved)


def _with_money(found: Bill, rates: Rates, *, reserved: bool) -> Bill:
    """The same with its money, where anything has a price."""
    amounts = (
        (rates.price_per_core_hour, found.reserved_core_hours if reserved else found.core_hours),
        (rates.price_per_gpu_hour, found.reserved_gpu_hours if reserved else found.gpu_hours),
        (rates.price_per_kwh, found.kwh),
    )
    known = [price * amount for price, amount in amounts if price is not None]
    return replace(found, money=sum(known)) if known else found
