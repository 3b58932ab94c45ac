"""A bill: core-hours, energy, carbon and money, each where a rate was declared, and energy always with where it is known from."""

from __future__ import annotations

from typing import Any

import pytest

from gan3d.config.cost import Rates
from gan3d.cost.ledger import Spent
from gan3d.cost.prices import JOULES_PER_KWH, Bill, bill

#: Ten core-hours, of teams of forty; one GPU-hour of four; 2 kWh by RAPL, 3 by NVML, 5 declared.
SPENT = Spent(36_000, 144_000, 3600, 14_400, 2 * JOULES_PER_KWH, 3 * JOULES_PER_KWH, 5 * JOULES_PER_KWH)
PRICES = {"price_per_core_hour": 0.02, "price_per_gpu_hour": 1.5, "price_per_kwh": 0.3}


def test_units() -> None:
    found = bill(SPENT, Rates(), reserved=True)
    assert (found.core_hours, found.reserved_core_hours, found.gpu_hours, found.reserved_gpu_hours) == (10, 40, 1, 4)
    assert found.kwh == pytest.approx(10)


@pytest.mark.parametrize(
    ("reserved", "money"), [(True, 40 * 0.02 + 4 * 1.5 + 10 * 0.3), (False, 10 * 0.02 + 1 * 1.5 + 10 * 0.3)], ids=["study", "trial"]
)
def test_a_study_pays_for_whole_teams_and_a_trial_for_its_own_workers(reserved: bool, money: float) -> None:
    assert bill(SPENT, Rates(**PRICES), reserved=reserved).money == pytest.approx(money)


@pytest.mark.parametrize("name", PRICES)
def test_each_price_alone_charges_for_its_own_amount(name: str) -> None:
    amounts = {"price_per_core_hour": 40, "price_per_gpu_hour": 4, "price_per_kwh": 10}
    assert bill(SPENT, Rates.model_validate({name: 0.5}), reserved=True).money == pytest.approx(0.5 * amounts[name])


def test_what_has_no_rate_is_not_reported_and_a_rate_of_zero_is() -> None:
    nothing = bill(SPENT, Rates(), reserved=True)
    assert (nothing.money, nothing.grams_co2) == (None, None)
    free = bill(SPENT, Rates(price_per_kwh=0, grams_co2_per_kwh=0), reserved=True)
    assert (free.money, free.grams_co2) == (0, 0)


def test_carbon_is_of_all_energy_measured_or_declared() -> None:
    assert bill(SPENT, Rates(grams_co2_per_kwh=56), reserved=True).grams_co2 == pytest.approx(560)


SOURCES = [
    ({"rapl_joules": 1.0}, "rapl", 1.0),
    ({"nvml_joules": 1.0}, "nvml", 1.0),
    ({"declared_joules": 1.0}, "declared", 0.0),
    ({"rapl_joules": 1.0, "declared_joules": 3.0}, "rapl+declared", 0.25),
    ({"rapl_joules": 1.0, "nvml_joules": 1.0, "declared_joules": 2.0}, "rapl+nvml+declared", 0.5),
    ({}, "declared", 0.0),
]


@pytest.mark.parametrize(("joules", "source", "share"), SOURCES, ids=[source for _, source, _ in SOURCES[:-1]] + ["nothing"])
def test_energy_is_always_labelled_measured_or_declared(joules: dict[str, float], source: str, share: float) -> None:
    found = bill(Spent(**joules), Rates(), reserved=True)
    assert (found.energy_source, found.measured_share) == (source, share)
    assert found.tags["cost.energy_source"] == source


def tags_of(**rates: Any) -> dict[str, str]:
    found: Bill = bill(SPENT, Rates(**rates), reserved=True)
    return found.tags


def test_tags_name_what_is_reported_and_nothing_else() -> None:
    amounts = {"core_hours": "10", "reserved_core_hours": "40", "gpu_hours": "1", "kwh": "10", "energy_source": "rapl+nvml+declared"}
    plain = {f"cost.{name}": text for name, text in amounts.items()}
    assert tags_of() == plain
    assert tags_of(**PRICES, grams_co2_per_kwh=56, currency="CHF") == plain | {
        "cost.grams_co2": "560",
        "cost.money": "9.8",
        "cost.currency": "CHF",
    }


def test_the_bill_of_nothing_is_zero() -> None:
    found = bill(Spent(), Rates(**PRICES), reserved=True)
    assert (found.core_hours, found.kwh, found.money) == (0, 0, 0)
