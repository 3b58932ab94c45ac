"""What a person sees of a study while it runs: a live display, or plain lines where nobody looks."""

from __future__ import annotations

from gan3d.terminal.terminal import Terminal

__all__ = ["Terminal"]
