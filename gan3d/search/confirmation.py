"""The best sample of a study beside its default sample and its references: a study of its own, with fresh seeds.

A search keeps the luckiest of its trials, so its best value is too good. Here nothing is chosen any more: every contender is trained with
the same seeds, none of which the search has used, until it has cost the same core-seconds, and all of them are reported.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from gan3d.config.effect import ineffective_knobs
from gan3d.config.load import study_of
from gan3d.config.stairs import STAIRS
from gan3d.config.stairs_checks import CONTENDERS, value_in
from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.records import TrialRecord
from gan3d.search.files import found_from

DEFAULT, BEST = CONTENDERS
#: Behind the name of the study that is confirmed; together they are a name.
SUFFIX, LONGEST_NAME = "_confirmation", 64
#: A contender that costs less per epoch than the best trial gets more epochs, up to so many times as many.
MOST_EPOCHS = 4
SEED, EPOCHS = "training.seed", "training.epochs"


def confirmation_of(
    study: Study, best: TrialRecord, *, seeds: int, core_seconds: float, base: Path, stretch: float = 1.0, against: Sequence[str] = ()
) -> Study:
    """The study that trains each contender with every seed.

    Args:
        study: the one that has found the best trial.
        best: that trial.
        seeds: how many.
        core_seconds: that each trial may cost; an epoch begun before is finished.
        base: folder from which the study's shower files are found.
        stretch: what each trial may cost over what the best one has cost.
        against: the contenders beside the best sample, by name; by default all.

    Raises:
        ConfigError: the best sample is the default one and there are no references, the settings as written are no trial, or no contender
            has such a name.
    """
    contenders = chosen_of(contenders_of(study, best), against)
    content = study.model_dump(mode="json")
    content["name"] = study.name[: LONGEST_NAME - len(SUFFIX)] + SUFFIX
    content["question"] = (
        f"Is the best sample of {study.name} (trial {best.number}) better than {' and '.join(_in_words(against))}, "
        "with fresh seeds and equal core-seconds?"
    )
    content["search_space"] = {STAIRS: dict(as_stairs(study, contenders)), SEED: {"choice": fresh_seeds(study, seeds)}}
    content["sampler"] = {"name": "grid", "blocks": SEED, "seed": study.sampler.seed}
    content["scheduler"] = {"name": "none", "rungs_in": "core_seconds", "most": core_seconds}
    content["trials"] = {"concurrent": study.trials.concurrent}
    needed = max(study.epochs_of(best.sample), study.training.epochs, math.ceil(stretch * best.epochs))
    content["training"]["epochs"] = MOST_EPOCHS * needed
    content["data"] = found_from(study.data, base.absolute()).model_dump(mode="json")
    content |= {"references": {}, "warm_start": [], "budget": {}, "figures": ["confirmation"]}
    return study_of(content)


def _in_words(against: Sequence[str]) -> list[str]:
    return ["its default one"] if not against else ["its default one" if name == DEFAULT else name for name in against]


def chosen_of(contenders: Mapping[str, dict[str, Any]], against: Sequence[str]) -> dict[str, dict[str, Any]]:
    """The best sample and those named, in the order of all.

    Raises:
        ConfigError: there is no such contender.
    """
    others = [name for name in contenders if name != BEST]
    for name in against:
        if name not in others:
            message = f"--against {name}: no contender has this name. There are: {', '.join(others)}."
            raise ConfigError(message)
    return {name: values for name, values in contenders.items() if not against or name in (*against, BEST)}


def contenders_of(study: Study, best: TrialRecord) -> dict[str, dict[str, Any]]:
    """Name → dotted keys and values: the default sample, the references, the best sample; without seeds and numbers of epochs.

    Raises:
        ConfigError: as `confirmation_of`.
    """
    default = study.default_sample
    if default is None:
        message = f"study {study.name}: the settings as written are no valid trial, so there is no default sample to compare the best with."
        raise ConfigError(message)
    samples = {DEFAULT: default, **study.references, BEST: best.sample}
    found, digests = {}, set()
    for name, sample in samples.items():
        values = {key: value for key, value in study.search_space.expanded(sample).items() if key not in (SEED, EPOCHS)}
        digest = study.trial_settings({**values, EPOCHS: study.training.epochs}).digest()
        if digest not in digests:
            found[name] = values
        digests.add(digest)
    if BEST not in found:
        message = (
            f"study {study.name}: its best trial, {best.number}, trains as the default sample or a reference does: "
            "there is nothing to confirm. Search on with gan3d resume --add-trials."
        )
        raise ConfigError(message)
    return found


def as_stairs(study: Study, contenders: Mapping[str, Mapping[str, Any]]) -> Iterator[tuple[str, dict[str, Any]]]:
    """A staircase whose every stair is a contender, whatever the one before it changed: name and changes."""
    keys = list(dict.fromkeys(key for values in contenders.values() for key in values))
    below: dict[str, Any] = {}
    for name, values in contenders.items():
        settings = study.trial_settings(values)
        idle = ineffective_knobs(settings)
        here = {key: value_in(settings, key) for key in keys if key not in idle}
        yield name, {key: value for key, value in here.items() if key not in below or below[key] != value}
        below |= here


def fresh_seeds(study: Study, number: int) -> list[int]:
    """Seeds that the study's own trials cannot have had."""
    one = study.search_space.ranges.get(SEED)
    used = [study.training.seed, *(() if one is None else (value for value in one.ends if isinstance(value, int)))]
    return [max(used) + 1 + place for place in range(number)]
