"""The results folder before a study runs: whether it holds one already, and whether that one can be gone on with."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from gan3d.config.load import load_study
from gan3d.config.study import Study
from gan3d.errors import ConfigError
from gan3d.search.driver import refuse_second_driver
from gan3d.search.place import JOURNAL, KEPT

STUDY, TRIALS = "study.yaml", "trials"
#: What a study leaves behind first, in this order; trials alone are states that a new study's trial 0 would go on from.
TRACES = (STUDY, JOURNAL, TRIALS)
#: Of an object store; pathlib has taken one of its slashes.
URL = re.compile(r"[a-z][a-z0-9+.-]+:/")
#: Sections in which a study must be the same to be gone on with; more trials or other figures are welcome.
SAME = ("name", "search_space", "sampler", "scheduler", "objective", "training", "data", "warm_start")
#: In these sections, but only said of the trials: may differ.
FREE = {"objective.target"}


def holds_study(results: Path) -> bool:
    """Whether a study ran, or began to run, in this folder."""
    return any((results / name).exists() for name in TRACES)


def refuse_without_study(results: Path) -> None:
    """Raise where no study ran.

    Raises:
        ConfigError: with what was looked for, and the studies that there are.
    """
    if holds_study(results):
        return
    around = results.parent if results.parent.is_dir() else Path("results")
    found = sorted(path.name for path in around.glob("*/") if holds_study(path))
    there = f" Studies in {around}: {', '.join(found)}." if found else ""
    message = f"no study was run in {results}.{there} Start it with gan3d run STUDY, or name the folder of its results."
    raise ConfigError(message)


def prepare_results(results: Path, study: Study, *, resume: bool | None) -> str:
    """Make sure that running here mixes no two studies; returns what was done about an older one, in words.

    Args:
        results: The study's folder; need not exist.
        study: What is to run.
        resume: True to go on, False to move an older study aside, None to refuse where there is one.

    Raises:
        ConfigError: the folder holds a study and nothing is said about it, a different one that cannot be gone on with, or one that runs.
    """
    if URL.match(str(results)):
        message = f"--results {results} is a URL, not a folder. Mount what is behind it, or copy the results there at the end."
        raise ConfigError(message)
    if results.exists() and not results.is_dir():
        message = f"--results {results} is a file. Name a folder."
        raise ConfigError(message)
    refuse_second_driver(results)
    if not holds_study(results):
        return f"Nothing to go on with in {results}: starting" if resume else ""
    if resume is None:
        message = f"{results} holds this study already. Give --resume to go on with it, --fresh to move it aside, or another --results."
        raise ConfigError(message)
    if resume:
        refuse_other_study(results, study)
        return f"Going on with {results}"
    return f"Moved the older results to {move_aside(results)}"


def move_aside(results: Path) -> Path:
    """Rename a folder to the first free of NAME.1, NAME.2, ...; nothing is deleted."""
    here = results.resolve()
    number = 1
    while (aside := here.with_name(f"{here.name}.{number}")).exists():
        number += 1
    here.rename(aside)
    return results.with_name(aside.name)


def refuse_other_study(results: Path, study: Study) -> None:
    """Raise where the study in the folder asks something else, or what it asked is lost.

    Raises:
        ConfigError: naming the keys that differ, or the file that is missing.
    """
    written = results / STUDY
    lost = [name for name in TRACES[: 2 if (results / TRIALS).exists() else 1] if not (results / name).exists()]
    lost = [name for name in lost if name != JOURNAL or not (results / KEPT).exists()]
    if lost:
        message = (
            f"{results} holds trials of a study but no {' and no '.join(lost)}: there is nothing to go on with. Move it aside with --fresh."
        )
        raise ConfigError(message)
    before, now = (one.model_dump(mode="json") for one in (load_study(written).study, study))
    different = [key for section in SAME for key in differences(before[section], now[section], section)]
    different += differences(before["workers"]["per_trial"], now["workers"]["per_trial"], "workers.per_trial")
    different = [key for key in different if key not in FREE]
    if different:
        shown = ", ".join(different[:5]) + (", ..." if len(different) > 5 else "")
        message = (
            f"{results} holds a study that differs in {shown}. Go on with it as it was, or start anew with --fresh or another --results."
        )
        raise ConfigError(message, where=str(written), key=different[0])


def differs_in_cost(results: Path, study: Study) -> list[str]:
    """Dotted keys, other than the number of epochs, that make an epoch cost another amount than in the study of this folder."""
    try:
        earlier = load_study(results / STUDY).study
    except ConfigError:
        return [STUDY]
    before, now = (one.model_dump(mode="json") for one in (earlier, study))
    keys = [
        key for section in ("search_space", "training", "workers", "data") for key in differences(before[section], now[section], section)
    ]
    return [key for key in keys if key != "training.epochs"]


def differences(before: Any, now: Any, key: str) -> list[str]:
    """Dotted keys at which two plain values differ."""
    if not isinstance(before, dict) or not isinstance(now, dict):
        return [] if before == now else [key]
    names = [*before, *(name for name in now if name not in before)]
    return [one for name in names for one in differences(before.get(name), now.get(name), f"{key}.{name}")]
