"""What MLflow has still to hear of trials that ended before the driver was killed.

Optuna is told of a trial's end first, and MLflow behind it; trials that were not trained are said to MLflow at the end of a session. A
driver killed in between leaves a trial that has ended for Optuna, so nobody takes it up again, and whose run here goes on for ever.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable
from pathlib import Path

from gan3d.config.study import Study
from gan3d.cost.account import Account
from gan3d.errors import ConfigError
from gan3d.records import TrialRecord
from gan3d.tracking import frames
from gan3d.tracking.callback import shower_counts
from gan3d.tracking.client import failures
from gan3d.tracking.outcome import UNTRAINED
from gan3d.tracking.store import StudyTracker
from gan3d.training.checkpoint import TrialFolder

logger = logging.getLogger(__name__)


def catch_up(tracker: StudyTracker, tracking_uri: str, study: Study, ended: Iterable[TrialRecord], account: Account, trials: Path) -> None:
    """Say the end of every trial that has ``ended``, for good or until it goes on, and whose run does not say so.

    ``trials`` is the folder of trials' folders.
    """
    unreachable: tuple[type[Exception], ...] = (ConfigError, *failures())
    try:
        rows = frames.trials(tracking_uri, study.name, tracker.study_run_id)
    except unreachable as problem:
        logger.warning("the tracking server does not tell which trials have ended (%s)", problem)
        return
    said = {} if rows.empty else dict(zip(rows["trial"], rows["state"], strict=True))
    for record in ended:
        if said.get(record.number) != record.state:
            _say(tracker, study, record, account, trials / f"{record.number:04d}")


def _say(tracker: StudyTracker, study: Study, record: TrialRecord, account: Account, folder: Path) -> None:
    """All of a trial; what is there already is left alone."""
    settings, _ = study.settings_or_problems(record.sample)
    if settings is None or record.reason.startswith(UNTRAINED):
        tracker.start_trial(record.number, record.sample, {}, "")
        tracker.end_trial(record)
        return
    tracker.start_trial(record.number, record.sample, settings.model_dump(mode="json"), settings.digest())
    for row in TrialFolder(folder).records():
        if row["epoch"] <= record.epochs:
            tracker.log_metrics(record.number, row["epoch"], row["metrics"])
    tracker.end_trial(record, account.end_trial(record.number).tags | shower_counts(folder))
