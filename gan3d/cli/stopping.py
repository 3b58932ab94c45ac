"""`gan3d stop`: ask a study that runs to stop at the end of its trials' epochs."""

from __future__ import annotations

import time
from pathlib import Path

import typer

from gan3d.cli.results import refuse_without_study
from gan3d.cli.resuming import results_of
from gan3d.errors import ConfigError
from gan3d.search.driver import driver_anywhere
from gan3d.search.stopping import ask_to_stop

#: How often is looked whether it has stopped [s].
LOOK_SECONDS = 0.5


def stop_study(study: Path, results: Path | None, seconds: float) -> bool:
    """Ask it, say who was asked, and wait for up to so many seconds; returns whether it has stopped, where that was waited for.

    Raises:
        ConfigError: there is no such study, or nobody runs it.
    """
    folder = results or results_of(study)
    driver = driver_anywhere(folder)
    if driver is None:
        refuse_without_study(folder)
        message = f"nobody runs the study in it. Go on with it: gan3d resume {folder}."
        raise ConfigError(message, where=str(folder))
    ask_to_stop(folder)
    typer.echo(f"Asked {driver.text}: each running trial ends with its epoch. To go on then: gan3d resume {folder}")
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        time.sleep(LOOK_SECONDS)
        if driver_anywhere(folder) is None:
            typer.echo("It has stopped.")
            return True
    return seconds <= 0
