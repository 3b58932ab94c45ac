"""Warm start: what earlier studies trained, known to the sampler before the first trial, and not trained again.

A study's results and its published frames are read alike. A trial of theirs counts only if it would train the same here: same data,
recipe and networks, which its digest tells, and physics of the same definitions.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
import pandas as pd
from optuna.trial import TrialState

from gan3d.config.load import load_study
from gan3d.config.study import Study
from gan3d.data.paths import located
from gan3d.errors import ConfigError, DivergedError
from gan3d.physics.definitions import distance_version
from gan3d.search.optuna_trials import (
    CONSTRAINT,
    DIGEST_ATTRIBUTE,
    FROM_ATTRIBUTE,
    REASON_ATTRIBUTE,
    STATES,
    Ended,
    as_attribute,
    epoch_attribute,
)
from gan3d.search.sample_rows import sample_of
from gan3d.search.samplers import distributions
from gan3d.tracking import frames
from gan3d.tracking.frames import judged_rows
from gan3d.tracking.published import is_published
from gan3d.tracking.store import default_tracking_uri
from gan3d.training.merit import Merit, best_epoch


class Known(NamedTuple):
    """What an earlier trial taught."""

    study: str
    trial: int
    sample: dict[str, Any]
    digest: str
    state: Ended
    reason: str
    curve: dict[int, Merit]
    """Epoch → merit by the objective of the study that begins."""


def from_earlier_studies(study: Study, base: Path) -> Iterator[optuna.trial.FrozenTrial]:
    """What Optuna's storage shall hold of `known_trials`; read when it is asked for, which a study that is resumed does not do."""
    yield from as_optuna_trials(study, known_trials(study, base))


def known_from(opened: optuna.Study) -> list[str]:
    """The study of each trial that is known from an earlier one."""
    told = (trial.user_attrs.get(FROM_ATTRIBUTE) for trial in opened.get_trials(deepcopy=False))
    return [text.split(",")[0] for text in told if text is not None]


def known_trials(study: Study, base: Path) -> list[Known]:
    """Ended trials of the studies in ``warm_start`` that train the same here.

    Args:
        study: The one that begins.
        base: Folder of its file, from which paths are found.

    Raises:
        ConfigError: there is no study in a folder, it did not measure what this one asks, or none of its trials would train the same.
    """
    return [known for place in study.warm_start for known in _known_there(study, Path(located(place, base)))]


def as_optuna_trials(study: Study, known: Sequence[Known]) -> Iterator[optuna.trial.FrozenTrial]:
    """What Optuna's storage shall hold of them."""
    objective, found = study.objective, distributions(study.search_space)
    for one in known:
        state = STATES[one.state]
        _, best = best_epoch(sorted(one.curve.items()), objective) or (0, None)
        attributes: dict[str, Any] = {DIGEST_ATTRIBUTE: one.digest, FROM_ATTRIBUTE: f"{one.study}, trial {one.trial}"}
        attributes |= {REASON_ATTRIBUTE: one.reason} if one.reason else {}
        if not objective.is_plain:
            attributes |= {epoch_attribute(epoch): as_attribute(merit) for epoch, merit in one.curve.items()}
        yield optuna.trial.create_trial(
            state=state,
            values=None if best is None or state != TrialState.COMPLETE else list(best.values),
            params=one.sample,
            distributions={key: found[key] for key in one.sample},
            intermediate_values={} if objective.trade_offs else {epoch: merit.first for epoch, merit in one.curve.items()},
            user_attrs=attributes,
            constraints={CONSTRAINT: best.excess} if objective.constraints and best is not None else None,
        )


def _known_there(study: Study, folder: Path) -> Iterator[Known]:
    """Of one folder."""
    uri, name = _source(folder)
    info = frames.study(uri, name)
    objective = study.objective
    trials, epochs = frames.trials(uri, name), frames.epochs(uri, name, metrics=objective.metrics)
    if missing := [metric for metric in objective.metrics if metric not in epochs or epochs[metric].isna().all()]:
        message = f"warm_start: study {name} in {folder} did not measure {missing[0]}, which this one asks for. Remove it."
        raise ConfigError(message, key="warm_start")
    curves = {run: dict(judged_rows(rows, objective)) for run, rows in epochs.groupby("run_id")}
    found = [known for _, row in trials.iterrows() if (known := _known(study, name, row, curves.get(row["run_id"], {}))) is not None]
    if not found:
        message = (
            f"warm_start: of the {len(trials)} trials of study {name} in {folder} none would train the same here: its data, recipe, "
            "networks or keys of its search space are others. Remove it, or make them the same."
        )
        raise ConfigError(message, key="warm_start")
    for known in found:
        settings = study.trial_settings(known.sample)
        if (version := info.distance_version(settings)) != (now := distance_version(settings)):
            message = f"warm_start: study {name} in {folder} measured physics by definitions {version}, now they are {now}. Remove it."
            raise ConfigError(message, key="warm_start")
    yield from found


def _known(study: Study, name: str, row: pd.Series[Any], curve: dict[int, Merit]) -> Known | None:
    """One trial; None if it would not train the same here, or did not end by its own doing."""
    reason = str(row["reason"]) if isinstance(row["reason"], str) else ""
    if row["state"] not in STATES or (row["state"] == "failed" and not reason.startswith(DivergedError.__name__)):
        return None
    if row["state"] != "failed" and not curve:
        return None
    sample = study.search_space.active(sample_of(row, study.search_space))
    settings, _ = study.settings_or_problems(sample)
    if not study.search_space.contains(sample) or settings is None or settings.digest() != row["digest"]:
        return None
    state: Any = row["state"]
    return Known(name, int(row["trial"]), sample, str(row["digest"]), state, reason, curve)


def _source(folder: Path) -> tuple[str, str]:
    """Tracking URI and name of the study in a folder of results or of published frames.

    Raises:
        ConfigError: there is none.
    """
    if is_published(str(folder)):
        return str(folder), load_study(folder / "study.yaml").study.name
    if (folder / "tracking.db").is_file() and (folder / "study.yaml").is_file():
        return default_tracking_uri(folder), load_study(folder / "study.yaml").study.name
    message = f"warm_start: {folder} holds neither a study's results nor its published frames. Name a folder of either."
    raise ConfigError(message, key="warm_start")
