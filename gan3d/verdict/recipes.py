"""Recipes: what trials have in common that differ in the seed only; each with its physics, time and cost.

A recipe's distance is the mean over its trials of the best epoch's, whose state is kept as `best.pt` (``gan3d.training.merit``); with two
trials or more an interval stands beside it (Student's t). The time to a target is a median, which counts the trials that missed it, with an
interval where there are six.
What a search found best in one trial is the luckiest of many, and the answer says so: it has not been trained again.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd

from gan3d.config.space import SearchSpace
from gan3d.config.stairs import STAIRS
from gan3d.config.training import TrialSettings
from gan3d.cost.prices import SECONDS_PER_HOUR
from gan3d.search.sample_rows import sample_of
from gan3d.verdict.epochs import best_of_trials, first_within, judged_epochs
from gan3d.verdict.evidence import DISTANCE, FLOOR, Gated, Records
from gan3d.verdict.gates import held_of
from gan3d.verdict.measure import Measure
from gan3d.verdict.quantity import Quantity

SEED = "training.seed"
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
class Recipe:
    """One of them, in one study."""

    name: str
    """No other recipe of the answer has it."""
    study: str
    run_id: str
    """Of the study."""
    trials: tuple[int, ...]
    sample: dict[str, Any]
    """What the search changed."""
    settings: dict[str, Any]
    """`TOLD`, whatever set them."""
    workers: int
    measure: Measure
    distance: Quantity
    floor: float
    num_epochs: tuple[int, ...]
    """Of each trial whose distance counts: so many its best one was chosen among."""
    core_hours: Quantity
    """Of a whole trial."""
    hours: Quantity
    hours_to_target: Quantity
    core_hours_to_target: Quantity
    """Medians over the trials whose distance counts; those that missed the target count as infinite."""
    num_reached: int
    kwh: Quantity
    energy_source: str
    money: Quantity
    currency: str
    nodes: int = 0
    """On which its workers were; of several trials the most. 0: not recorded."""
    best_epochs: tuple[int, ...] = ()
    """Of each trial whose distance counts: the one it is of."""
    gates: tuple[Gated, ...] = ()
    not_held: tuple[int, ...] = ()
    """Trials whose distance counts and that were not held against the gate."""
    exported: tuple[Gated, ...] = ()
    """What the gate said of files that were exported from its trials: nothing of the trials."""
    other_states: tuple[Gated, ...] = ()
    """What the gate said of other epochs of its trials than the best ones: nothing of the recipe."""

    @property
    def num_held(self) -> int:
        """Of the trials whose distance counts, those that were held against the gate."""
        return self.distance.num_trials - len(self.not_held)

    def is_told_of(self, gate: Gated) -> bool:
        """Whether it is of one of its trials, in whatever state."""
        return gate in (*self.gates, *self.exported, *self.other_states)

    @property
    def passes(self) -> bool | None:
        """Whether all of its trials pass the gate; None while none is known to fail and not all were held against it."""
        if any(not one.passes for one in self.gates):
            return False
        return True if self.gates and not self.not_held else None


def first_measure(records: Records) -> Measure | None:
    """Of the study's first trial that has a distance; None: none has."""
    best = best_of_trials(judged_epochs(records)) if records.has_physics else pd.DataFrame()
    if best.empty:
        return None
    return measure_of(records, trial_settings(records, sample_of(best.iloc[0], records.study.search_space)))


def measure_of(records: Records, settings: TrialSettings) -> Measure:
    """What the distances of one of its trials were measured against."""
    return Measure.of(settings.data, records.info.distance_version(settings))


def best_distances(records: Records, measure: Measure) -> list[float]:
    """Of every trial of the study that has this measure, its best epoch's."""
    found = []
    for _, row in best_of_trials(judged_epochs(records)).iterrows():
        settings = trial_settings(records, sample_of(row, records.study.search_space))
        found += [float(row[DISTANCE])] if measure_of(records, settings) == measure else []
    return found


def recipes_of(records: Records, target: float, gates: Sequence[Gated]) -> list[Recipe]:
    """Those of one study, by their first trial; their names are not yet their own.

    Args:
        records: with physics.
        target: distance that counts as reached.
        gates: of trials of any study.
    """
    keys = [key for key in records.study.search_space.ranges if key in records.trials]
    kept = [key for key in keys if key != SEED]
    trials = records.trials[records.trials["trial"].isin(records.epochs["trial"])]
    judged = judged_epochs(records)
    groups = trials.groupby(kept, dropna=False, sort=False) if kept else [((), trials)]
    found = [_recipe(records, rows, judged[judged["trial"].isin(rows["trial"])], target, gates) for _, rows in groups]
    return [one for one in found if one.distance.num_trials]


def _recipe(records: Records, rows: pd.DataFrame, judged: pd.DataFrame, target: float, gates: Sequence[Gated]) -> Recipe:
    first = rows.iloc[0]
    sample = {key: value for key, value in sample_of(first, records.study.search_space).items() if key != SEED}
    settings = trial_settings(records, sample)
    best, last = best_of_trials(judged), judged.groupby("trial").last()
    kept = judged[judged["is_best"]].drop_duplicates("trial", keep="last")
    best_epochs = {int(trial): int(epoch) for trial, epoch in zip(kept["trial"], kept["epoch"], strict=True)}
    held = held_of(_digests(records, rows), best_epochs, set(best.index), gates)
    reached = first_within(judged, target)
    hours_to_target, core_hours_to_target = (
        Quantity.until((reached[name] / SECONDS_PER_HOUR).tolist(), len(best)) for name in ("seconds", "core_seconds")
    )
    rates, told = records.rates, rows["energy_source"].dropna() if "energy_source" in rows else pd.Series(dtype=str)
    core_hours = rows["core_hours"] if "core_hours" in rows else last["core_seconds"] / SECONDS_PER_HOUR
    kwh = rows["kwh"] if "kwh" in rows else core_hours * rates.watts_per_core / 1000
    return Recipe(
        name=_name(records, sample, int(first["trial"])),
        study=records.info.name,
        run_id=records.info.run_id,
        trials=tuple(int(number) for number in rows["trial"]),
        sample=sample,
        settings=dict(_told(settings)),
        workers=int(first["world_size"]),
        nodes=records.most_nodes(int(number) for number in rows["trial"]),
        measure=measure_of(records, settings),
        distance=Quantity.of(best[DISTANCE].tolist()),
        floor=float(judged[FLOOR].mean()) if FLOOR in judged else math.nan,
        num_epochs=tuple(int(number) for number in judged.groupby("trial").size().loc[best.index]),
        core_hours=Quantity.of(core_hours.tolist()),
        hours=Quantity.of((last["seconds"] / SECONDS_PER_HOUR).tolist()),
        hours_to_target=hours_to_target,
        core_hours_to_target=core_hours_to_target,
        num_reached=len(reached),
        kwh=Quantity.of(kwh.tolist()),
        energy_source="+".join(sorted({str(one) for one in told if one})) or "declared",
        money=Quantity.of(_money(core_hours, kwh, records).tolist()),
        currency=rates.currency,
        best_epochs=tuple(int(number) for number in best["epoch"]),
        gates=held.own,
        not_held=held.not_held,
        exported=held.exported,
        other_states=held.other_states,
    )


def _digests(records: Records, rows: pd.DataFrame) -> dict[int, str]:
    """Of each trial's settings, wherever its shower files lie."""
    space = records.study.search_space
    return {int(row["trial"]): trial_settings(records, sample_of(row, space)).portable_digest() for _, row in rows.iterrows()}


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
    """A stair's own name, else the study's with the first trial's number."""
    return str(sample.get(STAIRS, numbered(records.info.name, trial)))


def numbered(study: str, trial: int) -> str:
    """What a recipe without a name is called."""
    return f"{study} {trial}"
