"""What was learned: every number has a name, a unit, a direction and a meaning, and goes into JSON as it is."""

from __future__ import annotations

import json
import math
from dataclasses import FrozenInstanceError, asdict, fields, replace
from typing import Any

import pytest

from gan3d.records import METRICS, PHASES, Cost, EpochRecord, Losses, NoiseScale, PhysicsDistance, Timing, TrialRecord

#: The groups of a record, in its order.
ROWS: tuple[type[Any], ...] = (Losses, PhysicsDistance, Timing, NoiseScale, Cost)
UNITS = {"", "%", "s", "1/s", "showers", "J"}


def numbered(row: type[Any], first: int) -> dict[str, int]:
    """A different number for every field."""
    return {entry.name: number for number, entry in enumerate(fields(row), start=first)}


def record() -> EpochRecord:
    losses, physics, timing, noise, cost = (row(**numbered(row, 100 * place)) for place, row in enumerate(ROWS))
    return EpochRecord(3, losses, physics, timing, noise, cost)


def test_a_record_becomes_exactly_the_metrics() -> None:
    metrics = record().as_metrics()
    assert metrics.keys() == METRICS.keys()
    assert len(set(metrics.values())) == len(metrics) == sum(len(fields(row)) for row in ROWS)
    assert metrics["losses.discriminator_total"] == 0
    assert metrics["physics.shower_distance"] == 100
    assert metrics["timing.epoch_seconds"] == 200
    assert metrics["noise_scale.discriminator"] == 300
    assert metrics["cost.core_seconds"] == 400


def test_a_group_that_was_not_measured_is_left_out() -> None:
    metrics = replace(record(), noise_scale=None).as_metrics()
    assert metrics.keys() == {name for name in METRICS if not name.startswith("noise_scale.")}


def test_metrics_are_floats_that_go_into_json() -> None:
    metrics = record().as_metrics()
    assert {type(value) for value in metrics.values()} == {float}
    assert json.loads(json.dumps(metrics, allow_nan=False)) == metrics


@pytest.mark.parametrize("name", METRICS)
def test_every_metric_says_what_it_is(name: str) -> None:
    metric = METRICS[name]
    group, field = name.split(".")
    assert metric.name == name
    assert group in {"losses", "physics", "timing", "noise_scale", "cost"}
    assert field == field.lower()
    assert metric.unit in UNITS
    assert metric.better in {"lower", "higher", "neither"}
    assert len(metric.meaning) > 5
    assert ("_seconds" in field) == (metric.unit == "s"), "the unit is in the name"


def test_every_distance_has_its_floor_which_is_no_aim() -> None:
    names = {entry.name for entry in fields(PhysicsDistance)}
    shifts = {name for name in names if name.startswith("response_shift_")}
    assert shifts == {f"response_shift_{energy}_energy{ending}" for energy in ("low", "middle", "high") for ending in ("", "_error")}
    assert {METRICS[f"physics.{name}"].better for name in shifts} == {"neither"}, "signed"
    names -= shifts
    distances = {name for name in names if not name.endswith("_floor")}
    assert names == distances | {f"{name}_floor" for name in distances}
    for name in distances:
        assert METRICS[f"physics.{name}"].better == "lower"
        assert METRICS[f"physics.{name}_floor"].better == "neither"


def test_records_of_older_versions_are_without_what_is_seen_by_energy() -> None:
    """And are made as they were."""
    added = {entry.name for entry in fields(PhysicsDistance) if "_separation_" in entry.name or "_shift_" in entry.name}
    older = {entry.name: 0.5 for entry in fields(PhysicsDistance) if entry.name not in added}
    found = asdict(PhysicsDistance(**older))
    assert len(older) == 26
    assert all(math.isnan(found[name]) for name in added)


def test_every_phase_has_a_mean_and_a_maximum_over_ranks_and_so_has_what_is_beside_the_sum() -> None:
    in_record = [entry.name for entry in fields(Timing) if entry.name.endswith(("_seconds_mean", "_seconds_max"))]
    assert in_record == [f"{name}_seconds_{kind}" for name in (*PHASES, "overlapped_communication") for kind in ("mean", "max")]


def test_records_do_not_change() -> None:
    row = record()
    with pytest.raises(FrozenInstanceError):
        row.epoch = 4  # type: ignore[misc]
    with pytest.raises(FrozenInstanceError):
        row.losses.generator_total = 0.0  # type: ignore[misc]
    trial = TrialRecord(number=1, sample={}, state="complete", reason="", epochs=3, objective=0.1, seconds=2.0)
    with pytest.raises(FrozenInstanceError):
        trial.state = "failed"  # type: ignore[misc]
