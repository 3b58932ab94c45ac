"""A trial's sample read back from its row of a frame, where MLflow's text and pandas' columns have changed its values' types."""

from __future__ import annotations

import math
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from gan3d.config.ranges import Between, Range
from gan3d.config.space import SearchSpace

Sample = dict[str, Any]


def sample_of(row: Mapping[Hashable, Any] | pd.Series[Any], space: SearchSpace) -> Sample:
    """The sample in the search space's own values; keys that the trial does not have, or with a value out of the range, are absent."""
    found = {key: _own_value(one, plain(row[key])) for key, one in space.ranges.items() if key in row and not pd.isna(row[key])}
    return {key: value[0] for key, value in found.items() if value}


def plain(value: Any) -> Any:
    """A frame's value as YAML has it: 16, where a column with gaps has 16.0, and no type of numpy's."""
    number = value.item() if hasattr(value, "item") else value
    return int(number) if isinstance(number, float) and number.is_integer() else number


def _own_value(one: Range, value: Any) -> tuple[Any] | None:
    """The range's own value that a frame's is, in a tuple, for None is a value, too; None if it is not in the range."""
    if isinstance(one, Between):
        if isinstance(value, str | bool):
            return None
        inside: Any = one.nearest(value)
        return (inside,) if math.isclose(inside, value, rel_tol=1e-9) else None
    listed = tuple(one.values)
    # MLflow keeps text: a choice's 16 and "16" are the same there, and so are None and "None".
    same = [own for own in listed if own == value and isinstance(own, bool) == isinstance(value, bool)]
    alike = same or [own for own in listed if str(own) == str(value)]
    return (alike[0],) if alike else None
