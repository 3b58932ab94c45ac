"""From a study's epochs and a network to what larger teams would do: calibration and prediction in one."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from gan3d.scaling.calibration import Calibration, calibrate, step_seconds
from gan3d.scaling.draws import Estimate
from gan3d.scaling.prediction import LEVELS, WORLD_SIZES, Cluster, Work, largest_teams, predict
from gan3d.scaling.speedup import SEED_KEY, ScalingKind


@dataclass(frozen=True, slots=True)
class Forecast:
    """What is said, and from what."""

    work: Work
    cluster: Cluster
    calibration: Calibration
    curve: pd.DataFrame
    """As `gan3d.scaling.prediction.predict` returns."""
    largest: dict[float, Estimate]
    """As `gan3d.scaling.prediction.largest_teams` returns."""

    @property
    def kind(self) -> ScalingKind:
        """Which batch is fixed."""
        return "strong" if self.work.global_batch is not None else "weak"

    @property
    def assumed(self) -> tuple[str, ...]:
        """What was assumed, and what the study leaves undetermined, in sentences."""
        return (*self.calibration.notes, *cluster_notes(self.cluster), *work_notes(self.work, self.calibration))


def forecast(
    epochs: pd.DataFrame,
    work: Work,
    cluster: Cluster,
    *,
    warmup_epochs: int = 1,
    block_key: str | None = SEED_KEY,
    world_sizes: Sequence[int] = WORLD_SIZES,
    levels: Sequence[float] = LEVELS,
) -> Forecast:
    """Calibrate on a study, predict teams.

    Args:
        epochs: As `gan3d.tracking.frames.epochs` returns.
        work: Of a step: bytes of its gradient buckets (`gan3d.training.buckets`), and which batch is fixed.
        cluster: Where the team would work.
        warmup_epochs: First epochs that are left out, of each trial and after each restart.
        block_key: Sampled key whose values are blocks.
        world_sizes: Rows of the curve.
        levels: Efficiencies whose largest teams are asked for; looked at are teams up to the largest of ``world_sizes``.

    Raises:
        ConfigError: As `step_seconds`, `calibrate` and `predict`.
    """
    calibration = calibrate(step_seconds(epochs, warmup_epochs, block_key))
    curve = predict(calibration, work, cluster, world_sizes)
    return Forecast(work, cluster, calibration, curve, largest_teams(calibration, work, cluster, levels, max(world_sizes)))


def cluster_notes(cluster: Cluster) -> list[str]:
    """What is assumed of the network."""
    notes = []
    if cluster.wire is not None and cluster.wire.origin == "declared":
        notes.append(f"{cluster.wire.name} is declared, not measured ({cluster.wire.source}); nobody else is on it")
    if cluster.software is None:
        notes.append("what the library takes beside the wire is what the study's team took in all: the same for any team")
    if cluster.workers_per_node > 1 and cluster.software is None:
        notes.append("within a node all-reduces are taken to be no faster than between nodes")
    return notes


def work_notes(work: Work, calibration: Calibration) -> list[str]:
    """What is assumed of a step's work."""
    notes = []
    if all(len(buckets) == 1 for buckets in work.updates):
        notes.append("each update has one gradient bucket, so nothing is hidden behind the backward pass")
    if any(work.hidden_behind):
        notes.append("what a rank computes until it needs an update's weights hides its all-reduce, but no straggler wait")
        notes.append("the study was run by a version that hides them so; one of before 26 November 2026 charges its own link twice")
    lowest, highest = calibration.batches[0], calibration.batches[-1]
    asked = work.batch_per_worker
    if work.global_batch is not None:
        notes.append(
            f"batches of other than {_span(lowest, highest)} on a worker are an extrapolation; that of one worker is the global batch"
        )
    elif asked is not None and not lowest <= asked <= highest:
        notes.append(f"{asked:g} showers per step on a worker were not measured, but {_span(lowest, highest)}")
    notes.append("files are read as fast by many nodes as by those of the study")
    return notes


def _span(lowest: int, highest: int) -> str:
    return f"{lowest} showers" if lowest == highest else f"{lowest} to {highest} showers"
