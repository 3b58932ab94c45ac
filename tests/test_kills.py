"""One study that dies in every way there is, again and again, beside one that is left alone: afterwards nobody can tell them apart."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from killed_study import (
    Results,
    Session,
    ask_to_stop,
    assert_same,
    assert_whole,
    interrupt,
    kill_driver,
    kill_head,
    kill_trial_actor,
    kill_worker,
    reboot,
    wait_for,
)
from small_study import Notes, load_small_study, write_study
from test_run import TRIAL_ACTOR, options, own_processes

from gan3d.cli.failures import INTERRUPTED
from gan3d.records import TrialRecord
from gan3d.search.run import run_study

pytestmark = [
    pytest.mark.timeout(1800),  # all of its sessions at once, on a machine that may be busy
    pytest.mark.slow,
    pytest.mark.filterwarnings("default"),  # Ray's and MLflow's own
]

TRIALS, EPOCHS = 2, 10
#: Workers that know how to compute convolutions without measuring: two runs then agree to the last bit.
CHANGES: dict[str, Any] = {"workers": {"per_trial": 2, "convolutions": "plain"}}
#: What the study survives by itself, and what needs a `gan3d resume`; in this order.
WITHIN: dict[str, Callable[[Session], None]] = {"worker": kill_worker, "trial actor": kill_trial_actor}
DEATHS: dict[str, Callable[[Session], None]] = {
    "Ctrl-C": interrupt,
    "driver": kill_driver,
    "stop": ask_to_stop,
    "Ray's head": kill_head,
    "reboot": reboot,
}


@dataclass
class Death:
    """How a session ended, and what there was before and after it."""

    before: dict[int, list[dict[str, Any]]]
    after: dict[int, list[dict[str, Any]]]
    returncode: int
    output: str
    left_behind: list[str]


@dataclass
class Story:
    """All of them, by what died."""

    killed: Results
    uninterrupted: Results
    deaths: dict[str, Death]


def killed_after_an_epoch(session: Session, results: Results, blow: Callable[[Session], None]) -> dict[int, list[dict[str, Any]]]:
    """Let the session finish one epoch more and strike in the middle of the next; returns what there was at that moment."""
    before = results.num_finished()
    wait_for(lambda: results.num_finished() > before, session, "an epoch's end")
    rows = results.rows()
    blow(session)
    return rows


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    folder = tmp_path_factory.mktemp("kills")
    study = write_study(folder, {"training.seed": {"choice": [1, 2]}}, **CHANGES)
    start = ["run", str(study), "--set", f"training.epochs={EPOCHS}", "--results"]
    found = Story(Results(folder / "killed", "small"), Results(folder / "uninterrupted", "small"), {})
    sessions = [Session(folder, *start, "uninterrupted")]
    try:
        assert sessions[0].ended() == 0, sessions[0].output
        sessions.append(Session(folder, *start, "killed"))
        for number, blow in enumerate(WITHIN.values(), start=1):
            killed_after_an_epoch(sessions[-1], found.killed, blow)
            wait_for(lambda number=number: found.killed.restarts() == number, sessions[-1], "the trial to go on")
        for name, blow in DEATHS.items():
            before = killed_after_an_epoch(sessions[-1], found.killed, blow)
            code, left = sessions[-1].ended(), sessions[-1].left_behind()
            found.deaths[name] = Death(before, found.killed.rows(), code, sessions[-1].output, left)
            sessions.append(Session(folder, "resume", "killed"))
        assert sessions[-1].ended() == 0, sessions[-1].output
        found.deaths["none"] = Death({}, found.killed.rows(), 0, sessions[-1].output, sessions[-1].left_behind())
        yield found
    finally:
        for session in sessions:
            session.clear()


def test_no_trial_is_lost_or_doubled_and_no_epoch_trained_twice(story: Story) -> None:
    assert_whole(story.uninterrupted, TRIALS, EPOCHS)
    assert_whole(story.killed, TRIALS, EPOCHS)


def test_trials_go_on_bit_for_bit(story: Story) -> None:
    assert_same(story.killed, story.uninterrupted)


def test_a_lost_worker_and_a_lost_trial_actor_are_counted_over_all_sessions(story: Story) -> None:
    assert [restarts for *_, restarts in story.killed.mlflow_trials()] == [len(WITHIN), 0]


@pytest.mark.parametrize("name", DEATHS)
def test_what_was_finished_is_kept(story: Story, name: str) -> None:
    death, at_the_end = story.deaths[name], story.killed.rows()
    for rows, later in ((death.before, death.after), (death.after, at_the_end)):
        for number in rows:
            assert later[number][: len(rows[number])] == rows[number]


@pytest.mark.parametrize("name", [*DEATHS, "none"])
def test_no_process_is_left_behind(story: Story, name: str) -> None:
    assert story.deaths[name].left_behind == []


def test_who_presses_ctrl_c_is_told_how_to_go_on(story: Story) -> None:
    assert story.deaths["Ctrl-C"].returncode == INTERRUPTED
    assert "go on gan3d run" in story.deaths["Ctrl-C"].output


def test_who_asks_a_study_to_stop_gets_the_epoch_that_it_is_in(story: Story) -> None:
    death = story.deaths["stop"]
    assert death.returncode == INTERRUPTED
    assert "go on gan3d run" in death.output
    assert sum(map(len, death.after.values())) > sum(map(len, death.before.values()))


class BetweenTwoTrials(Notes):
    """Kills the trial actor when a trial has ended, before the next one has it."""

    def trial_ended(self, record: TrialRecord) -> None:
        if not self.ended:
            own_processes(TRIAL_ACTOR)[-1].kill()
        super().trial_ended(record)


def test_a_trial_actor_killed_between_two_trials_costs_neither_a_trial_nor_the_cpus_of_its_team(tmp_path: Path) -> None:
    """Both of the machine's CPUs, where it has two."""
    loaded = load_small_study(tmp_path, {"training.seed": {"choice": [1, 2]}})
    notes = BetweenTwoTrials()
    result = run_study(loaded, options(tmp_path / "results"), notes)
    assert [(record.number, record.state, record.epochs) for record in result.trials] == [(0, "complete", 3), (1, "complete", 3)]
    assert [record.number for record in notes.ended] == [0, 1]
    assert_whole(Results(tmp_path / "results", "small"), 2, 3)


def test_who_loses_ray_is_told_how_to_go_on(story: Story) -> None:
    assert story.deaths["Ray's head"].returncode == INTERRUPTED
    assert "gan3d resume STUDY goes on with it" in story.deaths["Ray's head"].output
