"""`gan3d resume`: a study as it was last run, whatever its command line was, which is kept in the results folder."""

from __future__ import annotations

import json
from dataclasses import asdict, replace
from pathlib import Path

from gan3d.cli.results import STUDY, refuse_without_study
from gan3d.cli.studies import Request
from gan3d.config.load import load_study
from gan3d.errors import ConfigError

#: In the results folder.
COMMAND = "command.json"


def keep_command(asked: Request, results: Path) -> None:
    """Write down how the study is run."""
    from gan3d.writing import write_atomically, write_text

    content = asdict(asked) | {"study": str(asked.study.absolute()), "results": str(results)}
    results.mkdir(parents=True, exist_ok=True)
    write_atomically(results / COMMAND, lambda file: write_text(file, json.dumps(content, indent=2)))


def request_again(study: Path, *, add_trials: int = 0, address: str | None = None, verbose: bool = False) -> Request:
    """The command line of a study's last run, for it to go on.

    Args:
        study: A results folder, a study's name, or its file.
        add_trials: How many more than it was to have.
        address: The Ray cluster, where it is another one now.
        verbose: As for `gan3d run`.

    Raises:
        ConfigError: no study was run there, or its command is not known.
    """
    folder = results_of(study)
    refuse_without_study(folder)
    kept = replace(kept_request(folder), verbose=verbose)
    if add_trials:
        number = load_study(folder / STUDY).study.num_trials + add_trials
        kept = replace(kept, overrides=(*without(kept.overrides, "trials.number"), f"trials.number={number}"))
    return replace(kept, address=address or kept.address)


def kept_request(folder: Path) -> Request:
    """The command line of a study's last run, its results wherever they are now.

    Raises:
        ConfigError: it is not known.
    """
    try:
        content = json.loads((folder / COMMAND).read_text(encoding="utf-8"))
        return Request(
            Path(content["study"]),
            tuple(content["overrides"]),
            content["address"],
            folder,
            content["tracking_uri"],
            content["verbose"],
            content.get("optuna_storage"),  # an older version had none
        )
    except (OSError, ValueError, KeyError, TypeError) as error:
        message = f"{folder / COMMAND} does not tell how this study was run ({error}). Go on with it by gan3d run STUDY --resume."
        raise ConfigError(message) from error


def results_of(study: Path) -> Path:
    """The results folder that is meant."""
    if study.is_dir():
        return study
    if study.is_file():
        return Path("results") / load_study(study).study.name
    return Path("results") / study


def without(overrides: tuple[str, ...], key: str) -> tuple[str, ...]:
    """The overrides of other keys."""
    return tuple(text for text in overrides if text.partition("=")[0].strip() != key)
