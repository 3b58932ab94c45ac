"""Tune's searcher, and the one owner of the Optuna study: it asks and tells, and keeps Optuna's storage truthful.

Tune's own integration stores a stopped trial as COMPLETE and leaves a NaN trial RUNNING for ever, so this searcher asks and
tells by hand. Trials left RUNNING by an interrupted driver are taken up again, same number, same sample, before new ones.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import optuna
from optuna.trial import FrozenTrial, TrialState
from ray.tune.search import Searcher

from gan3d.config.study import Study
from gan3d.config.study_checks import is_of_speed
from gan3d.config.training import TrialSettings
from gan3d.errors import ConfigError
from gan3d.records import TrialRecord
from gan3d.search.admission import Admission
from gan3d.search.assignments import assignment_of
from gan3d.search.optuna_trials import (
    DIGEST_ATTRIBUTE,
    FROM_ATTRIBUTE,
    RESTARTS_ATTRIBUTE,
    STOPPED_ATTRIBUTE,
    curve_of,
    has_diverged,
    keep_epoch,
    mark_interrupted,
    record_of,
    tell_end,
)
from gan3d.search.rungs import make_stopping
from gan3d.search.samplers import asked_for, drawn_to_its_end, make_sampler
from gan3d.search.turns import TURN_ATTRIBUTE, is_turn_over, turn_began
from gan3d.tracking.outcome import ACTOR_LOST, AGE, BEST, EPOCH, FAILED, MERIT, OBJECTIVE, RESTARTS, UNTRAINED, outcome_of
from gan3d.training.merit import merit_of

#: What a searcher answers when it has no more samples.
FINISHED: Any = Searcher.FINISHED

#: A trial whose actor is lost so often before it can begin has failed.
MOST_STARTS = 3


class OptunaSearcher(Searcher):
    """Tune's side of the Optuna study: asks for samples, tells how trials go, and which shall go on.

    What Tune gets as a trial's ``config``: ``number`` (Optuna's, used everywhere), ``sample``, ``settings`` and ``digest``
    (effective ones), ``epochs``, ``team_workers``, ``known_epochs`` and ``known_restarts`` (that Optuna was told of before),
    ``turn_began``, and the ``assignment`` for the workers.
    """

    def __init__(
        self,
        study: Study,
        opened: optuna.Study,
        *,
        trials_folder: Path,
        base: Path,
        may_go_on: Callable[[], bool] = lambda: True,
        admission: Admission | None = None,
        held_seconds: Callable[[], Mapping[int, float]] = dict,
    ) -> None:
        """A session begins.

        Args:
            study: what is asked.
            opened: Optuna's, see `gan3d.search.samplers.open_optuna_study`.
            trials_folder: where trials' folders are.
            base: folder of the study's file, from which shower files are found.
            may_go_on: whether new trials may be proposed, asked each time but the first.
            admission: whether there is room for the next one; without it always.
            held_seconds: how long each trial held its team until now, by number, over all sessions.
        """
        super().__init__(metric=OBJECTIVE, mode=study.objective.direction[:3])
        self._study, self._optuna = study, opened
        self._stopping, self._admission, self._held_seconds = make_stopping(study), admission, held_seconds
        self._trials_folder, self._base = trials_folder.absolute(), base.absolute()
        self._live: dict[str, tuple[optuna.Trial, dict[str, Any]]] = {}
        self._interrupted = [trial for trial in opened.trials if trial.state == TrialState.RUNNING]
        mark_interrupted(opened, self._interrupted)
        self._begun: set[str] = set()
        self._lost_starts: Counter[int] = Counter()
        self._may_go_on, self._num_proposed = may_go_on, 0
        self._next: tuple[optuna.Trial, TrialSettings] | None = None
        self.untrained: list[TrialRecord] = []

    @property
    def num_open(self) -> int:
        """Trials still to be trained: interrupted ones and those never proposed."""
        ended = sum(trial.state.is_finished() for trial in self._own())
        return max(self._study.num_trials - ended, 0)

    def records(self) -> Iterator[TrialRecord]:
        """Every ended trial of the study, earlier sessions' included."""
        held = self._held_seconds()
        for trial in self._own():
            if trial.state.is_finished():
                yield record_of(trial, self._study.objective, held)

    def stopped(self) -> Iterator[TrialRecord]:
        """Trials that will go on and that nobody has taken up again."""
        held = self._held_seconds()
        for trial in self._trials():
            if trial.state == TrialState.RUNNING and trial.user_attrs.get(STOPPED_ATTRIBUTE):
                yield record_of(trial, self._study.objective, held)

    @property
    def is_idle(self) -> bool:
        """Whether no proposed trial is without its end."""
        return not self._live

    def has_next(self) -> bool:
        """Whether there is something to train; to be asked before Tune starts, which fails without a trial."""
        if self._next is not None and not self._may_begin():
            # Found, and then without room: it is taken up, or begun, in the next session.
            self._interrupted.insert(0, self._trials()[self._next[0].number])
            self._next = None
        if self._next is None:
            self._next = self._find_next()
        return self._next is not None

    def youngest_waiting(self) -> float | None:
        """The age at which the next trial would begin, or go on, if there were room; None where none waits."""
        return turn_began(self._trials()[self._next[0].number]) if self.has_next() and self._next is not None else None

    def _may_begin(self) -> bool:
        """Whether another trial may; the first may whatever happens: a session that begins has something to do."""
        return self._num_proposed == 0 or self._may_go_on()

    def suggest(self, trial_id: str) -> dict[str, Any] | None:
        """The next trial's configuration; None while there is no room for it."""
        if not self.has_next():
            # What has not begun yet may come back, and Tune does not ask again once it is told that this is the end.
            finished: dict[str, Any] | None = None if self._live.keys() - self._begun else FINISHED
            return finished
        assert self._next is not None
        trial, settings = self._next
        workers = self._study.team_workers(settings.world_size)
        if self._admission is not None:
            if not self._admission.admits(trial.number, workers):
                return None
            self._admission.begin(trial.number, workers)
        self._next = None
        self._num_proposed += 1
        if trial.user_attrs.get(STOPPED_ATTRIBUTE):
            trial.set_user_attr(STOPPED_ATTRIBUTE, "")
        config = self._config(trial, settings)
        self._live[trial_id] = (trial, config)
        return config

    def _find_next(self) -> tuple[optuna.Trial, TrialSettings] | None:
        """The next trial to train; samples that are no valid trial, or train as an earlier one did, are told to Optuna at once."""
        while True:
            trial = self._next_trial() if self._may_begin() else None
            if trial is None:
                return None
            try:
                settings = self._study.trial_settings(trial.params)
            except ConfigError as error:
                self._tell_untrained(trial, str(error))
                continue
            has_begun = bool(curve_of(self._trials()[trial.number]))
            if not has_begun and (twin := self._twin(trial.number, settings.digest())) is not None:
                self._tell_twin(trial, twin)
                continue
            trial.set_user_attr(DIGEST_ATTRIBUTE, settings.digest())
            return trial, settings

    def begin(self, trial_id: str) -> None:
        """Tune has started a trial that was proposed."""
        self._begun.add(trial_id)
        del self._lost_starts[self._live[trial_id][0].number]

    def on_trial_result(self, trial_id: str, result: dict[str, Any]) -> None:
        """Keep the learning curve; an epoch reported again by a resumed trial is known already."""
        trial, _ = self._live[trial_id]
        if not result[FAILED] and result[EPOCH] not in curve_of(self._trials()[trial.number]):
            keep_epoch(trial, result[EPOCH], merit_of(result[MERIT]), self._study.objective)
        if restarts := result.get(RESTARTS):
            trial.set_user_attr(RESTARTS_ATTRIBUTE, restarts)

    def goes_on(self, trial_id: str, result: dict[str, Any]) -> bool:
        """Keep an epoch, and say whether its trial shall have another."""
        self.on_trial_result(trial_id, result)
        trial, _ = self._live[trial_id]
        is_known = result[EPOCH] < max(curve_of(self._trials()[trial.number]), default=0)  # told again: it was decided when it was new
        return bool(result[FAILED]) or is_known or self._stopping.goes_on(self._optuna, trial, result[AGE], merit_of(result[BEST]))

    def on_trial_complete(self, trial_id: str, result: dict[str, Any] | None = None, error: bool = False) -> None:
        """Tell Optuna the end; `tracking.outcome` says which. Tune gives a trial's last result only here."""
        if result is not None and EPOCH in result:
            self.on_trial_result(trial_id, result)
        trial, config = self._live.pop(trial_id)
        if self._admission is not None:
            self._admission.end(trial.number)
        if error and trial_id not in self._begun:
            self._put_back(trial)
            return
        reason = ACTOR_LOST if error else ""
        seconds = self._held_seconds().get(trial.number, 0.0)
        record = outcome_of(trial.number, config["sample"], config["epochs"], result, reason, seconds=seconds)
        made_way_at = result[AGE] if result is not None and record.state == "stopped" and is_turn_over(result) else None
        if made_way_at is not None:
            trial.set_user_attr(TURN_ATTRIBUTE, made_way_at)
        tell_end(self._optuna, trial, record, self._study.objective)
        if made_way_at is not None:
            self._interrupted.append(self._trials()[trial.number])

    def _put_back(self, trial: optuna.Trial) -> None:
        """An actor lost before the trial could begin is not the trial's doing, and Tune does not try again: propose it once more."""
        self._lost_starts[trial.number] += 1
        if self._lost_starts[trial.number] < MOST_STARTS:
            self._interrupted.append(self._trials()[trial.number])
        else:
            self._tell_untrained(trial, ACTOR_LOST)

    def save(self, checkpoint_path: str) -> None:
        """Nothing: Optuna's storage is the memory."""

    def restore(self, checkpoint_path: str) -> None:
        """Nothing: see `save`."""

    def _own(self) -> list[optuna.trial.FrozenTrial]:
        """This study's trials, without those that others trained."""
        return [trial for trial in self._trials() if FROM_ATTRIBUTE not in trial.user_attrs]

    def _trials(self) -> list[optuna.trial.FrozenTrial]:
        """All that Optuna holds, by number; not to be changed."""
        return self._optuna.get_trials(deepcopy=False)

    def _tell_untrained(self, trial: optuna.Trial, reason: str) -> None:
        """It has failed before it could begin."""
        self.untrained.append(TrialRecord(trial.number, dict(trial.params), "failed", reason, 0, None, 0.0))
        tell_end(self._optuna, trial, self.untrained[-1], self._study.objective)

    def _twin(self, number: int, digest: str) -> optuna.trial.FrozenTrial | None:
        """An earlier trial that trained the same, and ended as it would again; a grid may repeat itself, and times differ."""
        if any(is_of_speed(goal.metric) for goal in self._study.objective.goals):
            return None
        for trial in self._trials()[:number]:
            is_same = trial.user_attrs.get(DIGEST_ATTRIBUTE) == digest
            if self._study.sampler.name == "grid" and FROM_ATTRIBUTE not in trial.user_attrs:
                continue
            if is_same and (trial.state in (TrialState.COMPLETE, TrialState.PRUNED) or has_diverged(trial)):
                return trial
        return None

    def _tell_twin(self, trial: optuna.Trial, twin: optuna.trial.FrozenTrial) -> None:
        """What training again would tell: the same seed gives the same numbers."""
        for epoch, merit in curve_of(twin).items():
            keep_epoch(trial, epoch, merit, self._study.objective)
        of_twin = record_of(twin, self._study.objective)
        whose = twin.user_attrs.get(FROM_ATTRIBUTE, f"trial {twin.number}")
        reason = f"{UNTRAINED}: it would train as {whose} did{f' ({of_twin.reason})' if of_twin.reason else ''}"
        self.untrained.append(replace(of_twin, number=trial.number, sample=dict(trial.params), reason=reason, seconds=0.0, restarts=0))
        tell_end(self._optuna, trial, self.untrained[-1], self._study.objective)

    def _next_trial(self) -> optuna.Trial | None:
        asked = sum(trial.state != TrialState.WAITING for trial in self._own())
        youngest = min(self._interrupted, key=turn_began, default=None)
        if youngest is not None and (turn_began(youngest) == 0 or asked >= self._study.num_trials):
            self._interrupted.remove(youngest)
            return self._taken_up(youngest)
        if asked >= self._study.num_trials:
            return None
        self._optuna.sampler = make_sampler(self._study, asked, self._trials())
        return asked_for(self._optuna, self._study.search_space)

    def _taken_up(self, interrupted: FrozenTrial) -> optuna.Trial:
        if self._study.search_space.is_whole(interrupted.params):
            # Optuna has no public way to go on with a trial.
            return optuna.Trial(self._optuna, interrupted._trial_id)
        asked = sum(trial.number < interrupted.number for trial in self._own())
        self._optuna.sampler = make_sampler(self._study, asked, self._trials()[: interrupted.number])
        return drawn_to_its_end(self._optuna, interrupted, self._study.search_space)

    def _config(self, trial: optuna.Trial, settings: TrialSettings) -> dict[str, Any]:
        return {
            "number": trial.number,
            "sample": dict(trial.params),
            "settings": settings.model_dump(mode="json"),
            "digest": settings.digest(),
            "epochs": settings.training.epochs,
            "team_workers": self._study.team_workers(settings.world_size),
            "known_epochs": max(curve_of(self._trials()[trial.number]), default=0),
            "known_restarts": trial.user_attrs.get(RESTARTS_ATTRIBUTE, 0),
            "turn_began": turn_began(self._trials()[trial.number]),
            "assignment": assignment_of(self._study, trial.number, settings, trials_folder=self._trials_folder, base=self._base),
        }
