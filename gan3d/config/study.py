"""The root of what is asked: one question, one search space, one recipe."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, ValidationError, model_validator

from gan3d.config.keys import knobs, nearest
from gan3d.config.places import problems_of
from gan3d.config.problem import Contradictions, Path, Problem, show, split
from gan3d.config.space import SearchSpace
from gan3d.config.study_checks import DIRECTIONS, objective_problems, study_problems
from gan3d.config.training import Data, Says, Settings, Training, TrialSettings, Workers
from gan3d.errors import ConfigError
from gan3d.records import METRICS

DEFAULT_TRIALS = 10
Name = Annotated[
    str,
    Field(pattern=r"^[a-z0-9][a-z0-9_]{0,63}$"),
    Says("1 to 64 lower-case letters, digits and underscores, not starting with an underscore"),
]
#: A sentence in one line: control characters and line separators do not survive YAML.
_LINE = r"[^\x00-\x1f\x7f-\x9f\u2028\u2029]"
Text = Annotated[str, Field(min_length=1, pattern=rf"^{_LINE}*[^\s\x00-\x1f\x7f-\x9f]{_LINE}*$"), Says("a sentence in one line")]
Figure = Literal["search_progress", "shower_profiles", "scaling_curves"]


class Sampler(Settings):
    """Proposes samples (Optuna)."""

    name: Literal["tpe", "random", "grid"] = "tpe"
    """`tpe` is multivariate."""
    seed: Annotated[int, Field(ge=0, lt=2**32)] = 1
    """Same seed, same proposals (at `trials.concurrent: 1`)."""
    startup_trials: Annotated[int, Field(ge=0)] = 10
    """Random trials before TPE models anything."""


class Scheduler(Settings):
    """Stops trials early (Tune)."""

    name: Literal["none", "asha"] = "none"
    """`asha`: asynchronous successive halving on the objective, counted in epochs."""
    grace_epochs: Annotated[int, Field(ge=1)] = 1
    """No trial is stopped earlier."""
    reduction_factor: Annotated[int, Field(ge=2)] = 3
    """One trial in so many goes on at each rung."""


class Objective(Settings):
    """What the sampler optimises."""

    metric: str = "physics.shower_distance"
    """A metric's name (`gan3d schema --metrics` lists them)."""
    direction: Literal["minimize", "maximize"] = "minimize"
    """Which way is better; by default what the metric says."""

    @model_validator(mode="before")
    @classmethod
    def _direction_of_the_metric(cls, data: Any) -> Any:
        """Fill in the direction the metric's record states, and refuse the other one."""
        metric = data.get("metric", "physics.shower_distance") if isinstance(data, dict) else None
        if not isinstance(metric, str):
            return data
        if problems := tuple(objective_problems(metric, data.get("direction"))):
            raise Contradictions(problems)
        return {"direction": DIRECTIONS[METRICS[metric].better], **data}


class Trials(Settings):
    """How many."""

    number: Annotated[int, Field(ge=1)] | None = None
    """Trials in all; by default the grid's size, or 10."""
    concurrent: Annotated[int, Field(ge=1)] = 1
    """Trials at the same time."""


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
        return size if self.sampler.name == "grid" else min(size, DEFAULT_TRIALS)

    @property
    def max_world_size(self) -> int:
        """Workers of the largest trial."""
        sampled = self.search_space.ranges.get("workers.per_trial")
        if sampled is None:
            return self.workers.per_trial
        return max(int(value) for value in sampled.ends if isinstance(value, int))

    @property
    def default_sample(self) -> dict[str, Any] | None:
        """The settings as written, as a sample: moved into the space where they lie outside; None if that is no valid trial."""
        settings = {"training": self.training.model_dump(), "workers": self.workers.model_dump(), "data": self.data.model_dump()}
        sample = {key: one.nearest(value_at(settings, split(key))) for key, one in self.search_space.ranges.items()}
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

    def settings_or_problems(self, sample: Mapping[str, Any]) -> tuple[TrialSettings | None, list[Problem]]:
        """One of the two: valid settings, or why there are none."""
        unknown_keys = [key for key in sample if key not in knobs()]
        if unknown_keys:
            return None, [_no_knob(key) for key in unknown_keys]
        data: Any = {"training": self.training.model_dump(), "workers": self.workers.model_dump(), "data": self.data.model_dump()}
        for key, value in sample.items():
            data = with_value(data, split(key), value)
        try:
            return TrialSettings.model_validate(data), []
        except ValidationError as error:
            return None, problems_of(error, TrialSettings, data)


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
