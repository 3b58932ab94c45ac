"""Combinations of values that must not meet in one sample: what is known to be of no use is neither proposed nor trained."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from pydantic import model_serializer, model_validator

from gan3d.config.problem import show
from gan3d.config.scalars import Scalar
from gan3d.config.settings import Settings

#: The key of a search space under which its forbidden combinations stand.
FORBIDDEN = "forbidden"


class Interval(Settings):
    """Numbers from `min` to `max`, both included; without one of them, all on that side."""

    min: int | float | None = None
    """Lower end."""
    max: int | float | None = None
    """Upper end."""

    @property
    def ends(self) -> tuple[int | float, ...]:
        """Those that there are."""
        return tuple(end for end in (self.min, self.max) if end is not None)

    def holds(self, value: Scalar) -> bool:
        """Whether the value is a number between the ends."""
        if isinstance(value, str | bool | None):
            return False
        above = self.min is None or value >= self.min or is_same(value, self.min)
        return above and (self.max is None or value <= self.max or is_same(value, self.max))


#: What a combination says of one key.
Entry = tuple[Scalar, ...] | Interval


def is_same(value: Scalar, other: Scalar) -> bool:
    """Whether two values are one; close is enough for numbers with a fraction: 0.1 + 2 * 0.1 is not 0.3."""
    if isinstance(value, float) and isinstance(other, float):
        return math.isclose(value, other)
    return value == other and isinstance(value, bool) == isinstance(other, bool)


def entry_holds(entry: Entry, value: Scalar) -> bool:
    """Whether an entry holds for a value."""
    return entry.holds(value) if isinstance(entry, Interval) else any(is_same(value, one) for one in entry)


class Combination(Settings):
    """One forbidden combination: it holds for a sample for which all its entries hold."""

    entries: dict[str, Entry]
    """Sampled key → values, or the ends between which they lie. In a file without this word."""

    @model_validator(mode="before")
    @classmethod
    def _from_bare_entries(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        written = data["entries"] if set(data) == {"entries"} else data
        return {"entries": {key: tuple(entry) if isinstance(entry, list) else entry for key, entry in written.items()}}

    @model_serializer
    def _as_bare_entries(self) -> dict[str, Any]:
        return {key: one.model_dump(exclude_none=True) if isinstance(one, Interval) else one for key, one in self.entries.items()}

    def holds(self, sample: Mapping[str, Any]) -> bool:
        """Whether all entries hold for a sample; that of a key which it does not have does not."""
        return all(key in sample and entry_holds(entry, sample[key]) for key, entry in self.entries.items())

    @property
    def text(self) -> str:
        """The combination as one would write it."""
        return f"{{{', '.join(f'{key}: {_entry_text(entry)}' for key, entry in self.entries.items())}}}"


def _entry_text(entry: Entry) -> str:
    if not isinstance(entry, Interval):
        return show(entry)
    ends = {"min": entry.min, "max": entry.max}
    return f"{{{', '.join(f'{name}: {show(end)}' for name, end in ends.items() if end is not None)}}}"
