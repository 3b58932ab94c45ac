"""Figures of the hosts as rows of tables, and as a document that holds everything that was measured."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from benchmarks.harness import Row
from benchmarks.hosts.forecast import Figures, calibration_of, error_percent, figures, ring_bytes, undetermined
from benchmarks.hosts.measurement import Measured, of
from benchmarks.hosts.study import StudyOutcome
from benchmarks.hosts.testbed import BARE
from gan3d.scaling.draws import Estimate, interval
from gan3d.scaling.fabrics import Fabric
from gan3d.scaling.prediction import Work

NAME = "hosts"
MS = 1e3
MEGABYTE = 1e6
#: Parts of a step, as `gan3d.scaling.calibration.step_seconds` has them.
PARTS = ("computing", "straggler", "communication", "step")


@dataclass(frozen=True, slots=True)
class Trainings:
    """All that was measured of trainings on two hosts."""

    fabrics: dict[str, Fabric]
    """By link, as its all-reduces say."""
    work: Work
    """Bytes of the gradient buckets of each update of a step."""
    epochs: list[Measured]


def rows_of(trainings: Trainings) -> list[Row]:
    """Links, traffic, and every step's figures beside what the model says of them."""
    epochs, work = trainings.epochs, trainings.work
    rounds = 1 + max(epoch.round for epoch in epochs)
    forecast = forecast_rows(figures(epochs, trainings.fabrics, work), rounds)
    return [*fabric_rows(trainings.fabrics), *traffic_rows(epochs, work), *forecast]


def document_of(trainings: Trainings) -> dict[str, Any]:
    """Everything, so that whatever the tables leave out can be made of it."""
    calibration = calibration_of(trainings.epochs)
    quantities = ("fixed_seconds", "seconds_per_shower", "lone_ratio", "spread", "communication_seconds")
    return {
        "fabrics": {link: asdict(fabric) for link, fabric in trainings.fabrics.items()},
        "update_buckets_bytes": trainings.work.updates,
        "hidden_behind": trainings.work.hidden_behind,
        "calibration": {name: interval(getattr(calibration, name))._asdict() for name in quantities} | {"notes": calibration.notes},
        "figures": [asdict(each) for each in figures(trainings.epochs, trainings.fabrics, trainings.work)],
        "undetermined": undetermined(trainings.epochs, trainings.work),
        "epochs": [asdict(epoch) for epoch in trainings.epochs],
    }


def study_document(outcome: StudyOutcome) -> dict[str, Any]:
    """The same of the studies on the Ray cluster."""
    frames = {"curves": outcome.curves, "steps": outcome.steps, "predictions": outcome.predictions}
    found: dict[str, Any] = {name: {key: frame.to_dict("records") for key, frame in of_it.items()} for name, of_it in frames.items()}
    return found | {"fabrics": {link: asdict(fabric) for link, fabric in outcome.fabrics.items()}, "workers": outcome.places}


def fabric_rows(fabrics: Mapping[str, Fabric]) -> Iterator[Row]:
    """Latency and bandwidth of each link, as its all-reduces say."""
    for link, fabric in fabrics.items():
        names = (f"link: {link}", "all-reduces between hosts")
        yield _row(names, fabric.latency_seconds, "ms per message", MS)
        yield _row(names, fabric.bytes_per_second, "MB/s", 1 / MEGABYTE)


def traffic_rows(epochs: Sequence[Measured], work: Work) -> Iterator[Row]:
    """What a host sends per step, beside the gradient buckets."""
    for batch in sorted({epoch.batch for epoch in epochs}):
        sent = [epoch.sent_bytes / MEGABYTE for epoch in of(epochs, str(BARE), batch=batch)]
        case = f"traffic: batch {batch}"
        yield _row((case, "gradient buckets, ring"), _certain(ring_bytes(work) / MEGABYTE), "MB/step sent by a host")
        yield Row.of((NAME, case, "counted"), sent, "MB/step sent by a host")


def forecast_rows(found: Sequence[Figures], rounds: int) -> Iterator[Row]:
    """Every batch and link: measured, then each prediction with its errors."""
    measured = {(each.batch, each.link): each for each in found if each.origin == "measured"}
    for each in found:
        beside = measured[each.batch, each.link]
        mark = " (calibrated on)" if each.is_calibrated else ""
        names = (f"step: batch {each.batch}, {each.link}", f"{each.origin}{mark}")
        yield _row(names, each.step_seconds, "ms/step", MS, rounds)
        if each is not beside:
            yield _row(names, _certain(error_percent(each.step_seconds, beside.step_seconds)), "error %", 1, rounds)
        if not math.isnan(each.efficiency.value):
            yield _row(names, each.communication_seconds, "ms communication", MS, rounds)
            yield _row(names, each.efficiency, "efficiency %", 100, rounds)


def study_rows(outcome: StudyOutcome) -> Iterator[Row]:
    """The curve of each study, the split of its step, and what the bare one says of the slow one."""
    for link, curve in outcome.curves.items():
        steps = outcome.steps[link]
        for row in curve.to_dict("records"):
            size = int(row["world_size"])
            names = (f"study: {link}", f"{size} workers" if size > 1 else "1 worker")
            yield _row(names, _named(row, "throughput"), "showers/s", 1, int(row["blocks"]))
            yield _row(names, _named(row, "efficiency"), "efficiency %", 100, int(row["blocks"]))
            for part in PARTS:
                yield Row.of((NAME, *names), (MS * steps.loc[steps["world_size"] == size, part]).tolist(), f"ms {part}")
    slow = list(outcome.curves)[-1]
    for origin, curve in outcome.predictions.items():
        for row in curve.query("world_size > 1").to_dict("records"):
            names = (f"study: {slow}", f"{int(row['world_size'])} workers, {origin}")
            yield _row(names, _named(row, "throughput"), "showers/s")
            yield _row(names, _named(row, "efficiency"), "efficiency %", 100)
            for part in ("computing", "straggler", "communication"):
                yield _row(names, _certain(row[f"{part}_seconds"]), f"ms {part}", MS)
            yield _row(names, _named(row, "step_seconds"), "ms step", MS)


def _row(names: tuple[str, str], of_it: Estimate, unit: str, scale: float = 1, rounds: int = 2) -> Row:
    """A figure with its 95 % interval, where there is one."""
    ends = (of_it.low, of_it.high)
    is_certain = any(math.isnan(end) for end in ends) or ends[0] == ends[1]
    low, high = (of_it.value, of_it.value) if is_certain else ends
    return Row(NAME, *names, scale * of_it.value, unit, scale * low, scale * high, 1 if is_certain else rounds)


def _certain(value: float) -> Estimate:
    return Estimate(float(value), float(value), float(value))


def _named(row: Mapping[Any, Any], name: str) -> Estimate:
    return Estimate(*(float(row[f"{name}{end}"]) for end in ("", "_low", "_high")))
