"""A trial stands for the epoch whose state is kept as best.pt, by the study's objective and not by the distance alone."""

from __future__ import annotations

from typing import Any

import pytest
from verdict_records import SEEDS, records, two_batches

from gan3d.training.merit import best_epoch, judged
from gan3d.verdict.answer import Asked, answer_of
from gan3d.verdict.epochs import best_of_trials, first_within, judged_epochs
from gan3d.verdict.evidence import Records

METRIC = {"metric": "physics.shower_distance"}
GATED = METRIC | {"constraints": [{"metric": "physics.response", "at_most": 0.1}]}


def one_trial(objective: dict[str, Any], distances: list[float], response: list[float]) -> Records:
    row = {
        "training.seed": 1,
        "training.global_batch": 16,
        "seconds": 360,
        "distances": distances,
        "metrics": {"physics.response": response},
    }
    return records("search", [row], SEEDS, objective=objective)


@pytest.mark.parametrize(
    ("objective", "distances", "response", "kept"),
    [
        (METRIC, [0.4, 0.1, 0.3], [0.01, 0.9, 0.01], 0.1),
        (GATED, [0.4, 0.1, 0.3], [0.01, 0.9, 0.01], 0.3),
        (METRIC | {"average_epochs": 2}, [0.5, 0.1, 0.2], [0.01] * 3, 0.2),
        ({"metric": "physics.response"}, [0.4, 0.1, 0.3], [0.5, 0.9, 0.01], 0.3),
    ],
)
def test_a_distance_is_that_of_the_best_epoch_by_the_objective(
    objective: dict[str, Any], distances: list[float], response: list[float], kept: float
) -> None:
    search = one_trial(objective, distances, response)
    assert answer_of([search]).recommended.distance.value == kept
    assert answer_of([search]).target == pytest.approx(1.1 * kept)
    rows = zip(search.epochs["epoch"], search.epochs.to_dict("records"), strict=True)
    found = best_epoch(judged(rows, search.study.objective), search.study.objective)
    assert found is not None
    assert best_of_trials(judged_epochs(search))["epoch"].tolist() == [found[0]]


def test_a_target_is_reached_by_what_is_kept() -> None:
    search = one_trial(GATED, [0.4, 0.1, 0.2], [0.01, 0.9, 0.01])
    assert first_within(judged_epochs(search), 0.25)["epoch"].tolist() == [3]
    assert answer_of([search], asked=Asked(target=0.25)).recommended.hours_to_target.value == pytest.approx(0.3)
    assert answer_of([search], asked=Asked(target=0.15)).recommended.num_reached == 0


def test_it_is_said_among_how_many_epochs_the_best_was_chosen() -> None:
    answer = answer_of([two_batches()])
    assert answer.recommended.num_epochs == (2, 2, 2)
    assert any("best of 2 epochs, chosen on the same validation showers" in text for text in answer.not_measured())
    once = answer_of([one_trial(METRIC, [0.4], [0.01])])
    assert not any("chosen on the same validation showers" in text for text in once.not_measured())
