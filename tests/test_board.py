"""The board without Ray: what trials and teams may rely on, whoever dies when."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from gan3d.search.board import MAX_RESTARTS, Board

TEAM = "team-a"
#: Long enough for everything that is ready to run, too short to be noticed.
MOMENT = 0.02


def assignment(number: int = 0) -> dict[str, Any]:
    return {"number": number, "folder": f"trials/{number:04d}"}


def run(story: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(10):
            await story

    asyncio.run(limited())


async def is_waiting(task: asyncio.Task[Any]) -> bool:
    await asyncio.sleep(MOMENT)
    return not task.done()


async def post(board: Board, number: int = 0, team: str = TEAM) -> int:
    sequence, left_behind = await board.post(team, assignment(number))
    assert left_behind == []
    return sequence


def test_workers_wait_for_permission_and_get_it() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        assert await board.permission(TEAM, sequence, 1)
        asking = asyncio.create_task(board.permission(TEAM, sequence, 2))
        assert await is_waiting(asking)
        await board.permit(TEAM, sequence, 2)
        assert await asking

    run(story())


def test_a_new_post_withdraws_permission() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        asking = asyncio.create_task(board.permission(TEAM, sequence, 2))
        assert await is_waiting(asking)
        newer = await post(board, 1)
        assert not await asking
        assert not await board.permission(TEAM, sequence, 1)
        assert await board.permission(TEAM, newer, 1)

    run(story())


def test_workers_wait_for_the_next_assignment() -> None:
    async def story() -> None:
        board = Board()
        waiting = asyncio.create_task(board.next(TEAM, 0))
        assert await is_waiting(waiting)
        first = await post(board)
        assert await waiting == assignment() | {"sequence": first}
        waiting = asyncio.create_task(board.next(TEAM, first))
        assert await is_waiting(waiting)
        await board.dissolve(TEAM)
        assert await waiting is None

    run(story())


def test_dissolving_withdraws_permission() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        asking = asyncio.create_task(board.permission(TEAM, sequence, 2))
        assert await is_waiting(asking)
        await board.dissolve(TEAM)
        assert not await asking

    run(story())


def test_an_epoch_reported_again_is_ignored() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        for epoch, loss in [(1, 0.5), (1, 0.6), (2, 0.4), (1, 0.7), (2, 0.3)]:
            await board.report(TEAM, sequence, epoch, {"loss": loss})
        events = [await board.take(TEAM, sequence, MOMENT) for _ in range(3)]
        assert [event and (event["epoch"], event["metrics"]["loss"]) for event in events] == [(1, 0.5), (2, 0.4), None]

    run(story())


def test_take_waits_for_an_event_and_times_out_without_one() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        assert await board.take(TEAM, sequence, MOMENT) is None
        taking = asyncio.create_task(board.take(TEAM, sequence, 5.0))
        assert await is_waiting(taking)
        await board.report(TEAM, sequence, 1, {"loss": 0.5})
        assert await taking == {"epoch": 1, "metrics": {"loss": 0.5}, "restarts": 0}

    run(story())


def test_a_restarted_group_gets_the_same_assignment() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.join(TEAM, "group 1")
        first = await board.next(TEAM, 0)
        await board.join(TEAM, "group 2")
        assert await board.next(TEAM, 0) == first
        await board.report(TEAM, sequence, 1, {})
        event = await board.take(TEAM, sequence, MOMENT)
        assert event is not None
        assert event["restarts"] == 1

    run(story())


def test_a_group_of_another_size_is_no_restart() -> None:
    """Of an elastic team: nodes come and go."""

    async def story() -> None:
        board = Board()
        sequence = await post(board)
        for size in (4, 3, 4, 2, 4, 3):
            await board.join(TEAM, None, size)
        await board.join(TEAM, None, 3)
        await board.report(TEAM, sequence, 1, {})
        event = await board.take(TEAM, sequence, MOMENT)
        assert event is not None
        assert event["restarts"] == 1, "the last one, of the same size"

    run(story())


def test_a_group_of_another_size_is_no_restart_of_a_team_s_later_trials_either() -> None:
    async def story() -> None:
        board = Board()
        await post(board)
        await board.join(TEAM, None, 4)
        sequence = await post(board, 1)
        await board.join(TEAM, None, 3)
        await board.report(TEAM, sequence, 1, {})
        assert await board.take(TEAM, sequence, MOMENT) == {"epoch": 1, "metrics": {}, "restarts": 0}
        sequence = await post(board, 2)
        await board.join(TEAM, None, 3)
        await board.report(TEAM, sequence, 1, {})
        assert await board.take(TEAM, sequence, MOMENT) == {"epoch": 1, "metrics": {}, "restarts": 1}

    run(story())


def test_restarts_are_counted_per_trial() -> None:
    async def story() -> None:
        board = Board()
        await post(board)
        for _ in range(1 + MAX_RESTARTS):
            await board.join(TEAM, None)
        sequence = await post(board, 1)
        await board.report(TEAM, sequence, 1, {})
        assert await board.take(TEAM, sequence, MOMENT) == {"epoch": 1, "metrics": {}, "restarts": 0}

    run(story())


@pytest.mark.parametrize(("note", "cause"), [("RuntimeError: out of memory", "RuntimeError: out of memory"), ("", "a worker was killed")])
def test_workers_lost_too_often_fail_the_trial_with_the_last_cause(note: str, cause: str) -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.join(TEAM, None)
        await board.note(TEAM, sequence, "RuntimeError: of an earlier group", "again", False)
        for _ in range(MAX_RESTARTS):
            await board.join(TEAM, None)
        if note:
            await board.note(TEAM, sequence, note, "again", False)
            await board.note(TEAM, sequence, "RuntimeError: connection closed by peer", "again", False)
        assert await board.take(TEAM, sequence, MOMENT) is None
        await board.join(TEAM, None)
        restarts = MAX_RESTARTS + 1
        reason = f"workers were lost {restarts} times; the last time: {cause}"
        assert await board.take(TEAM, sequence, MOMENT) == {"failed": reason, "restarts": restarts}
        assert not await board.permission(TEAM, sequence, 1)

    run(story())


@pytest.mark.parametrize("is_echo_first", [True, False])
def test_a_broken_file_fails_the_trial_at_once_with_its_name(is_echo_first: bool) -> None:
    notes = [("DataError: another rank could not read", True), ("DataError: train.h5: truncated", False)]

    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.join(TEAM, None)
        for message, is_echo in notes if is_echo_first else reversed(notes):
            await board.note(TEAM, sequence, message, "fails", is_echo)
        await board.join(TEAM, None)
        assert await board.take(TEAM, sequence, MOMENT) == {"failed": "DataError: train.h5: truncated", "restarts": 0}

    run(story())


@pytest.mark.parametrize("is_full_first", [True, False])
def test_a_full_disk_stops_the_trial_for_now_whoever_speaks_first(is_full_first: bool) -> None:
    notes = [("OSError: [Errno 28] No space left on device", "stops"), ("RuntimeError: connection closed by peer", "again")]

    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.join(TEAM, None)
        for message, fate in notes if is_full_first else reversed(notes):
            await board.note(TEAM, sequence, message, fate, False)
        await board.join(TEAM, None)
        assert await board.take(TEAM, sequence, MOMENT) == {"stopped": notes[0][0], "restarts": 0}
        assert not await board.permission(TEAM, sequence, 1)

    run(story())


def test_stale_sequences_are_ignored() -> None:
    async def story() -> None:
        board = Board()
        stale = await post(board)
        sequence = await post(board, 1)
        await board.report(TEAM, stale, 1, {})
        await board.fail(TEAM, stale, "of the past")
        await board.note(TEAM, stale, "of the past", "fails", False)
        await board.permit(TEAM, stale, 2)
        assert await board.take(TEAM, sequence, MOMENT) is None
        asking = asyncio.create_task(board.permission(TEAM, sequence, 2))
        assert await is_waiting(asking)
        await board.permit(TEAM, sequence, 2)
        assert await asking

    run(story())


def test_a_failed_trial_says_why_once_and_the_team_goes_on() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.fail(TEAM, sequence, "DivergedError: not finite")
        await board.report(TEAM, sequence, 1, {})
        assert await board.take(TEAM, sequence, MOMENT) == {"failed": "DivergedError: not finite", "restarts": 0}
        assert await board.take(TEAM, sequence, MOMENT) is None
        waiting = asyncio.create_task(board.next(TEAM, sequence))
        assert await is_waiting(waiting)
        newer = await post(board, 1)
        assert await waiting == assignment(1) | {"sequence": newer}

    run(story())


def test_a_trial_posted_by_another_team_takes_it_from_the_team_before() -> None:
    async def story() -> None:
        board = Board()
        old = await post(board)
        await board.join(TEAM, "old group")
        asking = asyncio.create_task(board.permission(TEAM, old, 2))
        assert await is_waiting(asking)
        new, left_behind = await board.post("team-b", assignment())
        assert left_behind == ["old group"]
        assert not await asking
        assert await board.next(TEAM, old) is None
        await board.report("team-b", new, 1, {})
        assert await board.take("team-b", new, MOMENT) == {"epoch": 1, "metrics": {}, "restarts": 1}
        assert await board.post("team-c", assignment()) == (1, [])

    run(story())


def test_a_trial_that_left_its_team_in_peace_has_not_been_restarted_by_the_next_one() -> None:
    async def story() -> None:
        board = Board()
        for turn in range(MAX_RESTARTS + 2):
            team = f"team {turn}"
            sequence, left_behind = await board.post(team, assignment())
            assert left_behind == []
            await board.report(team, sequence, 1, {})
            assert await board.take(team, sequence, MOMENT) == {"epoch": 1, "metrics": {}, "restarts": 0}
            await board.dissolve(team)

    run(story())


def test_an_abandoned_trial_gives_its_placement_group_back_once() -> None:
    async def story() -> None:
        board = Board()
        sequence = await post(board)
        await board.join(TEAM, "group")
        waiting = asyncio.create_task(board.next(TEAM, sequence))
        assert await is_waiting(waiting)
        assert await board.abandon(7) == []
        assert await board.abandon(0) == ["group"]
        assert await waiting is None
        assert await board.abandon(0) == []

    run(story())


def test_what_nobody_works_on_any_more_is_given_back_and_the_others_go_on() -> None:
    async def story() -> None:
        board = Board()
        await post(board)
        other = await post(board, 1, "team-b")
        await board.join(TEAM, "group")
        await board.join("team-b", "other group")
        assert await board.abandon_all_but({1, 2}) == ["group"]
        assert await board.next(TEAM, 0) is None
        assert await board.permission("team-b", other, 1)
        assert await board.abandon_all_but({1, 2}) == []

    run(story())


def test_teams_do_not_disturb_each_other() -> None:
    async def story() -> None:
        board = Board()
        one, other = await post(board), await post(board, 1, "team-b")
        await board.join(TEAM, None)
        await board.join("team-b", None)
        await board.fail("team-b", other, "its own fault")
        assert await board.take(TEAM, one, MOMENT) is None
        assert await board.permission(TEAM, one, 1)

    run(story())


def test_the_overview_shows_open_assignments_with_progress_only() -> None:
    async def story() -> None:
        board = Board()
        one, other = await post(board), await post(board, 1, "team-b")
        assert await board.overview() == []
        await board.progress(TEAM, one, 1, 2, 6)
        await board.progress("team-b", other, 3, 4, 6)
        first, second = await board.overview()
        assert {key: first[key] for key in ("number", "epoch", "step", "steps")} == {"number": 0, "epoch": 1, "step": 2, "steps": 6}
        assert second["number"] == 1
        await board.fail(TEAM, one, "why")
        assert [row["number"] for row in await board.overview()] == [1]
        await post(board, 2, "team-b")
        assert await board.overview() == []

    run(story())
