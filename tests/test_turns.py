"""Trials that take turns: who makes way, who goes on, and that nothing of a trial is lost or trained twice."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from searching import METRIC, SEED, SEEDS, run_played_study, told_by
from small_study import Notes, load_small_study, write_study
from tune_results import epoch_result, failed_result

from gan3d.config.load import load_study
from gan3d.errors import ConfigError
from gan3d.search.optuna_trials import INTERRUPTED
from gan3d.search.samplers import open_optuna_study
from gan3d.search.searcher import FINISHED, OptunaSearcher
from gan3d.search.turns import Turns
from gan3d.tracking import frames
from gan3d.tracking.outcome import STOPPED, TURN_OVER

EPOCHS = 3


class Session:
    """One session of a study whose trials are played, one at a time: real searcher, storage and turns; Tune's part is here."""

    def __init__(self, folder: Path, *, turn: float = 1) -> None:
        file = folder / "small.yaml"
        if not file.exists():
            write_study(folder, {SEED: {"choice": [1, 2, 3]}}, trials={"turn": turn})
        study = load_study(file, [f"trials.turn={turn}"]).study
        opened = open_optuna_study(study, folder / "journal.log")
        self.searcher = OptunaSearcher(study, opened, trials_folder=folder / "trials", base=folder)
        self.turns = Turns(turn, self.searcher.youngest_waiting)
        self.starts = 0

    def play(self, most_starts: int = 100) -> list[tuple[int, list[int]]]:
        """Trials in their order, each with the epochs that it trained until it ended or made way."""
        played = []
        while self.starts < most_starts and (config := self.searcher.suggest(name := f"tune{self.starts}")) is not FINISHED:
            assert config is not None
            self.starts += 1
            self.searcher.begin(name)
            played.append((config["number"], self._train(name, config)))
        return played

    def _train(self, name: str, config: dict[str, Any]) -> list[int]:
        for epoch in range(1, EPOCHS + 1):
            result = epoch_result(epoch, 0.5) | {"config": config, "done": epoch == EPOCHS}
            if self.turns(name, result) or result["done"]:
                break
            self.searcher.on_trial_result(name, result)
        self.searcher.on_trial_complete(name, result)
        return list(range(config["known_epochs"] + 1, epoch + 1))


def test_trials_go_on_in_the_order_in_which_they_began(tmp_path: Path) -> None:
    session = Session(tmp_path)
    assert session.play() == [(number, [epoch]) for epoch in (1, 2, 3) for number in (0, 1, 2)]
    assert [(record.state, record.epochs) for record in session.searcher.records()] == [("complete", 3)] * 3
    assert session.searcher.num_open == 0


def test_a_turn_may_be_several_epochs_and_the_last_one_is_what_is_left(tmp_path: Path) -> None:
    assert Session(tmp_path, turn=2).play() == [(0, [1, 2]), (1, [1, 2]), (2, [1, 2]), (0, [3]), (1, [3]), (2, [3])]


def test_a_study_goes_on_with_whoever_has_come_least_far(tmp_path: Path) -> None:
    assert Session(tmp_path).play(most_starts=4) == [(0, [1]), (1, [1]), (2, [1]), (0, [2])]
    assert Session(tmp_path).play() == [(1, [2]), (2, [2]), (0, [3]), (1, [3]), (2, [3])]


def test_a_turn_that_a_killed_driver_cut_short_goes_on_first(tmp_path: Path) -> None:
    session = Session(tmp_path, turn=2)
    session.play(most_starts=1)
    config = session.searcher.suggest("killed")
    assert config is not None
    session.searcher.on_trial_result("killed", epoch_result(1, 0.5))
    assert Session(tmp_path, turn=2).play() == [(1, [2]), (2, [1, 2]), (0, [3]), (1, [3]), (2, [3])]


def test_turns_may_become_longer_from_one_session_to_the_next(tmp_path: Path) -> None:
    Session(tmp_path, turn=1).play(most_starts=4)
    assert Session(tmp_path, turn=2).play() == [(1, [2, 3]), (2, [2, 3]), (0, [3])]


@pytest.mark.parametrize(
    ("waits_at", "age", "makes_way"),
    [(0.0, 1.9, False), (0.0, 2.0, True), (None, 2.0, False), (1.0, 2.0, True), (2.0, 2.0, True), (5.0, 2.0, False)],
)
def test_a_trial_makes_way_for_whoever_is_not_older(waits_at: float | None, age: float, *, makes_way: bool) -> None:
    result = epoch_result(4, 0.5, age=age) | {"config": {"known_epochs": 3, "turn_began": 1.0}, "done": False}
    assert Turns(1.0, lambda: waits_at)("a", result) == makes_way
    assert (result.get(STOPPED) == TURN_OVER) == makes_way


def test_a_trial_that_fails_ends_or_tells_its_epochs_again_makes_way_for_nobody() -> None:
    config = {"config": {"known_epochs": 3, "turn_began": 1.0}}
    for result in (
        failed_result("diverged", 4) | config | {"done": True},
        epoch_result(4, 0.5, age=9.0) | config | {"done": True},
        epoch_result(3, 0.5, age=9.0) | config | {"done": False},
    ):
        assert not Turns(1.0, lambda: 0.0)("a", result)
        assert STOPPED not in result


def test_with_a_scheduler_that_stops_trials_turns_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"trials.turn = 2.0 lets trials wait for each other, but scheduler.name = asha"):
        load_small_study(tmp_path, {SEED: {"choice": [1, 2]}}, trials={"turn": 2}, scheduler={"name": "asha"})


@pytest.mark.parametrize("sampler", ["tpe", "gp", "nsga2"])
def test_with_a_sampler_that_learns_from_ended_trials_turns_are_refused(tmp_path: Path, sampler: str) -> None:
    with pytest.raises(ConfigError, match=rf"trials.turn = 2.0 lets every trial begin .* for sampler.name = {sampler} "):
        load_small_study(tmp_path, {SEED: {"choice": [1, 2]}}, trials={"turn": 2, "number": 2}, sampler={"name": sampler})


def stopped(session: Session) -> list[tuple[int, int]]:
    """Numbers and epochs of the trials that wait to go on."""
    return [(record.number, record.epochs) for record in session.searcher.stopped()]


def test_a_trial_waits_until_it_goes_on_not_until_somebody_looks_at_it(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.play(most_starts=3)
    assert session.searcher.youngest_waiting() == 1.0
    assert stopped(session) == [(0, 1), (1, 1), (2, 1)]
    assert session.searcher.suggest("goes on") is not None
    assert stopped(session) == [(1, 1), (2, 1)]


def test_a_trial_whose_driver_was_killed_waits_as_others_do(tmp_path: Path) -> None:
    session = Session(tmp_path)
    session.play(most_starts=4)  # trial 0 has had two turns
    assert session.searcher.suggest("killed") is not None
    session.searcher.on_trial_result("killed", epoch_result(2, 0.5))
    assert stopped(session) == [(0, 2), (2, 1)]
    later = Session(tmp_path)
    assert stopped(later) == [(0, 2), (1, 2), (2, 1)]
    assert {record.number: record.reason for record in later.searcher.stopped()}[1] == INTERRUPTED
    assert later.play() == [(1, [3]), (2, [2]), (0, [3]), (2, [3])]


def test_a_trial_that_has_begun_is_trained_though_another_like_it_has_ended(tmp_path: Path) -> None:
    write_study(tmp_path, {SEED: {"choice": [1, 2, 3]}}, sampler={"name": "random"}, trials={"turn": 1, "number": 2})
    session = Session(tmp_path)
    session.searcher._optuna.enqueue_trial({SEED: 1})  # as the first, which is the settings as written
    assert session.play() == [(number, [epoch]) for epoch in (1, 2, 3) for number in (0, 1)]
    assert session.searcher.untrained == []
    assert [(record.state, record.sample) for record in session.searcher.records()] == [("complete", {SEED: 1})] * 2


def played(folder: Path, cases: Sequence[str], **trials: Any) -> Path:
    space = {SEED: {"choice": [SEEDS[case] for case in cases]}}
    (folder / "results").mkdir()
    return write_study(folder, space, trials=trials, objective={"metric": METRIC})


@pytest.mark.slow
def test_tune_optuna_and_mlflow_agree_on_trials_that_took_turns(tmp_path: Path) -> None:
    cases = ["all epochs trained", "stopped by the scheduler", "diverged in a later epoch", "budget spent", "actor killed"]
    notes = Notes()
    file = played(tmp_path, cases, turn=1, concurrent=2)
    result = run_played_study(file, notes, resume=False)
    assert result.state == "complete"
    assert [(record.state, record.epochs) for record in result.trials] == [
        ("complete", 3),
        ("complete", 3),
        ("failed", 1),
        ("complete", 3),
        ("failed", 1),
    ]
    assert notes.started[:5] == [0, 1, 2, 3, 4]
    assert [record.number for record in notes.ended if record.state == "stopped"][:3] == [0, 1, 2]
    assert [(told.optuna, told.state) for told in told_by(file)] == [
        ("COMPLETE", "complete"),
        ("COMPLETE", "complete"),
        ("FAIL", "failed"),
        ("COMPLETE", "complete"),
        ("FAIL", "failed"),
    ]


@pytest.mark.slow
def test_a_trial_in_turns_trains_as_one_in_a_piece(tmp_path: Path) -> None:
    """The command, real workers; and who waits is named."""
    space = {"training.generator.learning_rate": {"choice": [1e-3, 2e-3]}}
    file = write_study(tmp_path, space, workers={"per_trial": 1, "convolutions": "plain"}, trials={"turn": 2})
    found = []
    for name, override in (("turns", "trials.turn=2"), ("pieces", "trials.turn=null")):
        command = [sys.executable, "-m", "gan3d.cli", "run", str(file), "--set", override, "--results", str(tmp_path / name), "--json"]
        session = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        assert session.returncode == 0, session.stderr
        assert json.loads(session.stdout)["state"] == "complete"
        assert ("trial 0 makes way after 2 epochs" in session.stderr) == ("trial 0 goes on" in session.stderr) == (name == "turns")
        found.append(frames.epochs(f"sqlite:///{tmp_path / name / 'tracking.db'}", "small"))
    columns = ["trial", "epoch", "physics.shower_distance", "losses.generator_total", "losses.discriminator_total"]
    one, other = (frame.sort_values(["trial", "epoch"]).reset_index(drop=True)[columns] for frame in found)
    assert one.equals(other)
    assert len(one) == 2 * EPOCHS
