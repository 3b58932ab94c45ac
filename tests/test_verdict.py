"""The answer from records: what is chosen, by which rule, and what is said not to be known."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
from verdict_records import SEEDS, gate, recipe, records, two_batches

from gan3d.errors import ConfigError, DataError
from gan3d.verdict.answer import Answer, Asked, answer_of
from gan3d.verdict.choice import front_of, knee_of, recommended_of
from gan3d.verdict.evidence import Gated, Records, read_gates, read_timings
from gan3d.verdict.quantity import Quantity, exactly
from gan3d.verdict.teams import Curve, TeamSize, on_team

PUBLISHED = Path(__file__).resolve().parents[1] / "studies" / "published"


@pytest.fixture
def search() -> Records:
    return two_batches()


def test_trials_that_differ_in_the_seed_are_one_recipe_with_an_interval(search: Records) -> None:
    small, large = answer_of([search]).recipes
    assert (small.trials, large.trials) == ((0, 1, 2), (3, 4, 5))
    assert small.settings["training.global_batch"] == 16
    assert small.distance.value == pytest.approx(0.22)
    assert small.distance.low < 0.22 < small.distance.high
    same = pytest.approx(0.2)
    assert small.core_hours == Quantity(same, same, same, 3, pytest.approx(0.0, abs=1e-12))
    assert small.distance.spread == pytest.approx(0.01)
    assert (small.money.value, small.currency) == (pytest.approx(0.02), "CHF")
    assert small.floor == pytest.approx(0.05)


def test_times_to_the_target_are_medians_that_count_the_trials_that_missed_it(search: Records) -> None:
    small, large = answer_of([search], asked=Asked(target=0.225)).recipes
    assert (small.num_reached, large.num_reached) == (2, 3)
    assert small.hours_to_target.value == pytest.approx(0.2)
    assert large.core_hours_to_target.value == pytest.approx(2.0)


def test_one_lucky_seed_of_three_is_not_at_the_target(search: Records) -> None:
    answer = answer_of([search, scaling({1: 1.0, 2: 0.9})], asked=Asked(target=0.215))
    small, large = answer.recipes
    assert (small.num_reached, small.hours_to_target.num_trials) == (1, 3)
    assert math.isinf(small.hours_to_target.value)
    document = answer.as_document()
    assert document["recipes"][0]["hours_to_target"]["value"] is None
    assert document["recipes"][0]["core_hours_to_target"]["value"] is None
    assert {(row["recipe"], row["num_reached"], row["num_trials"]) for row in document["fastest_on_at_most"]} == {(large.name, 3, 3)}


@pytest.mark.parametrize(("reached", "value"), [([1.0, 3.0], 3.0), ([1.0], math.inf), ([], math.inf), ([1.0, 2.0, 3.0], 2.0)])
def test_a_median_with_misses(reached: list[float], value: float) -> None:
    assert Quantity.until(reached, 3).value == value


def test_without_a_target_it_is_a_tenth_above_the_best(search: Records) -> None:
    answer = answer_of([search])
    assert answer.target == pytest.approx(1.1 * 0.11)
    assert any("No target was given" in text for text in answer.not_measured())
    assert not any("No target was given" in text for text in answer_of([search], asked=Asked(target=0.2)).not_measured())


def test_the_cheapest_that_passes_the_gate_is_recommended(search: Records) -> None:
    both = [gate(search, number, passes=True) for number in range(6)]
    answer = answer_of([search], both)
    assert answer.recommended.settings["training.global_batch"] == 16
    assert "pass the gate" in answer.rule
    only_large = [gate(search, 0, passes=False), *both[1:]]
    answer = answer_of([search], only_large)
    assert answer.recommended.settings["training.global_batch"] == 32
    assert answer.recommended == answer.cheapest_passing
    assert [one.passes for one in answer.recipes] == [False, True]


def test_without_a_gate_a_lucky_trial_does_not_beat_what_was_repeated(search: Records) -> None:
    lucky = records("lucky", [{"training.seed": 1, "training.global_batch": 32, "seconds": 10, "distances": [0.115]}], SEEDS)
    answer = answer_of([search, lucky])
    assert answer.recommended.study == "search"
    far = records("far", [{"training.seed": 1, "training.global_batch": 32, "seconds": 10, "distances": [0.01]}], SEEDS)
    answer = answer_of([search, far])
    assert answer.recommended.study == "far"
    assert any("was trained once" in text for text in answer.not_measured())


def test_the_front_leaves_out_what_is_worse_in_everything() -> None:
    cheap, middle, good, bad = recipe("cheap", 0.5, 0.1), recipe("middle", 0.2, 0.2), recipe("good", 0.18, 1.0), recipe("bad", 0.3, 0.5)
    front = front_of([good, bad, cheap, middle])
    assert [one.name for one in front] == ["cheap", "middle", "good"]
    assert knee_of(front) == middle
    assert knee_of(front[:2]) is None
    quick = recipe("quick", 0.3, 0.5, hours_to_target=0.01)
    assert quick in front_of([good, cheap, middle, quick])
    assert recommended_of([cheap, good])[0] == good


def test_a_straight_front_has_no_knee() -> None:
    assert knee_of([recipe(str(power), 0.4 - 0.1 * power, 10.0**power) for power in range(3)]) is None


def scaling(efficiencies: dict[int, float]) -> Records:
    rows = [
        {
            "training.seed": seed,
            "workers.per_trial": workers,
            "seconds": 100 / (workers * efficiency) * (1 + 0.01 * seed),
            "distances": [0.5] * 3,
        }
        for seed in (1, 2, 3)
        for workers, efficiency in efficiencies.items()
    ]
    space = {"training.seed": {"choice": [1, 2, 3]}, "workers.per_trial": {"choice": list(efficiencies)}}
    return records("scaling", rows, space)


def test_the_largest_team_that_is_surely_efficient_is_recommended(search: Records) -> None:
    answer = answer_of([search, scaling({1: 1.0, 2: 0.9, 4: 0.8, 8: 0.5})])
    (row,) = answer.as_document()["workers"]
    assert (row["kind"], row["size"]["workers"]) == ("strong", 4)
    assert row["size"]["efficiency"] == pytest.approx(0.8)
    best = answer.recommended
    assert row["wall_hours"] == pytest.approx(best.hours.value / 3.2)
    assert row["core_hours"] == pytest.approx(best.core_hours.value / 0.8)
    assert row["kwh"] == pytest.approx(best.kwh.value / 0.8)
    (stricter,) = answer_of([search, scaling({1: 1.0, 2: 0.9, 4: 0.8})], asked=Asked(least_efficiency=0.85)).as_document()["workers"]
    assert stricter["size"]["workers"] == 2


def test_the_fastest_on_at_most_so_many_workers_may_use_fewer(search: Records) -> None:
    rows = list(answer_of([search, scaling({1: 1.0, 2: 0.9, 4: 0.3})]).fastest())
    assert [(row["at_most"], row["workers"]) for row in rows] == [(1, 1), (2, 2), (4, 2)]


def test_a_recipe_of_two_workers_is_compared_with_the_curves_two() -> None:
    sizes = tuple(TeamSize(n, s, s, s, s / n, s / n, s / n, 3) for n, s in ((1, 1.0), (2, 1.8), (4, 3.6)))
    curve = Curve("scaling", "strong", 16, 8, sizes)
    hours, core_hours = on_team(exactly(1.0), exactly(2.0), 2, sizes[2], curve)
    assert (hours.value, core_hours.value) == (pytest.approx(0.5), pytest.approx(2.0))


def test_what_scaling_does_not_say_is_said(search: Records) -> None:
    told = "\n".join(answer_of([search, scaling({1: 1.0, 2: 0.9})]).not_measured())
    assert "is that of batch 16, search 3 has 32" in told
    assert "No team was larger than one machine (2 workers, 8 cores)" in told
    assert "No scaling study" in "\n".join(answer_of([search]).not_measured())


def test_prices_that_are_not_declared_are_no_money() -> None:
    row = {"training.seed": 1, "training.global_batch": 16, "seconds": 10, "distances": [0.2]}
    answer = answer_of([records("search", [row], SEEDS, cost={})])
    assert math.isnan(answer.recommended.money.value)
    assert answer.as_document()["recommended"]["money"]["value"] is None
    assert any("No price was declared" in text for text in answer.not_measured())


def test_without_physics_there_is_no_answer(search: Records) -> None:
    blind = Records(search.info, search.study, search.trials, search.epochs.drop(columns="physics.shower_distance"))
    with pytest.raises(ConfigError, match="no physics to judge"):
        answer_of([blind])


def validated(path: Path, **changes: Any) -> Path:
    findings = [{"is_flagged": False}, {"is_flagged": True}]
    document = {"settings": "digest 3", "passes": False, "findings": findings, "num_judged": 400, "distances": {}}
    path.write_text(json.dumps(document | changes))
    return path


def test_what_validate_printed_is_read(tmp_path: Path) -> None:
    (found,) = read_gates([validated(tmp_path / "a.json", distances={"high_level_auc": {"value": 0.8}})])
    assert found == Gated("digest 3", False, 1, 2, 400, 0.8, str(tmp_path / "a.json"))
    assert found.is_of_trial
    with pytest.raises(DataError, match="of a file, not of a trial"):
        read_gates([validated(tmp_path / "b.json", settings=None)])
    (tmp_path / "c.json").write_text("{}")
    with pytest.raises(DataError, match="not what gan3d validate TRIAL --json prints"):
        read_gates([tmp_path / "c.json"])
    with pytest.raises(DataError, match="not what gan3d benchmark"):
        read_timings([tmp_path / "c.json"])


def published() -> Answer:
    name = "beyond_the_seed_confirmation"
    return answer_of([Records.read(str(PUBLISHED / name), name)])


def test_a_published_confirmation_has_its_contenders_with_three_seeds_each() -> None:
    answer = published()
    assert {one.name: one.distance.num_trials for one in answer.recipes} == {"default": 3, "seed 2018": 3, "best": 3}
    assert answer.recommended.name == "best"
    assert answer.recommended.distance.high < min(one.distance.low for one in answer.recipes if one.name != "best")


def test_the_document_is_json_and_says_the_same_again() -> None:
    document = published().as_document()
    assert json.loads(json.dumps(document, allow_nan=False)) == document
    assert document["recommended"]["name"] == "best"
    assert document["scaling"] == []
    assert document["recommended"]["name"] in document["front"]
