"""The race for the target: who reached it, after how much training, and what is said of it."""

from __future__ import annotations

import pytest

from gan3d.config.objective import Objective
from gan3d.records import TrialRecord
from gan3d.terminal.crossing import Crossing, Race, crossing_text, target_text


def metrics(value: float, showers: float = 100.0, rate: float = 10.0) -> dict[str, float]:
    """An epoch of 20 updates in showers / rate seconds."""
    return {
        "physics.shower_distance": value,
        "timing.num_showers": showers,
        "timing.showers_per_second": rate,
        "timing.num_steps": 20.0,
        "timing.epoch_seconds": 1e6,
    }


def race_of(*values: float, target: float | None = 0.2) -> Race:
    race = Race(Objective(target=target))
    for epoch, value in enumerate(values, start=1):
        race.end_epoch(7, epoch, metrics(value, rate=10.0 * epoch))
    return race


def test_a_crossing_tells_epochs_updates_and_seconds_of_training_only() -> None:
    race = race_of(0.5, 0.3, 0.2, 0.1)
    assert race.crossings == {7: Crossing(7, 3, pytest.approx(10 + 5 + 100 / 30), 60)}
    assert crossing_text(race.crossings[7]) == "in trial 7 after 3 epochs: 60 updates, 0:18 of training"


def test_it_is_told_once_when_it_happens() -> None:
    race = Race(Objective(target=0.2))
    heard = [race.end_epoch(7, epoch, metrics(value)) for epoch, value in enumerate((0.3, 0.1, 0.3, 0.1), start=1)]
    assert [one is not None for one in heard] == [False, True, False, False]


@pytest.mark.parametrize("values", [(), (0.5, 0.21), (float("nan"), float("inf"))])
def test_never_is_a_result(values: tuple[float, ...]) -> None:
    assert race_of(*values).crossings == {}


def test_without_a_target_there_is_no_race() -> None:
    assert race_of(0.0, target=None).crossings == {}
    assert target_text(Objective()) == ""


def test_higher_may_be_better() -> None:
    race = Race(Objective.model_validate({"metric": "timing.showers_per_second", "target": 50.0}))
    assert race.end_epoch(0, 1, metrics(0.0, rate=49.9)) is None
    assert race.end_epoch(0, 2, metrics(0.0, rate=50.0)) is not None


def test_what_an_earlier_session_trained_is_not_known() -> None:
    race = Race(Objective(target=0.2))
    race.end_epoch(7, 3, metrics(0.1))
    race.end(TrialRecord(8, {}, "complete", "", 4, 0.15, 60.0))
    race.end(TrialRecord(9, {}, "complete", "", 4, 0.25, 60.0))
    assert race.crossings == {7: Crossing(7, 3, None, None), 8: Crossing(8)}
    assert [crossing_text(one) for one in race.crossings.values()] == ["in trial 7 after 3 epochs", "in trial 8"]


def test_a_trial_taken_up_again_keeps_the_epochs_it_has() -> None:
    race = Race(Objective(target=0.2))
    for epoch, value in ((1, 0.5), (2, 0.4), (2, 0.4), (3, 0.1)):
        race.end_epoch(7, epoch, metrics(value))
    assert race.crossings[7] == Crossing(7, 3, pytest.approx(30.0), 60)
