"""The command line: parse, call, print. Heavy packages (torch, ray, mlflow) are imported by the commands that need them."""

from __future__ import annotations

from gan3d.cli.app import main

__all__ = ["main"]
