"""A training step as the cost model of scaling sees it."""

from __future__ import annotations

from gan3d.config.training import TrialSettings
from gan3d.scaling.prediction import Work
from gan3d.training.buckets import hiding_shares, update_buckets


def step_work(settings: TrialSettings, *, batch_per_worker: int | None = None, global_batch: int | None = None) -> Work:
    """Of these networks and this recipe; one of the two batches is fixed, and neither asks for the one that the settings fix."""
    if batch_per_worker is None and global_batch is None:
        if settings.training.fixed_batch == "global_batch":
            global_batch = settings.global_batch
        else:
            batch_per_worker = settings.local_batch
    return Work(update_buckets(settings), batch_per_worker, global_batch, hiding_shares(settings))
