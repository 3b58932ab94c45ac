"""Trials without a cost, as those that run or were killed are: they are listed, counted and not drawn."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from verdict_pages import IN_A_BROWSER, opened, page_of
from verdict_records import recipe, records

from gan3d.verdict.answer import answer_of
from gan3d.verdict.choice import knee_of
from gan3d.verdict.evidence import Records

pytestmark = pytest.mark.timeout(300)

BATCHES = {"training.global_batch": {"choice": [8, 16, 32]}}


def search(*unpriced: int, cost: float = math.nan) -> Records:
    """Three recipes of one trial each, of which these have no core-hours, or other ones."""
    rows = [{"training.global_batch": batch, "seconds": 100, "distances": [0.4, 0.2 + 0.01 * batch]} for batch in (8, 16, 32)]
    found = records("search", rows, BATCHES)
    found.trials.loc[list(unpriced), ["core_hours", "kwh"]] = cost
    return found


@IN_A_BROWSER
@pytest.mark.parametrize("cost", [math.nan, 0.0])
def test_a_recipe_without_a_cost_is_listed_and_not_drawn(tmp_path: Path, cost: float) -> None:
    with opened(page_of(answer_of([search(2, cost=cost)])), tmp_path) as (page, problems):
        drawn = page.evaluate("document.getElementById('recipes-plot').data.map(one => one.x)")
        assert all(x > 0 for trace in drawn for x in trace)
        assert len({x for trace in drawn[:2] for x in trace}) == 1  # the others, which cost the same
        shown = page.locator("#recipes tbody tr:not([hidden])")
        assert shown.count() == 3
        assert page.inner_text("#shown") == "3 of 3 recipes, 1 without a cost: listed, not drawn"
        page.fill("#most", "1")
        assert shown.count() == (2 if math.isnan(cost) else 3)
        page.fill("#most", "")
        page.click("th button >> text=core-hours")
        values = page.locator("#recipes tbody tr").evaluate_all("rows => rows.map(row => Number(row.cells[2].dataset.value))")
        assert values == sorted(values)
        assert problems == []


@IN_A_BROWSER
def test_a_page_of_trials_that_all_run_draws_nothing_and_says_so(tmp_path: Path) -> None:
    with opened(page_of(answer_of([search(0, 1, 2)])), tmp_path) as (page, problems):
        assert "3 without a cost" in page.inner_text("#shown")
        assert "core-hours not known, 3 trials without a cost" in page.inner_text("body")
        assert problems == []


def test_summed_core_hours_say_which_trials_are_not_in_them() -> None:
    answer = answer_of([search(2)])
    (study,) = answer.as_document()["studies"]
    assert study["trials_without_cost"] == 1
    assert study["core_hours"] == pytest.approx(2 * 200 / 3600)
    assert "at least 0.111 core-hours, 1 trial without a cost" in page_of(answer)
    assert any(text.startswith("1 of 3 trials of search has no cost") for text in answer.not_measured())
    known = answer_of([search()])
    assert "without a cost" not in page_of(known).partition("<script>")[0]
    assert not any("no cost (" in text for text in known.not_measured())


def test_core_hours_of_no_trial_are_not_zero() -> None:
    answer = answer_of([search(0, 1, 2)])
    (study,) = answer.as_document()["studies"]
    assert study["core_hours"] is None
    assert "core-hours not known" in answer.sentence()
    assert "nan" not in answer.sentence()


def test_a_recipe_without_a_cost_does_not_take_the_fronts_knee_away() -> None:
    front = [recipe("cheap", 0.5, 0.1), recipe("middle", 0.2, 0.2), recipe("good", 0.18, 1.0)]
    running = recipe("running", 0.15, math.nan)
    assert knee_of([*front, running]) == knee_of(front) == front[1]
