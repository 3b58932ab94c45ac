"""What each sampled key was worth to a search: its importance for the objective, with an interval, beside what luck gives.

Importance is functional ANOVA (Hutter, Hoos, Leyton-Brown 2014, proceedings.mlr.press/v32/hutter14), as Optuna has it: a forest learns
the objective from the samples; importance is the share of what the forest says varies over the whole search space that one key alone
accounts for. So it does not matter where the sampler looked most, as long as it looked everywhere. Shares do not add up to one: what is
missing, keys do together. Ranges that are sampled in the logarithm count in it. What is best is not told, only what matters.

A key with conditions is measured among the trials that have it.

Interval: bootstrap over trials. A resampled search knows fewer different samples, so its forest is a worse one, and by how much that
moves a share is not known; so the interval spans the resampled shares and their mirror image at the share itself (the *percentile* and
the *basic* interval). It says how far other trials of as long a search would move the share. What a forest of
so many trials cannot see no interval knows: of a key that has a fifth beside one that has the rest, 40 trials show half, 100 three
quarters (means of 12 and 6 simulated random searches).

Luck: what the same forest gives each key when the objectives are shuffled among the trials, in so many of all cases as the intervals
are right. It is what a key gets if none matters, more than a key without effect gets beside one that matters. That is what the random
column shows, which each forest has besides: with a single key, all would be that key's otherwise.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import optuna
import pandas as pd
from optuna.distributions import BaseDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.importance import FanovaImportanceEvaluator, get_param_importances
from optuna.trial import create_trial

from gan3d.config.space import SearchSpace
from gan3d.search.sample_rows import Sample, sample_of
from gan3d.search.samplers import distributions

Array = npt.NDArray[np.float64]

#: Of each forest a column of random numbers.
RANDOM = "(random column)"
#: With fewer trials nothing can be said.
FEWEST_TRIALS = 8
#: Of a tree. Deeper ones learn each trial's noise by heart, and take ten times as long with hundreds of trials.
DEPTH = 6
#: States of trials that tell what a sample is worth; a pruned one by its best epoch until then.
JUDGED = ("complete", "pruned")
_COLUMNS = ("trials", "importance", "low", "high", "luck")


@dataclass(frozen=True, slots=True)
class Effort:
    """How much is computed."""

    resamples: int = 100
    """Searches of an interval; 0: no intervals."""
    shuffles: int = 100
    """Searches of what luck gives; 0: it is not asked."""
    forests: int = 8
    """Whose mean is the importance itself."""
    trees: int = 16
    """Of each forest."""


@dataclass(frozen=True, slots=True)
class Importances:
    """Of all sampled keys."""

    table: pd.DataFrame
    """``key``, ``trials`` that have it, ``importance`` (share of the variance over the space), ``low``, ``high``, ``luck`` (what it stays
    below), ``above_luck``; the most important first, the random column last. NaN, and in the order of the search space, where nothing can
    be said: of a key that fewer trials have than that takes."""
    trials: int
    """That were judged."""
    doubt: str
    """Why nothing can be said of any key; empty if something can."""


def judged(trials: pd.DataFrame) -> pd.DataFrame:
    """Trials that tell what their sample is worth: ended, with a finite objective. One that repeats an earlier one has none of its own."""
    return trials[trials["state"].isin(JUDGED) & np.isfinite(trials["best_objective"].astype(float))]


def importances(
    trials: pd.DataFrame, space: SearchSpace, *, confidence: float = 0.95, seed: int = 1, effort: Effort = Effort()
) -> Importances:
    """Importance of each sampled key for the objective.

    Args:
        trials: As ``frames.trials`` returns; those that are not :func:`judged` do not count.
        space: Of the study.
        confidence: Of intervals, and of what luck gives.
        seed: Of forests, resamples and shuffles.
        effort: How much is computed.
    """
    rows = judged(trials)
    samples = [sample_of(row, space) for row in rows.to_dict("records")]
    worth = rows["best_objective"].to_numpy(dtype=np.float64)
    doubt = _doubt(worth)
    table = pd.DataFrame({"trials": {key: sum(key in sample for sample in samples) for key in space.ranges}}).reindex(
        columns=list(_COLUMNS)
    )
    if not doubt:
        table.loc[RANDOM, "trials"] = len(rows)
        for keys, places in _alike(samples, space):
            if len(places) >= FEWEST_TRIALS and np.ptp(worth[places]) > 0:
                forests = _Forests.of([samples[place] for place in places], worth[places], space, effort.trees)
                found = _measured(forests, confidence, seed, effort)
                table.update(found.loc[[*keys, RANDOM] if len(places) == len(rows) else keys])
        order = table["importance"].drop(RANDOM).sort_values(ascending=False, kind="stable").index
        table = table.loc[[*order, RANDOM]]
    table["above_luck"] = table["importance"] > table["luck"]
    return Importances(table.astype({"trials": int}).rename_axis("key").reset_index(), len(rows), doubt)


@dataclass(frozen=True, slots=True)
class _Forests:
    """Forests for one set of samples that all have the same keys, on the scales on which these are sampled."""

    ranges: Mapping[str, BaseDistribution]
    samples: Sequence[Sample]
    worth: Array
    trees: int

    @classmethod
    def of(cls, samples: Sequence[Sample], worth: Array, space: SearchSpace, trees: int) -> _Forests:
        """Of the keys that all of the samples have."""
        written = {key: one for key, one in distributions(space).items() if all(key in sample for sample in samples)}
        numbers = {key: one for key, one in written.items() if isinstance(one, FloatDistribution | IntDistribution) and one.log}
        even = [{key: math.log(sample[key]) if key in numbers else sample[key] for key in written} for sample in samples]
        ranges = written | {key: _stretched(one) for key, one in numbers.items()}
        return cls({**ranges, RANDOM: FloatDistribution(0.0, 1.0)}, even, worth, trees)

    def shares(self, generator: np.random.Generator, places: npt.NDArray[np.int64], worth: Array) -> Array:
        """Of each key and the random column, in a forest of the samples at some places, worth so much; 0 without any variance."""
        if np.ptp(worth) == 0:
            return np.zeros(len(self.ranges))
        optuna.logging.set_verbosity(optuna.logging.WARNING)
        study = optuna.create_study()
        for place, value in zip(places, worth, strict=True):
            sample = {**self.samples[place], RANDOM: float(generator.uniform())}
            study.add_trial(create_trial(params=sample, distributions=dict(self.ranges), value=float(value)))
        evaluator = FanovaImportanceEvaluator(n_trees=self.trees, max_depth=DEPTH, seed=int(generator.integers(2**31)))
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", ExperimentalWarning)  # of normalize
            found = get_param_importances(study, evaluator=evaluator, params=list(self.ranges), normalize=False)
        return np.array([found[key] for key in self.ranges])


def _measured(forests: _Forests, confidence: float, seed: int, effort: Effort) -> pd.DataFrame:
    """Columns of the table, by key; of the random column, too."""
    worth, every = forests.worth, np.arange(len(forests.worth))
    generators = [np.random.default_rng([seed, number]) for number in range(3)]
    share = np.mean([forests.shares(generators[0], every, worth) for _ in range(effort.forests)], axis=0)
    resampled = [generators[1].choice(every, len(every)) for _ in range(effort.resamples)]
    drawn = [forests.shares(generators[1], places, worth[places]) for places in resampled]
    lucky = [forests.shares(generators[2], every, generators[2].permutation(worth)) for _ in range(effort.shuffles)]
    low, high = _interval(share, drawn, confidence)
    luck = np.quantile(lucky, confidence, axis=0) if lucky else np.full_like(share, np.nan)
    return pd.DataFrame({"importance": share, "low": low, "high": high, "luck": luck}, index=list(forests.ranges))


def _interval(share: Array, drawn: Sequence[Array], confidence: float) -> tuple[Array, Array]:
    """Ends of each share's interval, within 0 and 1, the share itself in it; NaN without resamples."""
    if not drawn:
        return np.full_like(share, np.nan), np.full_like(share, np.nan)
    low, high = np.quantile(drawn, [0.5 - confidence / 2, 0.5 + confidence / 2], axis=0)
    return np.clip(np.minimum(low, 2 * share - high), 0, share), np.clip(np.maximum(high, 2 * share - low), share, 1)


def _alike(samples: Sequence[Sample], space: SearchSpace) -> Iterator[tuple[list[str], npt.NDArray[np.int64]]]:
    """Keys that the same trials have, and the places of these."""
    having: dict[tuple[int, ...], list[str]] = {}
    for key in space.ranges:
        having.setdefault(tuple(place for place, sample in enumerate(samples) if key in sample), []).append(key)
    for places, keys in having.items():
        yield keys, np.array(places, dtype=np.int64)


def _doubt(worth: Array) -> str:
    """Why nothing can be said."""
    if len(worth) < FEWEST_TRIALS:
        return f"too few trials: {len(worth)} of at least {FEWEST_TRIALS} that are complete or pruned"
    return "all objectives are equal" if np.ptp(worth) == 0 else ""


def _stretched(one: FloatDistribution | IntDistribution) -> FloatDistribution:
    """The logarithm of a range, its ends a rounding error further apart."""
    low, high = math.log(one.low), math.log(one.high)
    return FloatDistribution(low - 1e-9 * abs(low), high + 1e-9 * abs(high))
