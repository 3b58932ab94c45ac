"""What the user sees of a failure, and the exit code.

0    done
1    a study ran and failed: no trial has an objective; or a disk is full
2    the request was wrong, nothing was started (ConfigError, DataError, ResourceError; typer's own usage errors)
130  interrupted
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager

import typer

from gan3d.errors import ConfigError, Gan3dError, no_room_in

FAILED, WRONG_REQUEST, INTERRUPTED = 1, 2, 130


@contextmanager
def reported(*, as_json: bool = False, go_on: str = "") -> Iterator[None]:
    """Turn mistakes and Ctrl-C inside the block into a message on stderr and an exit code.

    Args:
        as_json: Say it on stdout too, as ``{"error": ...}``.
        go_on: The command that continues what Ctrl-C interrupts.
    """
    try:
        yield
    except Gan3dError as error:
        typer.echo(f"Error: {error}", err=True)
        if as_json:
            typer.echo(json.dumps({"error": facts_of(error)}, ensure_ascii=False))
        raise typer.Exit(WRONG_REQUEST) from None
    except KeyboardInterrupt:
        typer.echo(f"Interrupted.{f' To go on: {go_on}' if go_on else ''}", err=True)
        if as_json:
            typer.echo(json.dumps({"error": {"kind": "Interrupted", "message": "interrupted", "go_on": go_on}}))
        raise typer.Exit(INTERRUPTED) from None
    except Exception as error:
        if (full := no_room_in(error)) is None:
            raise
        text = f"No room left on the disk{f' of {full.filename}' if full.filename else ''}."
        text += f" What was finished is kept: make room, then go on: {go_on}." if go_on else " Make room, then try again."
        typer.echo(f"Error: {text}", err=True)
        if as_json:
            typer.echo(json.dumps({"error": {"kind": "NoRoom", "message": text, "go_on": go_on}}, ensure_ascii=False))
        raise typer.Exit(FAILED) from None


def facts_of(error: Gan3dError) -> dict[str, str]:
    """Kind and message; of a configuration error also where and which key."""
    facts = {"kind": type(error).__name__, "message": str(error)}
    return facts | {"where": error.where, "key": error.key} if isinstance(error, ConfigError) else facts
