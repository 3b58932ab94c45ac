"""What is made of measurements on hosts: rounds are blocks, a world that follows the model is predicted exactly, tables hold it all."""

from __future__ import annotations

import json
from dataclasses import replace
from itertools import count

import pytest

from benchmarks.harness import Row
from benchmarks.hosts.__main__ import README, TABLES, by_table, main, recorded_text
from benchmarks.hosts.fabrics import wire_as_made, wire_beyond
from benchmarks.hosts.forecast import LINK_AS_MADE, MEASURED_LINK, error_percent, figures, ring_bytes, undetermined
from benchmarks.hosts.measurement import ALONE, LINKS, Measured, frame
from benchmarks.hosts.report import Trainings, document_of, rows_of
from benchmarks.hosts.testbed import BARE, Link
from benchmarks.run import recorded
from benchmarks.tables import BEGIN, END
from gan3d.records import PHASES
from gan3d.scaling.calibration import step_seconds
from gan3d.scaling.draws import Estimate
from gan3d.scaling.fabrics import Fabric, all_reduce_seconds, route_of
from gan3d.scaling.prediction import Work

UPDATES = ((300_000,), (300_000,), (3_500_000,), (3_500_000,))
WORK = Work(UPDATES, batch_per_worker=8)
#: Of the made-up world: what a step takes whatever its batch, what a shower takes, what alone is to together, what the library takes [s].
FIXED, PER_SHOWER, LONE_RATIO, SOFTWARE = 0.02, 0.1, 0.97, 0.004
BARE_LATENCY, BARE_RATE = 50e-6, 1e9
#: Drift of the machine from round to round.
DRIFT = (1.0, 1.05, 0.98)


def fabric(link: Link) -> Fabric:
    """Of the made-up world: the bare link's and the wire's latencies add up, and so do seconds per byte."""
    latency = BARE_LATENCY + 2 * link.delay_seconds
    rate = 1 / (1 / BARE_RATE + (8 / link.bits_per_second if link.bits_per_second else 0))
    return Fabric(str(link), Estimate(*[latency] * 3), Estimate(*[rate] * 3), "measured", "made up")


def communication(link: Link) -> float:
    return SOFTWARE + sum(float(all_reduce_seconds(sum(update), 2, route_of(fabric(link), None, 1))[0]) for update in UPDATES)


def epoch(link: Link | None, batch: int, number: int, scale: float, rank_scale: float = 1.0) -> Measured:
    """One step of the made-up world; two ranks alone differ by ``rank_scale``."""
    fixed, growing = (scale * (LONE_RATIO if link is None else 1.0) * part for part in (FIXED, PER_SHOWER * batch))
    wait = 0.0 if link is None else communication(link)
    step = fixed + growing + wait
    phases = dict.fromkeys(PHASES, 0.0) | {"optimiser": fixed, "discriminator": growing, "exposed_communication": wait}
    timing = {
        "world_size": 1.0 if link is None else 2.0,
        "num_showers": float(batch if link is None else 2 * batch),
        "num_steps": 1.0,
        "showers_per_second": (batch if link is None else 2 * batch) / step,
        "epoch_seconds": step,
        **{f"{phase}_seconds_mean": seconds for phase, seconds in phases.items()},
    }
    timings = (timing,) if link else (timing, timing | {"showers_per_second": timing["showers_per_second"] * rank_scale})
    return Measured(str(link) if link else ALONE, batch, number, (step,), timings, 1.004 * sum(map(sum, UPDATES)), 0)


@pytest.fixture(scope="module")
def epochs() -> list[Measured]:
    return [epoch(link, batch, number, scale) for number, scale in enumerate(DRIFT) for batch in (8, 32) for link in (*LINKS, None)]


def test_rounds_are_blocks_alone_as_together() -> None:
    ranks_differ = [epoch(link, 8, number, scale, rank_scale=0.5) for number, scale in enumerate(DRIFT) for link in (BARE, None)]
    steps = step_seconds(frame(ranks_differ))
    assert steps.groupby("world_size")["block"].apply(list).tolist() == [[0, 1, 2], [0, 1, 2]]


def test_a_world_that_follows_the_model_is_predicted_exactly(epochs: list[Measured]) -> None:
    found = figures(epochs, {str(link): fabric(link) for link in LINKS}, WORK)
    measured = {(each.batch, each.link): each for each in found if each.origin == "measured"}
    predicted = [each for each in found if each.origin == MEASURED_LINK]
    assert {(each.batch, each.link) for each in predicted} == {(batch, link) for batch in (8, 32) for link in (*map(str, LINKS), ALONE)}
    for each in predicted:
        beside = measured[each.batch, each.link]
        assert abs(error_percent(each.step_seconds, beside.step_seconds)) < 0.2, each  # a mean of drift, and a geometric one
        if each.link != ALONE:
            assert each.communication_seconds.value == pytest.approx(beside.communication_seconds.value, rel=1e-6)
            assert each.efficiency.value == pytest.approx(beside.efficiency.value, rel=2e-3)
    assert {(each.batch, each.link) for each in found if each.is_calibrated} == {(8, "bare"), (8, ALONE)}


def test_a_slower_link_is_predicted_to_be_slower_also_as_it_was_made(epochs: list[Measured]) -> None:
    found = figures(epochs, {str(link): fabric(link) for link in LINKS}, WORK)
    for origin in (MEASURED_LINK, LINK_AS_MADE):
        seconds = [each.communication_seconds.value for each in found if each.batch == 32 and each.origin == origin and each.link != ALONE]
        slower = seconds if origin == MEASURED_LINK else [communication(BARE), *seconds]
        assert slower == sorted(slower)
        assert len(set(slower)) == len(LINKS)


def test_a_wire_is_what_all_reduces_take_beyond_the_bare_link() -> None:
    link = Link(2e-3, 200e6)
    wire = wire_beyond(fabric(BARE), fabric(link))
    assert wire.latency_seconds.value == pytest.approx(4e-3)
    assert wire.bytes_per_second.value == pytest.approx(25e6)
    nothing = wire_beyond(fabric(BARE), fabric(BARE))
    assert float(all_reduce_seconds(1e7, 2, route_of(nothing, None, 1))[0]) < 1e-6
    made = wire_as_made(link)
    assert made.latency_seconds.value == 2e-3
    assert 0.9 * 25e6 < made.bytes_per_second.value < 25e6
    assert made.over_tcp


def test_a_ring_sends_what_a_ring_sends() -> None:
    assert ring_bytes(WORK) == 7_600_000
    assert ring_bytes(WORK, 4) == 1.5 * 7_600_000


def test_what_two_hosts_leave_open_is_said(epochs: list[Measured]) -> None:
    sentences = undetermined(epochs, WORK)
    assert any("universal" in sentence and "world sizes" in sentence for sentence in sentences)
    assert any("one gradient bucket" in sentence for sentence in sentences)
    assert not any("one gradient bucket" in sentence for sentence in undetermined(epochs, replace(WORK, updates=(*WORK.updates, (10, 20)))))


def test_tables_and_document_hold_all_of_it(epochs: list[Measured]) -> None:
    trainings = Trainings({str(link): fabric(link) for link in LINKS}, WORK, epochs)
    rows = rows_of(trainings)
    assert sum(map(len, by_table(rows).values())) == len(rows), "every row is in one table"
    document = json.loads(json.dumps(document_of(trainings)))
    assert len(document["epochs"]) == len(epochs)
    assert document["calibration"]["seconds_per_shower"]["value"] == pytest.approx(PER_SHOWER, rel=0.02)
    errors = [row for row in rows if row.unit == "error %"]
    assert len(errors) == 2 * (1 + len(LINKS) + len(LINKS) - 1), "alone and each link, and each link but the bare one as it was made"


def test_the_readme_shows_what_is_recorded() -> None:
    text = README.read_text(encoding="utf-8")
    assert text.partition(BEGIN)[2].partition(END)[0].strip() == recorded_text(recorded()).strip()


def test_recorded_text_has_a_table_by_what_cases_begin_with() -> None:
    number = count()
    rows = [Row("hosts", f"{name}: a case", "a variant", next(number), "ms", 0, 1, 2) for name in TABLES]
    machine = {"cpu": "a", "logical_cores": 2, "memory_gib": 1, "capability": "b", "python": "3", "torch": "2"}
    result = {"date": "a day", "commit": "some", "machine": machine}
    of_rows = [{field: getattr(row, field) for field in Row.__slots__} for row in rows]
    text = recorded_text(
        {"hosts": result | {"rows": of_rows[:3], "undetermined": ["the weather"]}, "hosts_study": result | {"rows": of_rows[3:]}}
    )
    assert [line for line in text.splitlines() if line.startswith("## ")] == [f"## {name}" for name in (*TABLES, "undetermined")]
    assert "- the weather" in text


@pytest.mark.parametrize("words", [["--rounds", "1"], ["--study", "--rounds", "3"], ["--json"]])
def test_a_wrong_request_starts_nothing(words: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(words)
    assert ended.value.code == 2
    assert "usage" in capsys.readouterr().err
