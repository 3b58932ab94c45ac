"""A staircase: samples in a row with a name each, every one a change to the one before. One dimension of a search space.

A stair's name is what samplers propose and records keep; what it stands for is all that was changed up to it.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pydantic import model_serializer, model_validator

from gan3d.config.problem import Path
from gan3d.config.scalars import Scalar
from gan3d.config.settings import Settings

#: The key of a search space under which a staircase stands, and of a sample that has one.
STAIRS = "stairs"


class Stairs(Settings):
    """Stairs by name, in their order: what each changes, as dotted keys and values."""

    changes: dict[str, dict[str, Scalar]]
    """Name → {dotted key: value}. In a file without this word: the stairs stand right under `stairs`."""

    @model_validator(mode="before")
    @classmethod
    def _from_bare_stairs(cls, data: Any) -> Any:
        return data if not isinstance(data, dict) or set(data) == {"changes"} else {"changes": data}

    @model_serializer
    def _as_bare_stairs(self) -> dict[str, dict[str, Scalar]]:
        return {name: dict(change) for name, change in self.changes.items()}

    @property
    def values(self) -> tuple[str, ...]:
        """The names, from the lowest stair."""
        return tuple(self.changes)

    @property
    def ends(self) -> tuple[str, ...]:
        """The names a corner may take: all."""
        return self.values

    @property
    def num_values(self) -> int:
        """How many stairs."""
        return len(self.changes)

    @property
    def keys(self) -> tuple[str, ...]:
        """Every dotted key that some stair changes."""
        return tuple(dict.fromkeys(key for change in self.changes.values() for key in change))

    def contains(self, value: Scalar) -> bool:
        """Whether there is a stair of that name."""
        return value in self.changes

    def nearest(self, value: Scalar) -> Scalar:
        """The stair itself, else the lowest."""
        return value if self.contains(value) else self.values[0]

    def settings_at(self, name: str) -> dict[str, Scalar]:
        """All that was changed from the lowest stair up to this one."""
        found: dict[str, Scalar] = {}
        for other, change in self.changes.items():
            found |= change
            if other == name:
                break
        return found

    def values_of(self, key: str, written: Scalar) -> tuple[Scalar, ...]:
        """What a key is on each stair; ``written`` is the study's own value."""
        return tuple(self.settings_at(name).get(key, written) for name in self.changes)

    def path_of(self, key: str, name: str | None = None) -> Path:
        """Where a key's value on a stair was written: on that one or the nearest below; of no stair, where it is changed first."""
        setting = [other for other, change in self.changes.items() if key in change]
        if name is not None:
            order = self.values
            setting = [other for other in setting if order.index(other) <= order.index(name)][-1:]
        return ("search_space", STAIRS, setting[0], key)

    def converted(self, convert: Callable[[str, Scalar], Scalar]) -> Stairs:
        """The same stairs with each value as ``convert(key, value)`` makes it."""
        return Stairs(changes={name: {key: convert(key, value) for key, value in change.items()} for name, change in self.changes.items()})
