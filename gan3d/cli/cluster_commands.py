"""Commands about clusters: `gan3d doctor`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from gan3d.cli.failures import FAILED, reported
from gan3d.cli.options import AsJson


def add_to(app: typer.Typer) -> None:
    """Make them commands of it."""
    app.command(
        epilog="Example: gan3d doctor studies/quickstart.yaml --address auto --results /shared/results/quickstart\n\n"
        "Exit codes: 0 nothing is wrong (there may be warnings), 1 a study would fail, 2 the request was wrong."
    )(doctor)


def doctor(
    study: Annotated[
        Path | None, typer.Argument(metavar="[STUDY]", help="A study file, whose shower files are looked for.", show_default=False)
    ] = None,
    overrides: Annotated[list[str] | None, typer.Option("--set", metavar="KEY=VALUE", help="As in gan3d run.", show_default=False)] = None,
    address: Annotated[
        str | None,
        typer.Option(metavar="ADDRESS", help="A running Ray cluster, such as auto or 10.0.0.1:6379. By default this machine."),
    ] = None,
    results: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="The results folder that a study is to have. By default results/NAME_OF_STUDY.", show_default=False
        ),
    ] = None,
    tracking_uri: Annotated[str | None, typer.Option(metavar="URI", help="As in gan3d run.", show_default=False)] = None,
    optuna_storage: Annotated[str | None, typer.Option(metavar="URL", help="As in gan3d run.", show_default=False)] = None,
    as_json: AsJson = False,
) -> None:
    """Look at every node of a cluster for what would make a study fail: versions, storage, files, ports, clocks, all-reduces."""
    from gan3d.cli.doctor import Asked, examine_and_show

    asked = Asked(study, overrides or [], address, results, tracking_uri, optuna_storage)
    with reported(as_json=as_json):
        is_healthy = examine_and_show(asked, as_json=as_json)
    if not is_healthy:
        raise typer.Exit(FAILED)
