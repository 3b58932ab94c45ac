"""A study from the first sample to the last record: Tune, Optuna, Ray Train and MLflow put together.

results/<study>/
  study.yaml          the study as run, overrides included
  command.json        how it was run, for `gan3d resume`
  optuna_journal.log  Optuna's storage: the memory a resume goes on from; or optuna_storage.json, where that is, see search.place
  tracking.db         MLflow, unless another tracking URI is given
  tracking_run.txt    the id of the study's parent run there
  driver.lock         locked by the process that runs the study, see search.driver
  cost.json           what the trials held and drew, see cost.ledger
  trials/0003/        states and records of a trial, see training.checkpoint
  ray/                Tune's and Train's own files
"""

from __future__ import annotations

import logging
import os
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

import ray
from ray import tune

from gan3d.config.load import LoadedStudy, dump_study
from gan3d.config.study import Study
from gan3d.cost.account import Account
from gan3d.cost.ledger import Ledger
from gan3d.cost.prices import Bill
from gan3d.records import TrialRecord
from gan3d.search.admission import Admission
from gan3d.search.board import Board
from gan3d.search.cluster import connected
from gan3d.search.driver import driving
from gan3d.search.figures import drawn, start_drawing
from gan3d.search.needs import world_sizes
from gan3d.search.optuna_trials import best_of
from gan3d.search.plan import Plan, make_plan, refuse_impossible
from gan3d.search.progress import forwarded
from gan3d.search.ranking import front_of
from gan3d.search.resources import ray_cluster
from gan3d.search.rooms import Rooms
from gan3d.search.samplers import open_optuna_study
from gan3d.search.schedulers import EarlyStopping
from gan3d.search.searcher import MOST_STARTS, OptunaSearcher
from gan3d.search.spending import SpentBudget
from gan3d.search.stopping import StopRequest
from gan3d.search.storage import claim_storage
from gan3d.search.team import TRIAL_RESOURCES, AbandonedTeams, TeamSpec, TeamTrial
from gan3d.search.turns import with_turns
from gan3d.search.warm_start import from_earlier_studies, known_from
from gan3d.tracking import notes
from gan3d.tracking.callback import StudyCallback, Watcher
from gan3d.tracking.catching_up import catch_up
from gan3d.tracking.client import open_client
from gan3d.tracking.outcome import OBJECTIVE
from gan3d.tracking.provenance import provenance
from gan3d.tracking.store import StudyTracker, default_tracking_uri
from gan3d.training.checkpoint import TrialFolder
from gan3d.writing import write_atomically, write_text

#: How often a trial's actor may be lost before Tune gives the trial up.
ACTOR_RESTARTS = 1
#: Groups of workers that may be lost per trial, over the study.
LOST_GROUPS_PER_TRIAL = 3

State = Literal["complete", "failed", "interrupted", "stopped"]


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How a study is run, as opposed to what it asks."""

    results: Path
    address: str | None
    tracking_uri: str | None
    resume: bool
    verbose: bool
    optuna_storage: str | None = None
    """URL of a database; None: where it was, or else the journal in the results."""


@dataclass(frozen=True, slots=True)
class StudyResult:
    """What a study came to. ``failed``: all trials ended and none has an objective; ``stopped``: the budget is spent before all ended."""

    study: str
    state: State
    trials: tuple[TrialRecord, ...]
    best: TrialRecord | None
    results: Path
    tracking_uri: str
    figures: tuple[Path, ...]
    seconds: float
    cost: Bill | None = None
    """Of all sessions."""
    trial_costs: dict[int, Bill] = field(default_factory=dict)
    """By trial number, its own workers alone."""
    budget_spent: str = ""
    """The limits that are spent; empty while there is something left."""
    front: tuple[int, ...] = ()
    """With trade-offs, the numbers of the complete trials that no other one beats; else the best alone."""


def run_study(loaded: LoadedStudy, options: RunOptions, watcher: Watcher) -> StudyResult:
    """Run the study, or go on with it.

    Raises:
        ResourceError: the cluster can never hold one whole trial.
        ConfigError: the tracking server or Optuna's database cannot be used, or another process runs the study.
    """
    begin = time.monotonic()
    results = options.results.absolute()
    results.mkdir(parents=True, exist_ok=True)
    uri = options.tracking_uri or default_tracking_uri(results)
    with driving(results), ThreadPoolExecutor(1, "tracking") as beside:
        request = StopRequest(results)
        place = claim_storage(loaded.study, results, options.optuna_storage)
        account = Account(loaded.study, Ledger.open(results, loaded.study.cost))
        # MLflow takes seconds to import and to make a database: as long as Ray takes to start, which is mostly waiting.
        opening = beside.submit(open_client, uri, create=True)
        with connected(options.address, verbose=options.verbose, say=watcher.say):
            plan = make_plan(loaded, ray_cluster())
            refuse_impossible(plan)
            admission = admission_of(plan, watcher.say)
            opening.result()
            tracker = _open_tracker(loaded, plan, results, uri, resume=options.resume)
            with tracker.interrupted_by_exceptions(), account.ledger.kept(results):
                session = Session(watcher, account, admission, place, request)
                records, state = _search(loaded, results, tracker, uri, session, verbose=options.verbose)
            best = best_of(records, loaded.study.objective)
            _keep_best(tracker, best, results)
            ended: State = "failed" if state == "complete" and best is None else state
            spent, cost = account.exhausted, account.total()
            note = notes.ended(loaded.study.question, loaded.study.objective, best, ended, cost.tags)
            tracker.tag_study(cost.tags | {"reason": spent if state == "stopped" else "", notes.NOTE: note})
            tracker.end(ended)
            # Drawn while Ray shuts down.
            drawing = start_drawing(loaded.study, uri, results, say=watcher.say) if best is not None else ()
    figures = drawn(drawing, say=watcher.say)
    trials = tuple(records[number] for number in sorted(records))
    seconds = time.monotonic() - begin
    front = front_of(trials, loaded.study.objective)
    return StudyResult(loaded.study.name, ended, trials, best, results, uri, figures, seconds, cost, account.trial_bills(), spent, front)


def _open_tracker(loaded: LoadedStudy, plan: Plan, results: Path, uri: str, *, resume: bool) -> StudyTracker:
    study = loaded.study
    text = dump_study(study)
    write_atomically(results / "study.yaml", lambda file: write_text(file, text))
    tracker = StudyTracker.open(uri, study_name=study.name, results=results, resume=resume)
    tracker.log_study(study.question, text, loaded.overrides, plan.as_dict(), provenance(), objective=study.objective)
    return tracker


def _search(
    loaded: LoadedStudy, results: Path, tracker: StudyTracker, uri: str, session: Session, *, verbose: bool
) -> tuple[dict[int, TrialRecord], State]:
    """All trials that are still open; returns the records of the whole study."""
    study, (watcher, account, admission, place, request) = loaded.study, session
    opened = open_optuna_study(study, place, from_earlier_studies(study, loaded.base))
    searcher = OptunaSearcher(
        study,
        opened,
        trials_folder=results / "trials",
        base=loaded.base,
        may_go_on=lambda: not (account.exhausted or request.reason),
        admission=admission,
        held_seconds=account.ledger.held_seconds,
    )
    earlier, waiting = list(searcher.records()), list(searcher.stopped())
    watcher.earlier_trials([*earlier, *waiting])
    if earlier and not tracker.continued:
        watcher.say("The study's earlier run is not at this tracking URI: a new one starts, and only new trials show in it.")
    if earlier and account.ledger.is_empty:
        watcher.say("What the study's earlier sessions cost is not known: there is no cost.json. Its cost is counted from now on.")
    if (known := known_from(opened)) and not earlier:
        watcher.say(f"Known from {' and '.join(sorted(set(known)))}, and not trained again: {len(known)} trials.")
    if tracker.continued:
        catch_up(tracker, uri, study, [*earlier, *waiting], account, results / "trials")
    callback = StudyCallback(tracker, watcher, account)
    # On the head's node, as trials' actors are: a node that dies must not take it along.
    board = ray.remote(num_cpus=0, resources=TRIAL_RESOURCES)(Board).remote()
    with forwarded(board, watcher), quiet(verbose=verbose):
        if searcher.num_open and not account.exhausted and searcher.has_next():
            budget = SpentBudget(account, request, study.trials.concurrent)
            stopper = with_turns(budget, study.trials.turn, searcher.youngest_waiting)
            hearing = Hearing([callback, AbandonedTeams(board, searcher.begin)], stopper)
            _tuner(study, searcher, hearing, board, results, verbose=verbose).fit()
    for record in searcher.untrained:
        _track_untrained(tracker, record)
    records = {record.number: record for record in [*searcher.records(), *searcher.stopped()]}
    if not searcher.num_open:
        return records, "complete"
    if request.reason:
        watcher.say(f"The study stops: {request.reason}.")
    return records, "stopped" if searcher.is_idle and account.exhausted else "interrupted"


class Session(NamedTuple):
    """What one session of a study works with."""

    watcher: Watcher
    account: Account
    admission: Admission
    place: Path | str
    """Of Optuna's storage."""
    request: StopRequest


def admission_of(plan: Plan, say: Callable[[str], None]) -> Admission:
    """Of the plan's cluster; said is how many trials run at the same time where they are fewer than asked for."""
    needs, at_once = plan.needs, plan.needs.at_once(plan.cluster)
    if at_once < needs.concurrent:
        largest = "of the largest " if len(needs.world_sizes) > 1 else ""
        say(f"Trials take turns: {plan.cluster.where} has room for {at_once} {largest}at the same time, not for {needs.concurrent}.")
    return Admission(Rooms(needs), needs.cpus_per_worker, one_node=needs.one_node, say=say)


class Hearing(NamedTuple):
    """Who hears of a trial's epochs, and who may end it with one."""

    callbacks: list[tune.Callback]
    stopper: tune.Stopper


def _tuner(study: Study, searcher: OptunaSearcher, hearing: Hearing, board: Any, results: Path, *, verbose: bool) -> tune.Tuner:
    spec = TeamSpec(
        world_size=study.max_world_size,
        cpus_per_worker=study.workers.cpus_per_worker,
        gpus_per_worker=study.workers.gpus_per_worker,
        storage=str(results / "ray"),
        max_failures=LOST_GROUPS_PER_TRIAL * study.num_trials,
        one_node=study.workers.one_node,
        elastic=study.workers.elastic,
        binding=study.workers.binding,
        interface=study.workers.interface,
    )
    trainable = tune.with_resources(tune.with_parameters(TeamTrial, board=board, spec=spec), TRIAL_RESOURCES)
    return tune.Tuner(
        trainable,
        tune_config=tune.TuneConfig(
            metric=OBJECTIVE,
            mode=study.objective.direction[:3],
            search_alg=searcher,
            scheduler=EarlyStopping(searcher.goes_on),
            # Of trials that take turns: until the searcher has no more.
            num_samples=searcher.num_open * MOST_STARTS if study.trials.turn is None else -1,
            max_concurrent_trials=study.trials.concurrent,
            # A team of another size frees CPUs only with its actor.
            reuse_actors=study.trials.concurrent == 1 or len(world_sizes(study)) == 1,
        ),
        run_config=tune.RunConfig(
            name="tune",
            storage_path=str(results / "ray"),
            stop=hearing.stopper,
            callbacks=hearing.callbacks,
            failure_config=tune.FailureConfig(max_failures=ACTOR_RESTARTS),
            verbose=2 if verbose else 0,
        ),
    )


def _track_untrained(tracker: StudyTracker, record: TrialRecord) -> None:
    """A sample that was not trained has a run too, so that trial numbers have no gaps."""
    tracker.start_trial(record.number, record.sample, {}, "")
    tracker.end_trial(record)


def _keep_best(tracker: StudyTracker, best: TrialRecord | None, results: Path) -> None:
    """The best trial's state becomes an artefact of its run."""
    if best is None:
        return
    checkpoint = TrialFolder(results / "trials" / f"{best.number:04d}").best
    if checkpoint.exists():
        tracker.log_artifact_file(checkpoint, "checkpoint", best.number)


@contextmanager
def quiet(*, verbose: bool) -> Iterator[None]:
    """Tune writes no logs of its own (MLflow has them), does not save what Optuna's storage holds, and keeps off the terminal."""
    wanted = {"TUNE_DISABLE_AUTO_CALLBACK_LOGGERS": "1", "TUNE_GLOBAL_CHECKPOINT_S": "3600"}
    if not verbose:
        wanted["RAY_AIR_NEW_OUTPUT"] = "0"
    before = {name: os.environ.get(name) for name in wanted}
    logger = logging.getLogger("ray.tune")
    level = logger.level
    os.environ.update(wanted)
    logger.setLevel(level if verbose else logging.CRITICAL)
    try:
        yield
    finally:
        logger.setLevel(level)
        for name, value in before.items():
            os.environ.pop(name) if value is None else os.environ.update({name: value})
