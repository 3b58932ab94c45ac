"""Shower files of a study, by paths that its workers understand, in other folders and on other nodes."""

from __future__ import annotations

from pathlib import Path

from gan3d.config.training import Data
from gan3d.data.paths import anchored, located


def found_from(data: Data, base: Path) -> Data:
    """The same files by paths that hold in any process, whatever its folder and its variables."""
    found = {name: tuple(located(pattern, base) for pattern in patterns) for name, patterns in named_files(data).items()}
    return data.model_copy(update=found)


def written_in(data: Data, base: Path) -> dict[str, list[str]]:
    """The same files by paths whose `$VARS` are still to be looked up, on the node that reads them."""
    return {name: [anchored(pattern, base) for pattern in patterns] for name, patterns in named_files(data).items()}


def named_files(data: Data) -> dict[str, tuple[str, ...]]:
    """Patterns of shower files by their field; without those that are not given."""
    named = {name: getattr(data, name) for name in ("train", "validation", "pretrain")}
    return {name: patterns for name, patterns in named.items() if patterns is not None}
