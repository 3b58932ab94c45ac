"""Replayed searches on surfaces whose answers are known."""

from __future__ import annotations

import itertools
import math
from collections import Counter

import numpy as np
import pandas as pd
import pytest

from benchmarks.search.compare import BEST_SHARE, Distance, Found, Volume, budget, mean, ratio, seconds_of
from benchmarks.search.replay import METHODS, ORACLE, Step, search
from benchmarks.search.surface import CORE_SECONDS, LEARNING_RATES, SIZES, Surface, Training, epoch_costs

RATES, OTHER_RATES = (1e-4, 3e-4, 1e-3, 3e-3, 1e-2), (3e-4, 1e-3, 3e-3, 1e-2)
BATCHES, FILTERS = (8.0, 16.0, 32.0), (16.0, 32.0)
EPOCHS = 9
#: Methods that propose at random.
UNLEARNED = [method for method in METHODS if not method.startswith("TPE")]


def surface(*, diverges: bool = False) -> Surface:
    """Best at 1e-3, 1e-3, batch 8 with 32 filters each; twice as many filters cost twice as much. One sample diverges, if asked."""
    found = {}
    for point in itertools.product(RATES, OTHER_RATES, BATCHES, FILTERS, FILTERS):
        end = 0.3 + 0.1 * abs(math.log10(point[0] / 1e-3)) + 0.1 * abs(math.log10(point[1] / 1e-3)) + 0.01 * BATCHES.index(point[2])
        end += 0.05 * sum(filters == 16 for filters in point[3:])
        is_bad = diverges and point[0] == 1e-2
        curve = tuple(end + 0.5 / epoch for epoch in range(1, (3 if is_bad else EPOCHS) + 1))
        for seed in (1, 2):
            found[point, seed] = Training(curve, 10.0 * (point[3] + point[4]) / 32, is_bad)
    return Surface(found, EPOCHS)


def steps(method: str, on: Surface, core_seconds: float = 20_000, seed: int = 1) -> list[Step]:
    return list(search(method, seed, on, core_seconds))


def test_a_sample_is_answered_by_one_of_its_trainings_and_one_that_was_not_trained_by_none() -> None:
    on = Surface({((1e-3, 1e-3, 8.0, 16.0, 16.0), seed): Training((float(seed),), 1.0, False) for seed in (1, 2)}, 1)
    sample = dict(zip([*LEARNING_RATES, *SIZES], (1e-3, 1e-3, 8, 16, 16), strict=True))
    assert [on.training(sample, draw).best for draw in (0.0, 0.49, 0.5, 0.99)] == [1, 1, 2, 2]
    with pytest.raises(KeyError):
        on.training(sample | {LEARNING_RATES[0]: 2e-3}, 0.0)


#: What learns takes a minute for a search of 240 trials.
THOROUGH = [pytest.param(method, marks=[pytest.mark.slow] if method == "TPE + ASHA" else []) for method in (*UNLEARNED, "TPE + ASHA")]


@pytest.mark.parametrize("method", THOROUGH)
def test_a_search_that_goes_on_long_enough_trains_every_sample_once(method: str) -> None:
    on = surface()
    told = steps(method, on, math.inf)
    assert len({step.trial for step in told}) == on.num_samples / (len(RATES) if method == ORACLE else 1)


@pytest.mark.parametrize("method", METHODS)
def test_a_search_spends_what_its_epochs_cost_and_not_more_than_it_has(method: str) -> None:
    told = steps(method, surface(), 2000)
    assert np.diff([0.0, *(step.core_seconds for step in told)]) == pytest.approx([step.cost for step in told])
    assert told[-1].core_seconds < 2000 + EPOCHS * 20


@pytest.mark.parametrize(("method", "rungs"), [("random + ASHA", (3,)), ("random + ASHA from epoch 1", (1, 3))])
def test_with_asha_two_thirds_stop_at_the_first_rung_and_without_nobody(method: str, rungs: tuple[int, ...]) -> None:
    lengths = Counter(Counter(step.trial for step in steps("random", surface())).values())
    assert set(lengths) == {EPOCHS}
    lengths = Counter(Counter(step.trial for step in steps(method, surface(), math.inf)).values())
    assert set(lengths) == {*rungs, EPOCHS}
    assert lengths[rungs[0]] / lengths.total() == pytest.approx(2 / 3, abs=0.1)


def test_a_training_that_diverged_ends_its_trial_and_costs_the_epoch_that_it_did_not_end() -> None:
    told = steps("random", surface(diverges=True))
    by_trial = [list(group) for _, group in itertools.groupby(told, key=lambda step: step.trial)]
    lost = [trial for trial in by_trial if len(trial) == 3]
    assert lost
    for one, after in itertools.pairwise(by_trial):
        waste = one[-1].cost if len(one) == 3 else 0.0
        assert after[0].core_seconds - one[-1].core_seconds == pytest.approx(after[0].cost + waste)


def test_the_same_seed_searches_alike_and_another_one_does_not() -> None:
    assert steps("TPE + ASHA", surface(), 2000) == steps("TPE + ASHA", surface(), 2000)
    assert steps("TPE + ASHA", surface(), 2000) != steps("TPE + ASHA", surface(), 2000, seed=2)


def test_the_target_is_the_best_share_of_all_trainings() -> None:
    on = surface()
    best = sorted(training.best for training in on.trainings.values())
    assert Distance(on).target == best[int(BEST_SHARE * (len(best) - 1))]
    assert Distance(on).seconds(iter(())) == math.inf
    told = [Step(5.0, 9.0, 1.0, 0), Step(7.0, best[0], 1.0, 0), Step(8.0, 0.0, 1.0, 1)]
    assert Distance(on).seconds(told) == 7.0


def test_the_volume_is_reached_with_the_whole_front_and_not_before() -> None:
    on = surface()
    question = Volume(on)
    points = sorted({(training.best, training.core_seconds) for training in on.trainings.values()})
    told = [Step(float(place), distance, cost, place) for place, (distance, cost) in enumerate(points)]
    at = question.seconds(told)
    assert question.seconds(told[: int(at)]) == math.inf
    assert question.of(points) == pytest.approx(question.whole)
    assert 0 < question.of(points[:1]) < question.whole


def test_on_a_surface_with_one_valley_a_search_that_learns_finds_it_sooner() -> None:
    on, seeds = surface(), range(1, 13)
    question = Distance(on)
    random, learned = (
        Found(method, tuple(seconds_of((method, seed), question, on) for seed in seeds)) for method in ("random", "TPE + ASHA")
    )
    assert ratio(learned, random, budget(on)).high < 1


def test_a_search_without_success_counts_with_all_it_spent() -> None:
    one = Found("x", (10.0, math.inf))
    assert one.num_never == 1
    assert mean(one, 100.0).value == 55.0
    assert ratio(one, Found("y", (110.0, 110.0)), 200.0).value == pytest.approx((10 + 200) / 2 / 110)


def test_busy_hours_do_not_make_sizes_dearer() -> None:
    """Two sessions, the second twice as slow and with one size only half as often; the quick one's level counts."""
    rows = []
    for session, slow in (("2026-01-01 01:00", 1.0), ("2026-01-05 01:00", 2.0)):
        for filters, cost in ((16.0, 10.0), (32.0, 30.0)):
            rows += [
                {"started": pd.Timestamp(session, tz="UTC"), SIZES[0]: 8.0, SIZES[1]: filters, SIZES[2]: 16.0, CORE_SECONDS: slow * cost}
            ] * (1 if slow > 1 and filters > 16 else 3)
    assert epoch_costs(pd.DataFrame(rows)) == pytest.approx({(8.0, 16.0, 16.0): 10.0, (8.0, 32.0, 16.0): 30.0})
