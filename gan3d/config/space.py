"""The search space: dotted key → range, as written in the YAML, checked against the schema's own limits."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Annotated, Any, Self

from pydantic import Field, field_validator, model_serializer, model_validator

from gan3d.config.forbidden import FORBIDDEN, Combination, Entry
from gan3d.config.forbidden_checks import forbidden_problems, form_problems
from gan3d.config.pieces import representatives
from gan3d.config.problem import Contradictions, Path
from gan3d.config.ranges import Range, as_the_knob_counts
from gan3d.config.scalars import Scalar
from gan3d.config.settings import Settings
from gan3d.config.space_checks import space_problems
from gan3d.config.stairs import STAIRS, Stairs
from gan3d.config.stairs_checks import stairs_problems
from gan3d.config.when import is_met, parents_first, when_problems

#: Samples of a finite space with conditions or forbidden combinations are counted one by one up to so many; of a larger one the
#: product is an upper limit.
MAX_SAMPLES_COUNTED = 100_000


class SearchSpace(Settings):
    """Dotted keys of `TrialSettings` and their ranges. Empty: the study is one trial, the settings as written."""

    ranges: Annotated[dict[str, Range], Field(default_factory=dict)]
    """Dotted key → range; under `stairs`, a staircase."""
    forbidden: tuple[Combination, ...] = ()
    """Combinations of values that are neither proposed nor trained. In a file without the word `ranges`: beside them."""

    @model_validator(mode="before")
    @classmethod
    def _from_bare_ranges(cls, data: Any) -> Any:
        """Accept `{dotted key: range}` as in a file; check it in words before pydantic sees it."""
        if not isinstance(data, dict):
            return data
        written = data["ranges"] if set(data) == {"ranges"} else data
        plain = {key: value.model_dump(exclude_unset=True) if isinstance(value, Settings) else value for key, value in written.items()}
        forbidden = plain.pop(FORBIDDEN, ())
        bare = {key: one for key, one in plain.items() if key != STAIRS}
        problems = list(space_problems(bare)) or list(when_problems(bare))
        if STAIRS in plain:
            problems += stairs_problems(plain[STAIRS], bare.keys())
        problems += form_problems(forbidden, plain, plain.get(STAIRS))
        if problems:
            raise Contradictions(problems)
        return {"ranges": plain, FORBIDDEN: tuple(forbidden)}

    @field_validator("ranges", mode="after")
    @classmethod
    def _as_the_knob_counts(cls, ranges: dict[str, Range]) -> dict[str, Range]:
        """A range of a fractional knob is fractional, also when its ends are written as whole numbers."""
        return {key: as_the_knob_counts(key, one) for key, one in ranges.items()}

    @model_validator(mode="after")
    def _leaves_something(self) -> Self:
        if problems := tuple(forbidden_problems(self)):
            raise Contradictions(problems)
        return self

    @model_serializer
    def _as_bare_ranges(self) -> dict[str, Any]:
        bare: dict[str, Any] = {key: one.model_dump(exclude_defaults=True) for key, one in self.ranges.items()}
        return bare | ({FORBIDDEN: [one.model_dump() for one in self.forbidden]} if self.forbidden else {})

    @property
    def stairs(self) -> Stairs | None:
        """The staircase, if there is one."""
        one = self.ranges.get(STAIRS)
        return one if isinstance(one, Stairs) else None

    @property
    def is_conditional(self) -> bool:
        """Whether some range is sampled in some samples only."""
        return any(self.conditions.values())

    @cached_property
    def conditions(self) -> dict[str, dict[str, tuple[Scalar, ...]]]:
        """Key → what its range needs; in an order in which what is needed comes first."""
        needs = {key: {} if isinstance(one, Stairs) else one.when for key, one in self.ranges.items()}
        return {key: needs[key] for key in parents_first(needs)}

    def active(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The sample among values for every range: without those whose conditions are not met."""
        found: dict[str, Any] = {}
        for key, needed in self.conditions.items():
            if key in values and is_met(needed, found):
                found[key] = values[key]
        return {key: found[key] for key in self.ranges if key in found}

    def forbidden_by(self, sample: Mapping[str, Any]) -> int | None:
        """The place of the first forbidden combination that holds for a sample, if one does."""
        return next((place for place, one in enumerate(self.forbidden) if one.holds(sample)), None)

    def allows(self, given: Mapping[str, Any]) -> bool:
        """Whether some sample with the given values is not forbidden; values of ranges that are not sampled then do not count."""
        return not self.forbidden or self._has_allowed({}, list(self.conditions), given)

    def _has_allowed(self, begun: dict[str, Any], keys: list[str], given: Mapping[str, Any]) -> bool:
        """The same of the samples that begin in one way; ``keys`` are still to come."""
        if self.forbidden_by(begun) is not None:
            return False
        if not keys:
            return True
        key, *rest = keys
        if not is_met(self.conditions[key], begun):
            return self._has_allowed(begun, rest, given)
        values = (given[key],) if key in given else self._representatives[key]
        return any(self._has_allowed(begun | {key: value}, rest, given) for value in values)

    @cached_property
    def _representatives(self) -> dict[str, tuple[Scalar, ...]]:
        """Of every range a value of each kind that forbidden combinations and conditions tell apart."""
        rules: dict[str, list[Entry]] = {key: [] for key in self.ranges}
        for key, entry in itertools.chain.from_iterable(one.entries.items() for one in self.forbidden):
            rules[key].append(entry)
        for parent, values in itertools.chain.from_iterable(needed.items() for needed in self.conditions.values()):
            rules[parent].append(values)
        return {key: representatives(one, rules[key]) for key, one in self.ranges.items()}

    @property
    def keys(self) -> tuple[str, ...]:
        """Every knob that differs from sample to sample, by its dotted key."""
        ranged = tuple(key for key in self.ranges if key != STAIRS)
        return ranged if self.stairs is None else (*ranged, *self.stairs.keys)

    def values_of(self, key: str, written: Scalar) -> tuple[Scalar, ...]:
        """What a knob may be, the ends of a continuous range only; ``written`` is the study's own value."""
        if key in self.ranges:
            return self.ranges[key].values or self.ranges[key].ends
        return (written,) if self.stairs is None else self.stairs.values_of(key, written)

    def expanded(self, sample: Mapping[str, Any]) -> dict[str, Any]:
        """The sample with dotted keys only: a stair's name gives way to all that it stands for."""
        if self.stairs is None or STAIRS not in sample:
            return dict(sample)
        return {key: value for key, value in sample.items() if key != STAIRS} | self.stairs.settings_at(sample[STAIRS])

    def path_of(self, key: str, sample: Mapping[str, Any] | None = None) -> Path:
        """Where a knob that differs from sample to sample was written; by a stair, the one that says what it is in ``sample``."""
        if key in self.ranges or self.stairs is None:
            return ("search_space", key)
        return self.stairs.path_of(key, None if sample is None else sample[STAIRS])

    @cached_property
    def grid_size(self) -> int | None:
        """Number of grid points; None where a continuous range has none."""
        sizes = [one.num_values for one in self.ranges.values()]
        known = [size for size in sizes if size is not None]
        if len(known) < len(sizes):
            return None
        whole = math.prod(known)
        is_product = not self.is_conditional and not self.forbidden
        return whole if is_product or whole > MAX_SAMPLES_COUNTED else sum(1 for _ in self.grid())

    def grid(self) -> Iterator[dict[str, Any]]:
        """Every sample of a finite space that is not forbidden; the last key changes fastest."""
        values = [one.values for one in self.ranges.values()]
        assert all(one is not None for one in values), "only a finite space has a grid"
        return (sample for sample in self._product([one for one in values if one is not None]) if self.forbidden_by(sample) is None)

    def corners(self) -> Iterator[dict[str, Any]]:
        """Samples at the ends of every range, forbidden ones too; every value of a choice is an end."""
        return self._product([one.ends for one in self.ranges.values()])

    @property
    def num_corners(self) -> int:
        """How many samples `corners` yields; at most, where ranges have conditions."""
        return math.prod(len(one.ends) for one in self.ranges.values())

    def edges(self) -> Iterator[dict[str, Any]]:
        """For spaces with too many corners: the ends of every two ranges, all others at their first value."""
        first = {key: one.ends[0] for key, one in self.ranges.items()}
        for pair in itertools.combinations(self.ranges, 2):
            for values in itertools.product(*(self.ranges[key].ends for key in pair)):
                yield self.active(first | dict(zip(pair, values, strict=True)))

    def _product(self, values: list[tuple[Any, ...]]) -> Iterator[dict[str, Any]]:
        """Every combination once, whatever the ranges that are not sampled in it would be."""
        points = (dict(zip(self.ranges, point, strict=True)) for point in itertools.product(*values))
        if not self.is_conditional:
            return points
        return iter({tuple(sample.items()): sample for sample in map(self.active, points)}.values())

    def contains(self, sample: Mapping[str, Any]) -> bool:
        """Whether the sample has exactly the keys that are sampled there, each within its range, and is not forbidden."""
        is_inside = self.is_whole(sample) and all(self.ranges[key].contains(sample[key]) for key in sample)
        return is_inside and self.forbidden_by(sample) is None

    def is_whole(self, sample: Mapping[str, Any]) -> bool:
        """Whether the sample has exactly the keys that are sampled there."""
        is_known = sample.keys() <= self.ranges.keys()
        return is_known and all((key in sample) == is_met(needed, sample) for key, needed in self.conditions.items())
