"""The root of what is asked: one question, one search space, one recipe."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from gan3d.config.cost import Budget, Rates
from gan3d.config.forbidden_checks import forbidden_problem
from gan3d.config.keys import knobs, nearest
from gan3d.config.objective import Objective
from gan3d.config.places import problems_of
from gan3d.config.problem import Contradictions, Path, Problem, show, split
from gan3d.config.scalars import Scalar
from gan3d.config.scheduler import Scheduler
from gan3d.config.settings import Positive, Says, Settings
from gan3d.config.space import SearchSpace
from gan3d.config.stairs import STAIRS
from gan3d.config.study_checks import crowding_problem, study_problems
from gan3d.config.training import Data, Training, TrialSettings, Workers
from gan3d.errors import ConfigError

DEFAULT_TRIALS = 10
Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$"),
    Says("1 to 64 lower-case letters, digits and underscores, not starting with an underscore"),
]
#: A sentence in one line: control characters and line separators do not survive YAML.
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
Text = Annotated[str, Field(min_length=1, pattern=rf"^{_LINE}*[^\s\x00-\x1f\x7f-\x9f]{_LINE}*$"), Says("a sentence in one line")]
Figure = Literal[
    "search_progress",
    "parameter_importance",
    "pareto_front",
    "shower_profiles",
    "scaling_curves",
    "single_node",
    "large_batch",
    "confirmation",
    "fidelity_front",
]


class Sampler(Settings):
    """Proposes samples (Optuna)."""

    name: Literal["tpe", "gp", "cmaes", "nsga2", "quasi_random", "random", "grid"] = "tpe"
    """`tpe`: multivariate tree-structured Parzen estimators; `gp`: Gaussian process; `cmaes`: CMA-ES with margins for steps, not for lists
    of choices; `nsga2`: NSGA-II; `quasi_random`: scrambled Sobol points."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Same seed, same proposals, interrupted or not: of `random`, `quasi_random` and `grid`, which learn nothing, at any
    `trials.concurrent`; of the others at 1."""
    startup_trials: Annotated[int, Field(ge=0)] = 10
    """Random trials before `tpe` or `gp` models anything."""
    population: Annotated[int, Field(ge=2)] = 16
    """Trials of a generation of `nsga2`."""
    blocks: str | None = None
    """Of a grid: the sampled key whose values are blocks (`training.seed`). Trials run block by block, each block all other combinations
    once in an order drawn for it from `seed`, so that a machine that slows down by the hour does not look like an effect."""
    distinct: bool = False
    """Of a grid: leave out samples that train as an earlier one does, such as learning-rate rules where the batch is the reference's."""


class Trials(Settings):
    """How many."""

    number: Annotated[int, Field(ge=1)] | None = None
    """Trials in all; by default the grid's size, or 10."""
    concurrent: Annotated[int, Field(ge=1)] = 1
    """Trials at the same time."""
    turn: Positive | None = None
    """Age, by `scheduler.rungs_in`, after which a trial makes way for those that wait, to go on when they have come as far: a study that is
    stopped half way has then trained all of them alike. Without it each is trained to its end before the next begins. Not with samplers
    that learn from ended trials: they would have proposed all before one ends."""


class Study(Settings):
    """A study file."""

    name: Name
    """Names the results folder and the parent MLflow run."""
    question: Text
    """What the study is to answer, in a sentence."""
    search_space: Annotated[SearchSpace, Says("the path of a search space file, or the ranges themselves")]
    """Path of a search space file, or the ranges themselves."""
    sampler: Sampler = Sampler()
    """Proposes samples."""
    scheduler: Scheduler = Scheduler()
    """Stops trials early."""
    objective: Objective = Objective()
    """What is optimised."""
    trials: Trials = Trials()
    """How many."""
    workers: Workers = Workers()
    """How a trial is spread out."""
    training: Training
    """The recipe."""
    data: Data
    """Shower files."""
    warm_start: tuple[Annotated[str, Field(min_length=1)], ...] = ()
    """Folders of earlier studies, their results or published frames, relative to the study's file: of their trials those that would train
    the same here are known to the sampler from the start, and not trained again."""
    references: Annotated[dict[str, dict[str, Scalar]], Field(default_factory=dict)]
    """Name → dotted keys and values: samples that no sampler proposes, such as another author's network. `gan3d confirm` trains them beside
    the best sample and the settings as written."""
    cost: Rates = Rates()
    """What a core, a GPU and a kWh draw, emit and cost."""
    budget: Budget = Budget()
    """What the study may spend."""
    figures: tuple[Figure, ...] = ()
    """Scripts of `analysis/` drawn when the study has ended."""

    @model_validator(mode="after")
    def _check(self) -> Self:
        if problems := tuple(study_problems(self)):
            raise Contradictions(problems)
        return self

    @property
    def num_trials(self) -> int:
        """Trials in all: as written, or the grid's size, or 10 (fewer if the space has fewer samples)."""
        if self.trials.number is not None:
            return self.trials.number
        size = self.search_space.grid_size
        if size is None:
            return DEFAULT_TRIALS
        if self.sampler.name == "grid":
            return len(self.grid) if self.sampler.distinct else size
        return min(size, DEFAULT_TRIALS)

    def team_workers(self, workers: int) -> int:
        """Workers of the team that trains a trial of so many: one team of the largest size for all, or, if trials run at once, its own."""
        return workers if self.trials.concurrent > 1 else self.max_world_size

    @cached_property
    def grid(self) -> tuple[dict[str, Any], ...]:
        """Every sample of a finite search space; with `sampler.distinct` the first of those that train alike."""
        samples = self.search_space.grid()
        if not self.sampler.distinct:
            return tuple(samples)
        found: dict[str, dict[str, Any]] = {}
        for sample in samples:
            settings, _ = self.settings_or_problems(sample)
            found.setdefault(repr(sample) if settings is None else settings.digest(), sample)
        return tuple(found.values())

    @property
    def max_world_size(self) -> int:
        """Workers of the largest trial."""
        values = self.search_space.values_of("workers.per_trial", self.workers.per_trial)
        return max(value for value in values if isinstance(value, int))

    @property
    def default_sample(self) -> dict[str, Any] | None:
        """The settings as written, as a sample: moved into the space where they lie outside; None if that is no valid trial."""
        ranges = self.search_space.ranges.items()
        values = {key: one.nearest(None if key == STAIRS else value_at(self._as_written(), split(key))) for key, one in ranges}
        sample = self.search_space.active(values)
        return sample if self.settings_or_problems(sample)[0] is not None else None

    def trial_settings(self, sample: Mapping[str, Any]) -> TrialSettings:
        """The study's settings with a sample's values in them.

        Raises:
            ConfigError: a key is no knob, or the result is not valid.
        """
        settings, problems = self.settings_or_problems(sample)
        if settings is None:
            text = ", ".join(f"{key}: {show(value)}" for key, value in sample.items())
            sentences = " ".join(problem.sentence() for problem in problems)
            raise ConfigError(sentences, where=f"study {self.name}, sample {{{text}}}", key=problems[0].key)
        return settings

    def epochs_of(self, sample: Mapping[str, Any]) -> int:
        """Epochs after which a trial of this sample ends, if nothing ends it before."""
        return int(self.search_space.expanded(sample).get("training.epochs", self.training.epochs))

    def settings_or_problems(
        self, sample: Mapping[str, Any], *, even_forbidden: bool = False
    ) -> tuple[TrialSettings | None, list[Problem]]:
        """One of the two: valid settings, or why there are none; of a forbidden sample only if ``even_forbidden``."""
        if not even_forbidden and (place := self.search_space.forbidden_by(sample)) is not None:
            return None, [forbidden_problem(place, self.search_space.forbidden[place])]
        stairs = self.search_space.stairs
        if stairs is not None and STAIRS in sample and not stairs.contains(sample[STAIRS]):
            return None, [Problem(STAIRS, "is none of the stairs", f"Use one of {', '.join(stairs.values)}.", sample[STAIRS])]
        changes = self.search_space.expanded(sample)
        unknown_keys = [key for key in changes if key not in knobs()]
        if unknown_keys:
            return None, [_no_knob(key) for key in unknown_keys]
        data: Any = self._as_written()
        for key, value in changes.items():
            data = with_value(data, split(key), value)
        try:
            settings = TrialSettings.model_validate(data)
        except ValidationError as error:
            return None, problems_of(error, TrialSettings, data)
        crowding = crowding_problem(self, settings)
        return (settings, []) if crowding is None else (None, [crowding])

    def _as_written(self) -> dict[str, Any]:
        """Plain values of the sections that a sample may change."""
        return {"training": self.training.model_dump(), "workers": self.workers.model_dump(), "data": self.data.model_dump()}


def _no_knob(key: str) -> Problem:
    near = nearest(key, knobs())
    return Problem(key, f"; did you mean {near}?" if near else "", "Use dotted keys of the schema.", lead="unknown key")


def value_at(node: Any, path: Path) -> Any:
    """The value at a path of nested plain values."""
    for part in path:
        node = node[part]
    return node


def with_value(node: Any, path: Path, value: Any) -> Any:
    """A copy of nested plain values with one of them replaced; the rest is shared."""
    if not path:
        return value
    head, *rest = path
    if isinstance(node, tuple):
        assert isinstance(head, int)
        return (*node[:head], with_value(node[head], tuple(rest), value), *node[head + 1 :])
    return {**node, head: with_value(node[head], tuple(rest), value)}
