from __future__ import annotations

import pandas as pd
import pytest

from gan3d.scaling.fidelity import by_core_hours, front


def epochs() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "trial": [0, 0, 0, 1, 1, 2],
            "epoch": [1, 2, 3, 1, 2, 1],
            "value": [0.9, 0.5, 0.7, 0.6, 0.4, 0.8],
            "cost.core_seconds": [3600.0, 3600.0, 3600.0, 1800.0, 9000.0, 900.0],
        }
    )


def test_the_best_of_a_trial_by_what_it_has_spent() -> None:
    costs = by_core_hours(epochs(), "value", "minimize")
    assert costs["core_hours"].tolist() == [1, 2, 3, 0.5, 3, 0.25]
    assert costs["best"].tolist() == [0.9, 0.5, 0.5, 0.6, 0.4, 0.8]


def test_the_front_is_what_nobody_was_better_than_for_as_little() -> None:
    found = front(by_core_hours(epochs(), "value", "minimize"), "minimize")
    assert list(zip(found["trial"], found["core_hours"], found["best"], strict=True)) == [
        (2, 0.25, 0.8),
        (1, 0.5, 0.6),
        (0, 2, 0.5),
        (1, 3, 0.4),
    ]


def test_of_what_should_be_large_the_front_rises() -> None:
    found = front(by_core_hours(epochs(), "value", "maximize"), "maximize")
    assert found["best"].tolist() == [0.8, 0.9]


@pytest.mark.parametrize("column", ["cost.core_seconds", "value"])
def test_epochs_without_a_cost_or_a_value_are_left_out(column: str) -> None:
    rows = epochs()
    rows.loc[5, column] = float("nan")
    assert 2 not in set(by_core_hours(rows, "value", "minimize")["trial"])
