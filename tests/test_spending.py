"""Who is stopped when the budget is spent: real searcher, real ledger; Tune's part is played by its results, as it hands them over."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from ledger_inputs import Clock, epoch_of
from small_study import load_small_study
from tune_results import epoch_result, failed_result

from gan3d.config.load import LoadedStudy
from gan3d.config.objective import Objective
from gan3d.cost.account import Account
from gan3d.cost.ledger import Ledger
from gan3d.search import stopping
from gan3d.search.optuna_trials import best_of
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import FINISHED, OptunaSearcher
from gan3d.search.spending import SpentBudget
from gan3d.search.stopping import StopRequest, ask_to_stop
from gan3d.tracking.outcome import STOPPED, outcome_of

EPOCHS = 3


class Session:
    """One session of a study of three trials of two workers with one core-hour to spend."""

    def __init__(self, folder: Path, loaded: LoadedStudy, clock: Clock, ledger: Ledger | None = None) -> None:
        self.loaded, self.clock = loaded, clock
        self.account = Account(loaded.study, ledger or Ledger(loaded.study.cost, now=clock))
        opened = open_optuna_study(loaded.study, folder / "journal.log")
        self.searcher = OptunaSearcher(
            loaded.study,
            opened,
            trials_folder=folder / "trials",
            base=folder,
            may_go_on=lambda: not self.account.exhausted,
            held_seconds=self.account.ledger.held_seconds,
        )
        self.stopper = SpentBudget(self.account)

    def start(self, name: str) -> dict[str, Any]:
        config = self.searcher.suggest(name)
        assert config is not None
        assert config is not FINISHED
        self.account.start_trial(config["number"], config["settings"]["workers"]["per_trial"])
        return config

    def epoch(self, config: dict[str, Any], epoch: int, hours: float = 0.0, *, failed: bool = False) -> tuple[bool, dict[str, Any]]:
        """Whether the stopper ends the trial, and the result it was asked about."""
        self.clock.wait(3600 * hours)
        result = (failed_result("lost", epoch) if failed else epoch_result(epoch, 1.0 / epoch)) | {"config": config}
        told = result | epoch_of(1.0)
        return self.stopper("a", told), told

    def train(self, name: str, hours: float) -> str:
        """A trial of so many hours per epoch, as Tune would run it; returns how it ended."""
        config = self.start(name)
        for epoch in range(1, EPOCHS + 1):
            self.clock.wait(3600 * hours)
            result = epoch_result(epoch, 0.5) | {"config": config} | epoch_of(1.0)
            if self.stopper(name, result) or epoch == EPOCHS:
                break
            self.searcher.on_trial_result(name, result)
        self.account.end_trial(config["number"])
        self.searcher.on_trial_complete(name, result)
        return outcome_of(config["number"], config["sample"], EPOCHS, result, seconds=0.0).state


@pytest.fixture
def loaded(tmp_path: Path) -> LoadedStudy:
    return load_small_study(tmp_path, {"training.seed": {"choice": [1, 2, 3]}}, budget={"core_hours": 1})


@pytest.fixture
def session(tmp_path: Path, loaded: LoadedStudy) -> Session:
    return Session(tmp_path, loaded, Clock())


def test_a_trial_goes_on_while_there_is_something_left(session: Session) -> None:
    config = session.start("a")
    assert session.epoch(config, 1, hours=0.2)[0] is False
    ends, _ = session.epoch(config, 2, hours=0.3)
    assert ends


def test_the_result_says_which_limit(session: Session) -> None:
    config = session.start("a")
    session.clock.wait(1800)
    result: dict[str, Any] = epoch_result(1, 0.5) | {"config": config} | epoch_of(1.0)
    assert session.stopper("a", result)
    assert result[STOPPED] == "budget.core_hours = 1 is spent (1 core-hours)"


def test_a_failed_trial_has_failed_whatever_is_left(session: Session) -> None:
    config = session.start("a")
    ends, result = session.epoch(config, 1, hours=5, failed=True)
    assert not ends
    assert STOPPED not in result


def test_epochs_told_again_end_no_trial(session: Session) -> None:
    """A trial whose actor was lost tells all of its epochs again; stopped at its first it would look shorter than it is."""
    config = session.start("a")
    session.epoch(config, 1, hours=0.1)
    session.epoch(config, 2, hours=0.1)
    session.clock.wait(3600)
    assert [session.epoch(config, epoch)[0] for epoch in (1, 2, 3)] == [False, False, True]


def test_epochs_that_an_earlier_session_told_end_no_trial_even_if_the_ledger_is_lost(tmp_path: Path, loaded: LoadedStudy) -> None:
    first = Session(tmp_path, loaded, Clock())
    config = first.start("a")
    for epoch in (1, 2):
        first.searcher.on_trial_result("a", epoch_result(epoch, 0.5))
    second = Session(tmp_path, loaded, Clock())
    config = second.start("b")
    assert (config["number"], config["known_epochs"]) == (0, 2)
    assert [second.epoch(config, epoch, hours=1)[0] for epoch in (1, 2)] == [False, True]


def test_once_it_is_spent_no_trial_is_proposed(session: Session) -> None:
    assert session.train("a", hours=0.1) == "complete"
    assert session.train("b", hours=0.15) == "stopped"
    assert session.searcher.suggest("c") is FINISHED
    assert session.searcher.is_idle
    assert session.searcher.num_open == 2


def test_a_trial_whose_last_epoch_spends_the_rest_is_complete(session: Session) -> None:
    assert session.train("a", hours=0.17) == "complete"
    assert session.account.exhausted


def test_a_stopped_trial_is_taken_up_again_before_new_ones(tmp_path: Path, loaded: LoadedStudy) -> None:
    first = Session(tmp_path, loaded, Clock())
    assert first.train("a", hours=0.3) == "stopped"
    (record,) = first.searcher.stopped()
    assert (record.state, record.epochs, record.objective, record.seconds) == ("stopped", 2, 0.5, 2 * 0.3 * 3600)
    assert record.reason == "after epoch 2 of 3: budget.core_hours = 1 is spent (1.2 core-hours)"
    assert best_of({0: record}, loaded.study.objective) == record
    again = Session(tmp_path, load_small_study(tmp_path, {"training.seed": {"choice": [1, 2, 3]}}, budget={"core_hours": 99}), Clock())
    config = again.start("a")
    assert (config["number"], config["known_epochs"]) == (0, 2)
    assert list(again.searcher.stopped()) == []
    assert again.start("b")["number"] == 1


def test_a_trial_s_seconds_are_those_of_all_sessions_without_the_time_between(tmp_path: Path, loaded: LoadedStudy) -> None:
    first = Session(tmp_path, loaded, Clock())
    first.train("a", hours=0.3)
    first.account.ledger.save(tmp_path)
    rich = load_small_study(tmp_path, {"training.seed": {"choice": [1, 2, 3]}}, budget={"core_hours": 99})
    clock = Clock()
    again = Session(tmp_path, rich, clock, Ledger.open(tmp_path, rich.study.cost, now=clock))
    assert again.train("b", hours=0.1) == "complete"
    (record,) = again.searcher.records()
    assert record.number == 0
    assert record.seconds == pytest.approx((2 * 0.3 + 3 * 0.1) * 3600)


def test_a_complete_trial_is_better_than_a_stopped_one_with_a_better_objective(session: Session) -> None:
    complete, stopped = (
        outcome_of(number, {}, EPOCHS, epoch_result(epoch, value) | {STOPPED: "spent"}, seconds=1.0)
        for number, epoch, value in ((0, EPOCHS, 0.5), (1, 1, 0.1))
    )
    assert best_of({0: complete, 1: stopped}, Objective()) == complete


def test_it_never_ends_all_trials_at_once_and_tune_can_pickle_it(session: Session) -> None:
    """That would end trials in the middle of an epoch."""
    session.train("a", hours=9)
    assert session.stopper.stop_all() is False
    assert isinstance(pickle.loads(pickle.dumps(session.stopper)), SpentBudget)


def test_a_study_that_is_asked_to_stop_ends_its_trials_with_their_epochs(session: Session, tmp_path: Path, monkeypatch: Any) -> None:
    monkeypatch.setattr(stopping, "LOOK_SECONDS", 0.0)
    request = StopRequest(tmp_path)
    session.stopper = SpentBudget(session.account, request)
    config = session.start("a")
    ends, _ = session.epoch(config, 1)
    assert not ends
    ask_to_stop(tmp_path)
    ends, result = session.epoch(config, 2)
    assert ends
    assert result[STOPPED] == "asked to stop"
    assert not StopRequest(tmp_path).reason, "a request is for the session that it was made in"


def test_a_trial_that_waits_for_room_does_not_begin_once_the_study_is_to_stop(session: Session) -> None:
    """It is the first of the next session."""
    session.start("a")
    assert session.searcher.has_next()
    session.searcher._may_go_on = lambda: False
    assert not session.searcher.has_next()
    assert [trial.number for trial in session.searcher._interrupted] == [1]
