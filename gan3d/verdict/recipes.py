"""Recipes: what trials have in common that differ in the seed and the number of workers only; each with its physics, time and cost.

A recipe's distance is the mean over its trials of the best epoch's; with two trials or more an interval stands beside it (Student's t).
What a search found best in one trial is the luckiest of many, and the answer says so: it has not been trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd

from gan3d.config.space import SearchSpace
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.scaling.ablation import mean_interval
from gan3d.search.sample_rows import sample_of
from gan3d.verdict.evidence import DISTANCE, FLOOR, Gated, Records, spent_until

SEED, WORKERS = "training.seed", "workers.per_trial"
SECONDS_PER_HOUR = 3600.0
#: Keys that say what a recipe is to a reader: architecture, batch, learning rates.
TOLD = (
    "training.generator.filters",
    "training.discriminator.filters",
    "training.generator.kernel",
    "training.global_batch",
    "training.generator.learning_rate",
    "training.discriminator.learning_rate",
    "training.optimiser.name",
)


@dataclass(frozen=True, slots=True)
class Quantity:
    """A number and how sure it is."""

    value: float
    low: float
    high: float
    """Of the interval with 95 %; of a single trial not a number."""
    num_trials: int

    @classmethod
    def of(cls, values: Sequence[float]) -> Quantity:
        """The mean."""
        told = np.array([value for value in values if math.isfinite(value)])
        if not len(told):
            return cls(math.nan, math.nan, math.nan, 0)
        if len(told) == 1:
            return cls(float(told[0]), math.nan, math.nan, 1)
        found = mean_interval(told)
        return cls(found["difference"], found["difference_low"], found["difference_high"], len(told))


@dataclass(frozen=True, slots=True)
class Recipe:
    """One of them, in one study."""

    name: str
    study: str
    trials: tuple[int, ...]
    sample: dict[str, Any]
    """What the search changed."""
    settings: dict[str, Any]
    """`TOLD`, whatever set them."""
    workers: int
    distance: Quantity
    floor: float
    core_hours: Quantity
    """Of a whole trial."""
    hours: Quantity
    hours_to_target: Quantity
    core_hours_to_target: Quantity
    """Of the trials that reached it."""
    num_reached: int
    kwh: Quantity
    energy_source: str
    money: Quantity
    currency: str
    gates: tuple[Gated, ...] = field(default=())

    @property
    def passes(self) -> bool | None:
        """The gate, if any of its trials was held against it: whether all of those passed."""
        return all(one.passes for one in self.gates) if self.gates else None


def best_distances(records: Sequence[Records]) -> pd.Series:
    """Of every trial of every study with physics, its best epoch's."""
    parts = [one.epochs.groupby("trial")[DISTANCE].min() for one in records if one.has_physics]
    if not parts:
        message = "none of these studies has held showers against Monte Carlo: there is no physics to judge."
        raise ConfigError(message)
    return pd.concat(parts, ignore_index=True).dropna()


def recipes_of(records: Records, target: float, gates: Sequence[Gated]) -> list[Recipe]:
    """Those of one study, by their first trial.

    Args:
        records: with physics.
        target: distance that counts as reached.
        gates: of trials of any study.
    """
    keys = [key for key in records.study.search_space.ranges if key in records.trials]
    kept = [key for key in keys if key != SEED]
    trials = records.trials[records.trials["trial"].isin(records.epochs["trial"])]
    spent = spent_until(records.epochs)
    groups = trials.groupby(kept, dropna=False, sort=False) if kept else [((), trials)]
    found = [_recipe(records, rows, spent[spent["trial"].isin(rows["trial"])], target, gates) for _, rows in groups]
    return [one for one in found if one.distance.num_trials]


def _recipe(records: Records, rows: pd.DataFrame, spent: pd.DataFrame, target: float, gates: Sequence[Gated]) -> Recipe:
    first = rows.iloc[0]
    sample = {key: value for key, value in sample_of(first, records.study.search_space).items() if key != SEED}
    settings = trial_settings(records, sample)
    digests = {trial_settings(records, sample_of(row, records.study.search_space)).portable_digest() for _, row in rows.iterrows()}
    reached = spent[spent[DISTANCE] <= target].groupby("trial").first()
    last = spent.groupby("trial").last()
    rates, told = records.rates, rows["energy_source"].dropna() if "energy_source" in rows else pd.Series(dtype=str)
    core_hours = rows["core_hours"] if "core_hours" in rows else last["core_seconds"] / SECONDS_PER_HOUR
    kwh = rows["kwh"] if "kwh" in rows else core_hours * rates.watts_per_core / 1000
    return Recipe(
        name=_name(records, sample, int(first["trial"])),
        study=records.info.name,
        trials=tuple(int(number) for number in rows["trial"]),
        sample=sample,
        settings=dict(_told(settings)),
        workers=int(first["world_size"]),
        distance=Quantity.of(spent.groupby("trial")[DISTANCE].min().tolist()),
        floor=float(spent[FLOOR].mean()) if FLOOR in spent else math.nan,
        core_hours=Quantity.of(core_hours.tolist()),
        hours=Quantity.of((last["seconds"] / SECONDS_PER_HOUR).tolist()),
        hours_to_target=Quantity.of((reached["seconds"] / SECONDS_PER_HOUR).tolist()),
        core_hours_to_target=Quantity.of((reached["core_seconds"] / SECONDS_PER_HOUR).tolist()),
        num_reached=len(reached),
        kwh=Quantity.of(kwh.tolist()),
        energy_source="+".join(sorted({str(one) for one in told if one})) or "declared",
        money=Quantity.of(_money(core_hours, kwh, records).tolist()),
        currency=rates.currency,
        gates=tuple(one for one in gates if one.settings in digests),
    )


def _money(core_hours: pd.Series, kwh: pd.Series, records: Records) -> pd.Series:
    """What was declared, of both; not a number where nothing was."""
    rates = records.rates
    if rates.price_per_core_hour is None and rates.price_per_kwh is None:
        return core_hours * math.nan
    return core_hours * (rates.price_per_core_hour or 0.0) + kwh * (rates.price_per_kwh or 0.0)


def trial_settings(records: Records, sample: Mapping[str, Any]) -> TrialSettings:
    """What a trial with this sample trains with."""
    space: SearchSpace = records.study.search_space
    return records.study.trial_settings(space.expanded(sample))


def _told(settings: TrialSettings) -> Iterator[tuple[str, Any]]:
    plain = settings.model_dump(mode="json")
    for key in TOLD:
        found: Any = plain
        for part in key.split("."):
            found = found.get(part) if isinstance(found, dict) else None
        yield key, settings.global_batch if key == "training.global_batch" else found


def _name(records: Records, sample: Mapping[str, Any], trial: int) -> str:
    """A stair's own name, else the first trial's number."""
    return str(sample.get("stairs", f"{records.info.name} {trial}"))
