"""How trials end, by Tune, Optuna and MLflow: Ray Tune's own Optuna integration and ours by the same measure, under a real Ray Tune.

The first half says what the stock integration tells today, complaint by complaint: it fails when Ray mends one. The second half is
the table at the top of `gan3d.tracking.outcome`, row by row.
"""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

import pytest
from bookkeeping import OPTUNA, Told, untrue
from searching import (
    BROKEN,
    BUDGET_CORE_HOURS,
    DIVERGED,
    SCRIPTS,
    error_tags,
    run_played_study,
    told_by,
    write_played_study,
)
from small_study import Notes
from stock_search import LOSS, SECONDS, Script, StockStudy, run_stock_study

from gan3d.search.cluster import connected
from gan3d.search.run import StudyResult
from gan3d.tracking.outcome import ACTOR_LOST, UNTRAINED
from gan3d.tracking.store import default_tracking_uri

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's and MLflow's own
]

NAN = float("nan")


def losses(*values: float) -> list[dict[str, float]]:
    return [{LOSS: value} for value in values]


#: Of one objective. The first trial is what the second is stopped for.
ONE: dict[str, Script] = {
    "complete": losses(0.5, 0.4, 0.3),
    "stopped": losses(0.9, 0.8, 0.7),
    "not a number": losses(0.45, 0.35, NAN),
    "raised at once": [RuntimeError("no more memory")],
    "raised later": [*losses(0.25), RuntimeError("no more memory")],
}
#: A result without the objective; the study has other trials.
MISSING: dict[str, Script] = {"complete": losses(0.5, 0.4, 0.3), "missing": [*losses(0.4), {SECONDS: 1.0}], "next": losses(0.3, 0.2, 0.1)}
#: Of two objectives; Tune is told not to insist on both.
TWO: dict[str, Script] = {
    "complete": [{LOSS: loss, SECONDS: 1.0} for loss in (0.5, 0.4, 0.3)],
    "one not a number": [{LOSS: 0.5, SECONDS: 1.0}, {LOSS: NAN, SECONDS: 1.0}],
    "one missing": [{LOSS: 0.5, SECONDS: 1.0}, {LOSS: 0.4}],
}


@dataclass(frozen=True, slots=True)
class Stock:
    one: StockStudy
    missing: StockStudy
    two: StockStudy


@pytest.fixture(scope="module")
def stock(tmp_path_factory: pytest.TempPathFactory, tracked_folder: Callable[[str], Path]) -> Stock:
    uri = default_tracking_uri(tracked_folder("stock"))
    make = tmp_path_factory.mktemp
    with connected(None, verbose=False, say=lambda _: None), pytest.MonkeyPatch.context() as patch:
        one = run_stock_study(make("one"), uri, ONE, [LOSS])
        missing = run_stock_study(make("missing"), uri, MISSING, [LOSS])
        patch.setenv("TUNE_DISABLE_STRICT_METRIC_CHECKING", "1")
        two = run_stock_study(make("two"), uri, TWO, [LOSS, SECONDS])
    return Stock(one, missing, two)


#: What must be said of each: how it ended, and its learning curve. Of two objectives, that of the first.
WANTED: dict[str, tuple[str, dict[int, float]]] = {
    "complete": ("complete", {1: 0.5, 2: 0.4, 3: 0.3}),
    "stopped": ("pruned", {1: 0.9}),
    "not a number": ("failed", {1: 0.45, 2: 0.35}),
    "raised at once": ("failed", {}),
    "raised later": ("failed", {1: 0.25}),
    "missing": ("failed", {1: 0.4}),
    "one not a number": ("failed", {1: 0.5}),
    "one missing": ("failed", {1: 0.5, 2: 0.4}),
}


@pytest.mark.parametrize(
    ("case", "complaints"),
    [
        # Told to stop at its last epoch by the scheduler, which is then not told to the searcher.
        ("complete", ["Optuna has the curve {1: 0.5, 2: 0.4}, not {1: 0.5, 2: 0.4, 3: 0.3}"]),
        ("stopped", ["Optuna says COMPLETE, not PRUNED", "Optuna has the curve {}, not {1: 0.9}", "MLflow says complete, not pruned"]),
        ("not a number", ["Optuna says RUNNING, not FAIL", "MLflow says complete, not failed", "nobody says why"]),
        ("raised at once", ["nobody says why"]),
        ("raised later", ["nobody says why"]),
    ],
)
def test_stock_with_one_objective(stock: Stock, case: str, complaints: list[str]) -> None:
    assert untrue(stock.one.told[case], *WANTED[case]) == complaints


@pytest.mark.parametrize(
    ("case", "complaints"),
    [
        ("complete", ["Optuna has the curve {}, not {1: 0.5, 2: 0.4, 3: 0.3}"]),
        (
            "one not a number",
            [
                "Optuna says RUNNING, not FAIL",
                "Optuna has the curve {}, not {1: 0.5}",
                "MLflow says complete, not failed",
                "nobody says why",
            ],
        ),
        (
            "one missing",
            [
                "Optuna says RUNNING, not FAIL",
                "Optuna has the curve {}, not {1: 0.5, 2: 0.4}",
                "MLflow says complete, not failed",
                "nobody says why",
            ],
        ),
    ],
)
def test_stock_with_two_objectives(stock: Stock, case: str, complaints: list[str]) -> None:
    assert untrue(stock.two.told[case], *WANTED[case]) == complaints


def test_stock_leaves_trials_running_for_ever(stock: Stock) -> None:
    assert (stock.one.error, stock.two.error) == ("", "")
    for study, zombies in ((stock.one, ["not a number"]), (stock.two, ["one not a number", "one missing"])):
        assert {told.tune for told in study.told.values()} <= {"TERMINATED", "ERROR"}
        assert [case for case, told in study.told.items() if told.optuna == "RUNNING"] == zombies


def test_stock_ends_the_study_at_a_result_without_the_objective(stock: Stock) -> None:
    told = stock.missing.told
    assert "did not include the specified metric(s) `loss`" in stock.missing.error
    complaints = ["Optuna says RUNNING, not FAIL", "MLflow says running, not failed", "nobody says why"]
    assert untrue(told["missing"], *WANTED["missing"]) == complaints
    assert list(told) == ["complete", "missing"]


@dataclass(frozen=True, slots=True)
class Story:
    """Three sessions of one study: its driver is killed, it goes on until its budget is spent, it goes on to its end."""

    file: Path
    results: list[StudyResult]
    """Of the second and the third."""
    told: list[list[Told]]
    """After each session, by trial number."""


#: What its trials do, by number: each script once, three again, and last the one that spends the budget.
TRIALS = [
    *(name for name in SCRIPTS if name != "budget spent"),
    "all epochs trained",
    "stopped by the scheduler",
    "diverged in a later epoch",
    "budget spent",
]


@pytest.fixture(scope="module", params=["journal", "database"])
def story(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Story:
    folder = tmp_path_factory.mktemp("story")
    file = write_played_study(folder, TRIALS, url=f"sqlite:///{folder}/optuna.db" if request.param == "database" else None)
    found = Story(file, [], [])
    killed = subprocess.run([sys.executable, str(Path(__file__).with_name("searching.py")), str(file)], check=False, timeout=300)
    assert killed.returncode == -signal.SIGKILL
    found.told.append(told_by(file))
    for core_hours in (BUDGET_CORE_HOURS, 1000 * BUDGET_CORE_HOURS):
        found.results.append(run_played_study(file, Notes(), f"budget.core_hours={core_hours}", resume=True))
        found.told.append(told_by(file))
    return found


def ended(state: str, tune: str, curve: dict[int, float], reason: str = "") -> Told:
    """A row of the table."""
    mlflow = "FAILED" if state == "failed" else "FINISHED"
    return Told(tune, OPTUNA[state], curve, reason, mlflow, state, reason)


COMPLETE = ended("complete", "TERMINATED", {1: 0.5, 2: 0.4, 3: 0.3})
STOPPED = ended("pruned", "TERMINATED", {1: 0.9}, "stopped by the scheduler after epoch 1 of 3")
DIVERGED_LATER = ended("failed", "TERMINATED", {1: 0.45}, DIVERGED)


def twin_of(number: int, told: Told) -> Told:
    """Would train as an earlier trial did: Tune never hears of it."""
    reason = f"{UNTRAINED}: it would train as trial {number} did{f' ({told.reason})' if told.reason else ''}"
    return replace(told, tune="", reason=reason, mlflow_reason=reason)


#: Of trials that ended, after the session in which they did; `TRIALS` in their order.
TABLE = [
    COMPLETE,
    STOPPED,
    ended("failed", "TERMINATED", {}, DIVERGED),
    DIVERGED_LATER,
    ended("failed", "TERMINATED", {}, "the objective is not finite"),
    ended("failed", "TERMINATED", {1: 0.4}, f"the team of workers ended: {BROKEN}"),
    ended("failed", "TERMINATED", {1: 0.35}, "epoch 2 did not measure physics.shower_distance"),
    ended("failed", "ERROR", {1: 0.3}, ACTOR_LOST),
    twin_of(0, COMPLETE),
    twin_of(1, STOPPED),
    twin_of(3, DIVERGED_LATER),
]


@pytest.mark.parametrize(("number", "row"), list(enumerate(TABLE)), ids=TRIALS[:-1])
def test_every_row_of_the_table(story: Story, number: int, row: Told) -> None:
    told = story.told[1][number]
    assert told == row
    assert untrue(told, row.state, row.curve) == []


def test_a_study_whose_driver_was_killed_has_its_trial_running_with_its_curve(story: Story) -> None:
    (told,) = story.told[0]
    assert replace(told, tune="") == Told("", "RUNNING", {1: 0.5}, "", "RUNNING", "running", "")


def test_a_trial_that_the_budget_stopped_is_running_for_optuna_alone_until_it_goes_on(story: Story) -> None:
    told = story.told[1][-1]
    reason = told.mlflow_reason
    assert replace(told, mlflow_reason="") == Told("TERMINATED", "RUNNING", {1: 0.2, 2: 0.15}, "", "FINISHED", "stopped", "")
    assert reason.startswith(f"after epoch 2 of 3: budget.core_hours = {BUDGET_CORE_HOURS:g} is spent (")
    assert story.told[2][-1] == ended("complete", "TERMINATED", {1: 0.2, 2: 0.15, 3: 0.1})


def test_nothing_is_running_when_the_study_has_ended_and_no_trial_is_told_otherwise_than_before(story: Story) -> None:
    assert [result.state for result in story.results] == ["stopped", "complete"]
    last = story.told[-1]
    assert len(last) == len(TRIALS)
    assert not any("RUNNING" in (told.optuna, told.mlflow) for told in last)
    assert [replace(told, tune="") for told in last[:-1]] == [replace(row, tune="") for row in TABLE]


def test_our_records_say_what_the_three_say(story: Story) -> None:
    for result, told in zip(story.results, story.told[1:], strict=True):
        assert [(record.state, record.reason) for record in result.trials] == [(one.state, one.mlflow_reason) for one in told]


def test_an_actor_that_died_leaves_its_last_words_in_mlflow(story: Story) -> None:
    found = error_tags(story.file)
    assert set(found) == {TRIALS.index("actor killed")}
    assert found[TRIALS.index("actor killed")]


#: Rows of the table that several objectives must have, too.
SEVERAL = [0, 1, 3, 4, 6]


def test_with_several_objectives_the_table_is_the_same_curves_included(tmp_path: Path) -> None:
    """Second objective and constraint are the same for all trials, so that rungs decide as with one."""
    objective = {
        "metric": "physics.shower_distance",
        "trade_offs": [{"metric": "physics.occupancy"}],
        "constraints": [{"metric": "physics.response", "at_most": 2}],
    }
    file = write_played_study(tmp_path, [TRIALS[number] for number in SEVERAL], objective)
    result = run_played_study(file, Notes(), resume=True)
    told = told_by(file)
    assert told == [TABLE[number] for number in SEVERAL]
    assert [(record.state, record.reason) for record in result.trials] == [(one.state, one.mlflow_reason) for one in told]
    assert result.front == (0,)
