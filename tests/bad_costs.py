"""Wrong rates and budgets, and what the user must read of each."""

from __future__ import annotations

from bad_inputs import override, overrides, space, study

PRICES = "Set cost.price_per_core_hour, cost.price_per_gpu_hour or cost.price_per_kwh, or budget.core_hours instead."

BAD_COSTS = (
    study(
        "money_without_a_price",
        "data:",
        "budget:\n  money: 20\ndata:",
        "study.yaml:26: budget.money = 20.0 would never be spent: nothing has a price, cost.price_per_core_hour = null (the default)",
        PRICES,
    ),
    study(
        "money_at_a_price_of_zero",
        "data:",
        "budget:\n  money: 20\ncost:\n  price_per_core_hour: 0\ndata:",
        "study.yaml:26: budget.money = 20.0 would never be spent: nothing has a price, cost.price_per_core_hour = 0.0 (line 28)",
        PRICES,
    ),
    overrides(
        "money_for_gpus_that_are_not_there",
        ("budget.money=20", "cost.price_per_gpu_hour=1.5"),
        "budget.money = 20.0 would never be spent: only GPUs have a price, but workers.gpus_per_worker = 0 (the default)",
        "Set cost.price_per_core_hour or cost.price_per_kwh",
    ),
    study(
        "misspelt_limit",
        "data:",
        "budget:\n  core_hour: 1\ndata:",
        "study.yaml:26: unknown key budget.core_hour; did you mean budget.core_hours?",
        "Keys there: core_hours, kwh, money, wall_hours",
    ),
    study("budget_of_a_number", "data:", "budget: 10\ndata:", "study.yaml:25: budget = 10 must be a section", "core_hours"),
    override("budget_of_nothing", "budget.core_hours=0", "--set budget.core_hours=0: budget.core_hours = 0 must be a number above 0"),
    override("endless_budget", "budget.wall_hours=.inf", "budget.wall_hours", "must be a number above 0 or null"),
    override("negative_energy", "budget.kwh=-1", "--set budget.kwh=-1: budget.kwh = -1 must be a number above 0"),
    override("hours_in_words", "budget.wall_hours=2h", "--set budget.wall_hours=2h: budget.wall_hours = 2h must be a number above 0"),
    override("no_watts", "cost.watts_per_core=0", "--set cost.watts_per_core=0: cost.watts_per_core = 0 must be a number above 0"),
    override("negative_price", "cost.price_per_kwh=-0.1", "cost.price_per_kwh = -0.1 must be a number", "or null"),
    override("long_currency", "cost.currency=doubloons", "cost.currency = doubloons must be a name of at most 8 characters, such as EUR"),
    override("misspelt_rate", "cost.watt_per_core=5", "unknown key cost.watt_per_core; did you mean cost.watts_per_core?"),
    space("sampled_budget", "budget.core_hours: {choice: [1, 2]}", "space.yaml:1: budget.core_hours belongs to the study, not to a trial"),
    space(
        "sampled_watts", "cost.watts_per_core: {choice: [1, 2]}", "space.yaml:1: cost.watts_per_core belongs to the study, not to a trial"
    ),
)
