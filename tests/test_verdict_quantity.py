"""How sure a number is: medians of enough trials, products, and what the page says of each."""

from __future__ import annotations

import math
import re

import numpy as np
import pytest
from verdict_pages import page_of
from verdict_records import SEEDS, records, two_batches

from gan3d.verdict.answer import Asked, answer_of
from gan3d.verdict.evidence import Records
from gan3d.verdict.quantity import Quantity, exactly

FACTOR = Quantity(2.0, 1.0, 4.0, 3)


def test_a_median_of_six_has_an_interval_and_one_of_five_has_none() -> None:
    six = Quantity.until([6.0, 2.0, 3.0, 1.0, 5.0, 4.0], 6)
    assert (six.low, six.value, six.high) == (1.0, 3.5, 6.0)
    assert math.isnan(Quantity.until([1.0, 2.0, 3.0, 4.0, 5.0], 5).low)
    missed = Quantity.until([1.0, 2.0, 3.0, 4.0, 5.0], 6)
    assert (missed.low, missed.value, missed.high) == (1.0, 3.5, math.inf)


@pytest.mark.parametrize("num_trials", [6, 9, 20])
def test_intervals_of_medians_hold_it_in_nineteen_of_twenty_cases(num_trials: int) -> None:
    draws = np.random.default_rng(1).exponential(size=(2000, num_trials))
    found = [Quantity.until(list(row), num_trials) for row in draws]
    assert 0.94 < np.mean([one.low <= math.log(2) <= one.high for one in found]) < 1.0


def test_a_product_is_as_sure_as_both() -> None:
    exact = FACTOR.times(exactly(3.0))
    assert (exact.low, exact.value, exact.high) == pytest.approx((3.0, 6.0, 12.0))
    both = FACTOR.times(FACTOR)
    assert (both.low, both.high) == pytest.approx((4 * 2 ** -math.sqrt(2), 4 * 2 ** math.sqrt(2)))
    back = FACTOR.inverse()
    assert (back.low, back.value, back.high) == (0.25, 0.5, 1.0)


@pytest.mark.parametrize("unsure", [Quantity(1.0, math.nan, math.nan, 1), Quantity(math.nan, math.nan, math.nan, 0)])
def test_a_product_with_what_is_not_known_has_no_interval(unsure: Quantity) -> None:
    for found in (FACTOR.times(unsure), unsure.times(FACTOR)):
        assert math.isnan(found.low)
        assert math.isnan(found.high)


def test_an_interval_to_nothing_and_one_without_an_end_stay_so() -> None:
    found = FACTOR.times(Quantity(1.0, -0.5, math.inf, 2))
    assert (found.low, found.value, found.high) == (0.0, 2.0, math.inf)


def teams(seeds: tuple[int, ...]) -> Records:
    rows = [
        {"training.seed": seed, "workers.per_trial": number, "seconds": (1 + 0.05 * seed * number) * 100 / number, "distances": [0.5] * 3}
        for seed in seeds
        for number in (1, 2)
    ]
    return records("teams", rows, {"training.seed": {"choice": [1, 2, 3]}, "workers.per_trial": {"choice": [1, 2]}})


def many(count: int) -> Records:
    """One recipe of so many trials, that do not take equally long."""
    rows = [{"training.seed": seed, "seconds": 3600 + 60 * seed, "distances": [0.2]} for seed in range(1, count + 1)]
    return records("search", rows, {"training.seed": {"choice": list(range(1, count + 1))}})


def text_of(page: str) -> str:
    """What a reader sees of the answer."""
    body = page[page.index('id="answer"') : page.index('id="recipes-plot"')]
    return re.sub(r"\s+", " ", re.sub(r"<[^>]+>", " ", body))


def test_every_number_of_the_answer_has_its_interval() -> None:
    answer = answer_of([many(6), teams((1, 2, 3))], asked=Asked(target=0.2, least_efficiency=0.0))
    (row,) = answer.as_document()["workers"]
    assert row["size"]["workers"] == 2
    for name in ("wall_hours", "core_hours", "kwh", "money"):
        assert row[f"{name}_low"] < row[name] < row[f"{name}_high"]
    assert row["money"] == pytest.approx(0.1 * row["core_hours"])
    text = text_of(page_of(answer))
    bracket = r" \[[\d.]+, [\d.]+\]"
    assert len(re.findall(rf"\d (?:h|min){bracket}", text)) == 3  # a training, to the target, and on the recommended team
    for unit in ("core-hours", "kWh", "CHF"):
        assert re.search(rf"{unit}{bracket}", text), unit
        assert not re.search(rf"\d {unit}(?! \[)", text), unit
    assert re.search(rf"times as fast{bracket}, efficiency [\d.]+ %{bracket}", text)


def test_numbers_without_an_interval_say_so() -> None:
    once = records("search", [{"training.seed": 1, "training.global_batch": 16, "seconds": 3600, "distances": [0.2]}], SEEDS)
    text = text_of(page_of(answer_of([once, teams((1,))], asked=Asked(least_efficiency=0.0))))
    assert "1 h (one trial)" in text
    assert "[" not in text
    for unit in ("core-hours", "kWh", "CHF"):
        assert not re.search(rf"\d {unit}(?! \(one trial\))", text), unit
    few = text_of(page_of(answer_of([two_batches()], asked=Asked(target=0.2))))
    assert "reached by 3 of 3, no interval" in few
