"""Who may begin: rooms of nodes, turns, and what is said of a wait; then a real study that asks for more than there is."""

from __future__ import annotations

from pathlib import Path
from threading import Lock

import pytest
from ray import cloudpickle
from small_study import Notes, load_small_study

from gan3d.search.admission import Admission, have_room
from gan3d.search.run import RunOptions, run_study
from gan3d.tracking import frames


@pytest.mark.parametrize(
    ("rooms", "trials", "anywhere", "on_one_node"),
    [
        ((4,), [2, 2], True, True),
        ((4,), [2, 2, 1], False, False),
        ((2, 2), [3], True, False),
        ((3, 2), [2, 3], True, True),
        ((3, 3), [2, 2, 2], True, False),
        ((0, 4), [4], True, True),
        ((4,), [], True, True),
    ],
)
def test_room_is_counted_by_node_where_a_trial_must_share_one(
    rooms: tuple[int, ...], trials: list[int], anywhere: bool, on_one_node: bool
) -> None:
    assert have_room(rooms, trials, one_node=False) is anywhere
    assert have_room(rooms, trials, one_node=True) is on_one_node


def test_a_wait_is_explained_once_and_ends_with_whoever_held_the_cpus() -> None:
    said: list[str] = []
    admission = Admission(lambda: (6,), 2, one_node=False, say=said.append)
    for number, workers in ((3, 2), (5, 3)):
        assert admission.admits(number, workers)
        admission.begin(number, workers)
    assert not admission.admits(7, 2)
    assert not admission.admits(7, 2)
    assert said == ["trial 7 waits for 4 CPUs held by trials 3, 5"]
    admission.end(3)
    assert admission.admits(7, 2)
    admission.begin(7, 2)
    assert not admission.admits(8, 2)
    assert said[1:] == ["trial 8 waits for 4 CPUs held by trials 5, 7"]


def test_a_node_that_joins_or_leaves_counts_for_the_next_trial() -> None:
    rooms = [2]
    admission = Admission(lambda: rooms, 1, one_node=False, say=lambda _: None)
    admission.begin(0, 2)
    assert not admission.admits(1, 2)
    rooms.append(2)
    assert admission.admits(1, 2)
    rooms.pop()
    assert not admission.admits(1, 2)


def test_somebody_runs_always() -> None:
    """What can never have room is refused before; a cluster that has shrunk meanwhile is no reason to wait for nobody."""
    assert Admission(lambda: (1,), 1, one_node=False, say=print).admits(0, 4)


def test_tune_can_pickle_it() -> None:
    assert isinstance(cloudpickle.loads(cloudpickle.dumps(Admission(lambda: (1,), 1, one_node=False, say=Lock().acquire))), Admission)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")
def test_a_study_that_asks_for_more_than_there_is_takes_turns_and_packs_what_it_can(tmp_path: Path) -> None:
    """Two CPUs: of four trials at a time, as many run as have room, in their order; a team has its trial's size."""
    space = {"training.seed": {"choice": [1, 2]}, "workers.per_trial": {"choice": [1, 2]}}
    loaded = load_small_study(tmp_path, space, trials={"concurrent": 4})
    notes = Notes()
    result = run_study(loaded, RunOptions(tmp_path / "results", None, None, resume=False, verbose=False), notes)
    assert result.state == "complete"
    assert [trial.state for trial in result.trials] == ["complete"] * 4
    assert any(text.startswith("Trials take turns: ") for text in notes.said)
    trials = frames.trials(result.tracking_uri, "small").set_index("trial")
    for one in trials.itertuples():
        beside = trials[(trials["started"] < one.ended) & (trials["ended"] > one.started)]
        assert beside["workers.per_trial"].sum() <= 2
    assert (trials["core_hours"] == trials["reserved_core_hours"]).all(), "no team is larger than its trial"
