"""A Tune trial that keeps a team of Ray Train workers alive: trials change in a fraction of a second, not in a minute.

Tune sees a class trainable whose actor is reused from trial to trial; inside, one Ray Train run goes on in a thread. Ray Train
owns placement, process group, failure and restart; the board carries samples in and records out. Formed once for the study's
largest world size, smaller trials use its first ranks.
"""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import ray
from ray import tune
from ray.util.placement_group import remove_placement_group

from gan3d.search.trial_results import TrialResults
from gan3d.tracking.outcome import FAILED, RESTARTS, STOPPED
from gan3d.training.binding import Binding

#: The trial actor does no work of its own; it sits on the head node, where every cluster has this resource.
TRIAL_RESOURCES = {"node:__internal_head__": 0.001}
#: How long an idle look at the board lasts before the training thread is looked after.
LOOK_SECONDS = 2.0
#: How often a team that has lost workers looks for room for them [s]: having them again costs the epoch that it is in.
GROWTH_SECONDS = 60.0
#: How long workers may take to finish their epoch and go home.
GOODBYE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class TeamSpec:
    """What every team of a study has in common; travels to the trial actor."""

    world_size: int
    """Of the largest; a smaller one where trials run at the same time and have teams of their own size."""
    cpus_per_worker: int
    gpus_per_worker: float
    storage: str
    """Where Ray Train keeps its own small files."""
    max_failures: int
    """Lost groups over the whole study before the team gives up."""
    one_node: bool = False
    """Whether its workers must share a node."""
    elastic: int | None = None
    """Least workers that a team goes on with; None: all of them."""
    binding: Binding = "none"
    """Of workers to CPUs."""
    interface: str | None = None
    """Of their groups; None: that of the node's address."""


class TeamTrial(tune.Trainable):
    """One Tune trial after the other, trained by one team.

    ``config`` holds ``number`` (Optuna's), ``assignment`` (what the workers need), ``epochs``, and ``known_restarts`` of earlier sessions.
    """

    _sequence: int
    _results: TrialResults

    def setup(self, config: dict[str, Any], board: Any, spec: TeamSpec) -> None:  # type: ignore[override]
        """Form the team and give it the first assignment."""
        self._board, self._spec = board, spec
        self._form_team(config)

    def reset_config(self, new_config: dict[str, Any]) -> bool:
        """Tune reuses this actor for the next trial: the newer assignment ends the older one at its epoch's end.

        Always succeeds: of a refusal Tune tells neither the searcher nor the callbacks, and the study would wait for ever.
        """
        if self._thread.is_alive() and new_config["team_workers"] == self._workers:
            self._post(new_config)
        else:
            self.cleanup()
            self._form_team(new_config)
        return True

    def step(self) -> dict[str, Any]:
        """Permit one more epoch and wait for its record."""
        self._epoch += 1
        ray.get(self._board.permit.remote(self._team, self._sequence, self._epoch))
        event = self._next_event()
        self._restarts = event[RESTARTS]
        if STOPPED in event:
            return self._results.of_stop(event[STOPPED], self._epoch, event[RESTARTS])
        if FAILED in event:
            return self._results.of_failure(event[FAILED], self._epoch, event[RESTARTS])
        return self._results.of_epoch(event["epoch"], event["metrics"], event[RESTARTS])

    def cleanup(self) -> None:
        """Send the workers home; Ray Train then gives the resources back."""
        ray.get(self._board.dissolve.remote(self._team))
        self._thread.join(GOODBYE_SECONDS)

    def save_checkpoint(self, checkpoint_dir: str) -> None:
        """States are the workers' business (`training.checkpoint`); Tune has nothing to keep."""

    def load_checkpoint(self, checkpoint: Any) -> None:
        """See `save_checkpoint`."""

    def _form_team(self, config: dict[str, Any]) -> None:
        """A team of a new name, its first assignment on the board before it gets there."""
        self._team = f"team-{uuid.uuid4().hex[:8]}"
        self._broken: BaseException | None = None
        self._workers: int = config["team_workers"]
        self._post(config)
        self._thread = threading.Thread(target=self._keep_team, name=self._team, daemon=True)
        self._thread.start()

    def _post(self, config: dict[str, Any]) -> None:
        self._epoch, self._restarts, self._results = 0, 0, TrialResults(config)
        self._sequence, left_behind = ray.get(self._board.post.remote(self._team, config["assignment"]))
        remove(left_behind)

    def _next_event(self) -> dict[str, Any]:
        while True:
            event: dict[str, Any] | None = ray.get(self._board.take.remote(self._team, self._sequence, LOOK_SECONDS))
            if event is not None:
                return event
            if not self._thread.is_alive():
                # Not raised: Tune would try again with a new actor, after Ray Train has tried as often as is sensible.
                return {FAILED: f"the team of workers ended: {self._broken or 'no error given'}", RESTARTS: self._restarts}

    def _keep_team(self) -> None:
        try:
            train_team(self._board, self._team, replace(self._spec, world_size=self._workers))
        except Exception as error:  # noqa: BLE001 - a thread has nobody to raise to; `step` does
            self._broken = error


class AbandonedTeams(tune.Callback):
    """Takes from a trial that Tune gives up what its killed actor left behind; runs in the driver's process.

    An actor may be killed between two trials: then the next one cannot begin, and what is left behind is the team of the one before.
    """

    def __init__(self, board: Any, begin: Callable[[str], None]) -> None:
        """``begin`` is told Tune's id of every trial that it has started."""
        self._board, self._begin = board, begin
        self._begun: set[str] = set()

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with its own state and we never read them back."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Its actor is there."""
        self._begun.add(trial.trial_id)
        self._begin(trial.trial_id)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Free the CPUs for the trials to come."""
        if trial.trial_id in self._begun:
            remove(ray.get(self._board.abandon.remote(trial.config["number"])))
            return
        others = {one.config["number"] for one in trials if one is not trial and one.status in (one.PENDING, one.RUNNING)}
        remove(ray.get(self._board.abandon_all_but.remote(others)))


def remove(placement_groups: list[Any]) -> None:
    """Give a lost team's resources back. Ray Train does so for a killed trial actor only where there is a dashboard to ask."""
    for placement_group in placement_groups:
        remove_placement_group(placement_group)


def train_team(board: Any, team: str, spec: TeamSpec) -> None:
    """The team's Ray Train run; returns when the board has dissolved the team."""
    import ray.train

    from gan3d.search.trainer import TeamConfig, TeamTrainer
    from gan3d.training.worker import team_worker

    least = min(spec.elastic or spec.world_size, spec.world_size)
    resources: dict[str, float] = {"CPU": spec.cpus_per_worker}
    if spec.gpus_per_worker:
        resources["GPU"] = spec.gpus_per_worker
    scaling: dict[str, Any] = {"num_workers": spec.world_size, "resources_per_worker": resources, "use_gpu": bool(spec.gpus_per_worker)}
    scaling["placement_strategy"] = "STRICT_PACK" if spec.one_node else "PACK"
    if least < spec.world_size:
        scaling |= {"num_workers": (least, spec.world_size), "elastic_resize_monitor_interval_s": GROWTH_SECONDS}
    TeamTrainer(
        team_worker,
        train_loop_config={"board": board, "team": team},
        torch_config=TeamConfig(
            backend="nccl" if spec.gpus_per_worker else "gloo",
            binding=spec.binding,
            num_cpus=spec.cpus_per_worker,
            interface=spec.interface,
        ),
        scaling_config=ray.train.ScalingConfig(**scaling),
        run_config=ray.train.RunConfig(
            name=team, storage_path=str(Path(spec.storage)), failure_config=ray.train.FailureConfig(max_failures=spec.max_failures)
        ),
    ).fit()
