"""`gan3d register`: an exported generator as a registered model, beside the trial that it was made of."""

from __future__ import annotations

import json
from pathlib import Path

import typer

from gan3d.cli.results import STUDY
from gan3d.cli.resuming import kept_request, results_of
from gan3d.config.load import load_study
from gan3d.errors import ConfigError
from gan3d.generation.card import Card
from gan3d.generation.formats.catalog import FORMATS, format_of
from gan3d.generation.registry import Version, register
from gan3d.search.sample_rows import sample_of
from gan3d.terminal.console import console_for
from gan3d.tracking.client import SQLITE
from gan3d.tracking.viewing import database_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.recipes import trial_settings


def register_and_show(file: Path, study: Path, name: str | None, *, as_json: bool) -> Version:
    """Find the trial by what the file says of itself, register, and say how it is called.

    Raises:
        ConfigError: there is no such file or study, or none of its trials made the file.
        DataError: the file has no card.
    """
    kind = format_of(file)
    if kind is None or not file.is_file():
        endings = ", ".join(one.suffix for one in FORMATS.values())
        message = f"is no exported generator ({endings}). Make one with gan3d export."
        raise ConfigError(message, where=str(file))
    card, folder = kind.read_card(file), results_of(study)
    asked = kept_request(folder)
    database = database_of(folder, asked.tracking_uri)
    tracking_uri = f"{SQLITE}{database}" if database is not None else str(asked.tracking_uri)
    records = Records.read(tracking_uri, load_study(folder / STUDY).study.name)
    found = register(file, card, name or records.info.name, tracking_uri, run_of(card, records))
    if as_json:
        typer.echo(json.dumps({"name": found.name, "version": found.number, "uri": found.uri, "tracking_uri": tracking_uri}))
        return found
    console = console_for()
    console.print(f"{file} is {found.uri} at {tracking_uri}", soft_wrap=True, markup=False, highlight=False)
    console.print(
        f"gan3d generate {found.uri} showers.h5 --tracking-uri {tracking_uri}", soft_wrap=True, markup=False, highlight=False, style="dim"
    )
    return found


def run_of(card: Card, records: Records) -> str:
    """MLflow's run of the trial whose settings the card has.

    Raises:
        ConfigError: no trial of the study has them.
    """
    for _, row in records.trials.iterrows():
        if trial_settings(records, sample_of(row, records.study.search_space)).portable_digest() == card.study_settings:
            return str(row["run_id"])
    message = (
        f"none of the {len(records.trials)} trials of study {records.info.name} has the settings of this file ({card.study_settings}). "
        "Name the study that it is of."
    )
    raise ConfigError(message, key="study")
