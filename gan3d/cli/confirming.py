"""`gan3d confirm`: the best sample that a search has found, beside the default one and the references, with fresh seeds."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from gan3d.cli.resuming import kept_request, results_of
from gan3d.cli.studies import Request
from gan3d.config.load import dump_study
from gan3d.cost.prices import SECONDS_PER_HOUR
from gan3d.errors import ConfigError

#: In the results folder of the study that is confirmed.
FILE = "confirmation.yaml"


@dataclass(frozen=True, slots=True)
class Confirmation:
    """The options of `gan3d confirm` that say what is trained."""

    study: Path
    seeds: int
    core_seconds: float | None
    """That each trial may cost; None: what the best one did."""
    against: tuple[str, ...] = ()
    """Names of contenders; none: all."""


def request_to_confirm(asked: Confirmation, *, verbose: bool = False) -> Request:
    """Write the study that confirms another one into the results folder of that one; returns how to run it.

    Its results lie beside those of the study, its records are at the same tracking server.

    Raises:
        ConfigError: there is no such study, it runs, it has no best trial, or there is nothing to compare that with.
    """
    from gan3d.cli.status import status_of
    from gan3d.search.confirmation import confirmation_of
    from gan3d.writing import write_atomically, write_text

    folder = results_of(asked.study)
    study, status = status_of(folder)
    if status.driver is not None:
        message = f"study {study.name} is running: its best trial is not known yet. Wait for its end, or stop it."
        raise ConfigError(message)
    if status.best is None:
        message = f"study {study.name} has no trial with an objective: there is nothing to confirm. Go on with gan3d resume {study.name}."
        raise ConfigError(message)
    bill = status.trial_costs.get(status.best.number)
    cost = 0.0 if bill is None else bill.core_hours * SECONDS_PER_HOUR
    core_seconds = asked.core_seconds or cost
    if not core_seconds:
        message = (
            f"what trial {status.best.number} of study {study.name} cost is not known. Say what each trial may cost with --core-seconds."
        )
        raise ConfigError(message)
    kept = kept_request(folder)
    base = kept.study.absolute().parent
    found = confirmation_of(
        study,
        status.best,
        seeds=asked.seeds,
        core_seconds=round(core_seconds, 1),
        base=base,
        stretch=core_seconds / cost if cost else 1.0,
        against=asked.against,
    )
    text = dump_study(found)
    write_atomically(folder / FILE, lambda file: write_text(file, text))
    return replace(kept, study=folder / FILE, overrides=(), results=folder.absolute().parent / found.name, verbose=verbose)
