"""Where text goes: a terminal with colours and live display, or plain lines."""

from __future__ import annotations

import os

from rich.console import Console

#: Columns of a file or a pipe: tables need not be folded there.
PLAIN_WIDTH = 160


def console_for(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; where no person looks, it is wide and writes no control codes."""
    console = Console(stderr=stderr)
    if console.is_terminal and not is_plain():
        return console
    return Console(stderr=stderr, width=None if "COLUMNS" in os.environ or console.is_terminal else PLAIN_WIDTH, no_color=True)


def is_live(console: Console) -> bool:
    """Whether lines may be drawn over again."""
    return console.is_terminal and not is_plain()


def is_plain() -> bool:
    """Whether the environment asks for plain lines: https://no-color.org, a dumb terminal, or continuous integration."""
    return bool(os.environ.get("NO_COLOR")) or os.environ.get("TERM") in ("dumb", "unknown") or bool(os.environ.get("CI"))
