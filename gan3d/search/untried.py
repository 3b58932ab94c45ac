"""What is left of a finite search space: samples that were tried are not proposed again.

A sampler that learns comes back to its best sample again and again. Where ranges are continuous it is another sample each time; where they
are steps and choices it is the same, which would train to the same numbers and use up one of the study's trials.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Protocol

from optuna.trial import FrozenTrial, TrialState

from gan3d.config.scalars import Scalar
from gan3d.config.space import SearchSpace
from gan3d.config.study import Study
from gan3d.config.study_checks import is_of_speed
from gan3d.search.optuna_trials import has_diverged

#: Spaces of up to so many samples are listed, so that no value is drawn that leaves nothing untried. In a larger one that hardly happens,
#: and the sample would only be told what it had come to before.
MOST_LISTED = 10_000


class Allowing(Protocol):
    """What may be proposed."""

    @property
    def conditions(self) -> Mapping[str, Mapping[str, tuple[Scalar, ...]]]:
        """Keys in the order in which they are drawn, and what each needs."""

    def allows(self, given: Mapping[str, Any]) -> bool:
        """Whether some sample with the given values may be proposed; values of ranges that are not sampled then do not count."""


class Untried:
    """The samples of a finite space but those that were tried."""

    def __init__(self, space: SearchSpace, tried: Iterable[Mapping[str, Any]]) -> None:
        """``tried`` are whole samples of the space."""
        self._space, self._tried = space, {_frozen(sample) for sample in tried}
        self._left: list[dict[str, Any]] | None = None
        if space.grid_size is not None and space.grid_size <= MOST_LISTED:
            self._left = [dict(sample) for sample in map(_frozen, space.grid()) if sample not in self._tried]

    @property
    def conditions(self) -> Mapping[str, Mapping[str, tuple[Scalar, ...]]]:
        """The space's."""
        return self._space.conditions

    @property
    def num_left(self) -> int | None:
        """How many; None in a space that is not listed."""
        return None if self._left is None else len(self._left)

    def allows(self, given: Mapping[str, Any]) -> bool:
        """Whether some untried sample has the given values."""
        wanted = dict(_frozen(given))
        if self._left is None:
            return self._space.allows(given) and _frozen(self._space.active(given)) not in self._tried
        return any(all(wanted.get(key, value) == value for key, value in sample.items()) for sample in self._left)


def untried(study: Study, earlier: Iterable[FrozenTrial]) -> Allowing | None:
    """The study's space without the samples of earlier trials that would end as they did; None where everything may come (again).

    CMA-ES and a grid are left alone: the first narrows down to one sample by being told it several times, the second has no sampler. So
    are studies of speed, which is measured anew each time, and infinite spaces. Where nothing is left, everything may come again.
    """
    space = study.search_space
    allowed = space if space.forbidden else None
    is_measured_anew = any(is_of_speed(goal.metric) for goal in study.objective.goals)
    if study.sampler.name in ("grid", "cmaes") or space.grid_size is None or is_measured_anew:
        return allowed
    tried = [trial.params for trial in earlier if _would_end_alike(trial) and space.contains(trial.params)]
    found = Untried(space, tried)
    return found if tried and found.num_left != 0 else allowed


def _would_end_alike(trial: FrozenTrial) -> bool:
    """Whether training it again would tell nothing; that of a worker lost on the way would."""
    return trial.state != TrialState.WAITING and (trial.state != TrialState.FAIL or has_diverged(trial))


def _frozen(sample: Mapping[str, Any]) -> tuple[tuple[str, Any], ...]:
    """A sample to be compared: 0.1 + 2 * 0.1 is 0.3."""
    return tuple(sorted((key, float(f"{value:.12g}") if isinstance(value, float) else value) for key, value in sample.items()))
