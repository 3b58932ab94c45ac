"""On how many nodes trials trained, as far as their records tell."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pandas as pd

from gan3d.config.study import Study
from gan3d.tracking.client import sqlite_file
from gan3d.tracking.store import RUN_FILE

#: In a study's results: where a trial's ranks were (`gan3d.training.checkpoint`).
WORKERS_FILE = "trials/{:04d}/workers.json"


def nodes_of_trials(tracking_uri: str, run_id: str, study: Study, trials: pd.DataFrame) -> dict[int, int]:
    """By trial; those of which nothing tells are left out.

    A team of one worker is on one node, and so are teams that the study keeps on one. Of others the hosts of their ranks are counted, which
    lie in the study's results: these are found where they hold the tracking database, and are of this launch of the study.

    Args:
        tracking_uri: of the study, or a folder of published frames, which tell of no host.
        run_id: of the study.
        study: as it was run.
        trials: with ``trial`` and ``world_size``.
    """
    folder = results_of(tracking_uri, run_id)
    found = {}
    for trial, workers in _sizes(trials):
        if workers == 1 or study.workers.one_node:
            found[trial] = 1
        elif folder is not None and (hosts := hosts_of(folder / WORKERS_FILE.format(trial))) and len(hosts) == workers:
            found[trial] = len(set(hosts))
    return found


def results_of(tracking_uri: str, run_id: str) -> Path | None:
    """The folder of a study's results, if its tracking database lies in it."""
    database = sqlite_file(tracking_uri)
    if database is None:
        return None
    told = database.parent / RUN_FILE
    is_its_own = told.is_file() and told.read_text(encoding="utf-8").strip() == run_id
    return database.parent if is_its_own else None


def hosts_of(path: Path) -> list[str]:
    """Of the ranks, in their order; none where the file is not there or is none."""
    try:
        return [str(seat["host"]) for seat in json.loads(path.read_text(encoding="utf-8"))]
    except (OSError, ValueError, KeyError, TypeError):
        return []


def _sizes(trials: pd.DataFrame) -> Iterator[tuple[int, int]]:
    """Number and workers of trials that have had a team."""
    known = trials[trials["world_size"].notna()] if "world_size" in trials else trials.iloc[:0]
    for trial, workers in zip(known["trial"], known.get("world_size", []), strict=True):
        yield int(trial), int(workers)
