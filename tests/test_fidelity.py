from __future__ import annotations

import pandas as pd
import pytest

from gan3d.errors import ConfigError
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


def test_after_an_epoch_without_a_cost_nobody_knows_what_a_trial_had_spent() -> None:
    """Trial 0 costs an hour an epoch; without the second one's it would seem to have been at 0.7 for two."""
    rows = epochs()
    rows.loc[1, "cost.core_seconds"] = float("nan")
    costs = by_core_hours(rows, "value", "minimize")
    assert costs.loc[costs["trial"] == 0, ["epoch", "core_hours", "best"]].to_numpy().tolist() == [[1, 1, 0.9]]
    assert set(costs["trial"]) == {0, 1, 2}


def test_an_epoch_that_is_not_there_is_refused() -> None:
    with pytest.raises(ConfigError, match=r"trial 0 has no record of an epoch before 3, .* Resume the study"):
        by_core_hours(epochs().drop(index=1), "value", "minimize")
