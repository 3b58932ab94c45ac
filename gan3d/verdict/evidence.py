"""What the answer is made of: the records of studies, gate verdicts of trials, and timings of generators."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import pandas as pd

from gan3d.config.cost import Rates
from gan3d.config.load import read_study
from gan3d.config.study import Study
from gan3d.errors import ConfigError, DataError
from gan3d.tracking import frames
from gan3d.verdict.documents import Timing, Validation, read_document
from gan3d.verdict.places import nodes_of_trials

DISTANCE, FLOOR, EPOCH_SECONDS = "physics.shower_distance", "physics.shower_distance_floor", "timing.epoch_seconds"
#: Format of a generator that is a trial itself, on its card (`gan3d.generation.card`).
TRIAL = "trial"


@dataclass(frozen=True, slots=True, eq=False)
class Records:
    """One study as it was recorded."""

    info: frames.StudyInfo
    study: Study
    trials: pd.DataFrame
    epochs: pd.DataFrame
    nodes: Mapping[int, int] = field(default_factory=dict)
    """By trial, as far as it is recorded: on how many its workers were."""

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
        study, trials = read_study(info.yaml_text, f"study {name}"), frames.trials(tracking_uri, name)
        return cls(info, study, trials, epochs, nodes_of_trials(tracking_uri, info.run_id, study, trials))

    @property
    def is_of_scaling(self) -> bool:
        """Whether its trials differ in how many workers they have."""
        return len(set(self.epochs["world_size"])) > 1

    @property
    def has_physics(self) -> bool:
        """Whether its epochs were held against Monte Carlo."""
        return DISTANCE in self.epochs and bool(self.epochs[DISTANCE].notna().any())

    def nodes_of(self, workers: int) -> int:
        """On how many nodes teams of so many workers were: the most of several; 0 while one of them is not known."""
        teams = self.epochs.loc[self.epochs["world_size"] == workers, "trial"].unique()
        return self.most_nodes(int(trial) for trial in teams)

    def most_nodes(self, trials: Iterable[int]) -> int:
        """Of these; 0 while one of them is not known."""
        found = [self.nodes.get(trial, 0) for trial in trials]
        return max(found) if found and all(found) else 0

    @property
    def costs(self) -> pd.Series:
        """Core-hours of each trial; not a number of those that run, or were killed before they were told what they had cost."""
        return self.trials["core_hours"] if "core_hours" in self.trials else pd.Series(math.nan, index=self.trials.index)

    @property
    def rates(self) -> Rates:
        """What cores and energy cost, as the study declares them."""
        return self.study.cost


@dataclass(frozen=True, slots=True)
class Gated:
    """What `gan3d validate --json` found of one trial, or of a file that was exported from one."""

    settings: str
    """Digest of the trial's, wherever its shower files lie."""
    passes: bool
    num_flagged: int
    num_numbers: int
    num_showers: int
    high_level_auc: float | None
    file: str
    """Where that stands."""
    what: str = ""
    """What was validated."""
    format: str = TRIAL
    precision: str = "fp32"
    parent: str = ""
    """SHA-256 of the state whose showers they are, or that the file was made of; empty: not recorded."""
    epoch: int | None = None
    """After which this state was; None: not recorded."""

    @property
    def is_of_trial(self) -> bool:
        """Whether the trial's own showers were judged. Those of an exported file, in 8 bits perhaps, are others."""
        return self.format == TRIAL


def read_gates(paths: Sequence[Path]) -> list[Gated]:
    """Of files that `gan3d validate TRIAL --json` printed, or of exported generators in place of the trial.

    Raises:
        DataError: a file is none, or of showers whose trial is not known.
    """
    found = []
    for path in paths:
        document = read_document(path, Validation, "gan3d validate TRIAL --json prints")
        if not document.settings:
            message = "these showers are of a file, not of a trial: the gate says nothing of any. Validate the trial's folder."
            raise DataError(message, file=str(path))
        auc, flagged = document.distances.get("high_level_auc"), sum(one.is_flagged for one in document.findings)
        judged = (document.settings, document.passes, flagged, len(document.findings), document.num_judged)
        gated = Gated(*judged, auc.value if auc else None, str(path), document.what)
        if one := document.generator:
            gated = replace(gated, format=one.format, precision=one.precision, parent=one.parent_sha256, epoch=one.epoch)
        found.append(gated)
    return found


def read_timings(paths: Sequence[Path]) -> list[dict[str, Any]]:
    """Of files that `gan3d benchmark generation --output` wrote.

    Raises:
        DataError: a file is none.
    """
    found = [read_document(path, Timing, "gan3d benchmark generation --output writes") for path in paths]
    return [one.model_dump(mode="json", by_alias=True) for one in found]
