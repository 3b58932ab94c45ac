"""Places that a command writes to, looked at before it makes what goes there."""

from __future__ import annotations

from pathlib import Path

from gan3d.errors import ConfigError


def refuse_taken(output: Path, *, may_replace: bool, option: str = "--force to replace it") -> None:
    """See that a file may be written there.

    Raises:
        ConfigError: a folder is there, or a file that may not be replaced.
    """
    if output.is_dir():
        message = "there is a folder of that name. Give the name of a file in it, or another one."
        raise ConfigError(message, where=str(output))
    if output.exists() and not may_replace:
        message = f"the file exists already. Give {option}, or another name."
        raise ConfigError(message, where=str(output))
