"""Who proposes samples: Optuna's samplers, and where Optuna keeps what it knows."""

from __future__ import annotations

import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import optuna
from optuna.distributions import BaseDistribution, CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.exceptions import ExperimentalWarning
from optuna.trial import FrozenTrial, TrialState

from gan3d.config.ranges import Choice
from gan3d.config.space import SearchSpace
from gan3d.config.stairs import Stairs
from gan3d.config.study import Study
from gan3d.config.when import is_met
from gan3d.search.allowed import AllowedSampler
from gan3d.search.blocks import ordered_grid
from gan3d.search.optuna_trials import FROM_ATTRIBUTE
from gan3d.search.storage import open_storage
from gan3d.search.untried import untried

#: Attributes in which a Gaussian process keeps what it proposed for a running trial; it would take a trial's own for another one's.
PENDING = "gp:relative_params"


def distributions(space: SearchSpace) -> dict[str, BaseDistribution]:
    """Optuna's distribution of every range."""
    found: dict[str, BaseDistribution] = {}
    for key, one in space.ranges.items():
        if isinstance(one, Choice | Stairs):
            found[key] = CategoricalDistribution(one.values)
        elif one.is_integer:
            found[key] = IntDistribution(int(one.min), int(one.max), log=one.log, step=int(one.step or 1))
        else:
            found[key] = FloatDistribution(float(one.min), float(one.max), log=one.log, step=one.step)
    return found


def make_sampler(study: Study, number: int, earlier: Iterable[FrozenTrial] = ()) -> optuna.samplers.BaseSampler:
    """The study's sampler for one trial, by its ``number``: what it proposes follows from that and from what Optuna's storage holds.

    Optuna saves no sampler's random numbers, so one for all trials would begin anew when a study is resumed. A grid is not sampled: all
    its samples are enqueued (`first_samples`). Of a finite space, samples of ``earlier`` trials are not proposed again.
    """
    seed = int(np.random.SeedSequence([study.sampler.seed, number]).generate_state(1)[0])
    found, allowed = sampler_by_name(study, seed), untried(study, earlier)
    return found if allowed is None else AllowedSampler(found, allowed, seed)


def sampler_by_name(study: Study, seed: int) -> optuna.samplers.BaseSampler:
    """Optuna's sampler, which knows nothing of forbidden combinations, nor that a trial tells nothing new the second time."""
    settings, samplers = study.sampler, optuna.samplers
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ExperimentalWarning)
        match settings.name:
            case "tpe":
                return samplers.TPESampler(
                    seed=seed,
                    multivariate=True,
                    group=study.search_space.is_conditional,
                    n_startup_trials=settings.startup_trials,
                    constant_liar=study.trials.concurrent > 1,
                )
            case "gp":
                return samplers.GPSampler(seed=seed, n_startup_trials=settings.startup_trials)
            case "cmaes":
                return samplers.CmaEsSampler(seed=seed, with_margin=True)
            case "nsga2":
                return samplers.NSGAIISampler(seed=seed, population_size=settings.population)
            case "quasi_random":
                # One sequence for all trials; its position is in Optuna's storage.
                first = samplers.RandomSampler(seed=seed)
                return samplers.QMCSampler(seed=settings.seed, scramble=True, independent_sampler=first, warn_asynchronous_seeding=False)
            case _:
                return samplers.RandomSampler(seed=seed)


def asked_for(opened: optuna.Study, space: SearchSpace) -> optuna.Trial:
    """The sampler's next trial with its whole sample; a range with conditions is drawn behind what it needs, where that is met."""
    found = distributions(space)
    if not space.is_conditional:
        return opened.ask(found)
    trial = opened.ask()
    for key, needed in space.conditions.items():
        if is_met(needed, trial.params):
            suggest(trial, key, found[key])
    return trial


def drawn_to_its_end(opened: optuna.Study, half: FrozenTrial, space: SearchSpace) -> optuna.Trial:
    """A trial whose driver was killed while its sample was drawn, with the rest of its sample.

    What is there is drawn once more and dropped, so that the sampler's random numbers are where they were.
    """
    for name in half.system_attrs:
        if name.startswith(PENDING):
            opened._storage.set_trial_system_attr(half._trial_id, name, "")
    trial, found = optuna.Trial(opened, half._trial_id), distributions(space)
    fixed = half.system_attrs.get("fixed_params", {})
    for key in space.conditions if space.is_conditional else found:
        if not is_met(space.conditions.get(key, {}), trial.params):
            continue
        if key in half.params and key not in fixed and key not in trial.relative_params and not found[key].single():
            opened.sampler.sample_independent(opened, half, key, found[key])
        suggest(trial, key, found[key])
    return trial


def suggest(trial: optuna.Trial, key: str, distribution: BaseDistribution) -> None:
    """Draw one more value of a trial's sample."""
    if isinstance(distribution, CategoricalDistribution):
        trial.suggest_categorical(key, distribution.choices)
    elif isinstance(distribution, IntDistribution):
        trial.suggest_int(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)
    elif isinstance(distribution, FloatDistribution):
        trial.suggest_float(key, distribution.low, distribution.high, step=distribution.step, log=distribution.log)


def open_optuna_study(study: Study, place: Path | str, add_before: Iterable[FrozenTrial] = ()) -> optuna.Study:
    """The Optuna study in a journal file, or a database's URL; if new, made and filled with trials of other studies, then first samples.

    A driver killed while it filled the study had asked for nothing yet: the rest is filled in.
    """
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    opened = optuna.create_study(
        storage=open_storage(place),
        study_name=study.name,
        directions=[goal.direction for goal in study.objective.goals],
        load_if_exists=True,
    )
    if not any(is_asked(trial) for trial in opened.trials):
        there, known = len(opened.trials), list(add_before)
        for one in known[there:]:
            opened.add_trial(one)
        for sample in first_samples(study)[max(there - len(known), 0) :]:
            opened.enqueue_trial(sample)
    return opened


def is_asked(trial: FrozenTrial) -> bool:
    """Whether it is the study's own, and was proposed."""
    return trial.state != TrialState.WAITING and FROM_ATTRIBUTE not in trial.user_attrs


def first_samples(study: Study) -> list[dict[str, Any]]:
    """Tried before the sampler has a say: the whole grid (in its blocks' order, where it has any), or the settings as written."""
    if study.sampler.name == "grid":
        return list(ordered_grid(study))
    default = study.default_sample
    return [default] if default is not None else []
