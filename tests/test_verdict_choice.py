"""Which recipe: the gate counts where all trials were held against it, and a single trial has to be better than lucky."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from verdict_records import gate, recipe, two_batches

from gan3d.verdict.answer import answer_of
from gan3d.verdict.choice import luck_limit, recommended_of
from gan3d.verdict.quantity import Quantity


def test_one_judged_trial_of_three_does_not_pass_a_recipe() -> None:
    search = two_batches()
    answer = answer_of([search], [gate(search, 0, passes=True)])
    small, large = answer.recipes
    assert (small.passes, small.num_held, small.not_held) == (None, 1, (1, 2))
    assert answer.cheapest_passing is None
    assert answer.recommended == large
    assert "none is known to pass the gate" in answer.rule
    told = list(answer.not_measured())
    assert "1 of 3 trials of search 0 were held against the gate, not 1, 2: whether it passes is not known." in told
    assert "search 3 was not held against the gate." in told
    document = answer.as_document()
    assert [one["held_against_the_gate"] for one in document["recipes"]] == [{"trials": 1, "of": 3}, {"trials": 0, "of": 3}]
    assert document["cheapest_that_passes_the_gate"] is None


def test_a_gate_of_no_trial_here_is_told_with_its_file() -> None:
    search = two_batches()
    stray = replace(gate(search, 0, passes=True), settings="another study's", file="elsewhere.json")
    answer = answer_of([search], [gate(search, 1, passes=True), stray])
    assert answer.stray_gates == (stray,)
    (told,) = [text for text in answer.not_measured() if "elsewhere.json" in text]
    assert "tells of no trial" in told
    assert not answer_of([search], [gate(search, 1, passes=True)]).stray_gates


def test_one_trial_that_fails_is_enough() -> None:
    search = two_batches()
    (small, _) = answer_of([search], [gate(search, 0, passes=True), gate(search, 1, passes=False)]).recipes
    assert (small.passes, small.num_held) == (False, 2)


def test_a_recipe_passes_when_all_of_its_trials_do() -> None:
    search = two_batches()
    answer = answer_of([search], [gate(search, number, passes=True) for number in range(3)])
    assert answer.recommended.passes is True
    assert answer.sentence().endswith("passes the gate.")
    assert not any("held against the gate" in text for text in answer.not_measured())


def test_the_sentence_says_that_the_gate_was_held_against_some() -> None:
    search = two_batches()
    sentence = answer_of([search], [gate(search, 3, passes=True)]).sentence()
    assert sentence.endswith("whether it passes the gate is not known, 1 of 3 trials held against it.")


def test_gates_of_different_numbers_of_showers_are_told() -> None:
    search = two_batches()
    several = [gate(search, number, passes=True, num_showers=200 + 100 * number) for number in range(3)]
    assert any("held with 200 to 400 showers" in text for text in answer_of([search], several).not_measured())
    same = [gate(search, number, passes=True) for number in range(3)]
    assert not any("showers: the fault" in text for text in answer_of([search], same).not_measured())


@pytest.mark.parametrize(
    ("repeats", "singles", "least", "most"), [(3, 1, 0.03, 0.07), (5, 1, 0.03, 0.07), (3, 20, 0.002, 0.07), (10, 20, 0.02, 0.07)]
)
def test_of_equal_recipes_the_lucky_single_one_is_seldom_recommended(repeats: int, singles: int, least: float, most: float) -> None:
    """Equal Gaussians: the interval of the mean, which the limit was once, recommended a lucky one of 20 in 42 of 100 cases."""
    draws, times = np.random.default_rng(11), 3000
    one = recipe("", 0.2, 1.0)
    lucky = 0
    for _ in range(times):
        repeated = replace(one, name="repeated", distance=Quantity.of(draws.normal(0.2, 0.01, repeats).tolist()))
        alone = [replace(one, name="single", distance=Quantity.of([value])) for value in draws.normal(0.2, 0.01, singles)]
        lucky += recommended_of([repeated, *alone])[0].name == "single"
    assert least < lucky / times < most


def test_a_single_trial_that_is_far_better_is_recommended_and_the_rule_says_of_how_many() -> None:
    repeated = replace(recipe("repeated", 0.2, 1.0), distance=Quantity.of([0.19, 0.2, 0.21]))
    far, other = recipe("far", 0.05, 1.0), recipe("other", 0.3, 1.0)
    best, rule = recommended_of([repeated, far, other])
    assert best == far
    assert "lower than the luckiest of 2 single trials would be" in rule


def test_the_limit_of_luck_is_that_of_prediction() -> None:
    """By hand, from a table of Student's t: t(0.95, 2) = 2.920, t(0.975, 2) = 4.303."""
    three = Quantity.of([0.19, 0.2, 0.21])
    assert luck_limit(three, 1) == pytest.approx(0.2 - 2.920 * 0.01 * np.sqrt(4 / 3), rel=1e-4)
    assert luck_limit(three, 2) == pytest.approx(0.2 - 4.303 * 0.01 * np.sqrt(4 / 3), rel=1e-4)
