"""What a study cost and what its budget is, in words and as plain values."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from gan3d.cli.findings import Findings
from gan3d.config.cost import Rates
from gan3d.config.study import Study

if TYPE_CHECKING:
    from gan3d.cost.estimate import Estimate
    from gan3d.cost.prices import Bill

#: What a limit is of, in words.
LIMITS = {"core_hours": "core-hours", "kwh": "kWh", "wall_hours": "hours of wall time"}


def cost_as_dict(result: Findings) -> dict[str, Any] | None:
    """The study's cost, ready for JSON."""
    return None if result.cost is None else asdict(result.cost)


def trial_cost(result: Findings, number: int) -> dict[str, Any] | None:
    """A trial's cost, ready for JSON; None where it never held anything that was counted."""
    found = result.trial_costs.get(number)
    return None if found is None else asdict(found)


def cost_lines(result: Findings, study: Study) -> Iterator[tuple[str, str, str]]:
    """Label, text and style: what the study cost, and which limit ended it."""
    if result.cost is not None:
        yield "cost", cost_text(result.cost, study.cost), "bold"
    if result.state == "stopped":
        ended = sum(trial.state != "stopped" for trial in result.trials)
        done = f"{ended} of {study.num_trials} trials ended"
        yield "budget", f"{result.budget_spent}; {done}. Raise it to go on: what was spent counts", "bold yellow"


def cost_text(bill: Bill, rates: Rates) -> str:
    """`0.42 core-hours reserved (0.31 by the trials' own workers), 0.0031 kWh (declared: 7.3 W per core), 1.2 g CO2, 0.04 EUR`."""
    hours = f"{_short(bill.reserved_core_hours)} core-hours reserved"
    if bill.core_hours < 0.995 * bill.reserved_core_hours:
        hours += f" ({_short(bill.core_hours)} by the trials' own workers)"
    gpus = [f"{_short(bill.reserved_gpu_hours)} GPU-hours"] if bill.reserved_gpu_hours else []
    carbon = [] if bill.grams_co2 is None else [f"{_short(bill.grams_co2)} g CO2"]
    money = [] if bill.money is None else [f"{_short(bill.money)} {bill.currency}"]
    return ", ".join([hours, *gpus, energy_text(bill, rates), *carbon, *money])


def energy_text(bill: Bill, rates: Rates) -> str:
    """Always with where it is known from."""
    declared = f"declared: {rates.watts_per_core:g} W per core"
    if bill.reserved_gpu_hours:
        declared += f", {rates.watts_per_gpu:g} W per GPU where not measured"
    if bill.energy_source == "declared":
        return f"{_short(bill.kwh)} kWh ({declared})"
    measured = "+".join(name for name in bill.energy_source.split("+") if name != "declared")
    rest = f", the rest {declared}" if bill.measured_share < 1 else ""
    # Rounded down: 100 % with a rest would be a riddle.
    return f"{_short(bill.kwh)} kWh ({int(100 * bill.measured_share)} % measured by {measured}{rest})"


def budget_text(limits: dict[str, float], currency: str) -> str:
    """`10 core-hours, 2 hours of wall time`."""
    return ", ".join(f"{limit:g} {LIMITS.get(name, currency)}" for name, limit in limits.items())


def budget_used_text(used: dict[str, float], limits: dict[str, float], currency: str) -> str:
    """`0.42 of 10 core-hours, 0.5 of 2 hours of wall time`."""
    return ", ".join(f"{_short(used[name])} of {limit:g} {LIMITS.get(name, currency)}" for name, limit in limits.items())


def estimate_text(found: Estimate, rates: Rates, differs_in: Sequence[str] = ()) -> str:
    """What all trials will cost, from what that is known, and in what that run was not the same."""
    known = f"{found.epochs_known:,} epoch{'' if found.epochs_known == 1 else 's'} in {found.source}"
    hours = f"{_short(found.wall_hours)} hours"
    differs = f"; that run differs in {', '.join(differs_in)}" if differs_in else ""
    return f"about {cost_text(found.bill, rates)}, {hours}: {found.epochs_planned:,} epochs at the rate of {known}{differs}"


def money_rows(study: Study, expected: Estimate | None, differs_in: Sequence[str] = ()) -> Iterator[tuple[str, str]]:
    """Rows of a plan: the budget, and what is to be expected if an earlier run tells."""
    if study.budget.limits:
        yield "budget", budget_text(study.budget.limits, study.cost.currency)
    if expected is not None:
        yield "cost", estimate_text(expected, study.cost, differs_in)


def _short(value: float) -> str:
    """Two digits are what such numbers are worth; large ones are written out."""
    return f"{value:.2g}" if value < 100 else f"{value:,.0f}"
