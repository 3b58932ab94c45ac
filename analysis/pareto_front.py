"""What a search with trade-offs found: the front of trials that no other one beats, and the hypervolume it has won by what that cost.

    python analysis/pareto_front.py STUDY [--results DIR] [--output DIR] [--reference VALUE VALUE ...] [--log]

Writes pareto_front.png/.svg/.csv/.json. Definitions: ``gan3d.search.fronts``.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from typing import Any

import drawing
import pandas as pd
from pareto_panels import Search, front_figure

from gan3d.config.objective import Objective
from gan3d.errors import ConfigError
from gan3d.records import METRICS
from gan3d.search.fronts import CORE_SECONDS, hypervolume_progress, reference_point, values_of
from gan3d.search.sample_rows import sample_of
from gan3d.tracking import frames


def main() -> int:
    """Draw; 2 if the study has one objective only, or no trial yet."""
    parser = drawing.parser(__doc__.splitlines()[0] if __doc__ else "")
    parser.add_argument(
        "--reference", type=float, nargs="+", default=None, metavar="VALUE", help="reference point, a value per goal in the study's order"
    )
    return drawing.run(parser.parse_args(), draw)


def draw(arguments: argparse.Namespace) -> str:
    """The figure and table of the study; returns its run id."""
    search = read(arguments)
    figure = front_figure(search)
    drawing.heading(figure, f"{search.info.name}: {search.info.question}", note(search, is_asked=arguments.reference is not None))
    drawing.publish(arguments, "pareto_front", figure, table(search), facts(search))
    return search.info.run_id


def read(arguments: argparse.Namespace) -> Search:
    """What is drawn.

    Raises:
        ConfigError: there are no trade-offs, nothing has come to an epoch yet, or the reference point is none.
    """
    source = (arguments.tracking_uri, arguments.study, arguments.run_id)
    info = frames.study(*source)
    objective = info.objective
    if not objective.trade_offs:
        message = (
            f"study {info.name!r} has one objective, {objective.metric}: its front is its best trial, which search_progress.py draws. "
            "Give it trade-offs, such as objective: {trade_offs: [{metric: cost.core_seconds}]}."
        )
        raise ConfigError(message, key="objective.trade_offs")
    floors = [f"{goal.metric}_floor" for goal in objective.goals if f"{goal.metric}_floor" in METRICS]
    trials, epochs = frames.trials(*source), frames.epochs(*source, metrics=[*objective.metrics, *floors, CORE_SECONDS])
    values = values_of(trials, objective) if len(trials) else trials
    if values.empty:
        message = f"study {info.name!r} has {len(trials)} trials and none with a finished epoch yet: nothing to draw."
        raise ConfigError(message)
    reference = reference_asked(arguments.reference, objective) or reference_point(values, objective)
    return Search(
        info=info,
        trials=trials,
        standing=values,
        progress=hypervolume_progress(values, epochs, objective, reference) if reference else pd.DataFrame(),
        reference=reference,
        floors={name.removesuffix("_floor"): float(epochs[name].mean()) for name in floors if epochs[name].notna().any()},
        default=default_trial(info, trials),
    )


def reference_asked(written: Sequence[float] | None, objective: Objective) -> tuple[float, ...]:
    """The reference point of the command line; empty without one.

    Raises:
        ConfigError: it has not a value for each goal.
    """
    if written is not None and len(written) != len(objective.goals):
        goals = ", ".join(goal.metric for goal in objective.goals)
        message = f"--reference has {len(written)} values for {len(objective.goals)} goals. Give one for each of {goals}."
        raise ConfigError(message)
    return tuple(written or ())


def default_trial(info: frames.StudyInfo, trials: pd.DataFrame) -> int | None:
    """The trial of the settings as written, which is the first one if the study tries them; None if it does not, or if its text is lost."""
    try:
        study = drawing.study_as_run(info)
    except ConfigError:
        return None
    default = study.default_sample
    found = [row["trial"] for row in trials.to_dict("records") if default == sample_of(row, study.search_space)]
    return int(found[0]) if found else None


def note(search: Search, *, is_asked: bool) -> str:
    """What a reader must know of the numbers."""
    counts = ", ".join(f"{number} {state}" for state, number in search.trials["state"].value_counts().items())
    objective, missing = search.objective, len(search.trials) - len(search.standing)
    goals = ", ".join(f"{goal.direction} {goal.metric}" for goal in objective.goals)
    limits = f" Constraints: {'; '.join(limit.text for limit in objective.constraints)}." if objective.constraints else ""
    mean = f" (means of {objective.average_epochs} epochs)" if objective.average_epochs > 1 else ""
    who = f"{len(search.trials)} trials ({counts}), each by its best epoch{mean}{f'; {missing} failed or without one' if missing else ''}."
    kept = " that keep the constraints" if objective.constraints else ""
    front = f" Of the complete ones{kept} {int(search.standing['is_front'].sum())} are beaten by none in all goals: the front."
    pairs = " Lines: fronts of the two metrics of a panel alone." if len(objective.trade_offs) > 1 else ""
    text = f"Goals: {goals}.{limits} {who}{front}{pairs}"
    if not search.reference:
        return f"{text} No hypervolume without such a trial."
    corner = ", ".join(f"{value:.4g}" for value in search.reference)
    whence = "as asked" if is_asked else "a tenth of their range behind the worst of them"
    costs = " Epochs without a cost, of an older version: nothing by core-seconds." if search.progress["core_seconds"].isna().any() else ""
    return (
        f"{text} Hypervolume: what the front beats of the {len(objective.goals)} goals' space up to the reference point ({corner}: "
        f"{whence}), as a share of the box between that and the best of each goal alone.{costs}"
    )


def table(search: Search) -> pd.DataFrame:
    """A row per trial that is drawn."""
    values = search.standing.assign(is_default=search.standing["trial"] == search.default)
    return values if search.progress.empty else values.merge(search.progress, on="trial", how="left")


def facts(search: Search) -> dict[str, Any]:
    """The same for a program."""
    info, values, progress = search.info, search.standing, search.progress
    return {
        "study": info.name,
        "question": info.question,
        "run_id": info.run_id,
        "provenance": info.provenance,
        "objective": info.objective.model_dump(mode="json"),
        "front": values.loc[values["is_front"], "trial"].to_list(),
        "default_trial": search.default,
        "reference": list(search.reference),
        "hypervolume": None if progress.empty else float(progress["hypervolume"].iloc[-1]),
        "share": None if progress.empty else float(progress["share"].iloc[-1]),
        "floors": search.floors,
        "trials": len(search.trials),
    }


if __name__ == "__main__":
    sys.exit(main())
