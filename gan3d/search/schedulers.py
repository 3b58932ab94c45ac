"""Who stops trials early: Tune's schedulers, by the study's words. Time is counted in the trial's own epochs."""

from __future__ import annotations

from typing import Any

from ray.tune.schedulers import ASHAScheduler, FIFOScheduler

from gan3d.config.study import Study
from gan3d.tracking.outcome import EPOCH


def make_scheduler(study: Study) -> Any:
    """Tune's scheduler for the study. It is told metric and mode by Tune."""
    settings = study.scheduler
    if settings.name == "none":
        return FIFOScheduler()  # type: ignore[no-untyped-call]
    # Not `training_iteration`: it starts at 1 again after a restore.
    return ASHAScheduler(
        time_attr=EPOCH,
        max_t=study.training.epochs,
        grace_period=settings.grace_epochs,
        reduction_factor=settings.reduction_factor,
    )
