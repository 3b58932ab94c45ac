"""Records, recipes and gates as the verdict's tests need them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import yaml

from gan3d.config.load import read_study
from gan3d.config.objective import Objective
from gan3d.config.training import Data
from gan3d.search.sample_rows import sample_of
from gan3d.tracking.frames import StudyInfo
from gan3d.verdict.evidence import Gated, Records
from gan3d.verdict.measure import Measure
from gan3d.verdict.quantity import Quantity
from gan3d.verdict.recipes import Recipe, trial_settings

RATES = {"price_per_core_hour": 0.1, "currency": "CHF"}


def study_text(name: str, search_space: dict[str, Any], **changes: Any) -> str:
    content: dict[str, Any] = {
        "name": name,
        "question": "Which?",
        "search_space": search_space,
        "sampler": {"name": "grid"},
        "objective": {"metric": "physics.shower_distance"},
        "training": {"global_batch": 16},
        "data": {"train": ["a.h5"], "validation": ["b.h5"]},
        "cost": RATES,
    }
    return yaml.safe_dump(content | changes)


def records(name: str, rows: list[dict[str, Any]], search_space: dict[str, Any], **changes: Any) -> Records:
    """Trials of ``seconds`` per epoch with the ``distances``, and other ``metrics`` by name, of their epochs."""
    text = study_text(name, search_space, **changes)
    info = StudyInfo(name, "Which?", Objective(metric="physics.shower_distance"), "complete", text, "run", None, {"usable_cores": "8"})
    trials, epochs = [], []
    for number, row in enumerate(rows):
        workers = row.get("workers.per_trial", 1)
        sample = {key: row[key] for key in search_space if key in row}
        shared = {"trial": number, "state": "complete", "world_size": workers, "digest": f"digest {number}", "reserved_cpus": workers}
        shared |= {"global_batch": 16, "batch_per_worker": 16 // workers, **sample}
        hours = row["seconds"] * len(row["distances"]) * workers / 3600
        trials.append(shared | {"core_hours": hours, "kwh": 0.01 * hours, "energy_source": "declared"})
        for epoch, distance in enumerate(row["distances"], start=1):
            timing = {"timing.epoch_seconds": row["seconds"], "cost.core_seconds": row["seconds"] * workers}
            timing |= {"timing.num_showers": 320.0, "timing.showers_per_second": 320 / row["seconds"], "timing.epochs_since_start": epoch}
            physics = {"physics.shower_distance": distance, "physics.shower_distance_floor": row.get("floor", 0.05)}
            physics |= {name: values[epoch - 1] for name, values in row.get("metrics", {}).items()}
            epochs.append(shared | {"epoch": epoch, "restarts": 0} | timing | physics)
    return Records(info, read_study(text, name), pd.DataFrame(trials), pd.DataFrame(epochs))


SEEDS = {"training.seed": {"choice": [1, 2, 3]}, "training.global_batch": {"choice": [16, 32]}}


def two_batches() -> Records:
    """Batch 16 three times, batch 32 three times: dearer and better."""
    rows = [
        {"training.seed": seed, "training.global_batch": batch, "seconds": seconds, "distances": [0.4, best + 0.01 * seed]}
        for batch, seconds, best in ((16, 360, 0.2), (32, 3600, 0.1))
        for seed in (1, 2, 3)
    ]
    return records("search", rows, SEEDS)


def gate(search: Records, number: int, *, passes: bool, num_showers: int = 500) -> Gated:
    sample = sample_of(search.trials.iloc[number], search.study.search_space)
    return Gated(trial_settings(search, sample).portable_digest(), passes, 0 if passes else 7, 178, num_showers, None, f"{number}.json")


def recipe(name: str, distance: float, core_hours: float, hours_to_target: float = 1.0, workers: int = 1) -> Recipe:
    """On one core for each worker."""
    one = Quantity(1.0, math.nan, math.nan, 1)
    told = {"distance": distance, "core_hours": core_hours, "hours_to_target": hours_to_target}
    told |= {"core_hours_to_target": workers * hours_to_target}
    known = {key: Quantity(value, math.nan, math.nan, 1) for key, value in told.items()}
    cost = {"hours": one, "num_reached": 1}
    cost |= {"kwh": one, "energy_source": "rapl", "money": one, "currency": "EUR"}
    measure = Measure.of(Data(train=("a.h5",), validation=("b.h5",)))
    what = {"study": "s", "run_id": "run", "trials": (0,), "sample": {}, "settings": {}, "workers": workers, "measure": measure}
    return Recipe(name=name, floor=0.05, num_epochs=(1,), **what, **known, **cost)
