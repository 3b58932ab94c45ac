"""A sampler that keeps another one out of what a search space forbids, or has had already.

Optuna's samplers know ranges of single keys and nothing of combinations. What one of them proposes is asked for again until it can be part
of an allowed sample, so no combination is ever completed. The draws follow from the seed and from what Optuna's storage holds, as those
of the sampler within do.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import optuna
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.samplers import BaseSampler, CmaEsSampler, GPSampler, RandomSampler
from optuna.trial import FrozenTrial, TrialState

from gan3d.search.untried import Allowing

#: How often a sampler is asked for a relative sample before one is drawn at random. Each answer of a Gaussian process is a fit that takes
#: long and, of 20 on a sphere whose best place is forbidden, 19 end there again.
MOST_ASKED, MOST_FITS = 50, 1
#: How many are then drawn, of which the one nearest to what the sampler wanted is proposed. On that sphere a Gaussian process comes to
#: 0.045 in 30 trials (the least that is allowed: 0.04), and with one alone to 0.089, as a random search does.
NUM_COMPARED = 32
#: How often one value is drawn.
MOST_DRAWN = 1_000
#: The generation of CMA-ES that a trial of no generation belongs to.
NO_GENERATION = -1


class AllowedSampler(BaseSampler):
    """Another sampler's proposals, without forbidden ones.

    A value for which there is no allowed sample, however the rest is chosen, is not kept either: nothing is drawn into a corner.
    """

    def __init__(self, inner: BaseSampler, space: Allowing, seed: int) -> None:
        """Around a sampler of a space; ``seed`` is for what is drawn in its place."""
        self._inner, self._space = inner, space
        self._random = RandomSampler(seed=(seed + 1) % 2**32)
        self._order = tuple(space.conditions)
        self._relative: dict[int, dict[str, Any]] = {}

    def infer_relative_search_space(self, study: optuna.Study, trial: FrozenTrial) -> dict[str, BaseDistribution]:
        """The inner sampler's."""
        return self._inner.infer_relative_search_space(study, trial)

    def sample_relative(self, study: optuna.Study, trial: FrozenTrial, search_space: dict[str, BaseDistribution]) -> dict[str, Any]:
        """The inner sampler's first proposal that can be part of an allowed sample; else one drawn at random near the last."""
        found: dict[str, Any] = {}
        for _ in range(MOST_FITS if isinstance(self._inner, GPSampler) else MOST_ASKED):
            found = self._inner.sample_relative(study, trial, search_space)
            # What there is already was drawn by a driver that was killed; only a sequence that goes on since then proposes others now.
            if self._space.allows(found) and self._space.allows(found | trial.params):
                break
        else:
            found = self._drawn_near(found, study, trial, search_space)
        self._relative[trial.number] = found
        return found

    def sample_independent(self, study: optuna.Study, trial: FrozenTrial, param_name: str, param_distribution: BaseDistribution) -> Any:
        """The inner sampler's first value that can be part of an allowed sample with those before it; the last one where there is none."""
        # Only what was there when this one was drawn: after a kill it is drawn once more, with all that followed.
        before = self._order[: self._order.index(param_name)]
        known = self._relative.get(trial.number, {}) | {key: trial.params[key] for key in before if key in trial.params}
        return self._allowed(known, param_name, partial(self._inner.sample_independent, study, trial, param_name, param_distribution))

    def _drawn_near(
        self, wanted: Mapping[str, Any], study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]
    ) -> dict[str, Any]:
        """The nearest of some random relative samples to one that is forbidden."""
        if isinstance(self._inner, CmaEsSampler) and (generation := self._inner._attr_key_generation) in _attributes(study, trial):
            # It would learn from the proposal that was refused what this one is worth.
            study._storage.set_trial_system_attr(trial._trial_id, generation, NO_GENERATION)
        drawn = [self._drawn_at_random(study, trial, search_space) for _ in range(NUM_COMPARED)]
        fitting = [sample for sample in drawn if self._space.allows(sample | trial.params)]
        return min(fitting or drawn, key=lambda sample: sum(_apart(sample[key], wanted[key], search_space[key]) ** 2 for key in wanted))

    def _drawn_at_random(self, study: optuna.Study, trial: FrozenTrial, search_space: Mapping[str, BaseDistribution]) -> dict[str, Any]:
        found: dict[str, Any] = {}
        for key in self._order:
            if (one := search_space.get(key)) is not None:
                draw = partial(self._random.sample_independent, study, trial, key, one)
                found[key] = self._allowed(found, key, draw)
        return found

    def _allowed(self, known: Mapping[str, Any], key: str, draw: Callable[[], Any]) -> Any:
        value = draw()
        for _ in range(MOST_DRAWN - 1):
            if self._space.allows({**known, key: value}):
                break
            value = draw()
        return value

    def before_trial(self, study: optuna.Study, trial: FrozenTrial) -> None:
        """The inner sampler's."""
        self._inner.before_trial(study, trial)

    def after_trial(self, study: optuna.Study, trial: FrozenTrial, state: TrialState, values: Sequence[float] | None) -> None:
        """The inner sampler's."""
        self._inner.after_trial(study, trial, state, values)

    def reseed_rng(self) -> None:
        """Of both."""
        self._inner.reseed_rng()
        self._random.reseed_rng()


def _apart(value: Any, other: Any, one: BaseDistribution) -> float:
    """How far two values of a range are from each other, as a share of it; of choices all are equally far."""
    if not isinstance(one, IntDistribution | FloatDistribution):
        return float(value != other)
    scale: Callable[[float], float] = math.log if one.log else float
    return (scale(value) - scale(other)) / (scale(one.high) - scale(one.low))


def _attributes(study: optuna.Study, trial: FrozenTrial) -> dict[str, Any]:
    """What the storage holds of a trial now."""
    found: dict[str, Any] = study._storage.get_trial_system_attrs(trial._trial_id)
    return found
