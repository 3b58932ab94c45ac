"""Records said to a tracker as the driver says them."""

from __future__ import annotations

from gan3d.records import EpochRecord
from gan3d.tracking.store import StudyTracker


def log_epoch(tracker: StudyTracker, number: int, record: EpochRecord) -> None:
    """An epoch of a trial."""
    tracker.log_metrics(number, record.epoch, record.as_metrics())
