"""`gan3d schema`: what can be asked and what is measured."""

from __future__ import annotations

import json
from dataclasses import asdict

import typer
from rich.table import Table

from gan3d.config.schema import search_space_json_schema, study_json_schema
from gan3d.records import METRICS
from gan3d.terminal.console import console_for


def print_schema(*, search_space: bool) -> None:
    """The JSON Schema of a study file, or of a search space file on its own."""
    schema = search_space_file_schema() if search_space else study_json_schema()
    typer.echo(json.dumps(schema, indent=2))


def search_space_file_schema() -> dict[str, object]:
    """The part of the study's schema that a search space file has to fulfil."""
    whole = study_json_schema()
    return {"$schema": whole["$schema"], **search_space_json_schema(), "$defs": {"Range": whole["$defs"]["Range"]}}


def print_metrics(*, as_json: bool) -> None:
    """Every metric with unit, better direction and meaning."""
    if as_json:
        typer.echo(json.dumps([asdict(metric) for metric in METRICS.values()], indent=2, ensure_ascii=False))
        return
    table = Table("metric", "unit", "better", "meaning", box=None, pad_edge=False, header_style="bold")
    table.columns[0].no_wrap = True
    for metric in METRICS.values():
        table.add_row(metric.name, metric.unit, "" if metric.better == "neither" else metric.better, metric.meaning)
    console_for().print(table, markup=False, highlight=False)
