"""What must hold between the fields of a study, its search space and the trials it would start."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from gan3d.config.checks import nearest_multiples
from gan3d.config.cost import budget_problems
from gan3d.config.effect import SPEED_ONLY, ineffective_knobs
from gan3d.config.forbidden import FORBIDDEN
from gan3d.config.keys import nearest
from gan3d.config.problem import Path, Problem, show
from gan3d.config.scheduler import scheduler_problems
from gan3d.config.stairs import STAIRS
from gan3d.config.stairs_checks import contender_name_problem, idle_stairs

if TYPE_CHECKING:
    from gan3d.config.space import SearchSpace
    from gan3d.config.study import Study
    from gan3d.config.training import TrialSettings

#: A finite space of up to so many samples is checked sample by sample; of any other, the corners.
MAX_SAMPLES_CHECKED = 10_000
#: Samplers to which it is all the same how trials end.
UNLEARNING = ("grid", "random", "quasi_random")


def study_problems(study: Study) -> Iterator[Problem]:
    """Every contradiction of a study, its samples last."""
    for check in (
        _trials,
        _sampler,
        _blocks,
        _distinct,
        _scheduler,
        _turns,
        _objective,
        _one_number,
        _figures,
        _speed_knobs,
        _references,
        _samples,
    ):
        yield from check(study)
    yield from budget_problems(study.budget, study.cost, study.workers.gpus_per_worker)


def _trials(study: Study) -> Iterator[Problem]:
    size, number, sampler = study.search_space.grid_size, study.trials.number, study.sampler.name
    if sampler == "grid" and size is None:
        key = next(key for key, one in study.search_space.ranges.items() if one.num_values is None)
        way_out = "Give that range a step, list its values as a choice, or use another sampler."
        yield Problem("sampler.name", f"needs finite ranges, but {key} is continuous", way_out, sampler)
    elif sampler == "grid" and size is not None and size > MAX_SAMPLES_CHECKED:
        way_out = "Use fewer values or wider steps, or another sampler."
        yield Problem("sampler.name", f"would train {size} samples, more than {MAX_SAMPLES_CHECKED}", way_out, sampler)
    if size is not None and number is not None and number > size:
        rule = f"exceeds the number of different samples in the search space, {size}"
        yield Problem("trials.number", rule, f"Lower it to at most {size}, or widen the search space.", number)


def _sampler(study: Study) -> Iterator[Problem]:
    listed = [key for key, one in study.search_space.ranges.items() if not hasattr(one, "min")]
    if study.sampler.name == "cmaes" and listed:
        rule = f"proposes numbers between two ends, but {listed[0]} is a list of choices"
        yield Problem("sampler.name", rule, "Give it min and max, or use another sampler, such as tpe.", "cmaes")
    conditional = [key for key, needed in study.search_space.conditions.items() if needed]
    if study.sampler.name in ("gp", "cmaes", "quasi_random") and conditional:
        rule = f"needs every key in every sample, but {conditional[0]} is sampled only {show_when(study, conditional[0])}"
        yield Problem("sampler.name", rule, "Use tpe, nsga2, random or grid, or remove the condition.", study.sampler.name)


def show_when(study: Study, key: str) -> str:
    """A range's conditions in words."""
    needed = study.search_space.conditions[key]
    return " and ".join(f"when {parent} is {' or '.join(map(show, values))}" for parent, values in needed.items())


def _blocks(study: Study) -> Iterator[Problem]:
    sampler, ranges, key = study.sampler, study.search_space.ranges, study.sampler.blocks
    if key is None:
        return
    if sampler.name != "grid":
        way_out = "Set sampler.name to grid, or remove sampler.blocks."
        yield Problem("sampler.blocks", "orders a grid, but", way_out, key, (("sampler.name", sampler.name),))
        return
    if key not in ranges:
        near = nearest(key, ranges)
        listed = f"Sampled keys: {', '.join(ranges)}." if ranges else "Nothing is sampled: remove sampler.blocks."
        yield Problem("sampler.blocks", f"is not a key of the search space{f'; did you mean {near}?' if near else ''}", listed, key)
        return
    for place, combination in enumerate(study.search_space.forbidden):
        if key in combination.entries:
            at: Path = ("search_space", FORBIDDEN, place, key)
            way_out = "Blocks hold the same combinations: remove that key from it, or sampler.blocks."
            yield Problem(f"{FORBIDDEN}.{place}", "names the key of the blocks,", way_out, others=(("sampler.blocks", key),), at=at)
            return
    size, num_blocks = study.search_space.grid_size, ranges[key].num_values
    if size is not None and num_blocks is not None and study.num_trials % (size // num_blocks):
        block = size // num_blocks
        way_out = f"A block that is cut short cannot be compared. Nearest: {nearest_multiples(study.num_trials, block)}."
        yield Problem("trials.number", f"is not a whole number of blocks of {block} trials ({key})", way_out, study.num_trials)


def _distinct(study: Study) -> Iterator[Problem]:
    sampler = study.sampler
    if not sampler.distinct:
        return
    if sampler.name != "grid":
        yield Problem(
            "sampler.distinct", "thins a grid, but", "Set sampler.name to grid.", value=True, others=(("sampler.name", sampler.name),)
        )
    elif sampler.blocks is not None:
        way_out = "A block holds every combination: remove one of them."
        yield Problem("sampler.distinct", "contradicts", way_out, value=True, others=(("sampler.blocks", sampler.blocks),))
    elif study.search_space.grid_size is not None and (number := study.trials.number) is not None and number > len(study.grid):
        rule = f"exceeds the number of samples that train differently, {len(study.grid)}"
        yield Problem("trials.number", rule, f"Lower it to at most {len(study.grid)}, or leave it out.", number)


def _scheduler(study: Study) -> Iterator[Problem]:
    scheduler, key = study.scheduler, "training.epochs"
    if scheduler.name != "none" and scheduler.rungs_in == "epochs" and key in study.search_space.keys:
        rule = "cannot be sampled while the scheduler decides how many epochs a trial gets:"
        way_out = "Set it in the study's file, or set scheduler.name to none."
        yield Problem(key, rule, way_out, others=(("scheduler.name", scheduler.name),), at=study.search_space.path_of(key))
        return
    yield from scheduler_problems(scheduler, study.training.epochs)


def _turns(study: Study) -> Iterator[Problem]:
    scheduler, turn = study.scheduler, study.trials.turn
    if turn is not None and scheduler.name != "none":
        way_out = "Its rungs spare long trials already: remove trials.turn, or set scheduler.name to none."
        yield Problem("trials.turn", "lets trials wait for each other, but", way_out, turn, (("scheduler.name", scheduler.name),))
    if turn is not None and (sampler := study.sampler.name) not in UNLEARNING:
        rule = "lets every trial begin before one has ended, which leaves nothing to learn from for"
        way_out = f"Remove trials.turn, or set sampler.name to {', '.join(UNLEARNING[:-1])} or {UNLEARNING[-1]}."
        yield Problem("trials.turn", rule, way_out, turn, (("sampler.name", sampler),))


def _objective(study: Study) -> Iterator[Problem]:
    objective, key = study.objective, "training.polar_angle"
    named = {"objective.metric": objective.metric}
    named |= {f"objective.trade_offs.{place}.metric": goal.metric for place, goal in enumerate(objective.trade_offs)}
    named |= {f"objective.constraints.{place}.metric": limit.metric for place, limit in enumerate(objective.constraints)}
    for place, metric in named.items():
        if metric.endswith("_polar_angle") and not study.training.polar_angle and key not in study.search_space.keys:
            way_out = "It would be 0 for every trial: set training.polar_angle to true or choose another metric."
            yield Problem(place, "is measured only with a polar angle, but", way_out, metric, ((key, False),))
    if objective.average_epochs > study.training.epochs:
        way_out = "Lower objective.average_epochs or raise training.epochs."
        others = (("training.epochs", study.training.epochs),)
        yield Problem("objective.average_epochs", "exceeds", way_out, objective.average_epochs, others)


def _one_number(study: Study) -> Iterator[Problem]:
    """What ranks trials by one number, and cannot do so where there are several."""
    for key in ("trade_offs", "constraints"):
        if not getattr(study.objective, key):
            continue
        if study.scheduler.name == "median":
            yield Problem("scheduler.name", f"compares by one number, but there are objective.{key}", "Use asha or hyperband.", "median")
        if study.sampler.name == "cmaes" and key == "trade_offs":
            yield Problem("sampler.name", f"optimises one number, but there are objective.{key}", "Use tpe, gp or nsga2.", "cmaes")


def _figures(study: Study) -> Iterator[Problem]:
    if "scaling_curves" in study.figures and "workers.per_trial" not in study.search_space.ranges:
        way_out = "Sample workers.per_trial, or remove scaling_curves."
        yield Problem("figures", "needs more than one world size: the search space has no workers.per_trial", way_out, list(study.figures))
    if "confirmation" in study.figures and (study.search_space.stairs is None or "training.seed" not in study.search_space.ranges):
        rule = "compares the stairs of a search space, each with the same values of training.seed, and one of both is missing"
        yield Problem("figures", rule, "Let gan3d confirm write the study, or remove confirmation.", list(study.figures))
    if "pareto_front" in study.figures and not study.objective.trade_offs:
        way_out = "Add objective.trade_offs, or remove pareto_front."
        yield Problem("figures", "needs several objectives: there are no objective.trade_offs", way_out, list(study.figures))
    if "single_node" in study.figures and study.search_space.stairs is None:
        yield Problem(
            "figures", "needs a staircase: the search space has no stairs", "Add stairs, or remove single_node.", list(study.figures)
        )


def is_of_speed(metric: str) -> bool:
    """Whether a metric is the machine's as much as the trial's, and another one each time."""
    return metric.startswith(("timing.", "cost."))


def _speed_knobs(study: Study) -> Iterator[Problem]:
    if any(is_of_speed(goal.metric) for goal in study.objective.goals):
        return
    for key in study.search_space.keys:
        if key in SPEED_ONLY:
            rule = "cannot be sampled: it changes how fast a trial is, not what it learns, and the objective is no timing:"
            way_out = "Set it in the study's file, or choose an objective such as timing.showers_per_second."
            yield Problem(key, rule, way_out, others=(("objective.metric", study.objective.metric),), at=study.search_space.path_of(key))


def _references(study: Study) -> Iterator[Problem]:
    """Whether each is a trial, and has a name that is no other contender's."""
    for name, changes in study.references.items():
        at: Path = ("references", name)
        if problem := contender_name_problem(name):
            yield problem
        elif not changes:
            yield Problem(f"references.{name}", "changes nothing: it is the settings as written", "Remove it.", at=at)
        else:
            _, problems = study.settings_or_problems(changes)
            yield from (replace(problem, at=(*at, problem.key) if problem.key in changes else at) for problem in problems)


def samples_to_check(space: SearchSpace) -> tuple[Iterator[dict[str, Any]], str]:
    """All samples of a small finite space, else its corners (of very many, those of every two ranges); and their name.

    Corners may be forbidden: what lies between them need not be.
    """
    size = space.grid_size
    if size is not None and size <= MAX_SAMPLES_CHECKED:
        return space.grid(), "samples"
    if space.num_corners <= MAX_SAMPLES_CHECKED:
        return space.corners(), "corners of the search space"
    return itertools.islice(space.edges(), MAX_SAMPLES_CHECKED), "corners of the search space's pairs"


def _samples(study: Study) -> Iterator[Problem]:
    """Whether every sample looked at makes a valid trial, and whether every sampled knob matters in at least one."""
    samples, name = samples_to_check(study.search_space)
    useless: dict[str, str] | None = None
    failures: list[tuple[dict[str, Any], list[Problem]]] = []
    count = 0
    for sample in samples:
        settings, problems = study.settings_or_problems(sample, even_forbidden=True)
        is_forbidden = study.search_space.forbidden_by(sample) is not None
        count += not is_forbidden
        if settings is None:
            failures += [] if is_forbidden else [(sample, problems)]
        elif useless is None or useless:
            useless = _useless(study, settings, useless)
    if failures:
        yield from _failed(study.search_space, failures, count, name)
    elif study.search_space.stairs is not None:
        others = ({key: value for key, value in sample.items() if key != STAIRS} for sample in samples_to_check(study.search_space)[0])
        yield from idle_stairs(study, {repr(sample): sample for sample in others}.values())
    for key, reason in (useless or {}).items():
        rule = f"cannot be sampled, for it would change nothing: {reason}"
        yield Problem(key, rule, "Remove it from the search space.", at=("search_space", key))


def _useless(study: Study, settings: TrialSettings, before: Mapping[str, str] | None) -> dict[str, str]:
    """The sampled knobs that mattered neither in this sample nor in any before."""
    now = ineffective_knobs(settings)
    return {key: now[key] for key in study.search_space.ranges if key in now and (before is None or key in before)}


def _failed(space: SearchSpace, failures: list[tuple[dict[str, Any], list[Problem]]], count: int, name: str) -> Iterator[Problem]:
    """One failing sample's problems, of the largest world size: what helps it mostly helps the others; which sample, where that matters."""
    sample, problems = max(failures, key=lambda failure: space.expanded(failure[0]).get("workers.per_trial", 0))
    knobs = space.expanded(sample)
    share = f"All {count} {name} fail;" if len(failures) == count else f"{len(failures)} of {count} {name} fail;"
    for problem in problems:
        at = space.path_of(problem.key, sample) if problem.key in knobs else problem.at
        is_sampled = not knobs.keys().isdisjoint([problem.key, *(key for key, _ in problem.others)])
        addition = f" {share} one is {{{_text(sample)}}}." if is_sampled else ""
        others_at = tuple((key, space.path_of(key, sample)) for key, _ in problem.others if key in knobs)
        yield replace(problem, at=at, way_out=f"{problem.way_out}{addition}", others_at=others_at)


def crowding_problem(study: Study, settings: TrialSettings) -> Problem | None:
    """Whether a trial's threads have CPUs: on one node it has those that are reserved for the workers of its team."""
    workers = settings.workers
    if not workers.one_node or workers.threads_per_worker is None:
        return None
    reserved = study.team_workers(workers.per_trial) * workers.cpus_per_worker
    if workers.per_trial * workers.threads_per_worker <= reserved:
        return None
    rule = (
        f"makes {workers.per_trial * workers.threads_per_worker} threads, more than the {reserved} CPUs of the study's largest trial, with"
    )
    way_out = "Threads would take turns on a CPU: lower threads_per_worker or raise cpus_per_worker."
    others = (("workers.per_trial", workers.per_trial), ("workers.cpus_per_worker", workers.cpus_per_worker))
    return Problem("workers.threads_per_worker", rule, way_out, workers.threads_per_worker, others)


def _text(sample: Mapping[str, Any]) -> str:
    return ", ".join(f"{key}: {show(value)}" for key, value in sample.items())
