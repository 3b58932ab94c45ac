"""What a study has done and is doing, from its results folder, whoever runs it: nothing is written there, no lock is kept.

Loads neither Ray nor torch nor MLflow. Optuna's storage tells which trials there are, their records how far the open ones have come, the
ledger what was spent (a few seconds late), the driver's lock whether the study runs.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from gan3d.cli.results import STUDY, TRIALS, refuse_without_study
from gan3d.cli.resuming import kept_request
from gan3d.config.load import load_study
from gan3d.config.study import Study
from gan3d.cost.account import Account
from gan3d.cost.ledger import FILE as LEDGER
from gan3d.cost.ledger import Ledger
from gan3d.cost.prices import Bill
from gan3d.errors import ConfigError
from gan3d.records import TrialRecord
from gan3d.search.driver import Driver, driver_anywhere
from gan3d.search.place import place_of

if TYPE_CHECKING:
    from optuna.trial import FrozenTrial

THROUGHPUT = "timing.showers_per_second"

State = Literal["running", "complete", "failed", "interrupted", "stopped"]


@dataclass(frozen=True, slots=True)
class OpenTrial:
    """A trial between its start and its end."""

    record: TrialRecord
    """As far as it has come: finished epochs, the best objective, seconds that its workers were held (over all sessions)."""
    is_running: bool
    """False: its driver has gone, or a new one has not come to it yet."""
    epochs_planned: int
    newest: float | None
    """The objective of its last finished epoch."""
    showers_per_second: float | None


@dataclass(frozen=True, slots=True)
class Spending:
    """What the ledger says; all None or empty where there is none yet."""

    seconds: float | None = None
    """That the study ran, over all sessions."""
    cost: Bill | None = None
    trial_costs: dict[int, Bill] | None = None
    held_seconds: dict[int, float] | None = None
    used: dict[str, float] | None = None
    """By the names of the budget's limits."""
    exhausted: str = ""


@dataclass(frozen=True, slots=True)
class Status:
    """How a study stands: what `cli.findings.Findings` has, and what only a study that goes on has."""

    study: str
    state: State
    driver: Driver | None
    trials: tuple[TrialRecord, ...]
    open_trials: tuple[OpenTrial, ...]
    best: TrialRecord | None
    front: tuple[int, ...]
    num_trials: int
    num_known: int
    """Trials of earlier studies that the sampler knows of."""
    results: Path
    tracking_uri: str
    figures: tuple[Path, ...]
    spending: Spending

    @property
    def seconds(self) -> float | None:
        """That the study ran, over all sessions."""
        return self.spending.seconds

    @property
    def cost(self) -> Bill | None:
        """Of all sessions."""
        return self.spending.cost

    @property
    def trial_costs(self) -> dict[int, Bill]:
        """By trial number."""
        return self.spending.trial_costs or {}

    @property
    def budget_spent(self) -> str:
        """The limits that are spent."""
        return self.spending.exhausted

    @property
    def counts(self) -> dict[str, int]:
        """Trials by their state; they add up to the first number, but where a study had its number of trials lowered."""
        states = Counter(record.state for record in self.trials)
        running = sum(one.is_running for one in self.open_trials)
        found = {name: states[name] for name in ("complete", "pruned", "failed", "stopped")}
        found |= {"running": running, "interrupted": len(self.open_trials) - running}
        return {"trials": self.num_trials, **found, "to_come": max(self.num_trials - sum(found.values()), 0)}


def status_of(folder: Path) -> tuple[Study, Status]:
    """The study in a results folder, and how it stands.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    from gan3d.search.optuna_trials import FROM_ATTRIBUTE, best_of, record_of
    from gan3d.search.ranking import front_of
    from gan3d.search.storage import read_trials

    driver = driver_anywhere(folder)
    if driver is None:
        refuse_without_study(folder)
    folder = folder.absolute()
    study = study_in(folder, is_starting=driver is not None)
    stored = read_trials(place_of(folder), study.name)
    own = [trial for trial in stored if FROM_ATTRIBUTE not in trial.user_attrs]
    spending = spent_in(folder, study)
    begun = [(trial, record_of(trial, study.objective, spending.held_seconds)) for trial in own if trial.state.name != "WAITING"]
    open_ones = [one for one in begun if one[1].state == "running"]
    num_running = study.trials.concurrent if driver is not None else 0
    # Interrupted trials are taken up in their order, and before new ones: those that run come first.
    open_trials = tuple(_open_trial(folder, study, *one, is_running=place < num_running) for place, one in enumerate(open_ones))
    records = {record.number: record for _, record in begun}
    trials = tuple(record for record in records.values() if record.state != "running")
    best = best_of(records, study.objective)
    status = Status(
        study=study.name,
        state="running" if driver is not None else _state_without_driver(study, trials, open_trials, best, spending),
        driver=driver,
        trials=trials,
        open_trials=open_trials,
        best=best,
        front=front_of(trials, study.objective),
        num_trials=study.num_trials,
        num_known=len(stored) - len(own),
        results=folder,
        tracking_uri=_tracking_uri(folder),
        figures=tuple(sorted((folder / "figures").glob("*.png"))),
        spending=spending,
    )
    return study, status


def study_in(folder: Path, *, is_starting: bool) -> Study:
    """The study as run; while its driver starts, as it was asked for.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    if (folder / STUDY).exists():
        return load_study(folder / STUDY).study
    if is_starting:
        asked = kept_request(folder)
        return load_study(asked.study, asked.overrides).study
    message = f"{folder} holds trials of a study but no {STUDY}: what it asked is lost."
    raise ConfigError(message)


def spent_in(folder: Path, study: Study) -> Spending:
    """From the ledger in a results folder.

    Raises:
        ConfigError: there is a broken one.
    """
    if not (folder / LEDGER).exists():
        return Spending()
    account = Account(study, Ledger.open(folder, study.cost))
    ledger = account.ledger
    return Spending(
        ledger.wall_seconds, account.total(), account.trial_bills(), ledger.held_seconds(), account.amounts(), account.exhausted
    )


def _open_trial(folder: Path, study: Study, trial: FrozenTrial, record: TrialRecord, *, is_running: bool) -> OpenTrial:
    from gan3d.search.optuna_trials import curve_of
    from gan3d.training.checkpoint import TrialFolder
    from gan3d.training.merit import Judge

    rows = TrialFolder(folder / TRIALS / f"{record.number:04d}").records()
    judge, curve = Judge(study.objective), curve_of(trial)
    merits = [judge.judge(row["metrics"]) for row in rows] or [curve[epoch] for epoch in sorted(curve)]
    return OpenTrial(
        record=replace(record, epochs=max(record.epochs, rows[-1]["epoch"] if rows else 0)),
        is_running=is_running,
        epochs_planned=study.epochs_of(record.sample),
        newest=merits[-1].first if merits else None,
        showers_per_second=rows[-1]["metrics"].get(THROUGHPUT) if rows else None,
    )


def _state_without_driver(
    study: Study, trials: Sequence[TrialRecord], open_trials: Sequence[OpenTrial], best: TrialRecord | None, spending: Spending
) -> State:
    """As `search.run` ends a study; where it did not come to that, the study is interrupted."""
    if sum(record.state != "stopped" for record in trials) >= study.num_trials:
        return "complete" if best is not None else "failed"
    return "stopped" if spending.exhausted and not open_trials else "interrupted"


def _tracking_uri(folder: Path) -> str:
    from gan3d.tracking.store import default_tracking_uri

    try:
        return kept_request(folder).tracking_uri or default_tracking_uri(folder)
    except ConfigError:  # of a study that was not run by the command
        return default_tracking_uri(folder)
