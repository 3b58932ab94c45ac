"""Only distances that were measured on the same showers are ranked; what was not is said."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from verdict_records import SEEDS, records, two_batches

from gan3d.config.training import Data
from gan3d.verdict.answer import answer_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.measure import Measure

PUBLISHED = Path(__file__).resolve().parents[1] / "studies" / "published"


def easier(name: str = "easier", floor: float = 0.01, **data: Any) -> Records:
    rows = [
        {"training.seed": seed, "training.global_batch": 16, "seconds": 10, "distances": [0.01 * seed], "floor": floor}
        for seed in (1, 2, 3)
    ]
    return records(name, rows, SEEDS, data={"train": ["a.h5"], "validation": ["b.h5"]} | data)


@pytest.mark.parametrize(
    "data",
    [
        {"validation": ["c.h5"]},
        {"max_validation_showers": 64},
        {"threshold_gev": 0.001},
        {"readout_threshold_gev": 1e-5},
        {"grid": [51, 51, 25]},
    ],
)
def test_distances_of_other_showers_are_not_ranked_with_the_first_studys(data: dict[str, Any]) -> None:
    search = two_batches()
    answer = answer_of([search, easier(**data)])
    assert answer.recommended.study == "search"
    assert answer.target == pytest.approx(1.1 * 0.11)
    assert {one.study for one in (*answer.recipes, *answer.front)} == {"search"}
    assert [one.study for one in answer.not_ranked] == ["easier"]
    (told,) = [text for text in answer.not_measured() if "not ranked" in text]
    assert told.startswith("1 recipe of easier is not ranked: measured ")
    document = answer.as_document()
    assert [one["study"] for one in document["not_ranked"]] == ["easier"]
    assert answer_of([easier(**data), search]).recommended.study == "easier"


def test_the_sentence_says_which_showers() -> None:
    (told,) = [text for text in answer_of([two_batches(), easier(max_validation_showers=64)]).not_measured() if "not ranked" in text]
    assert "on b.h5 (the first 64) instead of b.h5 (all)" in told


def test_the_same_showers_are_ranked_wherever_they_lie() -> None:
    answer = answer_of([two_batches(), easier(floor=0.05, validation=["../elsewhere/b.h5"])])
    assert answer.recommended.study == "easier"
    assert answer.not_ranked == ()
    assert not any("other floors" in text for text in answer.not_measured())


def test_the_same_names_with_other_floors_are_told() -> None:
    answer = answer_of([two_batches(), easier(validation=["../elsewhere/b.h5"])])
    assert any("other floors (search 0.05, easier 0.01)" in text for text in answer.not_measured())


def test_a_threshold_that_was_sampled_parts_a_study() -> None:
    rows = [{"data.threshold_gev": value, "seconds": 10, "distances": [distance]} for value, distance in ((1e-6, 0.2), (1e-3, 0.1))]
    answer = answer_of([records("thresholds", rows, {"data.threshold_gev": {"choice": [1e-6, 1e-3]}})])
    assert [one.distance.value for one in answer.recipes] == [0.2]
    assert [one.distance.value for one in answer.not_ranked] == [0.1]
    assert answer.target == pytest.approx(0.22)


def test_another_version_of_the_distances_is_another_measure() -> None:
    data = Data(train=("a.h5",), validation=("b.h5",))
    assert Measure.of(data) == Measure.of(data, 1)
    assert Measure.of(data, 2).difference(Measure.of(data)) == "with version 2 instead of 1"


def test_a_scaling_study_on_other_showers_still_tells_of_workers() -> None:
    space = {"training.seed": {"choice": [1, 2, 3]}, "workers.per_trial": {"choice": [1, 2]}}
    rows = [
        {"training.seed": seed, "workers.per_trial": workers, "seconds": (100 + seed) / workers, "distances": [0.01] * 3}
        for seed in (1, 2, 3)
        for workers in (1, 2)
    ]
    teams = records("teams", rows, space, data={"train": ["a.h5"], "validation": ["c.h5"]})
    answer = answer_of([teams, two_batches()])
    assert answer.recommended.study == "search"
    assert [row["study"] for row in answer.as_document()["workers"]] == ["teams"]
    assert any("trials of teams are not ranked as recipes" in text for text in answer.not_measured())


def test_published_studies_of_other_files_are_told_apart() -> None:
    """Together they once recommended a trial of `fidelity`, whose floor is lower."""
    names = ("beyond_the_seed", "beyond_the_seed_confirmation", "fidelity")
    answer = answer_of([Records.read(str(PUBLISHED / name), name) for name in names])
    assert answer.recommended.name == "best"
    assert {one.study for one in answer.recipes} == set(names[:2])
    assert {one.study for one in answer.not_ranked} == {"fidelity"}
    assert min(one.distance.value for one in answer.not_ranked) < answer.recommended.distance.value
