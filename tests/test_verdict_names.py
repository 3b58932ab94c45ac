"""No two recipes of an answer share a name, whatever their studies called them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from verdict_records import recipe, records, two_batches

from gan3d.verdict.answer import answer_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.names import with_names_of_their_own

SPACE: dict[str, Any] = {
    "stairs": {"default": {"training.global_batch": 16}, "best": {"training.global_batch": 32}},
    "training.seed": {"choice": [1, 2]},
}


def stairs(name: str, better: str) -> Records:
    rows = [
        {"stairs": stair, "training.seed": seed, "seconds": 10, "distances": [0.1 if stair == better else 0.2]}
        for stair in ("default", "best")
        for seed in (1, 2)
    ]
    return records(name, rows, SPACE)


def test_stairs_of_two_studies_carry_their_studies_names() -> None:
    answer = answer_of([stairs("a", "best"), stairs("b", "default"), two_batches()])
    assert [one.name for one in answer.recipes] == ["a: default", "a: best", "b: default", "b: best", "search 0", "search 3"]
    document = answer.as_document()
    assert sum(one["name"] == document["recommended"]["name"] for one in document["recipes"]) == 1


def test_a_stair_that_one_study_has_keeps_its_name() -> None:
    assert [one.name for one in answer_of([stairs("a", "best")]).recipes] == ["default", "best"]


def test_a_stair_with_several_values_of_another_key_is_told_apart_by_its_trials() -> None:
    space = SPACE | {"training.generator_steps": {"choice": [1, 2]}}
    rows = [{"stairs": "best", "training.generator_steps": steps, "seconds": 1, "distances": [0.1]} for steps in (1, 2)]
    assert [one.name for one in answer_of([records("a", rows, space)]).recipes] == ["a: best, trial 0", "a: best, trial 1"]


def test_two_launches_of_a_study_are_told_apart_by_their_runs() -> None:
    first, second = recipe("s 0", 0.1, 1.0), replace(recipe("s 0", 0.2, 1.0), run_id="0123456789")
    assert [one.name for one in with_names_of_their_own([first, second])] == ["s 0, trial 0, run run", "s 0, trial 0, run 01234567"]


def test_even_the_same_records_twice_have_names_of_their_own() -> None:
    names = [one.name for one in answer_of([stairs("a", "best")] * 2).recipes]
    assert len(set(names)) == 4


def test_a_stair_called_as_another_recipe_came_to_be_called() -> None:
    odd = replace(recipe("s: best", 0.1, 1.0), study="t")
    found = with_names_of_their_own([recipe("best", 0.1, 1.0), replace(recipe("best", 0.1, 1.0), study="u"), odd])
    assert len({one.name for one in found}) == 3
