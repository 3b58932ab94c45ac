"""Between Tune and whoever wants to know: MLflow (the single writer) and the terminal. Runs in the driver's process."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Protocol

from ray import tune

from gan3d.cost.account import WORLD_SIZE, Account
from gan3d.records import TrialRecord
from gan3d.tracking.outcome import ACTOR_LOST, EPOCH, FAILED, outcome_of
from gan3d.tracking.store import StudyTracker

#: The metrics that name a slow rank, and how many times the median rank's time it takes before it is named.
SLOWEST, SLOWEST_RATIO, STRAGGLER_RATIO = "timing.slowest_rank", "timing.slowest_rank_ratio", 2.0


class Watcher(Protocol):
    """Hears what happens in a study while it happens; the terminal is one."""

    def earlier_trials(self, records: list[TrialRecord]) -> None:
        """Trials that ended in earlier sessions of the study, for good or until they go on; told once, before anything starts."""

    def trial_started(self, number: int, sample: dict[str, Any], known_epochs: int = 0) -> None:
        """A trial was given to its workers, or taken up again: then it tells so many epochs once more."""

    def epoch_ended(self, number: int, epoch: int, metrics: dict[str, float]) -> None:
        """A trial reported an epoch."""

    def trial_ended(self, record: TrialRecord) -> None:
        """A trial is complete, pruned or failed."""

    def step_progress(self, number: int, epoch: int, step: int, steps: int) -> None:
        """How far a trial's epoch is; called from a thread of its own, about once a second."""

    def say(self, text: str) -> None:
        """One line for the user."""


class StudyCallback(tune.Callback):
    """Forwards trials' lives.

    A Tune trial's ``config`` is {"number", "epochs", "known_epochs", "sample", "assignment", ...}, see `gan3d.search.searcher`.
    """

    def __init__(self, tracker: StudyTracker, watcher: Watcher, account: Account) -> None:
        self._tracker, self._watcher, self._account = tracker, watcher, account
        self._begun: set[str] = set()
        self._stragglers: set[tuple[int, int]] = set()
        self._sizes: dict[int, int] = {}
        self._newest: dict[int, int] = {}

    def __getstate__(self) -> dict[str, Any]:
        """Nothing: Tune pickles its callbacks with its own state and we never read them back."""
        return {}

    def on_trial_start(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002 - Tune's signature
        """Open the trial's nested run."""
        config = trial.config
        self._begun.add(trial.trial_id)
        self._sizes.pop(config["number"], None)  # whole again, until an epoch says otherwise
        self._account.start_trial(config["number"], config["settings"]["workers"]["per_trial"])
        self._tracker.start_trial(config["number"], config["sample"], config["settings"], config["digest"])
        self._watcher.trial_started(config["number"], config["sample"], config["known_epochs"])

    def on_trial_result(self, iteration: int, trials: list[Any], trial: Any, result: dict[str, Any], **info: Any) -> None:  # noqa: ARG002
        """Log an epoch's metrics under its own number."""
        if not result[FAILED]:
            metrics = {name: float(value) for name, value in result.items() if "." in name and isinstance(value, float)}
            number, epoch = trial.config["number"], result[EPOCH]
            self._tracker.log_metrics(number, epoch, metrics)
            self._watcher.epoch_ended(number, epoch, metrics)
            if epoch > max(trial.config["known_epochs"], self._newest.get(number, 0)):  # one told again is of a team that may be gone
                self._newest[number] = epoch
                self._name_straggler(trial.config, epoch, metrics)
                self._tell_size(trial.config, epoch, metrics)

    def on_trial_complete(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Close the trial's run."""
        self._end(trial)

    def on_trial_error(self, iteration: int, trials: list[Any], trial: Any, **info: Any) -> None:  # noqa: ARG002
        """Close the trial's run as failed; one that Tune could not begin has none."""
        if trial.trial_id in self._begun:
            self._end(trial, ACTOR_LOST, last_line(trial))

    def _name_straggler(self, config: dict[str, Any], epoch: int, metrics: dict[str, float]) -> None:
        """Say once per trial and rank who keeps the others waiting, and where it is; the trial's run keeps it."""
        rank, ratio = int(metrics.get(SLOWEST, 0)), metrics.get(SLOWEST_RATIO, 1.0)
        if ratio < STRAGGLER_RATIO or (config["number"], rank) in self._stragglers:
            return
        self._stragglers.add((config["number"], rank))
        told = f"rank {rank} on {host_of(Path(config['assignment']['folder']), rank)}"
        text = f"{told} takes {ratio:.1f} times as long as the median rank (epoch {epoch})"
        self._tracker.tag_trial(config["number"], {"straggler": text})
        self._watcher.say(f"trial {config['number']}: {text}; the others wait for it")

    def _tell_size(self, config: dict[str, Any], epoch: int, metrics: dict[str, float]) -> None:
        """Say, and count, when a trial goes on with another number of workers; its run keeps the newest."""
        number, full = config["number"], config["settings"]["workers"]["per_trial"]
        size = int(metrics.get(WORLD_SIZE, full))
        if size == self._sizes.get(number, full):
            return
        self._sizes[number] = size
        self._account.resize_trial(number, size)
        text = f"{size} of {full} workers from epoch {epoch} on"
        self._tracker.tag_trial(number, {"elastic": text})
        self._watcher.say(f"trial {number}: {text}")

    def _end(self, trial: Any, reason: str = "", error: str = "") -> None:
        config = trial.config
        number = config["number"]
        tags = self._account.end_trial(number).tags
        seconds = self._account.ledger.held_seconds().get(number, 0.0)
        record = outcome_of(number, config["sample"], config["epochs"], trial.last_result, reason, seconds=seconds)
        tags |= ({"error": error} if error else {}) | shower_counts(Path(config["assignment"]["folder"]))
        self._tracker.end_trial(record, tags)
        self._watcher.trial_ended(record)


def host_of(folder: Path, rank: int) -> str:
    """Of a trial's rank, from what its workers wrote; "an unknown host" where that is not seen from here."""
    try:
        return str(json.loads((folder / "workers.json").read_text(encoding="utf-8"))[rank]["host"])
    except (OSError, ValueError, LookupError):
        return "an unknown host"


def shower_counts(folder: Path) -> dict[str, str]:
    """Tags ``showers.train``, ``showers.dropped_empty``, ... from what the trial's workers wrote; none where that is not seen from here."""
    file = folder / "showers.json"
    try:
        counts = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return {f"showers.{name}": str(number) for name, number in counts.items()}


def last_line(trial: Any) -> str:
    """The last line of what Tune says of a trial's error; empty if it says nothing."""
    path = Path(getattr(trial, "error_file", None) or "")
    lines = path.read_text(encoding="utf-8", errors="replace").strip().splitlines() if path.is_file() else []
    return lines[-1] if lines else ""
