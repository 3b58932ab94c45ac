"""What is wrong with a request, before anyone knows in which file it was written.

A check yields `Problem`s with dotted keys; `gan3d.config.places` adds file and line and makes the sentence.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Final

from gan3d.config.scalars import plain

Path = tuple[str | int, ...]
LONGEST_VALUE = 80


class _Absent:
    """The value of a key that is not there."""


ABSENT: Final = _Absent()


@dataclass(frozen=True, slots=True)
class Problem:
    """One broken rule. Reads: `lead key = value rule other = its value. Way out`."""

    key: str
    rule: str
    way_out: str
    value: Any = ABSENT
    others: tuple[tuple[str, Any], ...] = ()
    at: Path | None = None  # where it was written, if that is not where `key` says
    lead: str = ""
    others_at: tuple[tuple[str, Path], ...] = ()  # the same of others

    @property
    def path(self) -> Path:
        """Where to look for the line."""
        return split(self.key) if self.at is None else self.at

    def sentence(self, aside: Callable[[str], str] | None = None) -> str:
        """The message without its place; `aside(other)` says where another key was written."""
        subject = self.key if self.value is ABSENT else f"{self.key} = {show(self.value)}"
        others = " and ".join(f"{key} = {show(value)}{aside(key) if aside else ''}" for key, value in self.others)
        text = " ".join(part for part in (self.lead, subject, self.rule, others) if part).replace(" ;", ";")
        return f"{text} {self.way_out}" if text.endswith("?") else f"{text}. {self.way_out}"


class Contradictions(ValueError):  # noqa: N818 - pydantic carries it from a validator to the loader; no user sees it
    """Raised inside the schema's validators; its keys are dotted keys from the root of the study."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        """Keep every problem found, the first one first."""
        self.problems = tuple(problems)
        super().__init__(" ".join(problem.sentence() for problem in self.problems))


def split(key: str) -> Path:
    """The path of a dotted key; whole numbers are positions in a list."""
    return tuple(int(part) if part.isdecimal() and part.isascii() else part for part in key.split("."))


def show(value: Any) -> str:
    """A value as one would write it in YAML, on one line and not too long."""
    if isinstance(value, float) and not math.isfinite(value):
        text = ".nan" if math.isnan(value) else f"{'-' if value < 0 else ''}.inf"
    elif isinstance(value, str) and value.isprintable() and value.strip() == value and isinstance(plain(value), str):
        text = value
    elif isinstance(value, list | tuple):
        text = f"[{', '.join(map(show, value))}]"
    else:
        text = json.dumps(value, ensure_ascii=False, default=str)
    return text if len(text) <= LONGEST_VALUE else f"{text[: LONGEST_VALUE - 1]}…"
