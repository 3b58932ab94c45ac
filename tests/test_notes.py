"""Descriptions on MLflow's pages: the question at once, the answer when there is one."""

from __future__ import annotations

import pytest

from gan3d.config.objective import Objective
from gan3d.records import TrialRecord
from gan3d.tracking.notes import begun, ended, with_verdict

OBJECTIVE = Objective(metric="physics.shower_distance")
BEST = TrialRecord(3, {"training.global_batch": 16}, "complete", "", 4, 0.12345, 60.0)


def test_a_study_that_runs_says_what_it_asks() -> None:
    text = begun("Which batch?", OBJECTIVE)
    assert text.startswith("**Which batch?**")
    assert "`physics.shower_distance`, which is to be as small as possible" in text
    assert "as large" in begun("Which?", Objective(metric="timing.showers_per_second", direction="maximize"))


def test_one_that_has_ended_says_what_was_found_and_what_it_took() -> None:
    text = ended("Which batch?", OBJECTIVE, BEST, "complete", {"cost.core_hours": "1.5", "cost.money": "3", "cost.currency": "EUR"})
    assert text.startswith(begun("Which batch?", OBJECTIVE))
    assert "trial 0003 with physics.shower_distance **0.1235** (`training.global_batch` 16)" in text
    assert "it took 1.5 core-hours for 3 EUR." in text


@pytest.mark.parametrize("best", [None, TrialRecord(1, {}, "failed", "diverged", 0, None, 1.0)])
def test_one_without_an_objective_says_so(best: TrialRecord | None) -> None:
    assert "No trial has an objective. The study is failed." in ended("Which?", OBJECTIVE, best, "failed", {})


def test_the_newest_verdict_ends_a_description() -> None:
    first = with_verdict("**Which batch?**", "The first one.")
    assert first.startswith("**Which batch?**")
    assert first.endswith("The first one.")
    assert with_verdict(first, "Another one.") == first.replace("The first one.", "Another one.")
