"""Recipes that teams of different sizes trained: which is the fastest on a team of any size, and which are on the front."""

from __future__ import annotations

import pytest
from verdict_records import SEEDS, recipe, records

from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.choice import front_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.quantity import exactly
from gan3d.verdict.teams import Curve, TeamSize, on_team

CURVE = Curve("s", "strong", 16, 8, tuple(TeamSize(n, up, up, up, up / n, up / n, up / n, 3) for n, up in ((1, 1.0), (2, 1.8), (4, 3.6))))


def search(name: str, workers: int, hours: float) -> Records:
    """One recipe, that is at 0.2 after so many hours."""
    row = {"training.seed": 1, "training.global_batch": 16, "workers.per_trial": workers, "seconds": 3600 * hours, "distances": [0.2]}
    return records(name, [row], SEEDS)


def teams(*sizes: int) -> Records:
    """Of speed-ups 1, 1.9 and 3.6 on 1, 2 and 4 workers."""
    speed_up = {1: 1.0, 2: 1.9, 4: 3.6}
    rows = [
        {"training.seed": seed, "workers.per_trial": number, "seconds": 100 / speed_up[number], "distances": [0.5] * 3}
        for seed in (1, 2)
        for number in sizes
    ]
    return records("teams", rows, {"training.seed": {"choice": [1, 2]}, "workers.per_trial": {"choice": list(sizes)}})


def mixed(*sizes: int) -> Answer:
    """A takes an hour on four workers, B an hour and a half on one."""
    return answer_of([search("a", 4, 1.0), search("b", 1, 1.5), teams(*sizes)], asked=Asked(target=0.2))


def test_hours_of_four_workers_are_not_held_against_hours_of_one() -> None:
    rows = list(mixed(1, 2, 4).fastest())
    assert [(row["at_most"], row["recipe"]) for row in rows] == [(1, "b 0"), (2, "b 0"), (4, "b 0")]
    assert [row["hours_to_target"] for row in rows] == pytest.approx([1.5, 1.5 / 1.9, 1.5 / 3.6])
    assert [row["core_hours_to_target"] for row in rows] == pytest.approx([1.5, 2 * 1.5 / 1.9, 4 * 1.5 / 3.6])


def test_a_team_that_shares_no_block_with_the_smallest_is_no_point_of_a_curve() -> None:
    pairs = [(1, 1), (1, 2), (2, 1), (2, 2), (3, 4)]
    rows = [{"training.seed": seed, "workers.per_trial": number, "seconds": 100 / number, "distances": [0.5] * 3} for seed, number in pairs]
    apart = records("teams", rows, {"training.seed": {"choice": [1, 2, 3]}, "workers.per_trial": {"choice": [1, 2, 4]}})
    document = answer_of([search("b", 1, 1.5), apart], asked=Asked(target=0.2)).as_document()
    assert {size["workers"] for curve in document["scaling"] for size in curve["sizes"]} == {1, 2}
    assert all(size["speed_up"] for curve in document["scaling"] for size in curve["sizes"])


def test_a_recipe_of_more_workers_than_were_measured_is_taken_to_scale_ideally_and_that_is_said() -> None:
    answer = mixed(1, 2)
    assert {row["recipe"] for row in answer.fastest()} == {"b 0"}
    (told,) = [text for text in answer.not_measured() if "ideal scaling" in text]
    assert told.startswith("teams measured nothing as far as 4 workers")
    assert not any("ideal scaling" in text for text in mixed(1, 2, 4).not_measured())


@pytest.mark.parametrize(
    ("workers", "size", "hours"),
    [(4, 0, 3.6), (1, 2, 1 / 3.6), (8, 2, 2.0), (8, 0, 7.2)],
)
def test_hours_on_another_team(workers: int, size: int, hours: float) -> None:
    found, core_hours = on_team(exactly(1.0), exactly(workers), workers, CURVE.sizes[size], CURVE)
    assert found.value == pytest.approx(hours)
    assert core_hours.value == pytest.approx(hours * CURVE.sizes[size].workers)


def test_between_measured_teams_the_speed_up_is_on_the_line_of_logarithms() -> None:
    assert CURVE.speed_up(3).value == pytest.approx(1.8 * (3 / 2) ** 1.0)
    assert [CURVE.speed_up(size.workers).value for size in CURVE.sizes] == pytest.approx([1.0, 1.8, 3.6])


def test_the_front_does_not_take_a_larger_team_for_a_faster_recipe() -> None:
    small, large = recipe("small", 0.2, 2.0, hours_to_target=1.5), recipe("large", 0.21, 4.0, hours_to_target=1.0, workers=4)
    assert front_of([small, large]) == [small]
    quick = recipe("quick", 0.21, 4.0, hours_to_target=0.3, workers=4)
    assert front_of([small, quick]) == [small, quick]
