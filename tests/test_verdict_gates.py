"""The gate tells of the state that it judged: another epoch's showers say nothing of those whose distance stands there."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from verdict_records import gate, records, two_batches

from gan3d.verdict.answer import Answer, answer_of
from gan3d.verdict.evidence import Gated, Records, read_gates

BATCHES = {"training.global_batch": {"choice": [8, 16]}}


@pytest.fixture
def search() -> Records:
    """Two recipes of one trial each, whose second epochs are their best."""
    rows = [{"training.global_batch": batch, "seconds": 100, "distances": [0.9, 0.2 + 0.01 * batch, 0.8]} for batch in (8, 16)]
    return records("search", rows, BATCHES)


def of_epoch(search: Records, number: int, epoch: int | None, folder: Path, **changes: Any) -> Gated:
    """As `gan3d validate TRIAL/epoch_0001.pt --json` tells it: it passes."""
    generator = {"format": "trial", "precision": "fp32", "epoch": epoch, "parent_sha256": f"of epoch {epoch}"} | changes
    content = {"settings": gate(search, number, passes=True).settings, "generator": generator, "passes": True, "num_judged": 500}
    path = folder / f"{number}_{epoch}_{generator['format']}.json"
    path.write_text(json.dumps(content | {"findings": [{"is_flagged": False}], "distances": {}}))
    (found,) = read_gates([path])
    return found


def told(answer: Answer, file: str) -> list[str]:
    return [text for text in answer.not_measured() if text.startswith(file)]


def test_another_epoch_that_passes_makes_no_recipe_pass(search: Records, tmp_path: Path) -> None:
    first, best = (of_epoch(search, 1, epoch, tmp_path) for epoch in (1, 2))
    answer = answer_of([search], [first])
    recipe = answer.recipes[1]
    assert (recipe.passes, recipe.gates, recipe.num_held, recipe.best_epochs) == (None, (), 0, (2,))
    assert answer.cheapest_passing is None
    assert "pass the gate" not in answer.rule.partition(";")[0]
    (note,) = told(answer, first.file)
    assert "epoch 1 of a trial of search 1, whose distance is that of epoch 2" in note
    assert answer.stray_gates == ()
    assert answer.as_document()["recipes"][1]["other_states"][0]["epoch"] == 1
    answer = answer_of([search], [first, best])
    assert (answer.recommended.name, answer.recommended.passes, answer.recommended.gates) == ("search 1", True, (best,))
    assert told(answer, best.file) == []


def test_another_epoch_that_fails_makes_no_recipe_fail(search: Records, tmp_path: Path) -> None:
    last = replace(of_epoch(search, 0, 3, tmp_path), passes=False)
    assert answer_of([search], [last, of_epoch(search, 0, 2, tmp_path)]).recipes[0].passes is True


def test_each_trial_is_held_at_its_own_best_epoch() -> None:
    search = two_batches()
    late = search.epochs["trial"].eq(1) & search.epochs["epoch"].eq(1)
    search.epochs.loc[late, "physics.shower_distance"] = 0.01  # of this trial the first epoch is the best
    gates = [replace(gate(search, number, passes=True), epoch=epoch) for number, epoch in ((0, 2), (1, 2), (2, 2))]
    recipe = answer_of([search], gates).recipes[0]
    assert (recipe.best_epochs, recipe.not_held, recipe.passes) == ((2, 1, 2), (1,), None)
    assert recipe.other_states == (gates[1],)


def test_a_file_that_was_exported_from_another_epoch_is_not_the_recipes(search: Records, tmp_path: Path) -> None:
    files = [of_epoch(search, 0, epoch, tmp_path, format="onnx", precision="int8") for epoch in (1, 2)]
    answer = answer_of([search], files)
    assert answer.recipes[0].exported == (files[1],)
    assert len(told(answer, files[0].file)) == 1
    assert [one["file"] for one in answer.as_document()["exported"]] == [files[1].file]


def test_a_document_that_does_not_say_its_epoch_is_taken_with_a_word(search: Records, tmp_path: Path) -> None:
    answer = answer_of([search], [old := of_epoch(search, 0, None, tmp_path)])
    assert answer.recipes[0].passes is True
    assert told(answer, old.file) == [f"{old.file} does not say which epoch it tells of: taken for those of the distance of search 0."]


def test_two_states_of_one_epoch_are_told(search: Records, tmp_path: Path) -> None:
    one = of_epoch(search, 0, 2, tmp_path)
    answer = answer_of([search], [one, replace(one, parent="of another run", file="b.json")])
    assert any(text.startswith("2 different states of one trial of search 0") for text in answer.not_measured())
    again = answer_of([search], [one, replace(one, file="b.json")])
    assert not any("different states" in text for text in again.not_measured())
