"""What the answer is made of: the records of studies, gate verdicts of trials, and timings of generators."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import pandas as pd

from gan3d.config.cost import Rates
from gan3d.config.load import read_study
from gan3d.config.study import Study
from gan3d.errors import ConfigError, DataError
from gan3d.tracking import frames

DISTANCE, FLOOR, EPOCH_SECONDS = "physics.shower_distance", "physics.shower_distance_floor", "timing.epoch_seconds"


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """One study as it was recorded."""

    info: frames.StudyInfo
    study: Study
    trials: pd.DataFrame
    epochs: pd.DataFrame

    @classmethod
    def read(cls, tracking_uri: str, name: str) -> Self:
        """From MLflow, or from a folder of published frames.

        Raises:
            ConfigError: there is no such study, it has no epoch yet, or its text is none that this version reads.
        """
        info = frames.study(tracking_uri, name)
        if not info.yaml_text:
            message = f"the text of study {name!r} is not with its records."
            raise ConfigError(message)
        epochs = frames.epochs(tracking_uri, name)
        if epochs.empty:
            message = f"study {name!r} has no finished epoch yet: nothing to judge."
            raise ConfigError(message)
        return cls(info, read_study(info.yaml_text, f"study {name}"), frames.trials(tracking_uri, name), epochs)

    @property
    def is_of_scaling(self) -> bool:
        """Whether its trials differ in how many workers they have."""
        return len(set(self.epochs["world_size"])) > 1

    @property
    def has_physics(self) -> bool:
        """Whether its epochs were held against Monte Carlo."""
        return DISTANCE in self.epochs and bool(self.epochs[DISTANCE].notna().any())

    @property
    def rates(self) -> Rates:
        """What cores and energy cost, as the study declares them."""
        return self.study.cost


@dataclass(frozen=True, slots=True)
class Gated:
    """What `gan3d validate --json` found of one trial."""

    settings: str
    """Digest of the trial's, wherever its shower files lie."""
    passes: bool
    num_flagged: int
    num_numbers: int
    num_showers: int
    high_level_auc: float | None
    file: str
    """Where that stands."""


def read_gates(paths: Sequence[Path]) -> list[Gated]:
    """Of files that `gan3d validate TRIAL --json` printed.

    Raises:
        DataError: a file is none, or of showers whose trial is not known.
    """
    found = []
    for path in paths:
        document = _document(path)
        try:
            findings = document["findings"]
            auc = (document["distances"].get("high_level_auc") or {}).get("value")
            settings = document["settings"]
            flagged = sum(one["is_flagged"] for one in findings)
            found.append(Gated(settings or "", document["passes"], flagged, len(findings), document["num_judged"], auc, str(path)))
        except (KeyError, TypeError) as problem:
            message = f"it is not what gan3d validate TRIAL --json prints: {problem} is missing"
            raise DataError(message, file=str(path)) from problem
        if not settings:
            message = "these showers are of a file, not of a trial: the gate says nothing of any. Validate the trial's folder."
            raise DataError(message, file=str(path))
    return found


def read_timings(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Of files that `gan3d benchmark generation --output` wrote.

    Raises:
        DataError: a file is none.
    """
    found = []
    for path in paths:
        document = _document(path)
        if not {"machine", "rows", "monte_carlo_seconds"} <= document.keys():
            message = "it is not what gan3d benchmark generation --output writes"
            raise DataError(message, file=str(path))
        found.append(document)
    return found


def _document(path: Path) -> dict[str, Any]:
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        message = f"cannot be read: {problem}"
        raise DataError(message, file=str(path)) from problem
    if not isinstance(found, dict):
        message = "it is no document of gan3d"
        raise DataError(message, file=str(path))
    return found
