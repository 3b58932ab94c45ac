"""A Ray Train worker of a team: it outlives trials, trains one after the other, and does what the board says.

The only file here that knows Ray. The board (``gan3d.search.board``) is an actor handle in the worker's configuration: it hands
out assignments, takes records, and says after each epoch whether to go on. Rank 0 speaks for the trial; ranks that a smaller
trial does not need wait at the board for the next assignment.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import ray
import ray.train
import torch
import torch.distributed as dist
from ray.train.torch import get_device
from ray.util.placement_group import get_current_placement_group

from gan3d.config.elastic import with_workers
from gan3d.config.objective import Objective
from gan3d.config.training import Data, TrialSettings
from gan3d.cost.epochs import Holding
from gan3d.data.paths import on_this_node
from gan3d.data.scan import ELSEWHERE
from gan3d.errors import DataError, DivergedError, no_room_in
from gan3d.records import EpochRecord, Fate
from gan3d.training.checkpoint import TrialFolder, load_state, save_state
from gan3d.training.loop import Trial, epochs
from gan3d.training.merit import Judge
from gan3d.training.metering import TrialMeter
from gan3d.training.ranks import Ranks
from gan3d.training.seat import seats
from gan3d.training.showers import TrialShowers, open_showers
from gan3d.training.state import TrainState

#: At most one progress message in so many seconds.
PROGRESS_SECONDS = 0.5


class Desk:
    """The board as one team's rank 0 sees it while it works on one assignment."""

    def __init__(self, board: Any, team: str, sequence: int) -> None:
        self._board, self._team, self.sequence = board, team, sequence
        self._last_message = 0.0

    def ask(self, question: str, *arguments: Any) -> Any:
        """Call a method of the board about this assignment and wait for its answer."""
        return ray.get(getattr(self._board, question).remote(self._team, self.sequence, *arguments))

    def progress(self, epoch: int, step: int, steps: int) -> None:
        """Say how far the epoch is; not more often than useful, and without waiting."""
        now = time.monotonic()
        if now - self._last_message >= PROGRESS_SECONDS or step == steps:
            self._last_message = now
            self._board.progress.remote(self._team, self.sequence, epoch, step, steps)


def team_worker(config: dict[str, Any]) -> None:
    """The training function of the team's Ray Train run: trains assignments until the board has none left.

    Args:
        config: ``board`` (actor handle) and ``team`` (its name there).
    """
    context = ray.train.get_context()
    rank, board, team = context.get_world_rank(), config["board"], config["team"]
    if rank == 0:
        ray.get(board.join.remote(team, get_current_placement_group(), context.get_world_size()))
    if context.get_world_size() > 1:
        dist.barrier()  # nobody asks for work before the board knows that this is a new group
    seen = 0
    while (assignment := ray.get(board.next.remote(team, seen))) is not None:
        seen = assignment["sequence"]
        asked_for = TrialSettings.model_validate(assignment["settings"])
        settings = with_workers(asked_for, context.get_world_size())
        if settings.world_size < asked_for.world_size:
            holding = assignment["holding"] | {"workers": settings.world_size, "team_workers": context.get_world_size()}
            assignment |= {"holding": holding}
        if rank < settings.world_size:
            _train(assignment, settings, trial_ranks(rank, settings.world_size), Desk(board, team, seen))


def files_here(data: Data, written: dict[str, list[str]]) -> Data:
    """The section ``data`` with files where they are on this node; what is kept of a trial says where the driver has them."""
    places = {name: tuple(on_this_node(*pair) for pair in zip(one, getattr(data, name), strict=True)) for name, one in written.items()}
    return data.model_copy(update=places)


def trial_ranks(rank: int, world_size: int) -> Ranks:
    """The trial's ranks: the first of the team's, with a process group of their own, made once per world size."""
    device = get_device()
    if world_size == 1:
        return Ranks(device=device)
    if world_size not in _GROUPS:
        backend = "cpu:gloo,cuda:nccl" if device.type == "cuda" else "gloo"
        _GROUPS[world_size] = dist.new_group(list(range(world_size)), backend=backend, use_local_synchronization=True)
    return Ranks(rank, world_size, device, _GROUPS[world_size])


#: Process groups of this worker by world size.
_GROUPS: dict[int, dist.ProcessGroup] = {}


def _train(assignment: dict[str, Any], settings: TrialSettings, ranks: Ranks, desk: Desk) -> None:
    """One trial, until it is complete, stopped or failed; what is not the trial's fault goes up and brings the group down."""
    folder = TrialFolder(Path(assignment["folder"]))
    try:
        _run_epochs(assignment, settings, ranks, desk, folder)
    except DivergedError as error:
        # Raised on all ranks together, so the group stays usable. Nothing else is: a damaged file may be one rank's alone.
        if ranks.rank == 0:
            desk.ask("fail", f"{type(error).__name__}: {error}")
    except Exception as error:
        desk.ask("note", f"{type(error).__name__}: {error}", fate_of(error), ELSEWHERE in str(error))
        raise


def fate_of(error: Exception) -> Fate:
    """What becomes of a trial whose worker met this error: for the next group a file will be as broken, a disk as full, a GPU as small."""
    if no_room_in(error) is not None:
        return "stops"
    return "fails" if isinstance(error, (DataError, torch.OutOfMemoryError)) else "again"


def _run_epochs(assignment: dict[str, Any], settings: TrialSettings, ranks: Ranks, desk: Desk, folder: TrialFolder) -> None:
    meter = TrialMeter(Holding(**assignment["holding"]), ranks)
    if ranks.rank == 0:
        folder.write_settings(settings.model_dump(mode="json"))
    showers = open_showers(files_here(settings.data, assignment["written"]), ranks, polar_angle=settings.training.polar_angle)
    state = TrainState(settings, ranks)
    placed = seats(ranks, settings.threads_per_worker)
    if ranks.rank == 0:
        folder.write_workers(placed)
    if not _resume(state, settings, ranks, desk, folder):
        return
    if ranks.rank == 0:
        folder.write_showers(showers.counts)
    judge = Judge(Objective.model_validate(assignment["objective"]))
    for row in folder.records() if ranks.rank == 0 else ():
        judge.judge(row["metrics"])
    for record in map(meter.with_cost, _saved_epochs(settings, ranks, showers, state, desk, folder)):
        if ranks.rank == 0:
            metrics = record.as_metrics()
            # In this order: killed in between, the epoch is trained again, bit for bit, and kept again.
            if judge.judge(metrics) is judge.best:
                folder.keep_best(record.epoch)
            folder.commit({"epoch": record.epoch, "metrics": metrics})
            desk.ask("report", record.epoch, metrics)
        if record.epoch == settings.training.epochs or not _goes_on(record.epoch, ranks, desk):
            return


def _resume(state: TrainState, settings: TrialSettings, ranks: Ranks, desk: Desk, folder: TrialFolder) -> bool:
    """Take up the newest checkpoint, reporting its epochs again; False where the trial has nothing more to do."""
    rows = ranks.broadcast(folder.records() if ranks.rank == 0 else None)
    if ranks.rank == 0:
        for row in rows:
            desk.ask("report", row["epoch"], row["metrics"])
    if not rows:
        return True
    saved = load_state(folder.state(rows[-1]["epoch"])) if ranks.rank == 0 else None
    state.load_state_dict(ranks.broadcast(saved)["state"])
    return state.epoch < settings.training.epochs and _goes_on(state.epoch, ranks, desk)


def _goes_on(epoch: int, ranks: Ranks, desk: Desk) -> bool:
    """Whether Tune wants the epoch after ``epoch``; rank 0 asks, all ranks agree."""
    return bool(ranks.broadcast(desk.ask("permission", epoch + 1) if ranks.rank == 0 else None))


def _saved_epochs(
    settings: TrialSettings, ranks: Ranks, showers: TrialShowers, state: TrainState, desk: Desk, folder: TrialFolder
) -> Iterator[EpochRecord]:
    """Epochs of the trial, each with its state on disk and its progress at the board (rank 0)."""

    def save(state: TrainState) -> None:
        if ranks.rank == 0:
            content = {"state": state.state_dict(), "settings": settings.model_dump_json()}
            save_state(folder.state(state.epoch), content)

    def progress(step: int, steps: int) -> None:
        if ranks.rank == 0:
            desk.progress(state.epoch + 1, step, steps)

    yield from epochs(Trial(settings, ranks, showers, save, progress), state)
