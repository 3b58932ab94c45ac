"""`gan3d stop`: ask a study that runs to stop at the end of its trials' epochs."""

from __future__ import annotations

from pathlib import Path

import typer

from gan3d.cli.results import refuse_without_study
from gan3d.cli.resuming import results_of
from gan3d.errors import ConfigError
from gan3d.search.driver import driver_elsewhere, driver_of
from gan3d.search.stopping import ask_to_stop


def stop_study(study: Path, results: Path | None) -> None:
    """Ask it, and say who was asked.

    Raises:
        ConfigError: there is no such study, or nobody runs it.
    """
    folder = results or results_of(study)
    driver = driver_of(folder) or driver_elsewhere(folder)
    if driver is None:
        refuse_without_study(folder)
        message = f"nobody runs the study in it. Go on with it: gan3d resume {folder}."
        raise ConfigError(message, where=str(folder))
    ask_to_stop(folder)
    typer.echo(f"Asked {driver.text}: each running trial ends with its epoch. To go on then: gan3d resume {folder}")
