"""Rows of a table that take minutes each, in a file as they come: a script that was stopped goes on behind the last of them."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any


class KeptRows:
    """One JSON line per row: what was asked, and what was found."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def get(self, asked: Mapping[str, Any], find: Callable[[], dict[str, Any]]) -> dict[str, Any]:
        """What was found when the same was asked, else what is found now; ``asked`` names all that a row depends on."""
        kept = [line["found"] for line in self._lines() if line["asked"] == asked]
        if kept:
            return dict(kept[-1])
        found = find()
        self._file.parent.mkdir(parents=True, exist_ok=True)
        with self._file.open("a", encoding="utf-8") as stream:
            stream.write("\n" + json.dumps({"asked": asked, "found": found}))
        return found

    def forget(self) -> None:
        """The table is written: what is asked anew is to be found anew."""
        self._file.unlink(missing_ok=True)

    def _lines(self) -> list[dict[str, Any]]:
        """Without one that was cut off while it was written."""
        lines = []
        for text in self._file.read_text(encoding="utf-8").splitlines() if self._file.exists() else ():
            try:
                lines.append(json.loads(text))
            except json.JSONDecodeError:
                continue
        return lines
