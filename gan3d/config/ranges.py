"""What one sampled knob may be: a choice of values, or numbers between two ends; with or without conditions."""

from __future__ import annotations

import math
from typing import Annotated, Any

from pydantic import Field, field_validator

from gan3d.config.scalars import Scalar
from gan3d.config.settings import Settings
from gan3d.config.space_checks import is_fractional
from gan3d.config.stairs import Stairs


class Conditional(Settings):
    """A range that may be sampled only where others have certain values."""

    when: Annotated[dict[str, tuple[Scalar, ...]], Field(default_factory=dict)]
    """Sampled key → the values at which this range is sampled, too; elsewhere the knob is as written in the study's file. Several: all."""

    @field_validator("when", mode="before")
    @classmethod
    def _values_are_tuples(cls, when: Any) -> Any:
        return (
            {key: tuple(values) if isinstance(values, list) else values for key, values in when.items()} if isinstance(when, dict) else when
        )


class Choice(Conditional):
    """One of the listed values."""

    choice: Annotated[tuple[Scalar, ...], Field(min_length=2)]
    """The values."""

    @property
    def num_values(self) -> int:
        """How many values there are."""
        return len(self.choice)

    @property
    def values(self) -> tuple[Scalar, ...]:
        """Every value, in the order written."""
        return self.choice

    @property
    def ends(self) -> tuple[Scalar, ...]:
        """The values a corner may take: all, for they have no order."""
        return self.choice

    def contains(self, value: Scalar) -> bool:
        """Whether the value can be proposed."""
        return any(value == one and isinstance(value, bool) == isinstance(one, bool) for one in self.choice)

    def nearest(self, value: Scalar) -> Scalar:
        """The value itself if it is listed, else the nearest number, else the first."""
        if self.contains(value) or isinstance(value, str | bool | None):
            return value if self.contains(value) else self.choice[0]
        numbers = [one for one in self.choice if isinstance(one, int | float)]
        return min(numbers, key=lambda one: abs(one - value)) if numbers else self.choice[0]


class Between(Conditional):
    """Numbers from `min` to `max`, both included; whole numbers if the knob is one."""

    min: int | float
    """Lower end."""
    max: int | float
    """Upper end."""
    step: int | float | None = None
    """Quantum, counted from `min`; it divides `max - min`."""
    log: bool = False
    """Uniform in the logarithm."""

    @property
    def is_integer(self) -> bool:
        """Whether proposals are whole numbers."""
        return isinstance(self.min, int) and isinstance(self.max, int) and isinstance(self.step, int | None)

    @property
    def num_values(self) -> int | None:
        """How many values there are; None if they are continuous."""
        step = self.step or (1 if self.is_integer else None)
        return None if step is None else round((self.max - self.min) / step) + 1

    @property
    def values(self) -> tuple[int | float, ...] | None:
        """Every value from the lowest; None if they are continuous."""
        if self.num_values is None:
            return None
        return tuple(self.value_at(position) for position in range(self.num_values))

    def value_at(self, position: int) -> int | float:
        """The value at a position, counted from the lowest; of continuous ones there is none."""
        if position + 1 == self.num_values:
            return self.max
        value = self.min + position * (self.step or 1)
        return value if self.is_integer else float(f"{value:.12g}")  # 0.3, where the sum is 0.30000000000000004

    @property
    def ends(self) -> tuple[int | float, ...]:
        """Both ends."""
        return (self.min, self.max)

    def contains(self, value: Scalar) -> bool:
        """Whether the value can be proposed."""
        if isinstance(value, str | bool | None) or (self.is_integer and not isinstance(value, int)):
            return False
        if self.num_values is None:
            return self.min <= value <= self.max
        steps = (value - self.min) / (self.step or 1)  # close to a whole number is enough: 0.1 + 2 * 0.1 is not 0.3
        return math.isclose(steps, round(steps), abs_tol=1e-9) and 0 <= round(steps) < self.num_values

    def nearest(self, value: Scalar) -> Scalar:
        """The value moved into the range and onto its steps; the lower end for what is no number."""
        if isinstance(value, str | bool | None):
            return self.min
        inside = min(max(value, self.min), self.max)
        if self.num_values is None or self.contains(inside):
            return inside
        return self.value_at(round((inside - self.min) / (self.step or 1)))


Range = Choice | Between | Stairs


def as_the_knob_counts(key: str, one: Range) -> Range:
    """The same range, of a fractional knob with its whole numbers written as fractions, so that what lies between is proposed too."""
    if isinstance(one, Stairs):
        return one.converted(lambda key, value: as_fraction(value) if is_fractional(key) else value)
    if not is_fractional(key):
        return one
    if isinstance(one, Choice):
        return Choice(choice=tuple(as_fraction(value) for value in one.choice), when=one.when)
    step = None if one.step is None else float(one.step)
    return Between(min=float(one.min), max=float(one.max), step=step, log=one.log, when=one.when)


def as_fraction(value: Scalar) -> Scalar:
    """A whole number as a fraction; anything else as it is."""
    return float(value) if type(value) is int else value
