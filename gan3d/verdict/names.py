"""Names of recipes that no two of an answer share: what is drawn, filtered and told goes by them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace

from gan3d.verdict.recipes import Recipe, numbered


def with_names_of_their_own(recipes: Sequence[Recipe]) -> list[Recipe]:
    """The same, in their order. Where a name occurs more than once all that have it are told apart.

    By their studies first ("study: stair"), then by their first trials, then by the runs of their studies, which may have been launched
    twice, and where the same records were given twice by counting.
    """
    names = [one.name for one in recipes]
    with_studies = [one.name if one.name == numbered(one.study, one.trials[0]) else f"{one.study}: {one.name}" for one in recipes]
    with_trials = [f"{name}, trial {one.trials[0]}" for name, one in zip(with_studies, recipes, strict=True)]
    with_runs = [f"{name}, run {one.run_id[:8]}" for name, one in zip(with_trials, recipes, strict=True)]
    counted = [f"{name} ({place})" for place, name in enumerate(with_runs, start=1)]
    for longer in (with_studies, with_trials, with_runs, counted):
        frequency = Counter(names)
        names = [new if frequency[old] > 1 else old for old, new in zip(names, longer, strict=True)]
    if len(set(names)) < len(names):  # A stair that is called as another recipe was made to be.
        names = counted
    return [replace(one, name=name) for one, name in zip(recipes, names, strict=True)]
