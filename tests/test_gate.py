"""The gate lets Monte Carlo through and nothing that is planted, with 500 showers against 500."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
import torch

from benchmarks.planted_faults import BEGIN, CLIC, DOCUMENT, END, FAULTS, NAMED_BY, monte_carlo, simulated, with_cells
from gan3d.data.showers import Showers
from gan3d.simulation.constants import fitted_constants
from gan3d.validation import gate
from gan3d.validation.classifier import separation
from gan3d.validation.collection import blocks
from gan3d.validation.detector import Detector
from gan3d.validation.features import features_of
from gan3d.validation.features import joined as joined_features
from gan3d.validation.gate import LIMIT, Finding, Floor, floor_of, judge
from gan3d.validation.table import ObservableTable, cell_counts, joined, table_of

NUMBER, FRESH = 500, 200
DETECTOR = Detector.of(CLIC)


def tabulated(showers: Showers) -> ObservableTable:
    return joined(table_of(part, DETECTOR) for part in blocks(showers))


@pytest.fixture(scope="module")
def reference() -> ObservableTable:
    return joined(tabulated(monte_carlo(NUMBER, seed)) for seed in range(6))


@pytest.fixture(scope="module")
def floor(reference: ObservableTable) -> Floor:
    return floor_of(reference, NUMBER, seed=1)


@pytest.fixture(scope="module")
def good() -> Showers:
    return monte_carlo(NUMBER, 100)


def test_good_showers_pass(good: Showers, reference: ObservableTable, floor: Floor) -> None:
    assert not any(one.is_flagged for one in judge(tabulated(good), reference, floor, seed=1))


@pytest.mark.parametrize("fault", FAULTS)
def test_a_planted_fault_is_flagged(fault: str, good: Showers, reference: ObservableTable, floor: Floor) -> None:
    worst = judge(tabulated(FAULTS[fault](good)), reference, floor, seed=1)[0]
    assert worst.deviations > LIMIT, worst


@pytest.mark.parametrize("fault", FAULTS)
def test_it_is_flagged_for_what_it_is(fault: str, good: Showers, reference: ObservableTable, floor: Floor) -> None:
    found = {one.name: one.deviations for one in judge(tabulated(FAULTS[fault](good)), reference, floor, seed=1)}
    assert found[NAMED_BY[fault]] > LIMIT


def test_faults_are_the_size_that_they_say(good: Showers) -> None:
    occupied, total = good.cells > 0, good.cells.sum((1, 2, 3))
    merged = FAULTS["occupancy wrong at fixed sum"](good).cells
    assert merged.sum((1, 2, 3)) == pytest.approx(total, rel=1e-5)
    assert 0.05 < 1 - (merged > 0).sum() / occupied.sum() < 0.10
    faint = FAULTS["missing low-energy tail of cells"](good).cells
    assert faint.sum() > 0.99 * total.sum()
    assert ((faint == 0) | (faint == good.cells)).all()
    high = FAULTS["missing low incident energies"](good)
    assert high.incident_energy.min() >= 20 > good.incident_energy.min()
    assert len(np.unique(high.cells.sum((1, 2, 3)))) == NUMBER, "no shower is there twice"


def test_no_two_faults_take_away_the_same_cells(good: Showers) -> None:
    hit = {name: (fault(good).cells > 0).tobytes() for name, fault in FAULTS.items()}
    changed = [mask for mask in hit.values() if mask != (good.cells > 0).tobytes()]
    assert len(set(changed)) == len(changed) > 6


def test_the_document_has_a_line_of_every_fault() -> None:
    table = DOCUMENT.read_text(encoding="utf-8").partition(BEGIN)[2].partition(END)[0]
    for name, number in NAMED_BY.items():
        assert f"| {name} | `{number}` |" in table
    assert "| angles shuffled | `spread/slope_x` |" in table


def test_each_simulated_fault_is_one_because_of_its_change(good: Showers, reference: ObservableTable, floor: Floor) -> None:
    """Simulated anew in the same way, but without the change, the same showers pass."""
    same = simulated(good, CLIC, fitted_constants(CLIC))
    assert not any(one.is_flagged for one in judge(tabulated(same), reference, floor, seed=1))


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_over_two_hundred_fresh_samples_there_is_at_most_one_false_alarm(reference: ObservableTable, floor: Floor) -> None:
    alarms = []
    for seed in range(1000, 1000 + FRESH):
        fresh = tabulated(monte_carlo(NUMBER, seed))
        alarms += [worst for worst in judge(fresh, reference, floor, seed)[:1] if worst.is_flagged]
    assert len(alarms) <= 1, alarms


def test_a_floor_needs_two_draws(reference: ObservableTable) -> None:
    with pytest.raises(ValueError, match="needs a reference of 3002, there are 3000"):
        floor_of(reference, 1501, seed=1)


def test_all_showers_broken_is_the_only_finding(good: Showers, reference: ObservableTable, floor: Floor) -> None:
    findings = judge(tabulated(with_cells(good, good.cells * np.nan)), reference, floor, seed=1)
    assert [(one.name, one.value, one.deviations) for one in findings] == [("broken/showers", 1.0, math.inf)]


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [("mean/x", 3.0, 1.0), ("mean/x", 1.0, 1.0), ("correlation/layers", 1.0, 0.0), ("correlation/layers", 4.0, 2.0)],
)
def test_deviations_are_two_sided_but_where_less_is_no_fault(name: str, value: float, expected: float) -> None:
    assert Finding(name, value, floor_mean=2.0, floor_spread=1.0).deviations == expected


def test_the_same_seed_judges_alike(good: Showers, reference: ObservableTable, floor: Floor) -> None:
    table = tabulated(good)
    assert judge(table, reference, floor, seed=3) == judge(table, reference, floor, seed=3)
    first = floor_of(reference, 100, 2, num_draws=3)
    gate._floor.cache_clear()
    assert floor_of(reference, 100, 2, num_draws=3) == first


def test_a_floor_is_made_once_for_the_same_numbers_and_anew_for_others(reference: ObservableTable) -> None:
    rows = np.arange(250)
    first = floor_of(reference.draw(rows), 100, 2, num_draws=3)
    assert floor_of(reference.draw(rows), 100, 2, num_draws=3) is first
    for other in (reference.draw(rows + 1), replace(reference.draw(rows), polar_angle=reference.draw(rows).polar_angle + 1e-9)):
        assert floor_of(other, 100, 2, num_draws=3) is not first
    for asked in ((101, 2, 3), (100, 3, 3), (100, 2, 4)):
        assert floor_of(reference.draw(rows), *asked) is not first


def test_cells_are_counted_between_edges_that_belong_to_the_bin_below() -> None:
    cells = torch.zeros(2, 2, 2, 2, dtype=torch.float64)
    cells[0].view(-1)[:5] = torch.tensor([1e-5, 2e-4, 2e-4, 5e-3, 1.0], dtype=torch.float64)
    found = cell_counts(cells)
    assert list(found) == ["cells_1e-4", "cells_1e-3.5", "cells_1e-3", "cells_1e-2.5", "cells_1e-2", "cells_1e-1.5"]
    assert [float(values[0]) ** 2 for values in found.values()] == pytest.approx([2, 0, 0, 1, 0, 1])
    assert all(values[1] == 0 for values in found.values())


def classified(one: Showers, other: Showers) -> float:
    """Area of the high-level classifier, which sees the challenge's features and the table's observables."""
    inputs = []
    for showers in (one, other):
        features = joined_features([features_of(part, DETECTOR) for part in blocks(showers)])
        inputs.append(np.concatenate([features.high, tabulated(showers).matrix], axis=1))
    return separation(*inputs, 1).auc


def test_the_classifier_says_one_half_of_good_showers(good: Showers) -> None:
    assert classified(monte_carlo(NUMBER, 101), good) == pytest.approx(0.5, abs=0.08)


@pytest.mark.parametrize(
    ("fault", "least"), [("one layer dead", 0.95), ("collapsed to 20 distinct showers", 0.95), ("occupancy wrong at fixed sum", 0.6)]
)
def test_the_classifier_sees_what_is_plain_and_some_of_what_is_not(fault: str, least: float, good: Showers) -> None:
    assert classified(monte_carlo(NUMBER, 101), FAULTS[fault](good)) > least
